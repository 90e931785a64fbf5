//! Capture: reads a paused guest that is never asked for anything.
//!
//! A [`Capture`] is made of a running domain; per epoch it pauses the guest, copies what changed
//! straight into the page ring, and lets it run. Of the pages that `drain` brings into an epoch,
//! `predrain` copies some before, when the pause
//! would be too long otherwise (`pacing`); `log_policy` weighs what each reading of the dirty log
//! costs the guest. `logged_guest` is what both need of a guest, be it Xen's or a rehearsed one.
//! `scan` walks bitmaps; `discovery`
//! finds, by looking, where the guest keeps the structures that it shares with Xen;
//! `xenstore_traffic` knows when no request of the guest is open. These are functions of pages
//! and numbers. The rest asks Xen and moves pages; when to do so, and what becomes of the gate
//! and the link, is the caller's business.

#[cfg(target_os = "linux")]
mod checkpoint;
pub mod discovery;
#[cfg(target_os = "linux")]
mod domain_log;
#[cfg(target_os = "linux")]
pub mod drain;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod full_copy;
#[cfg(target_os = "linux")]
mod inquiry;
#[cfg(target_os = "linux")]
mod locate;
pub mod log_policy;
#[cfg(target_os = "linux")]
pub mod logged_guest;
#[cfg(target_os = "linux")]
mod logging;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod output;
pub mod pacing;
pub mod page;
pub mod page_table;
#[cfg(target_os = "linux")]
mod pause;
#[cfg(target_os = "linux")]
pub mod preconditions;
#[cfg(target_os = "linux")]
pub mod predrain;
pub mod scan;
#[cfg(target_os = "linux")]
mod session;
#[cfg(target_os = "linux")]
mod shared_pages;
mod surroundings;
pub mod xenstore_traffic;

#[cfg(target_os = "linux")]
pub use checkpoint::CheckpointReport;
#[cfg(target_os = "linux")]
pub use error::{CaptureError, ShutdownReason};
#[cfg(target_os = "linux")]
pub use full_copy::{FullCopy, FullCopyProgress};
#[cfg(target_os = "linux")]
pub use output::EpochOutput;
#[cfg(target_os = "linux")]
pub use session::Capture;
pub use surroundings::Surroundings;

/// A connection to xenstored.
#[cfg(target_os = "linux")]
pub type Store = crate::xen::xenstore::Xenstore<crate::platform::linux::xenbus::XenstoreConnection>;
