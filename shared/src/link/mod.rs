//! The link: one reliable, sealed session between the two hosts, over raw Ethernet frames.
//!
//! [`PrimaryLink`] takes entries from the primary's ring and [`BackupLink`] puts them into the
//! backup's, at the same indexes, each exactly once and in order. Both are state machines: frames,
//! rings and the time come in as arguments, frames go out of `poll_transmit`, and nothing is done
//! by itself. [`ship`] and [`receive`] are the processes around them.
//!
//! * **Session.** Hello, HelloReply, Confirm; then the backup's first sealed frame. While one
//!   session lives, no handshake frame changes anything. Each end has a nonce and a secret of its own
//!   for each attempt (`endpoint`); what the secrets come to is computed once, by the primary when it
//!   confirms and by the backup for a Confirm with its current nonce.
//! * **Encoding.** The primary encodes each page once, in its ring, before it is sent first
//!   (`codec::page`); the backup's end passes it on as it is.
//! * **Reliability.** The primary keeps what it sends in its ring until it is acknowledged, and
//!   builds a lost frame anew from there (`flight`, `framing`). The backup writes fragments in
//!   the order of their arrival and publishes entries in their own (`assembly`).
//! * **Credit.** The primary sends no entry that the backup's ring has no place for.
//! * **Liveness.** Each end sends something small at least every tenth of the shorter timeout. An end
//!   that hears nothing authentic gives the session up after its own timeout, or sooner where it has
//!   learnt that nothing comes late (`silence`); data that does not pass although the peer is heard ends
//!   it with a goodbye.
//! * **Several links.** Everything but data goes over all links that the hosts have; data goes over the
//!   first one on which it arrives (`paths`, `multi_port`). A session lives as long as any of them works.
//! * **Goodbye.** Tells the peer that silence will not mean death. It is repeated until answered.
//!
//! Everything has its place from the start; nothing here grows.

mod acknowledging;
mod assembly;
mod backup;
mod calling;
mod channel;
mod congestion;
mod endpoint;
mod event;
mod flight;
mod framing;
mod leaving;
mod multi_port;
#[cfg(not(stubdom))]
mod packet_port;
mod paths;
mod port;
mod primary;
mod process;
pub mod receive;
pub mod ship;
mod silence;
mod vif_port;

pub use backup::BackupLink;
pub use endpoint::LinkOptions;
pub use event::LinkEvent;
pub use multi_port::{Interface, MultiPort};
pub use port::{FrameBatch, FramePort, Host};
pub use primary::PrimaryLink;
pub use process::{Activity, Ending, LinkProcess, Turns};
pub use silence::Silence;

/// Version of the session protocol: what the messages mean, beside how they look.
pub const PROTOCOL_VERSION: u16 = 8;
