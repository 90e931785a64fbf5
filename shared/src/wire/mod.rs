//! The frame formats: what travels between the two hosts, byte by byte.
//!
//! ```text
//! Ethernet     destination 6 | source 6 | EtherType 2 (big-endian)
//! header       version 1 | type 1 | body size 2 | zero 4 | session 8 | packet number 8
//! body         `body size` bytes: sealed, or readable in a handshake
//! tag          16 bytes over everything before it
//! (padding     what an interface adds to short frames; ignored)
//! ```
//!
//! All numbers but the EtherType are little-endian. A handshake frame (`Hello`, `HelloReply`,
//! `Confirm`) is authenticated by keyed BLAKE2s (RFC 7693) under the key file's key; its layout is the same in
//! every version, so that two versions can at least tell each other so: what is added is zero where an
//! older version expects padding. Every other frame is sealed with AEGIS-128X2 under keys of its session
//! and direction, which follow from the key file and an exchange of X25519 (`exchange`); the packet
//! number is the nonce, and no number is ever used twice, not even for the same data sent again.
//!
//! Each message is a value with `parse` and `emit`. `parse` takes any bytes, never panics and
//! accepts only what `emit` can have written; `emit` panics when the target is too small, which is
//! its caller's mistake. This room knows no session and no time: `link` does.

mod ack;
mod bytes;
mod data;
mod entropy;
mod ethernet;
mod exchange;
mod figures;
mod frame;
mod handshake;
mod keys;
mod notice;
mod replay;
mod seal;

pub use ack::{ACK_BITMAP_WORD_COUNT, Ack};
pub use data::{DATA_HEADER_SIZE, DataHeader, FRAGMENT_HEADER_SIZE, Fragment, Fragments};
pub use entropy::Entropy;
pub use ethernet::{ETHERNET_HEADER_SIZE, EthernetAddress, EthernetHeader};
pub use exchange::{AgreedSecret, EphemeralSecret, PublicKey};
pub use figures::Figures;
pub use frame::{Frame, FrameHeader, FrameType, HEADER_SIZE, OVERHEAD_SIZE, TAG_SIZE};
pub use handshake::{Confirm, Hello, HelloReply, Nonce, ReplyStatus};
pub use keys::{HandshakeKey, KeyTextError, SecretKey, SessionKeys, SessionParts, digest};
pub use notice::{Goodbye, Refuse};
pub use replay::ReplayWindow;
pub use seal::{Sealer, Sealing};

use core::fmt;

/// Version of the frame formats.
pub const WIRE_VERSION: u8 = 1;

/// The EtherType that Pollux uses unless told otherwise: IEEE 802 "local experimental 1".
pub const ETHERTYPE_DEFAULT: u16 = 0x88b5;

/// Bytes that are no message of the expected type. Such a frame is counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame is malformed: run the same Pollux version on both hosts")
    }
}

impl core::error::Error for Malformed {}
