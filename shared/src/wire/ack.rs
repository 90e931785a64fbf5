//! What the backup tells the primary all the time: Ack.

use super::Malformed;
use super::bytes::{Reader, Writer};
use crate::limits::LINK_WINDOW_FRAMES;
use crate::ring::Phase;

/// Words of the bitmap at most: one bit for each data frame that may be under way.
pub const ACK_BITMAP_WORD_COUNT: usize = LINK_WINDOW_FRAMES / 64;

/// What has come, what may come, and what is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// All data frames before this sequence number have come.
    pub sequence: u64,
    /// Ring entries before this index may be sent.
    pub credit: u64,
    /// The newest complete epoch; 0 before the first.
    pub complete_epoch: u64,
    /// What the backup is doing.
    pub phase: Phase,
    /// Bit `n`: the primary is heard on the link that was given as number `n`.
    pub paths: u8,
    /// One more than the highest packet number that has come; 0 when none has.
    pub packet_end: u64,
    /// Microseconds between that packet's arrival and this message.
    pub delay_us: u32,
    /// Bit `n`: the data frame `sequence + n` has come. Bit 0 is never set, and words behind the
    /// last bit that is set do not travel.
    pub bitmap: [u64; ACK_BITMAP_WORD_COUNT],
}

impl Ack {
    /// Bytes of the largest message.
    pub const SIZE_MAX: usize = 40 + ACK_BITMAP_WORD_COUNT * 8;

    /// Whether the data frame with this sequence number has come.
    #[must_use]
    pub fn has_come(&self, sequence: u64) -> bool {
        let Some(ahead) = sequence.checked_sub(self.sequence) else { return true };
        let word = usize::try_from(ahead / 64).ok().and_then(|word| self.bitmap.get(word));
        word.is_some_and(|word| word & (1 << (ahead % 64)) != 0)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] when its size or a value cannot be.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let (sequence, credit, complete_epoch) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let packet_end = reader.u64()?;
        let delay_us = reader.u32()?;
        let phase = Phase::from_number(reader.u8()?).ok_or(Malformed)?;
        let paths = reader.u8()?;
        reader.zeros(2)?;
        let mut bitmap = [0; ACK_BITMAP_WORD_COUNT];
        let (words, odd) = reader.rest().as_chunks::<8>();
        let complete = odd.is_empty() && words.last() != Some(&[0; 8]);
        if !complete || words.len() > bitmap.len() {
            return Err(Malformed);
        }
        for (target, word) in bitmap.iter_mut().zip(words) {
            *target = u64::from_le_bytes(*word);
        }
        if bitmap[0] & 1 != 0 {
            return Err(Malformed);
        }
        Ok(Self { sequence, credit, complete_epoch, phase, paths, packet_end, delay_us, bitmap })
    }

    /// Writes the message to the front of `body` and returns its size.
    pub fn emit(&self, body: &mut [u8]) -> usize {
        let mut writer = Writer::new(body);
        for number in [self.sequence, self.credit, self.complete_epoch, self.packet_end] {
            writer.put(&number.to_le_bytes());
        }
        writer.put(&self.delay_us.to_le_bytes());
        writer.put(&[self.phase as u8, self.paths, 0, 0]);
        let used = self.bitmap.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
        for word in &self.bitmap[..used] {
            writer.put(&word.to_le_bytes());
        }
        writer.used()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_survive(body in proptest::collection::vec(any::<u8>(), 0..320)) {
            if let Ok(ack) = Ack::parse(&body) {
                let mut again = [0; Ack::SIZE_MAX];
                let size = ack.emit(&mut again);
                prop_assert_eq!(&again[..size], &body[..]);
            }
        }

        #[test]
        fn acks_survive(
            numbers: [u64; 4], delay_us: u32, phase in 0u8..=4, paths: u8,
            bits in proptest::collection::btree_set(1u64..LINK_WINDOW_FRAMES as u64, 0..50)
        ) {
            let mut bitmap = [0; ACK_BITMAP_WORD_COUNT];
            for bit in &bits {
                bitmap[usize::try_from(bit / 64).unwrap()] |= 1 << (bit % 64);
            }
            let [sequence, credit, complete_epoch, packet_end] = numbers;
            let phase = Phase::from_number(phase).unwrap();
            let ack =
                Ack { sequence, credit, complete_epoch, phase, paths, packet_end, delay_us, bitmap };
            let mut body = [0; Ack::SIZE_MAX];
            let size = ack.emit(&mut body);
            prop_assert_eq!(Ack::parse(&body[..size]), Ok(ack));
            prop_assert!(Ack::parse(&body[..size - 1]).is_err());
            for ahead in 0..LINK_WINDOW_FRAMES as u64 + 9 {
                if let Some(number) = sequence.checked_add(ahead) {
                    prop_assert_eq!(ack.has_come(number), bits.contains(&ahead));
                }
            }
            prop_assert!(sequence == 0 || ack.has_come(sequence - 1));
        }
    }
}
