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
mod fault;
mod intake;
mod mark;
mod provision;
mod replica;
mod session;
mod session_event;
pub mod staging;
mod staging_fault;
mod twin;
mod twin_config;
pub mod twin_memory;

pub use fault::CommitFault;
pub use intake::{Intake, IntakeFault};
pub use replica::{Mismatch, Replica};
pub use session::{Commit, TwinHost};
pub use session_event::{CommitEvent, CommitOptions};
pub use twin::{Twin, TwinFault};
