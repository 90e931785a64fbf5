//! The backup's main loop: stands by, keeps the twin, and brings it to life.
//!
//! [`stand_by`] sets up what must exist before the program splits in two, then turns commit's half
//! until a primary is lost and its guest lives here, or the operator ends it. What an epoch is and
//! how a twin is revived is left to `commit` and `revive`.

mod arbitration;
mod error;
mod standing_by;
mod startup;
mod stub_receive;

pub use error::StandByError;
pub use startup::stand_by;
