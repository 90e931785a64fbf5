//! The stream of entries of one session: both ends can make it from the same seed.

use pollux::limits::PAGE_SIZE;
use pollux::ring::{Entry, EntryKind};

use super::Random;

/// Makes the entries of a session one after the other: description, configuration, then epochs of
/// random pages, state and context.
#[derive(Debug)]
pub struct Stream {
    random: Random,
    epoch: u64,
    /// Entries of the epoch made so far, and to be made before its end.
    made: u64,
    left: u64,
    pages_max: u64,
    index: u64,
    tag: u64,
}

impl Stream {
    /// `tag` makes each session's stream another one; it travels in the description.
    pub fn new(seed: u64, tag: u64, pages_max: u64) -> Self {
        let random = Random::new(seed ^ tag.wrapping_mul(0x1234_5678_9abc_def1));
        Self { random, epoch: 1, made: 0, left: 0, pages_max, index: 0, tag }
    }

    /// The next entry; its bytes are written to `slot`, of which the rest is left as it is.
    pub fn next(&mut self, slot: &mut [u8; PAGE_SIZE]) -> Entry {
        let index = self.index;
        self.index += 1;
        match index {
            0 => {
                slot[..8].copy_from_slice(&self.tag.to_le_bytes());
                return Entry::raw(EntryKind::Description, 0, 0, 8);
            }
            1 => {
                self.fill(&mut slot[..3000]);
                return Entry::raw(EntryKind::Config, 0, 0, 3000);
            }
            2 => self.left = 1 + self.random.below(self.pages_max),
            _ => {}
        }
        if self.left == 0 {
            return self.end_epoch();
        }
        self.left -= 1;
        self.made += 1;
        let address = self.random.next() >> 20;
        if self.random.chance(100) {
            let length = u16::try_from(self.random.below(4097)).unwrap();
            self.fill(&mut slot[..usize::from(length)]);
            let kind = [EntryKind::State, EntryKind::HvmContext][usize::from(length) % 2];
            return Entry::raw(kind, self.epoch, address, length);
        }
        match self.random.below(4) {
            0 => slot.fill(0),
            1 => {
                slot.fill(0);
                slot[PAGE_SIZE - 1] = 1;
            }
            _ => self.fill(slot),
        }
        Entry::raw(EntryKind::Page, self.epoch, address, 4096)
    }

    fn end_epoch(&mut self) -> Entry {
        let end = Entry::raw(EntryKind::EpochEnd, self.epoch, self.made + 1, 0);
        (self.epoch, self.made) = (self.epoch + 1, 0);
        self.left = 1 + self.random.below(self.pages_max);
        end
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let mut word = self.random.next();
        for chunk in bytes.chunks_mut(8) {
            word = word.wrapping_mul(0xd129_0d3b_2f1a_5c65).wrapping_add(1);
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}
