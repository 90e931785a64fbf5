//! The twin's xenstore entries that revival reads and writes.

use super::error::{ReviveError, While};
use crate::platform::linux::xenbus::XenstoreConnection;
use crate::text::FixedText;
use crate::xen::Domid;
use crate::xen::xenstore::{Transaction, Xenstore, XenstoreError};

/// A connection to this host's xenstored.
pub type Store = Xenstore<XenstoreConnection>;

/// Longest path here, with room to spare.
type Path = FixedText<64>;

fn path(domid: Domid, entry: &str) -> Path {
    Path::format(format_args!("/local/domain/{domid}/{entry}"))
}

/// Asks the guest to suspend, as the toolstack does.
///
/// # Errors
/// When xenstored refuses.
pub fn ask_to_suspend(store: &mut Store, domid: Domid) -> Result<(), ReviveError> {
    store
        .write(Transaction::NONE, path(domid, "control/shutdown").as_str(), b"suspend")
        .while_doing("asking the guest to suspend")
}

/// Whether the guest has seen that it is asked: it empties the entry then. Where xenstored does not
/// tell in time, the guest counts as one that has: nothing is gained by leaving it alone.
///
/// # Errors
/// When xenstored refuses.
pub fn has_noticed(store: &mut Store, domid: Domid) -> Result<bool, ReviveError> {
    let entry = path(domid, "control/shutdown");
    match store.read(Transaction::NONE, entry.as_str()) {
        Ok(value) => Ok(value.is_empty()),
        Err(error) if error.is_not_found() => Ok(true),
        Err(XenstoreError::Silent) => Ok(true),
        Err(error) => Err(error).while_doing("looking whether the guest was asked"),
    }
}

/// Tells xenstored and xenconsoled the ports of the guest's new rings, and that it lives again.
///
/// # Errors
/// When xenstored refuses.
pub fn introduce_again(
    store: &mut Store,
    domid: Domid,
    store_gfn: u64,
    store_port: u32,
    console_port: u32,
) -> Result<(), ReviveError> {
    store
        .introduce(domid, store_gfn, store_port)
        .while_doing("introducing the guest to xenstored again")?;
    for (entry, port) in [("store/port", store_port), ("console/port", console_port)] {
        let number = FixedText::<10>::format(format_args!("{port}"));
        store
            .write(Transaction::NONE, path(domid, entry).as_str(), number.as_str().as_bytes())
            .while_doing("writing the ports of the guest's rings")?;
    }
    // A request that was repeated may still be there, and the resumed guest would obey it.
    store
        .write(Transaction::NONE, path(domid, "control/shutdown").as_str(), b"")
        .while_doing("taking back what the guest was asked")?;
    // A guest says once, when it boots, that it can suspend; it has shown just now that it can.
    // Without this it could not be protected again, nor saved.
    store
        .write(Transaction::NONE, path(domid, "control/feature-suspend").as_str(), b"1")
        .while_doing("noting that the guest can suspend")?;
    // xenstored has seen the domain shut down; from here on it reports the next time, too.
    store.resume(domid).while_doing("telling xenstored that the guest lives again")
}
