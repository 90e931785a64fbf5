//! Which core a process runs on.

use super::errno::ErrnoText;
use core::fmt;
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Pinning failed; the process runs where it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinError {
    /// The core that was asked for.
    pub core: u16,
    /// How many cores the process may run on.
    pub core_count: u32,
    /// What the kernel said.
    pub errno: Errno,
}

impl fmt::Display for PinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.errno == Errno::INVAL {
            write!(
                formatter,
                "cannot pin to core {}: this host has {} core(s), numbered from 0; \
                 choose another or leave the option out",
                self.core, self.core_count
            )
        } else {
            write!(formatter, "cannot pin to core {}: {}", self.core, ErrnoText(self.errno))
        }
    }
}

impl core::error::Error for PinError {}

/// Lets the calling thread run on `core` alone.
///
/// # Errors
/// If the host has no such core, or it is offline.
pub fn pin_to_core(core: u16) -> Result<(), PinError> {
    let core_count = sched_getaffinity(None).map_or(0, |cores| cores.count());
    if usize::from(core) >= CpuSet::MAX_CPU {
        return Err(PinError { core, core_count, errno: Errno::INVAL });
    }
    let mut cores = CpuSet::new();
    cores.set(usize::from(core));
    sched_setaffinity(None, &cores).map_err(|errno| PinError { core, core_count, errno })
}

/// Lets the calling thread run on every core again, as a program started from here should.
pub(super) fn unpin() {
    let mut cores = CpuSet::new();
    for core in 0..CpuSet::MAX_CPU {
        cores.set(core);
    }
    // The kernel keeps those that exist; if it refuses, the thread stays where it was.
    let _ = sched_setaffinity(None, &cores);
}

#[cfg(test)]
mod tests {
    use super::{pin_to_core, sched_getaffinity, unpin};

    #[test]
    fn pins_refuses_and_unpins() {
        // Affinity belongs to a thread, so other tests are not disturbed.
        std::thread::spawn(|| {
            let before = sched_getaffinity(None).unwrap();
            pin_to_core(0).unwrap();
            let pinned = sched_getaffinity(None).unwrap();
            assert!(pinned.is_set(0));
            assert_eq!(pinned.count(), 1);
            let error = pin_to_core(1023).unwrap_err();
            assert!(error.to_string().starts_with("cannot pin to core 1023: this host has 1 "));
            unpin();
            assert_eq!(sched_getaffinity(None).unwrap().count(), before.count());
        })
        .join()
        .unwrap();
    }
}
