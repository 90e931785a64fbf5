//! The frontend of a network interface, a vif (io/netif.h): raw frames to and from a backend domain.
//!
//! The backend is dom0 or a driver domain, and is not trusted: it can write the rings and the receive
//! buffers at any time. Every word that it writes is read once and checked before it is used: how far
//! its producer index is, which slots it answers, where in a page it says that data lies, how many
//! slots a frame has. A lie is a [`BackendLie`] and the end of the interface, until the toolstack
//! attaches it anew. What frames say is for the link's seals. Xen's advisories name what goes wrong
//! otherwise: values read twice (XSA-155), events without end (XSA-391), pages used for something else
//! while the backend has them (XSA-396), and pages with something else in them (XSA-403).
//!
//! **Rings.** Each direction has one ring of 256 slots in one page. io/netif.h has no rings of several
//! pages, as block devices have: a vif that wants more has more queues (`multi-queue-num-queues`), which
//! are further pairs of rings with a thread of the backend's each. One thread here serves the interface
//! in one order, so it has one queue, and asks for one. What one frame may span is several *slots*, a
//! page each (scatter-gather, `feature-sg`): three for a frame of 9000 bytes, so that a ring holds 85.
//!
//! **Polling.** The frontend looks at the rings when it likes to, and keeps `rsp_event` behind what the
//! backend has answered, so that the backend spends no interrupts on it. Only before it waits does it
//! ask for the next answer's event. The backend is notified when its `req_event` asks for it.
//!
//! **Offloads.** None: frames come with a checksum, are no longer than the MTU, and carry no extra
//! information, since neither is offered (`feature-no-csum-offload`; no `feature-gso-*`). A received
//! frame whose checksum is blank all the same is passed on, as ours have none. Hash values beside a
//! frame are skipped, and frames to be segmented dropped, neither being ours.
//!
//! `front_ring` is a ring's indexes, `slot` what lies in its slots, `transmitter` and `receiver` the two
//! directions over their granted buffers, `granted_memory` the pages and their grants. `vif` negotiates
//! all of it with the backend through xenstore.

mod error;
mod front_ring;
mod granted_memory;
mod receiver;
mod rings;
mod slot;
mod transmitter;
mod vif;
mod vif_error;
mod vif_frames;
mod vif_offer;

#[cfg(test)]
mod link_tests;
#[cfg(test)]
pub(crate) mod model_backend;
#[cfg(test)]
pub(crate) mod model_host;
#[cfg(test)]
mod rings_property_tests;
#[cfg(test)]
mod rings_tests;
#[cfg(test)]
mod thread_tests;
#[cfg(test)]
mod vif_tests;

pub use error::BackendLie;
pub use front_ring::SLOT_COUNT;
pub use granted_memory::{GrantedMemory, INTERFACE_PAGE_COUNT, InterfacePages};
pub use receiver::FRAGMENT_COUNT_MAX;
pub use rings::{RingCounts, Rings};
pub use vif::{EventPorts, Vif};
pub use vif_error::VifError;
