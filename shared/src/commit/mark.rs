//! The mark in xenstore that tells a waiting twin from any other domain.
//!
//! A helper that is killed leaves its twin behind, paused, and the next one needs its name. Only a
//! domain that an earlier helper has built, and that never began to live, may be destroyed for that:
//! it carries this mark until it is revived. xenstored forgets the marks with the host's power.

use crate::revive::Store;
use crate::text::FixedText;
use crate::xen::xenstore::{Transaction, XenstoreError};
use crate::xen::{Domid, Xen};

/// A mark's path.
type Path = FixedText<40>;

fn path(domid: Domid) -> Path {
    Path::format(format_args!("/tool/pollux/twin/{domid}"))
}

/// Marks a domain as a twin of this name that waits.
///
/// # Errors
/// When xenstored refuses.
pub(super) fn set(store: &mut Store, domid: Domid, name: &str) -> Result<(), XenstoreError> {
    store.write(Transaction::NONE, path(domid).as_str(), name.as_bytes())
}

/// Takes the mark away: the domain is about to live, or is gone.
///
/// # Errors
/// When xenstored refuses.
pub(super) fn remove(store: &mut Store, domid: Domid) -> Result<(), XenstoreError> {
    match store.remove(Transaction::NONE, path(domid).as_str()) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

/// Whether a domain of this name is a twin that an earlier helper has left behind: marked as one,
/// and paused as it was made.
pub(super) fn is_left_behind(xen: &Xen, store: &mut Store, domid: Domid, name: &str) -> bool {
    let marked = store.read(Transaction::NONE, path(domid).as_str());
    let is_marked = marked.is_ok_and(|marked| marked == name.as_bytes());
    is_marked && xen.getdomaininfo(domid).is_ok_and(|info| info.is_paused())
}
