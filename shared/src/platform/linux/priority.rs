//! Precedence over what else a small host does: a half that waits for its turn behind the
//! toolstack looks dead to its peer.

use super::syscall::{SYSCALL_SCHED_SETSCHEDULER, syscall};
use rustix::process::setpriority_process;

/// The most favourable niceness that Linux has.
const NICENESS: i32 = -20;

/// Gives the process precedence over ordinary ones. It still yields and sleeps, so that nothing
/// starves. A kernel that refuses leaves the precedence as it was.
pub fn take_precedence() {
    let _ = setpriority_process(None, NICENESS);
}

/// How the kernel chooses who runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// Fairly, by niceness (SCHED_OTHER).
    Fair,
    /// Before every fair process, and before real-time ones of lower priority, until it sleeps
    /// (SCHED_FIFO). Priorities are 1 to 99.
    RealTime {
        /// The higher wins.
        priority: u8,
    },
}

/// Chooses how the calling process is scheduled. False when the kernel refuses; nothing has changed
/// then.
pub fn schedule(scheduling: Scheduling) -> bool {
    /// SCHED_OTHER and SCHED_FIFO (include/uapi/linux/sched.h).
    const POLICIES: [usize; 2] = [0, 1];
    // struct sched_param: one int.
    let (policy, parameter) = match scheduling {
        Scheduling::Fair => (POLICIES[0], 0_i32),
        Scheduling::RealTime { priority } => (POLICIES[1], i32::from(priority)),
    };
    let arguments = [0, policy, (&raw const parameter).expose_provenance(), 0, 0, 0];
    // SAFETY: the kernel reads one `struct sched_param`, which outlives the call.
    unsafe { syscall(SYSCALL_SCHED_SETSCHEDULER, arguments) }.is_ok()
}
