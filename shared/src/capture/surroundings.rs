//! What a capture needs of the program around it: a clock, patience, and the gate.

/// The program around a capture.
pub trait Surroundings {
    /// Nanoseconds of a clock that never goes back.
    fn now_ns(&mut self) -> u64;

    /// Lets about `duration_us` microseconds pass. While the guest is paused this is only asked
    /// when the ring is full.
    fn rest(&mut self, duration_us: u64);

    /// Whether the operator ends protection: a wait that may be long ends then.
    fn is_stop_requested(&mut self) -> bool;

    /// From now on, or no longer, the guest is about to be paused or is, or pages are copied so that
    /// its pause is short: nothing of this host's ordinary work should come between. Surroundings that cannot see to that do nothing.
    fn set_urgent(&mut self, _is_urgent: bool) {}

    /// The guest is paused at the end of `epoch`: what leaves it from now on belongs to the next.
    /// Asked once per epoch, in the pause. False when the gate cannot, which ends the checkpoint.
    fn begin_gate_epoch(&mut self, epoch: u64) -> bool;
}
