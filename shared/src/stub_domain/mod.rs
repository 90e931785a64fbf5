//! What both programs do as a stub domain: a PVH domain that holds the half at the network, ship or receive, without
//! dom0's rights and outside dom0's memory.
//!
//! `carrier` is its life: it offers itself to dom0 (`ring::hand_over`), carries the link for whoever takes that up, and
//! offers itself anew. `ports` are the events it waits for, `interface` the vif as the link's port, `network_half` the
//! two halves, `scribbler` one that lies, `memory_plan` how its memory is parted. All of it asks a `machine`, so that it can be tried
//! without Xen; `start` puts it on the real one. The platform is checked at each start (`self_check`).

mod carrier;
mod error;
mod interface;
mod machine;
mod memory_plan;
mod network_half;
pub mod options;
mod ports;
mod scribbler;
#[cfg(stubdom)]
mod self_check;
#[cfg(stubdom)]
mod start;
mod stub_host;

#[cfg(test)]
mod carrier_tests;
#[cfg(test)]
mod model_machine;

pub use carrier::{Carrier, Region};
pub use error::StubDomainError;
pub use machine::Machine;
pub use memory_plan::{RingSize, RingTooLarge};
pub use network_half::{NetworkHalf, ReceiveHalf, ShipHalf};
pub use ports::Ports;
pub use scribbler::Scribbler;
#[cfg(stubdom)]
pub use start::run;
