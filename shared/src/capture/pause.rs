//! A pause that always ends.

use crate::xen::{Domid, Xen, XenError};

/// The domain is paused for as long as this lives.
///
/// Xen counts pauses, so that of another tool is not ended by ours.
#[derive(Debug)]
pub struct Pause<'x> {
    xen: &'x Xen,
    domid: Domid,
}

impl<'x> Pause<'x> {
    /// Pauses the domain; on return none of its vCPUs runs.
    ///
    /// # Errors
    /// [`XenError`] when the domain is gone.
    pub fn begin(xen: &'x Xen, domid: Domid) -> Result<Self, XenError> {
        xen.pausedomain(domid)?;
        Ok(Self { xen, domid })
    }

    /// Leaves the domain as it is, for whoever may let it run.
    pub fn leave(self) {
        core::mem::forget(self);
    }

    /// Lets the domain run.
    ///
    /// # Errors
    /// [`XenError`] when the domain is gone.
    pub fn end(self) -> Result<(), XenError> {
        let (xen, domid) = (self.xen, self.domid);
        core::mem::forget(self);
        xen.unpausedomain(domid)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        // Reached when a step in the pause failed, and that error is told; a domain that cannot
        // be unpaused is gone.
        let _ = self.xen.unpausedomain(self.domid);
    }
}
