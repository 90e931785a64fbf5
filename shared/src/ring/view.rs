//! Where everything lies in the shared region; what producer and consumer have in common.

use core::ops::Range;
use core::sync::atomic::AtomicU64;

use super::entry::{ENTRY_SIZE, ENTRY_WORD_COUNT};
use super::{MemoryError, SharedMemory};
use crate::limits::{PAGE_SIZE, RING_ENTRY_COUNT_MAX};
use crate::platform::memory::HUGE_PAGE_SIZE;

/// Indexes lie two cache lines apart, since processors fetch lines in pairs.
const HEAD_OFFSET: usize = 0;
const TAIL_OFFSET: usize = 128;
const CAPACITY_OFFSET: usize = 256;
/// Offset of the page of control words.
pub const CONTROL_OFFSET: usize = PAGE_SIZE;
const DESCRIPTORS_OFFSET: usize = 2 * PAGE_SIZE;

const _: () = assert!(PAGE_SIZE.is_multiple_of(ENTRY_SIZE));
const _: () = assert!(RING_ENTRY_COUNT_MAX as u64 <= u64::MAX / PAGE_SIZE as u64);

/// One process's view of a ring.
#[derive(Debug)]
pub struct View {
    pub memory: SharedMemory,
    entry_count_max: u64,
    /// The memory is there already and stays: nothing is taken from the kernel or given back.
    is_there: bool,
}

impl View {
    pub fn create(entry_count_max: u64) -> Result<Self, MemoryError> {
        let memory = SharedMemory::map(ring_size(entry_count_max))?;
        Ok(Self { memory, entry_count_max, is_there: false })
    }

    pub fn over(memory: SharedMemory, entry_count_max: u64) -> Self {
        assert!(memory.size() == ring_size(entry_count_max), "a ring has its own size");
        Self { memory, entry_count_max, is_there: true }
    }

    pub fn again(&self) -> Result<Self, MemoryError> {
        let Self { ref memory, entry_count_max, is_there } = *self;
        Ok(Self { memory: memory.map_again()?, entry_count_max, is_there })
    }

    pub fn entry_count_max(&self) -> u64 {
        self.entry_count_max
    }

    pub fn head(&self) -> &AtomicU64 {
        self.memory.word(HEAD_OFFSET)
    }

    pub fn tail(&self) -> &AtomicU64 {
        self.memory.word(TAIL_OFFSET)
    }

    pub fn capacity(&self) -> &AtomicU64 {
        self.memory.word(CAPACITY_OFFSET)
    }

    pub fn slot_offset(&self, slot: u64) -> usize {
        assert!(slot < self.entry_count_max);
        arena_offset(self.entry_count_max) + as_size(slot) * PAGE_SIZE
    }

    pub fn descriptor_word(&self, slot: u64, word: usize) -> &AtomicU64 {
        assert!(slot < self.entry_count_max && word < ENTRY_WORD_COUNT);
        self.memory.word(DESCRIPTORS_OFFSET + as_size(slot) * ENTRY_SIZE + word * 8)
    }

    /// Takes the memory of the first `entry_count` entries from the kernel, for good.
    pub fn populate(&mut self, entry_count: u64) -> Result<(), MemoryError> {
        assert!(entry_count <= self.entry_count_max);
        if self.is_there {
            return Ok(());
        }
        let descriptors_end = DESCRIPTORS_OFFSET + descriptors_size(entry_count);
        self.memory.populate(0..descriptors_end)?;
        let arena = self.arena();
        self.memory.populate(arena.start..arena.start + as_size(entry_count) * PAGE_SIZE)
    }

    /// Takes this process's way to entries whose memory the other process has populated.
    pub fn fault_in(&mut self, entries: Range<u64>) {
        assert!(entries.start <= entries.end && entries.end <= self.entry_count_max);
        if self.is_there {
            return;
        }
        let pages = |range: Range<usize>| {
            range.start / PAGE_SIZE * PAGE_SIZE..range.end.next_multiple_of(PAGE_SIZE)
        };
        let [start, end] = [entries.start, entries.end].map(as_size);
        let descriptors =
            DESCRIPTORS_OFFSET + start * ENTRY_SIZE..DESCRIPTORS_OFFSET + end * ENTRY_SIZE;
        self.memory.fault_in(pages(descriptors));
        let arena = arena_offset(self.entry_count_max);
        self.memory.fault_in(arena + start * PAGE_SIZE..arena + end * PAGE_SIZE);
    }

    pub fn release_arena(&mut self) -> Result<(), MemoryError> {
        if self.is_there { Ok(()) } else { self.memory.release(self.arena()) }
    }

    fn arena(&self) -> Range<usize> {
        arena_offset(self.entry_count_max)..self.memory.size()
    }
}

/// Bytes of a ring.
pub fn ring_size(entry_count_max: u64) -> usize {
    let limit = RING_ENTRY_COUNT_MAX as u64;
    assert!((1..=limit).contains(&entry_count_max), "a ring has 1 to {limit} entries");
    arena_offset(entry_count_max) + as_size(entry_count_max) * PAGE_SIZE
}

fn descriptors_size(entry_count: u64) -> usize {
    (as_size(entry_count) * ENTRY_SIZE).next_multiple_of(PAGE_SIZE)
}

fn arena_offset(entry_count_max: u64) -> usize {
    let end = DESCRIPTORS_OFFSET + descriptors_size(entry_count_max);
    // The bytes between are address space only; in a stub domain they are memory, less than a huge page.
    let is_large = as_size(entry_count_max) * PAGE_SIZE >= HUGE_PAGE_SIZE;
    if is_large { end.next_multiple_of(HUGE_PAGE_SIZE) } else { end }
}

fn as_size(entry_count: u64) -> usize {
    usize::try_from(entry_count).expect("entry counts are far below the address space")
}
