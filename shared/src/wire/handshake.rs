//! The handshake: Hello, HelloReply, Confirm. Readable, signed with the key file's key.
//!
//! The primary asks until it is answered; the backup remembers nothing of a Hello, so a recorded
//! one has no effect. Both nonces are in the Confirm, which opens the session and can be accepted
//! only as long as the backup's nonce is the current one. Hello and reply are filled up to several
//! sizes in turn, so both ends learn which frames really pass.
//!
//! The reply offers the backup's public key, and the Confirm brings the primary's. It is not in the
//! Hello: the backup would have to forget it, and an older version would take it for a fault, where
//! it should say that it is older. The backup's key is the same as long as its nonce is, so the nonce
//! in the Confirm stands for both; and the session's keys are made of all four.

use super::Malformed;
use super::bytes::{Reader, Writer};
use super::exchange::PublicKey;

/// A random value that is new in every session.
pub type Nonce = [u8; 32];

/// Asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the session protocol that the sender speaks.
    pub protocol: u16,
    /// Largest Ethernet payload of the sender's interface, in bytes.
    pub mtu: u16,
    /// Silence after which the sender takes the peer for lost, in milliseconds.
    pub timeout_ms: u32,
    /// The primary's nonce.
    pub nonce: Nonce,
}

/// What the backup says to a Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReplyStatus {
    /// Come.
    Ready = 0,
    /// Not yet: the last session is still being wound up.
    Busy = 1,
    /// Never: the protocol versions differ.
    Version = 2,
}

/// Answers one Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// Version of the session protocol that the sender speaks.
    pub protocol: u16,
    /// Largest Ethernet payload of the sender's interface, in bytes.
    pub mtu: u16,
    /// Silence after which the sender takes the peer for lost, in milliseconds.
    pub timeout_ms: u32,
    /// Whether a session can be had.
    pub status: ReplyStatus,
    /// Ethernet payload of the Hello that is answered, in bytes.
    pub hello_size: u16,
    /// The primary's nonce, from the Hello.
    pub primary_nonce: Nonce,
    /// The backup's nonce; zero where no session can be had.
    pub backup_nonce: Nonce,
    /// The backup's public key; zero where no session can be had.
    pub backup_public: PublicKey,
}

/// Opens the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Largest Ethernet payload of the session's frames, in bytes.
    pub frame_size: u16,
    /// Silence after which the sender takes the peer for lost, in milliseconds.
    pub timeout_ms: u32,
    /// The primary's nonce.
    pub primary_nonce: Nonce,
    /// The backup's nonce.
    pub backup_nonce: Nonce,
    /// The primary's public key.
    pub primary_public: PublicKey,
}

impl Hello {
    /// Bytes without padding.
    pub const SIZE: usize = 40;

    /// Reads a body; what is behind the message is padding.
    ///
    /// # Errors
    /// [`Malformed`] when the body is too short or the padding is not zero.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let (protocol, mtu, timeout_ms) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let hello = Self { protocol, mtu, timeout_ms, nonce: reader.array()? };
        reader.zeros(reader.rest().len())?;
        Ok(hello)
    }

    /// Writes the message and fills the rest of `body` with padding.
    pub fn emit(&self, body: &mut [u8]) {
        let mut writer = Writer::new(body);
        writer.put(&self.protocol.to_le_bytes());
        writer.put(&self.mtu.to_le_bytes());
        writer.put(&self.timeout_ms.to_le_bytes());
        writer.put(&self.nonce);
        pad(body, Self::SIZE);
    }
}

impl HelloReply {
    /// Bytes without padding.
    pub const SIZE: usize = 108;

    /// Reads a body; what is behind the message is padding.
    ///
    /// # Errors
    /// [`Malformed`] when the body is too short, a value is unknown, or the padding is not zero.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let (protocol, mtu, timeout_ms) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let status = match reader.u8()? {
            0 => ReplyStatus::Ready,
            1 => ReplyStatus::Busy,
            2 => ReplyStatus::Version,
            _ => return Err(Malformed),
        };
        reader.zeros(1)?;
        let hello_size = reader.u16()?;
        let reply = Self {
            protocol,
            mtu,
            timeout_ms,
            status,
            hello_size,
            primary_nonce: reader.array()?,
            backup_nonce: reader.array()?,
            backup_public: reader.array()?,
        };
        reader.zeros(reader.rest().len())?;
        Ok(reply)
    }

    /// Writes the message and fills the rest of `body` with padding.
    pub fn emit(&self, body: &mut [u8]) {
        let mut writer = Writer::new(body);
        writer.put(&self.protocol.to_le_bytes());
        writer.put(&self.mtu.to_le_bytes());
        writer.put(&self.timeout_ms.to_le_bytes());
        writer.put(&[self.status as u8, 0]);
        writer.put(&self.hello_size.to_le_bytes());
        writer.put(&self.primary_nonce);
        writer.put(&self.backup_nonce);
        writer.put(&self.backup_public);
        pad(body, Self::SIZE);
    }
}

