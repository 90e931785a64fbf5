//! Precedence over what else a small host does: a half that waits for its turn behind the
//! toolstack looks dead to its peer.

use rustix::process::setpriority_process;

/// The most favourable niceness that Linux has.
const NICENESS: i32 = -20;

/// Gives the process precedence over ordinary ones. It still yields and sleeps, so that nothing
/// starves. A kernel that refuses leaves the precedence as it was.
pub fn take_precedence() {
    let _ = setpriority_process(None, NICENESS);
}
