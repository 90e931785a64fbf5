//! The verifiable stream: messages whose every byte follows from their number.
//!
//! Both directions send the same kind of message, so a receiver that keeps only the next number can tell
//! lost, repeated, reordered and damaged bytes apart from good ones. A message is a 16-byte header
//! (kind, three zero bytes, u32 payload length, u64 number, little-endian) and the payload.

use std::fmt;
use std::io::{self, Read, Write};

/// Ordinary data; the number counts from 0 in each direction.
pub const KIND_DATA: u8 = b'D';
/// The server's receipt: the number says how many messages of the client were verified so far.
pub const KIND_RECEIPT: u8 = b'R';
/// Bytes of the header before the payload.
pub const HEADER_BYTES: usize = 16;
/// Longest payload a sender may use.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// What a receiver found out about a stream that is not as it was sent.
#[derive(Debug)]
pub enum StreamError {
    /// A number other than the next one came.
    Sequence {
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        received: u64,
    },
    /// A header with an unknown kind or an impossible length.
    Header,
    /// A payload byte that does not follow from the number.
    Payload {
        /// Number of the damaged message.
        number: u64,
    },
    /// The connection itself failed or ended.
    Connection(io::Error),
}

impl fmt::Display for StreamError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence { expected, received } => {
                write!(formatter, "message {received} came where {expected} was next")
            }
            Self::Header => formatter.write_str("a header that no sender writes"),
            Self::Payload { number } => write!(formatter, "message {number} has a damaged payload"),
            Self::Connection(error) => write!(formatter, "connection: {error}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// One message as it arrived; its payload was verified.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// [`KIND_DATA`] or [`KIND_RECEIPT`].
    pub kind: u8,
    /// Position in the stream, or the count of a receipt.
    pub number: u64,
    /// Header and payload, in bytes.
    pub length: usize,
}

/// Builds messages in one buffer, which is reused.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    /// Sends one message in a single write, so that it is one TCP segment where it fits.
    ///
    /// # Errors
    /// The connection's error.
    pub fn send(
        &mut self,
        to: &mut impl Write,
        kind: u8,
        number: u64,
        size: usize,
    ) -> io::Result<()> {
        assert!(size <= PAYLOAD_BYTES_MAX, "the payload is too long");
        let length = u32::try_from(size).map_err(io::Error::other)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&[kind, 0, 0, 0]);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&number.to_le_bytes());
        self.buffer.resize(HEADER_BYTES + size, 0);
        fill(&mut self.buffer[HEADER_BYTES..], number);
        to.write_all(&self.buffer)
    }
}

/// Receives messages and proves each byte.
#[derive(Debug, Default)]
pub struct Reader {
    payload: Vec<u8>,
    expected: Vec<u8>,
    next: u64,
}

impl Reader {
    /// Number of data messages that were verified so far.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.next
    }

    /// Receives the next message and checks its number and payload.
    ///
    /// # Errors
    /// [`StreamError::Connection`] at the end of the connection, else what is wrong with the stream.
    pub fn receive(&mut self, from: &mut impl Read) -> Result<Message, StreamError> {
        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header)?;
        let [kind, 0, 0, 0, l0, l1, l2, l3, n0, n1, n2, n3, n4, n5, n6, n7] = header else {
            return Err(StreamError::Header);
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let number = u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
        if !matches!(kind, KIND_DATA | KIND_RECEIPT) || length > PAYLOAD_BYTES_MAX {
            return Err(StreamError::Header);
        }
        self.payload.resize(length, 0);
        from.read_exact(&mut self.payload)?;
        self.expected.resize(length, 0);
        fill(&mut self.expected, number);
        if self.payload != self.expected {
            return Err(StreamError::Payload { number });
        }
        if kind == KIND_DATA {
            if number != self.next {
                return Err(StreamError::Sequence { expected: self.next, received: number });
            }
            self.next += 1;
        }
        Ok(Message { kind, number, length: HEADER_BYTES + length })
    }
}

/// Fills a payload from its message's number (SplitMix64, so that neighbours look unrelated).
fn fill(payload: &mut [u8], number: u64) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in payload.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bytes = (word ^ (word >> 31)).to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, KIND_DATA, Reader, StreamError, Writer};

    fn stream_of(numbers: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::default();
        for number in numbers {
            writer.send(&mut bytes, KIND_DATA, *number, 100).expect("a Vec takes every write");
        }
        bytes
    }

    fn verify(mut bytes: &[u8]) -> (u64, StreamError) {
        let mut reader = Reader::default();
        loop {
            if let Err(error) = reader.receive(&mut bytes) {
                return (reader.verified(), error);
            }
        }
    }

    #[test]
    fn a_good_stream_is_verified_to_its_end() {
        let (verified, error) = verify(&stream_of(&[0, 1, 2, 3]));
        assert_eq!(verified, 4);
        assert!(matches!(error, StreamError::Connection(_)));
    }

    #[test]
    fn lost_repeated_and_reordered_messages_are_found() {
        for numbers in [&[0, 2][..], &[0, 0], &[1, 0]] {
            let (_, error) = verify(&stream_of(numbers));
            assert!(matches!(error, StreamError::Sequence { .. }), "{numbers:?}: {error}");
        }
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let good = stream_of(&[0, 1]);
        for position in 0..HEADER_BYTES + 100 {
            let mut bad = good.clone();
            bad[position] ^= 0x40;
            assert!(verify(&bad).0 < 2, "byte {position} was not noticed");
        }
    }
}
