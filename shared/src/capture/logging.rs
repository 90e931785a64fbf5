//! Log-dirty, switched on with a mark of whose it is.
//!
//! Xen keeps logging when the process that asked for it is killed, and refuses to begin again. A
//! node in the domain's xenstore folder says that the log is ours, so that a later protection may
//! take over what a killed one left, and never what a migration uses. The node goes with the
//! domain.

use super::Store;
use super::error::CaptureError;
use super::preconditions::{Path, path};
use crate::limits::XENSTORE_ANSWER_MS_MAX_PRIMARY;
use crate::platform::linux::xenbus::open_xenstore;
use crate::xen::xenstore::{Transaction, XenstoreError};
use crate::xen::{Domid, Errno, Xen};

/// Switches log-dirty on, anew where a killed protection left it on.
///
/// # Errors
/// EBUSY when another tool logs the domain; errors of Xen and xenstored.
pub fn begin(xen: &Xen, domid: Domid) -> Result<(), CaptureError> {
    let mut store = connect()?;
    let is_ours = match store.read(Transaction::NONE, &mark(domid)) {
        Ok(_) => true,
        Err(error) if error.is_not_found() => false,
        Err(error) => return Err(error.into()),
    };
    match xen.log_dirty_enable(domid) {
        Err(error) if error.errno == Errno::EBUSY && is_ours => {
            xen.log_dirty_off(domid)?;
            xen.log_dirty_enable(domid)?;
        }
        other => other?,
    }
    if let Err(error) = store.write(Transaction::NONE, &mark(domid), b"1") {
        xen.log_dirty_off(domid)?;
        return Err(error.into());
    }
    Ok(())
}

/// Switches log-dirty off.
///
/// # Errors
/// Errors of Xen; ESRCH when the domain is gone. A mark that cannot be taken away does no harm.
pub fn end(xen: &Xen, domid: Domid) -> Result<(), CaptureError> {
    xen.log_dirty_off(domid)?;
    if let Ok(mut store) = connect() {
        let _ = store.remove(Transaction::NONE, &mark(domid));
    }
    Ok(())
}

/// A connection of its own: logging also ends where no other is at hand.
fn connect() -> Result<Store, CaptureError> {
    open_xenstore(XENSTORE_ANSWER_MS_MAX_PRIMARY)
        .map_err(|_| CaptureError::Xenstore(XenstoreError::Disconnected))
}

fn mark(domid: Domid) -> Path {
    path(format_args!("/local/domain/{domid}/pollux-log-dirty"))
}
