//! What the lab's programs share: the verifiable stream and small helpers of threads and sockets.
//!
//! These are test programs: they use std, run beside Pollux and know nothing of it. The guest must stay
//! an ordinary guest, so nothing here asks the hypervisor or the helpers for anything.

pub mod dirtier;
pub mod gaps;
pub mod stream;
