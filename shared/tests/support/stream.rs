//! The stream of entries of one session: both ends can make it from the same seed.

use std::collections::HashMap;

use pollux::limits::PAGE_SIZE;
use pollux::ring::{Entry, EntryKind};

use super::Random;

/// Makes the entries of a session one after the other: description, configuration, then epochs of
/// pages, state and context. Most pages are those of a small guest that writes them again and again,
/// also within an epoch: a little, a lot, not at all, with what compresses and with what does not.
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
    guest: HashMap<u64, Box<[u8; PAGE_SIZE]>>,
}

/// Pages of the small guest.
const GUEST_PAGES: u64 = 48;

impl Stream {
    /// `tag` makes each session's stream another one; it travels in the description.
    pub fn new(seed: u64, tag: u64, pages_max: u64) -> Self {
        let random = Random::new(seed ^ tag.wrapping_mul(0x1234_5678_9abc_def1));
        let guest = HashMap::new();
        Self { random, epoch: 1, made: 0, left: 0, pages_max, index: 0, tag, guest }
    }

    /// Whether the next entry ends an epoch.
    pub fn is_at_end(&self) -> bool {
        self.index > 2 && self.left == 0
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
                fill(&mut self.random, &mut slot[..3000]);
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
        if self.random.chance(100) {
            let length = u16::try_from(self.random.below(4097)).unwrap();
            fill(&mut self.random, &mut slot[..usize::from(length)]);
            let kind = [EntryKind::State, EntryKind::HvmContext][usize::from(length) % 2];
            let address = self.random.next() >> 20;
            return Entry::raw(kind, self.epoch, address, length);
        }
        // A page of the guest, or one that is met once.
        let gfn = if self.random.chance(900) {
            self.random.below(GUEST_PAGES)
        } else {
            self.random.next() >> 20
        };
        let page = self.guest.entry(gfn).or_insert_with(|| Box::new([0; PAGE_SIZE]));
        write(&mut self.random, page);
        slot.copy_from_slice(&page[..]);
        Entry::raw(EntryKind::Page, self.epoch, gfn, 4096)
    }

    fn end_epoch(&mut self) -> Entry {
        let end = Entry::raw(EntryKind::EpochEnd, self.epoch, self.made + 1, 0);
        (self.epoch, self.made) = (self.epoch + 1, 0);
        self.left = 1 + self.random.below(self.pages_max);
        end
    }
}

/// What the guest does to a page.
fn write(random: &mut Random, page: &mut [u8; PAGE_SIZE]) {
    match random.below(8) {
        0 => page.fill(0),
        1 => {
            page.fill(0);
            page[PAGE_SIZE - 1] = 1;
        }
        2 => {}
        3 => fill(random, page),
        4 => {
            let shift = random.below(9);
            (0..PAGE_SIZE).for_each(|place| page[place] = (place as u64 >> shift).to_le_bytes()[0]);
        }
        kind => {
            let count = if kind == 5 { 400 } else { 20 };
            for _ in 0..1 + random.below(count) {
                let place = usize::try_from(random.below(PAGE_SIZE as u64)).unwrap();
                page[place] = random.next().to_le_bytes()[0];
            }
        }
    }
}

fn fill(random: &mut Random, bytes: &mut [u8]) {
    let mut word = random.next();
    for chunk in bytes.chunks_mut(8) {
        word = word.wrapping_mul(0xd129_0d3b_2f1a_5c65).wrapping_add(1);
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}
