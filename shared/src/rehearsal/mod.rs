//! A rehearsal: a guest that is no domain goes the whole way of a page, so that a link and two hosts
//! can be judged before a domain is trusted to them.
//!
//! The guest is a process that writes to shared memory (`region`) as a workload or a recorded trace
//! wants it (`workload`, `trace`, `player`), at any time, and logs its writes as Xen would. Capture
//! reads that log and those pages ([`RehearsedGuest`]) with the pieces that it has for domains, and
//! sends at each epoch's end a digest of the guest's memory (`digest`), by which the backup's replica
//! is proven equal. State and HVM context are as large as a small domain's (`state`).
//!
//! What is real: everything from the log on. What is not: hypercalls, and the faults that a cleaned
//! log costs a domain. When to do what is the business of `primary` and `commit`.

mod checkpoint;
mod digest;
mod guest;
mod player;
mod random;
mod region;
mod state;
#[cfg(test)]
mod tests;
mod trace;
mod workload;

pub use checkpoint::RehearsedCapture;
pub use digest::Digest;
pub use guest::RehearsedGuest;
pub use player::{Player, Source};
pub use region::{DIGEST_NONE, GuestRegion};
pub use state::places;
pub use trace::{Trace, TraceError, TracePlayer};
pub use workload::{Workload, WorkloadOptions};
