//! Keeping memory in memory: a page fault inside the guest's pause would lengthen it.

use super::errno::ErrnoText;
use core::fmt;
use rustix::io::Errno;
use rustix::mm::MlockAllFlags;

/// Memory could not be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockError(pub Errno);

impl fmt::Display for LockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "cannot lock the program's memory: {}; raise the limit of locked memory or free memory",
            ErrnoText(self.0)
        )
    }
}

impl core::error::Error for LockError {}

/// Keeps in memory whatever the process has touched and will touch of its memory. Pages are not
/// fetched beforehand, since a ring maps far more than it may ever use; what must not fault later
/// is populated by its owner; the stack is touched here. A child made by `fork` does not inherit
/// this, so each half calls it for itself, before it drops its privileges.
///
/// # Errors
/// If the limit of locked memory or the machine's memory is too small.
pub fn lock_memory() -> Result<(), LockError> {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    rustix::mm::mlockall(flags).map_err(LockError)?;
    touch_stack();
    Ok(())
}

/// Bytes of the stack that are in memory from the start: more than any call below needs.
const STACK_SIZE_TOUCHED: usize = 256 * 1024;

/// Writes to the stack below the caller, so that calls which go deeper later meet no page fault.
#[inline(never)]
fn touch_stack() {
    core::hint::black_box(&mut [0_u8; STACK_SIZE_TOUCHED]);
}
