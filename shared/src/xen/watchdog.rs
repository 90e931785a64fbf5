//! Xen's watchdog timers of this domain (sched.h): one that nobody sets anew in time ends the domain, and
//! dom0's end is the host's reset.

use xen_sys::SCHEDOP_watchdog;

use super::{Operation, Plain, Xen, XenError};

/// struct sched_watchdog.
#[repr(C)]
#[derive(Clone, Copy)]
struct SchedWatchdog {
    id: u32,
    timeout_s: u32,
}

const _: () = assert!(size_of::<SchedWatchdog>() == size_of::<xen_sys::sched_watchdog>());

// SAFETY: integers only.
unsafe impl Plain for SchedWatchdog {}

impl Xen {
    /// Has the watchdog `id` expire in `timeout_s` seconds, or gives it back when that is 0. With an
    /// `id` of 0 a free one is taken, and its number, 1 or 2, is returned (SCHEDOP_watchdog).
    ///
    /// # Errors
    /// ENOSPC (EEXIST of some versions) when both are in use, EINVAL when `id` is not.
    pub fn set_watchdog(&self, id: u32, timeout_s: u32) -> Result<u32, XenError> {
        self.sched_op(SCHEDOP_watchdog, &SchedWatchdog { id, timeout_s })
            .map_err(|errno| XenError::of_host(Operation::Watchdog, errno))
    }
}
