//! The other half of a program as an enemy has it: every byte of the shared region is its own.

use pollux::limits::PAGE_SIZE;
use pollux::ring::Producer;

/// Where the arena begins in a small ring: behind indexes, control words, and one page of descriptors.
const ARENA_OFFSET: usize = 3 * PAGE_SIZE;
/// Descriptors that fill one page, so that [`ARENA_OFFSET`] is right.
pub const ENTRY_COUNT_MAX: u64 = 128;

/// Words of the region before its arena.
const WORD_COUNT: usize = ARENA_OFFSET / 8;

/// A way to write what no half of ours would.
#[derive(Debug)]
pub struct HostileHalf {
    base: *mut u64,
    entry_count: u64,
}

impl HostileHalf {
    /// Gets hold of the region of a ring of at most [`ENTRY_COUNT_MAX`] entries, whose producing end
    /// must outlive this.
    pub fn of(producer: &mut Producer) -> Self {
        let entry_count = producer.entry_count_max();
        assert!(entry_count <= ENTRY_COUNT_MAX);
        // A whole window is free for as long as nothing was produced.
        let first_slot: *mut u64 = producer.slot_mut_at(0).as_mut_ptr().cast();
        // SAFETY: slot 0 lies at the arena's start, and what is before it belongs to the same mapping.
        let base = unsafe { first_slot.byte_sub(ARENA_OFFSET) };
        Self { base, entry_count }
    }

    /// Writes a word of the indexes, control words or descriptors.
    pub fn write(&self, word: usize, value: u64) {
        // SAFETY: inside the mapping, and aligned; everybody reads these words as atomics.
        let target = unsafe { self.base.add(word % WORD_COUNT) };
        // SAFETY: as above.
        unsafe { target.write_volatile(value) };
    }

    /// Writes the index, control word or descriptor that `choice` means, which hits more often than any
    /// word would.
    pub fn write_chosen(&self, choice: u16, value: u64) {
        let number = usize::from(choice >> 2);
        match choice & 3 {
            // Head, tail and capacity.
            0 => self.write([0, 16, 32][number % 3], value),
            // The first control words of both halves.
            1 => self.write(PAGE_SIZE / 8 + number % 8, value),
            2 => self.write((PAGE_SIZE + 2048) / 8 + number % 8, value),
            // A word of a descriptor.
            _ => self.write(PAGE_SIZE / 4 + number % 512, value),
        }
    }

    /// Writes a byte of a slot.
    pub fn scribble(&self, slot: u64, offset: u16, value: u8) {
        let slot = usize::try_from(slot % self.entry_count).unwrap_or(0);
        let place = ARENA_OFFSET + slot * PAGE_SIZE + usize::from(offset) % PAGE_SIZE;
        // SAFETY: inside the mapping, which ends with the last entry's slot.
        let target = unsafe { self.base.byte_add(place) }.cast::<u8>();
        // SAFETY: as above; whoever reads a slot of a hostile half copies it first.
        unsafe { target.write_volatile(value) };
    }
}
