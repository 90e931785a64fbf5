//! The consuming end: looks at entries in any order, and gives their slots back in order.

use core::ops::Range;
use core::sync::atomic::Ordering;

use super::entry::{Entry, RingError};
use super::view::View;
use super::{Control, MemoryError};
use crate::limits::PAGE_SIZE;
use crate::platform::vector;

/// The consuming end of a ring.
///
/// What [`available`](Self::available) has shown stays as it is until it is
/// [`release`](Self::release)d, so it can be read as often as needed: it is ship's buffer for
/// retransmission and commit's staging area. Until then it is the consumer's, who may
/// [`rewrite`](Self::rewrite) it: ship encodes pages where they lie, commit decodes them there. A
/// hostile producer can still scribble over it; that changes bytes, never where they are read from.
#[derive(Debug)]
pub struct Consumer {
    view: View,
    tail: u64,
    /// The producer's head as it was last read and found to be right.
    head: u64,
    capacity: u64,
}

impl Consumer {
    pub(super) fn new(view: View) -> Self {
        Self { view, tail: 0, head: 0, capacity: 0 }
    }

    /// The control words beside the ring.
    #[must_use]
    pub fn control(&self) -> Control<'_> {
        Control::new(&self.view.memory)
    }

    /// Takes the memory of the first `entry_count` entries from the kernel and locks it in this
    /// process. The other process shares it, but meets each page by a fault of its own until it has
    /// called this, too. Zeroing takes about a second per 4 GiB.
    ///
    /// # Errors
    /// [`MemoryError`] when there is too little memory or the process may not lock it.
    pub fn populate(&mut self, entry_count: u64) -> Result<(), MemoryError> {
        self.view.populate(entry_count)
    }

    /// Gives all slots back to the kernel, in both processes. Between sessions only.
    ///
    /// # Errors
    /// [`MemoryError`] when the kernel refuses.
    pub fn release_memory(&mut self) -> Result<(), MemoryError> {
        self.view.release_arena()
    }

    /// Entries that the ring can have at most.
    #[must_use]
    pub fn entry_count_max(&self) -> u64 {
        self.view.entry_count_max()
    }

    /// Empties the ring for the next session. Only for the half that faces the network, and only
    /// while the other half's `domain_session` is 0.
    pub fn reset(&mut self, capacity: u64) {
        assert!((1..=self.view.entry_count_max()).contains(&capacity));
        self.view.tail().store(0, Ordering::Relaxed);
        self.view.head().store(0, Ordering::Relaxed);
        self.view.capacity().store(capacity, Ordering::Release);
        (self.tail, self.head, self.capacity) = (0, 0, capacity);
    }

    /// Starts to consume in a session that the other half has announced in `link_session`.
    ///
    /// # Errors
    /// [`RingError::Capacity`] when the announced capacity cannot be.
    pub fn begin(&mut self) -> Result<(), RingError> {
        (self.tail, self.head) = (0, 0);
        self.capacity = self.view.capacity().load(Ordering::Acquire);
        let possible = (1..=self.view.entry_count_max()).contains(&self.capacity);
        if possible { Ok(()) } else { Err(RingError::Capacity) }
    }

    /// Lets the producer be up to `capacity` entries ahead, from now to the session's end. Only
    /// before the first [`release`](Self::release) of the session; never less than before.
    pub fn raise_capacity(&mut self, capacity: u64) {
        assert!(self.tail == 0, "the capacity is raised before anything is released");
        assert!((self.capacity..=self.view.entry_count_max()).contains(&capacity));
        self.view.capacity().store(capacity, Ordering::Release);
        self.capacity = capacity;
    }

    /// Entries that the producer may be ahead.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Indexes of the entries that are here: produced and not yet released.
    ///
    /// # Errors
    /// [`RingError::Index`] when the producer's index cannot be.
    pub fn available(&mut self) -> Result<Range<u64>, RingError> {
        let head = self.view.head().load(Ordering::Acquire);
        if head < self.head || head > self.tail + self.capacity {
            return Err(RingError::Index);
        }
        self.head = head;
        Ok(self.tail..head)
    }

    /// The descriptor of entry `index`, which [`available`](Self::available) must have shown.
    ///
    /// # Errors
    /// [`RingError::Entry`] when it makes no sense.
    pub fn entry(&self, index: u64) -> Result<Entry, RingError> {
        let slot = self.slot(index);
        let word = |number| self.view.descriptor_word(slot, number).load(Ordering::Relaxed);
        Entry::from_words([word(0), word(1), word(2), word(3)])
    }

    /// Copies bytes of entry `index`, from `offset` in its slot on.
    pub fn copy_out(&self, index: u64, offset: usize, target: &mut [u8]) {
        assert!(offset + target.len() <= PAGE_SIZE, "an entry's bytes lie in its slot");
        self.view.memory.copy_out(self.view.slot_offset(self.slot(index)) + offset, target);
    }

    /// The slot of entry `index`. Pass the bytes on, decide nothing by them: see
    /// [`SharedMemory::page`](crate::platform::memory::SharedMemory::page).
    #[must_use]
    pub fn page(&self, index: u64) -> &[u8; PAGE_SIZE] {
        self.view.memory.page(self.view.slot_offset(self.slot(index)))
    }

    /// Asks for the first bytes of the slots of `indexes`, as far as entries are here, which will be looked
    /// at soon.
    pub fn prefetch_heads(&self, indexes: Range<u64>) {
        for index in indexes.start.max(self.tail)..indexes.end.min(self.head) {
            vector::prefetch_head(self.page(index));
        }
    }

    /// The slot of entry `index`, to be written; what it then holds is said with
    /// [`rewrite`](Self::rewrite).
    pub fn page_mut(&mut self, index: u64) -> &mut [u8; PAGE_SIZE] {
        let offset = self.view.slot_offset(self.slot(index));
        self.view.memory.page_mut(offset)
    }

    /// Describes entry `index` anew, whose slot was written.
    pub fn rewrite(&mut self, index: u64, entry: &Entry) {
        assert!(entry.is_consistent(), "an entry's sizes fit its kind and encoding");
        let slot = self.slot(index);
        for (number, word) in entry.to_words().into_iter().enumerate() {
            self.view.descriptor_word(slot, number).store(word, Ordering::Relaxed);
        }
    }

    /// Gives the entries before `index` back to the producer.
    pub fn release(&mut self, index: u64) {
        assert!(self.tail <= index && index <= self.head, "only what is here can be released");
        self.view.tail().store(index, Ordering::Release);
        self.tail = index;
    }

    /// The released index, for tests of what a damaged half does.
    #[cfg(test)]
    pub(crate) fn tail(&self) -> &core::sync::atomic::AtomicU64 {
        self.view.tail()
    }

    fn slot(&self, index: u64) -> u64 {
        let here = self.tail <= index && index < self.head;
        assert!(here, "only an entry that is here has a slot");
        index % self.capacity
    }
}
