//! What a stub domain asks of the machine below it, so that all else can be tried without one.

use crate::platform::stubdom::entropy::EntropyError;
use crate::xen::{Domid, XenError};

/// The machine: Xen's calls, and the processor's randomness.
pub trait Machine {
    /// Microseconds of a clock that never goes back.
    fn now_us(&self) -> u64;

    /// Lets others use the core if somebody waits for it.
    fn yield_core(&self);

    /// A port that `remote_domid` may bind to.
    ///
    /// # Errors
    /// Xen's.
    fn open_port(&self, remote_domid: Domid) -> Result<u32, XenError>;

    /// Closes a port of ours.
    ///
    /// # Errors
    /// Xen's.
    fn close_port(&self, port: u32) -> Result<(), XenError>;

    /// Sends an event to whoever is bound to a port.
    ///
    /// # Errors
    /// Xen's.
    fn notify(&self, port: u32) -> Result<(), XenError>;

    /// Whether dom0 is bound to a port.
    ///
    /// # Errors
    /// Xen's.
    fn is_bound_to_dom0(&self, port: u32) -> Result<bool, XenError>;

    /// Gives the core away until one of the ports has an event, about `duration_us` at most.
    ///
    /// # Errors
    /// Xen's.
    fn poll(&self, ports: &[u32], duration_us: u64) -> Result<(), XenError>;

    /// Forgets the event of a port. Look at what it is about afterwards.
    fn forget_event(&self, port: u32);

    /// Random bytes that nobody else sees.
    ///
    /// # Errors
    /// [`EntropyError`].
    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;

    /// Bytes of memory that are left.
    fn memory_left(&self) -> usize;
}
