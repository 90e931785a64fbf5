//! Commit: the backup's half that holds the twin.
//!
//! It consumes the ring that receive fills. A session opens with the domain's description and xl
//! configuration (`intake`); the toolstack builds the twin from them (`twin`); the full copy goes
//! into its memory, and every later epoch is staged whole, acknowledged, and then applied
//! (`staging`), except for what must not reach a waiting twin (`aside`). When the primary is lost,
//! what is complete is applied, and `revive` takes over.
//!
//! In a rehearsal a `replica` takes the twin's place, and is held against the guest's digest after
//! every epoch; it is never revived.
//!
//! This room parses nothing that came over the network before the link has authenticated it, and
//! holds every number of it against the limits.

pub mod aside;
mod complete_epoch;
mod decoding;
#[cfg(target_os = "linux")]
mod fault;
mod intake;
#[cfg(target_os = "linux")]
mod mark;
mod provision;
#[cfg(target_os = "linux")]
mod replica;
#[cfg(target_os = "linux")]
mod session;
#[cfg(target_os = "linux")]
mod session_event;
pub mod staging;
mod staging_fault;
#[cfg(target_os = "linux")]
mod twin;
#[cfg(target_os = "linux")]
mod twin_config;
pub mod twin_memory;

#[cfg(target_os = "linux")]
pub use fault::CommitFault;
pub use intake::{Intake, IntakeFault};
#[cfg(target_os = "linux")]
pub use replica::{Mismatch, Replica};
#[cfg(target_os = "linux")]
pub use session::{Commit, TwinHost};
#[cfg(target_os = "linux")]
pub use session_event::{CommitEvent, CommitOptions};
#[cfg(target_os = "linux")]
pub use twin::{Twin, TwinFault};
