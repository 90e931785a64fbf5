//! Xenstore: the host's registry of domains and devices, through which tools and guests agree.
//!
//! `message` is the wire format (io/xs_wire.h), `client` the conversation with xenstored over any
//! byte stream, `ring` the same format in the page that a guest shares with xenstored, and
//! `domains` the few look-ups that need knowledge of the tree's layout. Opening the stream is the
//! platform's business (`platform::linux::xenbus`); for a stub domain it is its own ring, polled
//! (`ring_transport`), and `ring_store` hands the events to whom they concern.

mod client;
mod client_domain;
#[cfg(test)]
mod client_tests;
pub mod domains;
mod error;
mod event_queue;
mod message;
#[cfg(test)]
mod model_daemon;
pub mod ring;
mod ring_store;
#[cfg(test)]
mod ring_store_tests;
mod ring_transport;

pub use client::{Permission, Transaction, Xenstore};
pub use error::XenstoreError;
pub use event_queue::{EVENT_SIZE_MAX, WatchEvent};
pub use message::{
    HEADER_SIZE, Header, MessageKind, PAYLOAD_SIZE_MAX, RefusalReason, split_watch_event,
};
pub use ring_store::{RingStore, WATCH_TOKEN_COUNT_MAX};
pub use ring_transport::{RingFault, RingHost, RingTransport};
