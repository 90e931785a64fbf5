//! The verifiable stream: messages whose every byte can be checked by a receiver that keeps two numbers.
//!
//! Lost, repeated, reordered and damaged bytes show in the message's number and payload. A *rolled back*
//! sender would not: it repeats itself exactly, and TCP hides the repetition. So each message also carries
//! something fresh (the sender's clock) and a chain value made from the value before and the fresh part,
//! which the sender keeps in memory. If a sender comes back from a state older than what it has already
//! sent, it goes on from another chain value, and the receiver notices: output was let out too early.
//!
//! A message is a 32-byte header (kind, three zero bytes, u32 payload length, u64 number, u64 fresh, u64
//! chain; little-endian) and the payload, which follows from the chain value.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Ordinary data; the number counts from 0 in each direction.
pub const KIND_DATA: u8 = b'D';
/// The server's receipt: the number says how many messages of the client were verified so far.
pub const KIND_RECEIPT: u8 = b'R';
/// Bytes of the header before the payload.
pub const HEADER_BYTES: usize = 32;
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
    /// The sender went on from a state older than what it had sent: the chain of fresh values is broken.
    RolledBack {
        /// Number of the first message of the other history.
        number: u64,
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
            Self::RolledBack { number } => {
                write!(
                    formatter,
                    "message {number} belongs to another history: output left before its commit"
                )
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

/// Sends messages; it numbers and chains the data by itself.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    next: u64,
    chain: u64,
}

impl Writer {
    /// Sends the next data message of `size` payload bytes.
    ///
    /// # Errors
    /// The connection's error.
    pub fn send_data(&mut self, to: &mut impl Write, size: usize) -> io::Result<()> {
        assert!(size <= PAYLOAD_BYTES_MAX, "the payload is too long");
        let fresh = fresh();
        self.chain = chained(self.chain, fresh);
        let number = self.next;
        self.next += 1;
        self.send(to, KIND_DATA, number, fresh, size)
    }

    /// Sends a receipt for `count` messages of the other side.
    ///
    /// # Errors
    /// The connection's error.
    pub fn send_receipt(&mut self, to: &mut impl Write, count: u64) -> io::Result<()> {
        self.send(to, KIND_RECEIPT, count, 0, 0)
    }

    /// One write for a message, so that it is one TCP segment where it fits.
    fn send(
        &mut self,
        to: &mut impl Write,
        kind: u8,
        number: u64,
        fresh: u64,
        size: usize,
    ) -> io::Result<()> {
        let length = u32::try_from(size).map_err(io::Error::other)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&[kind, 0, 0, 0]);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        for word in [number, fresh, self.chain] {
            self.buffer.extend_from_slice(&word.to_le_bytes());
        }
        self.buffer.resize(HEADER_BYTES + size, 0);
        fill(&mut self.buffer[HEADER_BYTES..], self.chain);
        to.write_all(&self.buffer)
    }
}

/// Receives messages and proves each byte.
#[derive(Debug, Default)]
pub struct Reader {
    payload: Vec<u8>,
    expected: Vec<u8>,
    next: u64,
    chain: u64,
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
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let kind = header[0];
        if !matches!(kind, KIND_DATA | KIND_RECEIPT)
            || header[1..4] != [0; 3]
            || length > PAYLOAD_BYTES_MAX
        {
            return Err(StreamError::Header);
        }
        let [number, fresh, chain] = [word(&header, 8), word(&header, 16), word(&header, 24)];
        self.payload.resize(length, 0);
        from.read_exact(&mut self.payload)?;
        self.expected.resize(length, 0);
        fill(&mut self.expected, chain);
        if self.payload != self.expected {
            return Err(StreamError::Payload { number });
        }
        if kind == KIND_DATA {
            if number != self.next {
                return Err(StreamError::Sequence { expected: self.next, received: number });
            }
            self.chain = chained(self.chain, fresh);
            self.next += 1;
        }
        if self.chain != chain {
            return Err(StreamError::RolledBack { number });
        }
        Ok(Message { kind, number, length: HEADER_BYTES + length })
    }
}

/// The sender's clock in nanoseconds: never the same twice, least of all on another host.
fn fresh() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

fn chained(chain: u64, fresh: u64) -> u64 {
    mixed(chain.rotate_left(7) ^ fresh)
}

fn word(header: &[u8; HEADER_BYTES], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}

/// Fills a payload from its message's chain value, so that neighbours look unrelated.
fn fill(payload: &mut [u8], chain: u64) {
    let mut state = chain;
    for chunk in payload.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&mixed(state).to_le_bytes()[..chunk.len()]);
    }
}

/// The finisher of SplitMix64: every input bit reaches every output bit.
fn mixed(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, Reader, StreamError, Writer};

    const MESSAGE_BYTES: usize = HEADER_BYTES + 100;

    fn stream_of(count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::default();
        for _ in 0..count {
            writer.send_data(&mut bytes, 100).expect("a Vec takes every write");
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
        let (verified, error) = verify(&stream_of(4));
        assert_eq!(verified, 4);
        assert!(matches!(error, StreamError::Connection(_)));
    }

    #[test]
    fn lost_repeated_and_reordered_messages_are_found() {
        let good = stream_of(3);
        let messages: Vec<&[u8]> = good.chunks(MESSAGE_BYTES).collect();
        for order in [&[0, 2][..], &[0, 0], &[1, 0]] {
            let bytes: Vec<u8> = order.iter().flat_map(|&index| messages[index].to_vec()).collect();
            let (_, error) = verify(&bytes);
            assert!(matches!(error, StreamError::Sequence { .. }), "{order:?}: {error}");
        }
    }

    #[test]
    fn a_sender_that_was_rolled_back_is_found() {
        let (first, second) = (stream_of(1), stream_of(2));
        let spliced = [first.as_slice(), &second[MESSAGE_BYTES..]].concat();
        let (verified, error) = verify(&spliced);
        assert!(matches!(error, StreamError::RolledBack { number: 1 }), "{verified}: {error}");
    }

    #[test]
    fn receipts_leave_the_chain_as_it_is() {
        let mut bytes = Vec::new();
        let mut writer = Writer::default();
        for count in 0..3 {
            writer.send_data(&mut bytes, 10).expect("a Vec takes every write");
            writer.send_receipt(&mut bytes, count).expect("a Vec takes every write");
        }
        let (verified, error) = verify(&bytes);
        assert!(
            verified == 3 && matches!(error, StreamError::Connection(_)),
            "{verified}: {error}"
        );
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let good = stream_of(2);
        for position in 0..MESSAGE_BYTES {
            let mut bad = good.clone();
            bad[position] ^= 0x40;
            assert!(verify(&bad).0 < 2, "byte {position} was not noticed");
        }
    }
}
