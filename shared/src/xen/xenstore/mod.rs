//! Xenstore: the host's registry of domains and devices, through which tools and guests agree.
//!
//! `message` is the wire format (io/xs_wire.h), `client` the conversation with xenstored over any
//! byte stream, `ring` the same format in the page that a guest shares with xenstored, and
//! `domains` the few look-ups that need knowledge of the tree's layout. Opening the stream is the
//! platform's business (`platform::linux::xenbus`).

mod client;
mod client_domain;
#[cfg(test)]
mod client_tests;
pub mod domains;
mod error;
mod event_queue;
mod message;
pub mod ring;

pub use client::{Permission, Transaction, Xenstore};
pub use error::XenstoreError;
pub use event_queue::{EVENT_SIZE_MAX, WatchEvent};
pub use message::{
    HEADER_SIZE, Header, MessageKind, PAYLOAD_SIZE_MAX, RefusalReason, split_watch_event,
};
