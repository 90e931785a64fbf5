//! Capture: reads a paused guest that is never asked for anything.
//!
//! A [`Capture`] is made of a running domain; per epoch it pauses the guest, copies what changed
//! straight into the page ring, and lets it run. Of the pages that `drain` brings into an epoch,
//! `predrain` copies some before, when the pause would be too long otherwise (`pacing`), or
//! when the dirty log is to be cleaned: `log_policy` weighs what that costs the guest (`costs`).
//! `logged_guest` is what all of them need of a guest, be it Xen's or a rehearsed one. `scan` walks
//! bitmaps; `discovery` finds, by looking, where the guest keeps the structures that it shares with
//! Xen; `xenstore_traffic` knows when no request of the guest is open. These are functions of pages
//! and numbers. The rest asks Xen and moves pages; when to do so, and what becomes of the gate
//! and the link, is the caller's business.

mod checkpoint;
pub mod costs;
pub mod discovery;
mod domain_log;
pub mod drain;
pub mod due;
mod error;
mod full_copy;
mod inquiry;
mod locate;
pub mod log_policy;
pub mod logged_guest;
mod logging;
mod memory;
mod output;
pub mod pacing;
pub mod page;
pub mod page_table;
mod pause;
pub mod preconditions;
pub mod predrain;
pub mod scan;
mod session;
mod shared_pages;
mod surroundings;
#[cfg(test)]
mod test_guest;
pub mod xenstore_traffic;

pub use checkpoint::CheckpointReport;
pub use error::{CaptureError, ShutdownReason};
pub use full_copy::{FullCopy, FullCopyProgress};
pub use output::EpochOutput;
pub use session::Capture;
pub use surroundings::Surroundings;

/// A connection to xenstored.
pub type Store = crate::xen::xenstore::Xenstore<crate::platform::linux::xenbus::XenstoreConnection>;
