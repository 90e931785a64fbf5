//! The backup's side of the data: frames come in any order, entries are published in theirs.

use super::framing::Cursor;
use crate::limits::LINK_WINDOW_FRAMES;
use crate::platform::vector::pass_page_on;
use crate::ring::{Producer, RingError};
use crate::wire::{ACK_BITMAP_WORD_COUNT, Fragments};

const SPAN: u64 = LINK_WINDOW_FRAMES as u64;
const _: () = assert!(LINK_WINDOW_FRAMES.is_multiple_of(64));

/// What became of a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Its bytes are in the ring now.
    New,
    /// They were there already.
    Duplicate,
    /// It is malformed, or beyond what may be sent. Nothing was written.
    Refused,
    /// It contradicts another frame: the peer's program is damaged.
    Contradiction,
}

/// Which data frames of the session have come.
#[derive(Debug)]
pub struct Assembly {
    /// All frames before this one have come.
    sequence: u64,
    /// Bit `sequence % SPAN`: the frame has come.
    come: [u64; ACK_BITMAP_WORD_COUNT],
    /// Where each frame that has come starts and ends in the stream of entries.
    spans: [(Cursor, Cursor); LINK_WINDOW_FRAMES],
    /// Everything before this place is here.
    position: Cursor,
}

impl Assembly {
    pub fn new() -> Self {
        Self {
            sequence: 0,
            come: [0; ACK_BITMAP_WORD_COUNT],
            spans: [(Cursor::default(), Cursor::default()); LINK_WINDOW_FRAMES],
            position: Cursor::default(),
        }
    }

    pub fn reset(&mut self) {
        (self.sequence, self.position) = (0, Cursor::default());
        self.come = [0; ACK_BITMAP_WORD_COUNT];
    }

    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Takes the body of an authentic data frame in, and publishes the entries that are complete.
    ///
    /// # Errors
    /// [`RingError`] when the ring's consumer broke the ring's rules.
    pub fn accept(&mut self, body: &[u8], ring: &mut Producer) -> Result<Accepted, RingError> {
        let Ok((header, fragments)) = Fragments::parse(body) else { return Ok(Accepted::Refused) };
        if header.sequence < self.sequence {
            return Ok(Accepted::Duplicate);
        }
        if header.sequence - self.sequence >= SPAN {
            return Ok(Accepted::Refused);
        }
        if self.has_come(header.sequence) {
            return Ok(Accepted::Duplicate);
        }
        let window = ring.window()?;
        let (start, end) = span(fragments.clone());
        let last = if end.offset == 0 { end.index - 1 } else { end.index };
        if start < self.position || !window.contains(&start.index) || !window.contains(&last) {
            return Ok(Accepted::Refused);
        }
        for fragment in fragments {
            let offset = usize::from(fragment.offset);
            let slot = ring.slot_mut_at(fragment.index);
            match fragment.bytes.try_into() {
                // commit reads it next, on another core.
                Ok(page) => pass_page_on(page, slot),
                Err(_) => {
                    slot[offset..offset + fragment.bytes.len()].copy_from_slice(fragment.bytes);
                }
            }
            ring.describe(fragment.index, &fragment.entry);
        }
        let (word, bit) = place(header.sequence);
        self.come[word] |= bit;
        self.spans[slot_of(header.sequence)] = (start, end);
        Ok(self.publish(ring))
    }

    fn publish(&mut self, ring: &mut Producer) -> Accepted {
        while self.has_come(self.sequence) {
            let (start, end) = self.spans[slot_of(self.sequence)];
            if start != self.position {
                return Accepted::Contradiction;
            }
            let (word, bit) = place(self.sequence);
            self.come[word] &= !bit;
            self.position = end;
            self.sequence += 1;
        }
        ring.publish_up_to(self.position.index);
        Accepted::New
    }

    /// The bitmap of an acknowledgement: bit `n` is the frame `sequence + n`.
    pub fn bitmap(&self) -> [u64; ACK_BITMAP_WORD_COUNT] {
        let (first, _) = place(self.sequence);
        let shift = self.sequence % 64;
        core::array::from_fn(|number| {
            let low = self.come[(first + number) % ACK_BITMAP_WORD_COUNT] >> shift;
            let high = self.come[(first + number + 1) % ACK_BITMAP_WORD_COUNT];
            // The upper part of the next word; in two steps, since a shift by 64 is none.
            low | (high << (63 - shift) << 1)
        })
    }

    fn has_come(&self, sequence: u64) -> bool {
        let (word, bit) = place(sequence);
        self.come[word] & bit != 0
    }
}

