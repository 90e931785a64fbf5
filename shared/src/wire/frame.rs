//! The header that every Pollux frame has, and the frame's parts.

use super::bytes::{Reader, Writer};
use super::ethernet::{ETHERNET_HEADER_SIZE, EthernetHeader};
use super::{Malformed, WIRE_VERSION};
use crate::platform::vector;

/// Bytes of the header between the Ethernet header and the body.
pub const HEADER_SIZE: usize = 24;
/// Bytes of the tag behind the body.
pub const TAG_SIZE: usize = vector::TAG_SIZE;
/// Bytes of the Ethernet payload that are not body.
pub const OVERHEAD_SIZE: usize = HEADER_SIZE + TAG_SIZE;

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Primary to backup: asks for a session. Readable.
    Hello = 1,
    /// Backup to primary: answers one Hello. Readable.
    HelloReply = 2,
    /// Primary to backup: opens the session. Readable.
    Confirm = 3,
    /// Primary to backup: ring entries.
    Data = 4,
    /// Backup to primary: what has come, what may come, what is complete. Also its heartbeat.
    Ack = 5,
    /// Primary to backup: nothing, but it is alive.
    Heartbeat = 6,
    /// Backup to primary: why the domain cannot be protected.
    Refuse = 7,
    /// Either way: the session ends, and why.
    Goodbye = 8,
    /// Either way: the Goodbye has come.
    Farewell = 9,
    /// Backup to primary: how a rehearsal goes.
    Figures = 10,
}

impl FrameType {
    /// The type with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::HelloReply,
            3 => Self::Confirm,
            4 => Self::Data,
            5 => Self::Ack,
            6 => Self::Heartbeat,
            7 => Self::Refuse,
            8 => Self::Goodbye,
            9 => Self::Farewell,
            10 => Self::Figures,
            _ => return None,
        })
    }

    /// Whether the body is readable and signed, not sealed.
    #[must_use]
    pub const fn is_handshake(self) -> bool {
        matches!(self, Self::Hello | Self::HelloReply | Self::Confirm)
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the body is.
    pub frame_type: FrameType,
    /// Bytes of the body.
    pub body_size: u16,
    /// The session's identifier; 0 in a handshake.
    pub session: u64,
    /// Counts the frames of a session and direction; never repeated. 0 in a handshake.
    pub packet_number: u64,
}

/// A received frame, taken apart but not yet authenticated: nothing but its layout is known.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The Ethernet header.
    pub ethernet: EthernetHeader,
    /// The Pollux header.
    pub header: FrameHeader,
    /// Both headers as they came: what the tag covers beside the body.
    pub associated: &'a [u8],
    /// The body, as long as the header says.
    pub body: &'a mut [u8],
    /// The tag.
    pub tag: [u8; TAG_SIZE],
}

impl<'a> Frame<'a> {
    /// Takes a received frame apart.
    ///
    /// # Errors
    /// [`Malformed`] when it is too short for what its header says, or of another version.
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, Malformed> {
        let size = ETHERNET_HEADER_SIZE + HEADER_SIZE;
        let (associated, rest) = bytes.split_at_mut_checked(size).ok_or(Malformed)?;
        let associated: &'a [u8] = associated;
        let ethernet = EthernetHeader::parse(associated)?;
        let header = FrameHeader::parse(&associated[ETHERNET_HEADER_SIZE..])?;
        let body_size = usize::from(header.body_size);
        let (body, rest) = rest.split_at_mut_checked(body_size).ok_or(Malformed)?;
        let tag = *rest.first_chunk().ok_or(Malformed)?;
        Ok(Self { ethernet, header, associated, body, tag })
    }

    /// Whether the bytes are a frame of ring entries, if they are a frame.
    #[must_use]
    pub fn is_data(bytes: &[u8]) -> bool {
        bytes.get(ETHERNET_HEADER_SIZE + 1) == Some(&(FrameType::Data as u8))
    }

    /// Bytes that a frame with such a body has, Ethernet header included.
    #[must_use]
    pub const fn size(body_size: usize) -> usize {
        ETHERNET_HEADER_SIZE + HEADER_SIZE + body_size + TAG_SIZE
    }
}

impl FrameHeader {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != WIRE_VERSION {
            return Err(Malformed);
        }
        let frame_type = FrameType::from_number(reader.u8()?).ok_or(Malformed)?;
        let body_size = reader.u16()?;
        reader.zeros(4)?;
        let header =
            Self { frame_type, body_size, session: reader.u64()?, packet_number: reader.u64()? };
        let numbered = header.session != 0 || header.packet_number != 0;
        if frame_type.is_handshake() && numbered { Err(Malformed) } else { Ok(header) }
    }

    /// Writes the header to the front of `target`.
    pub fn emit(&self, target: &mut [u8]) {
        let mut writer = Writer::new(target);
        writer.put(&[WIRE_VERSION, self.frame_type as u8]);
        writer.put(&self.body_size.to_le_bytes());
        writer.put(&[0; 4]);
        writer.put(&self.session.to_le_bytes());
        writer.put(&self.packet_number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_taken_apart(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::parse(&mut bytes);
        }

        #[test]
        fn headers_survive(number in 4u8..=9, size in 0u16..100, session: u64, packet_number: u64) {
            let frame_type = FrameType::from_number(number).unwrap();
            let header = FrameHeader { frame_type, body_size: size, session, packet_number };
            let mut bytes = vec![7; Frame::size(usize::from(size))];
            header.emit(&mut bytes[ETHERNET_HEADER_SIZE..]);
            prop_assert_eq!(Frame::parse(&mut bytes).unwrap().header, header);
            let short = bytes.len() - 1;
            prop_assert!(Frame::parse(&mut bytes[..short]).is_err());
            bytes.extend([0; 20]);
            let frame = Frame::parse(&mut bytes).unwrap();
            prop_assert_eq!((frame.header, frame.body.len()), (header, usize::from(size)));
        }
    }

    #[test]
    fn numbers_are_pinned() {
        for number in 0..=u8::MAX {
            let known = FrameType::from_number(number).map(|it| it as u8);
            assert_eq!(known, (1..=10).contains(&number).then_some(number));
        }
        let header = FrameHeader {
            frame_type: FrameType::Ack,
            body_size: 0x102,
            session: 3,
            packet_number: 4,
        };
        let mut bytes = [9; HEADER_SIZE];
        header.emit(&mut bytes);
        assert_eq!(bytes[..8], [1, 5, 2, 1, 0, 0, 0, 0]);
        assert_eq!((bytes[8], bytes[16]), (3, 4));
    }
}
