//! The primary's main loop: protects one domain until its operator has had enough or it ends.
//!
//! [`protect`] sets up what must exist before the program splits in two, then runs capture's half:
//! sessions with whatever backup stands by, one after the other, and in each session a full copy
//! and epochs. Ship's half is started here too. How a checkpoint is taken, how frames are held and
//! how entries travel is left to `capture`, `gate` and `link`.

mod arbitration;
mod domain_epochs;
mod ending;
mod epochs;
mod error;
mod hand_over;
mod left_watchdog;
mod protection;
mod rehearsal;
pub mod schedule;
mod startup;
mod steps;
mod stub_ship;
mod surroundings;
mod watchdog;

pub use error::ProtectError;
pub use hand_over::{SwitchOverError, switch_over};
pub use rehearsal::rehearse;
pub use startup::protect;