impl Confirm {
    /// Bytes of the message.
    pub const SIZE: usize = 104;

    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] when the body has another size or its unused bytes are not zero.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let frame_size = reader.u16()?;
        reader.zeros(2)?;
        let timeout_ms = reader.u32()?;
        let (primary_nonce, backup_nonce) = (reader.array()?, reader.array()?);
        let primary_public = reader.array()?;
        reader.end()?;
        Ok(Self { frame_size, timeout_ms, primary_nonce, backup_nonce, primary_public })
    }

    /// Writes the message to the front of `body`.
    pub fn emit(&self, body: &mut [u8]) {
        let mut writer = Writer::new(body);
        writer.put(&self.frame_size.to_le_bytes());
        writer.put(&[0; 2]);
        writer.put(&self.timeout_ms.to_le_bytes());
        writer.put(&self.primary_nonce);
        writer.put(&self.backup_nonce);
        writer.put(&self.primary_public);
    }
}

fn pad(body: &mut [u8], used: usize) {
    body[used..].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_survive(body in proptest::collection::vec(any::<u8>(), 0..160)) {
            let mut again = vec![1; body.len()];
            if let Ok(hello) = Hello::parse(&body) {
                hello.emit(&mut again);
                prop_assert_eq!(&again, &body);
            }
            if let Ok(reply) = HelloReply::parse(&body) {
                reply.emit(&mut again);
                prop_assert_eq!(&again, &body);
            }
            if let Ok(confirm) = Confirm::parse(&body) {
                confirm.emit(&mut again);
                prop_assert_eq!(&again, &body);
            }
        }

        #[test]
        fn messages_survive(
            mtu: u16, timeout_ms: u32, first: Nonce, second: Nonce, public: PublicKey,
            padding in 0usize..99
        ) {
            let hello = Hello { protocol: 1, mtu, timeout_ms, nonce: first };
            let mut body = vec![1; Hello::SIZE + padding];
            hello.emit(&mut body);
            prop_assert_eq!(Hello::parse(&body), Ok(hello));
            prop_assert_eq!(Hello::parse(&body[..Hello::SIZE - 1]), Err(Malformed));

            let reply = HelloReply {
                protocol: 1, mtu, timeout_ms, status: ReplyStatus::Busy, hello_size: mtu,
                primary_nonce: first, backup_nonce: second, backup_public: public,
            };
            let mut body = vec![1; HelloReply::SIZE + padding];
            reply.emit(&mut body);
            prop_assert_eq!(HelloReply::parse(&body), Ok(reply));
            body[8] = 3;
            prop_assert_eq!(HelloReply::parse(&body), Err(Malformed));

            let confirm = Confirm {
                frame_size: mtu, timeout_ms, primary_nonce: first, backup_nonce: second,
                primary_public: public,
            };
            let mut body = [1; Confirm::SIZE];
            confirm.emit(&mut body);
            prop_assert_eq!(Confirm::parse(&body), Ok(confirm));
        }
    }

    /// Protocol 5 reads a reply as 76 bytes and zeros, and a Hello of any version as 40.
    #[test]
    fn older_versions_can_read_that_there_is_no_session() {
        assert_eq!(Hello::SIZE, 40);
        let reply = HelloReply {
            protocol: 6,
            mtu: 1,
            timeout_ms: 2,
            status: ReplyStatus::Version,
            hello_size: 200,
            primary_nonce: [3; 32],
            backup_nonce: [0; 32],
            backup_public: [0; 32],
        };
        let mut body = [1; 200];
        reply.emit(&mut body);
        assert!(body[76..].iter().all(|&byte| byte == 0));
        assert_eq!(HelloReply::parse(&body), Ok(reply));
    }
}