/// Where a frame starts and ends.
fn span(fragments: Fragments<'_>) -> (Cursor, Cursor) {
    let (mut start, mut end) = (None, Cursor::default());
    for fragment in fragments {
        let first = Cursor { index: fragment.index, offset: fragment.offset };
        start.get_or_insert(first);
        end = if fragment.ends_entry() {
            Cursor::at(fragment.index + 1)
        } else {
            let size = u16::try_from(fragment.bytes.len()).expect("a fragment is at most a page");
            Cursor { index: fragment.index, offset: fragment.offset + size }
        };
    }
    (start.expect("a frame has a fragment"), end)
}

fn slot_of(sequence: u64) -> usize {
    usize::try_from(sequence % SPAN).expect("smaller than the table")
}

fn place(sequence: u64) -> (usize, u64) {
    let slot = slot_of(sequence);
    (slot / 64, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::super::framing::fill;
    use super::*;
    use crate::ring::{Consumer, Entry, EntryKind, Ring};
    use proptest::prelude::*;

    fn both(capacity: u64) -> (Producer, Consumer) {
        let (mut producer, mut consumer) = Ring::create(capacity).unwrap().into_both().unwrap();
        producer.reset(capacity);
        consumer.begin().unwrap();
        (producer, consumer)
    }

    /// A stream of pages cut into frames of `body_size`.
    fn stream(page_count: u64, body_size: usize) -> Vec<Vec<u8>> {
        let (mut producer, mut consumer) = both(page_count);
        producer.window().unwrap();
        for index in 0..page_count {
            producer.slot_mut().fill(u8::try_from(index + 1).unwrap());
            producer.push(&Entry::raw(EntryKind::Page, 1, index, 4096));
        }
        producer.publish();
        let end = Cursor::at(consumer.available().unwrap().end);
        let (mut frames, mut cursor) = (Vec::new(), Cursor::default());
        while cursor < end {
            let mut body = vec![0; body_size];
            let sequence = frames.len() as u64;
            let (reached, used) = fill(&consumer, sequence, cursor, end, &mut body).unwrap();
            body.truncate(used);
            frames.push(body);
            cursor = reached;
        }
        frames
    }

    proptest! {
        #[test]
        fn any_order_with_duplicates_gives_the_stream(
            order in Just((0usize..40).collect::<Vec<_>>()).prop_shuffle(),
            repeats in proptest::collection::vec(0usize..40, 0..20),
        ) {
            let frames = stream(10, 1100);
            prop_assert!(frames.len() <= 40);
            let (mut producer, mut consumer) = both(10);
            let mut assembly = Assembly::new();
            let mut come = vec![false; frames.len()];
            for number in order.into_iter().zip(repeats.into_iter().chain([0; 40])).flat_map(<[usize; 2]>::from) {
                let Some(frame) = frames.get(number) else { continue };
                let expected = if come[number] { Accepted::Duplicate } else { Accepted::New };
                prop_assert_eq!(assembly.accept(frame, &mut producer), Ok(expected));
                come[number] = true;
                let complete = come.iter().take_while(|&&it| it).count();
                prop_assert_eq!(assembly.sequence(), complete as u64);
                let bitmap = assembly.bitmap();
                for ahead in 0..come.len() - complete {
                    let bit = bitmap[ahead / 64] & 1 << (ahead % 64) != 0;
                    prop_assert_eq!(bit, come[complete + ahead]);
                }
            }
            prop_assert_eq!(consumer.available().unwrap(), 0..10);
            for index in 0..10 {
                prop_assert_eq!(consumer.entry(index), Ok(Entry::raw(EntryKind::Page, 1, index, 4096)));
                prop_assert_eq!(consumer.page(index), &[u8::try_from(index + 1).unwrap(); 4096]);
            }
        }
    }

    #[test]
    fn what_is_beyond_the_credit_is_refused() {
        let frames = stream(4, 8000);
        let (mut producer, mut consumer) = both(2);
        let mut assembly = Assembly::new();
        assert_eq!(assembly.accept(&frames[1], &mut producer), Ok(Accepted::Refused));
        assert_eq!(assembly.accept(&frames[0], &mut producer), Ok(Accepted::New));
        assert_eq!(consumer.available(), Ok(0..1));
        assert_eq!(consumer.page(0), &[1; 4096]);
    }

    #[test]
    fn frames_that_contradict_one_another_are_noticed() {
        let frames = stream(8, 5000);
        let (mut producer, mut consumer) = both(8);
        let mut assembly = Assembly::new();
        assert_eq!(assembly.accept(&frames[0], &mut producer), Ok(Accepted::New));
        let mut skipped = frames[2].clone();
        skipped[..8].copy_from_slice(&1u64.to_le_bytes());
        assert_eq!(assembly.accept(&skipped, &mut producer), Ok(Accepted::Contradiction));
        assert!(consumer.available().unwrap().end <= 1);
    }
}
