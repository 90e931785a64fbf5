//! Revive: brings the twin to life from the newest complete epoch.
//!
//! Memory and HVM context alone are not a running guest: Xen holds its event channels and knows
//! where its vcpu_info lies, and its devices are gone. So, with the twin paused and every page of
//! the epoch in its memory:
//!
//! 1. `memory`: Xen's frames are mapped where the guest has them, its rings put in place, its
//!    event words cleared (`events`, `shared_info`).
//! 2. `stub`: code inside the twin rebuilds the event channels as they were (`plan`), and the
//!    guest's watch on `control/shutdown` is re-created through its own ring (`watch`).
//! 3. The guest's processors are loaded and it runs, in its old host's time (`interlude`), only
//!    to suspend itself, as it was asked to.
//! 4. `reconnect`: it resumes in place, and its own resume path connects clock, console, xenstore
//!    and devices to this host.
//!
//! What is revived was checked when its epoch arrived (`check`). This room makes hypercalls and
//! xenstore requests; creating and destroying the twin is `commit`'s.

pub mod check;
mod error;
mod events;
mod interlude;
mod memory;
mod plan;
mod reconnect;
mod report;
mod revival;
mod shared_info;
mod stub;
mod watch;
mod xenstore;

pub use error::ReviveError;
pub use report::ReviveReport;
pub use revival::{Revival, ReviveEvent};
pub use xenstore::Store;

/// The host's monotonic clock, in microseconds.
pub type Clock = fn() -> u64;
