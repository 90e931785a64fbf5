//! The producing end: fills slots, describes them, and shows them to the consumer in batches.

use core::ops::Range;
use core::sync::atomic::Ordering;

use super::entry::{Entry, RingError};
use super::view::View;
use super::{Control, MemoryError};
use crate::limits::PAGE_SIZE;
use crate::platform::vector;

/// The producing end of a ring.
///
/// capture fills entries one after the other: [`free_entries`](Self::free_entries), then for each
/// one [`slot_mut`](Self::slot_mut) and [`push`](Self::push), and [`publish`](Self::publish) once
/// per batch. receive fills them as frames arrive: [`window`](Self::window), then
/// [`slot_mut_at`](Self::slot_mut_at) and [`describe`](Self::describe) in any order, and
/// [`publish_up_to`](Self::publish_up_to) when everything before an index is there.
#[derive(Debug)]
pub struct Producer {
    pub(super) view: View,
    /// The next entry to be pushed; equals `published` after each publish.
    next: u64,
    published: u64,
    /// The consumer's tail and capacity as they were last read and found to be right.
    tail: u64,
    capacity: u64,
    /// Entries that this process has been given its way to in this session.
    faulted_in: u64,
}

/// Entries whose pages are mapped at a time, in about half a millisecond.
const FAULT_IN_ENTRY_COUNT: u64 = 1024;

impl Producer {
    pub(super) fn new(view: View) -> Self {
        Self { view, next: 0, published: 0, tail: 0, capacity: 0, faulted_in: 0 }
    }

    /// The control words beside the ring.
    #[must_use]
    pub fn control(&self) -> Control<'_> {
        Control::new(&self.view.memory)
    }

    /// Takes the memory of the first `entry_count` entries from the kernel and locks it in this
    /// process. Call it in the process that writes, since page tables are each process's own.
    ///
    /// # Errors
    /// [`MemoryError`] when there is too little memory or the process may not lock it.
    pub fn populate(&mut self, entry_count: u64) -> Result<(), MemoryError> {
        self.view.populate(entry_count)
    }

    /// Takes this process's way to the next entries, a bounded number, whose memory the other half
    /// says it has taken. To be called now and then: entries are met without page faults sooner.
    pub fn fault_in_more(&mut self) {
        let populated = self.control().populated_count().min(self.view.entry_count_max());
        if self.faulted_in < populated {
            let end = populated.min(self.faulted_in + FAULT_IN_ENTRY_COUNT);
            self.view.fault_in(self.faulted_in..end);
            self.faulted_in = end;
        }
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
        self.forget_session();
        self.capacity = capacity;
    }

    /// Starts to produce in a session that the other half has announced in `link_session`.
    ///
    /// # Errors
    /// [`RingError::Capacity`] when the announced capacity cannot be.
    pub fn begin(&mut self) -> Result<(), RingError> {
        self.forget_session();
        self.capacity = self.view.capacity().load(Ordering::Acquire);
        let possible = (1..=self.view.entry_count_max()).contains(&self.capacity);
        if possible { Ok(()) } else { Err(RingError::Capacity) }
    }

    fn forget_session(&mut self) {
        (self.next, self.published, self.tail, self.faulted_in) = (0, 0, 0, 0);
    }

    /// Entries that can be pushed now.
    ///
    /// # Errors
    /// [`RingError`] when the consumer's index or capacity cannot be.
    pub fn free_entries(&mut self) -> Result<u64, RingError> {
        Ok(self.window()?.end - self.next)
    }

    /// Entries that the consumer lets this end be ahead, as it was last seen.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Indexes that may be filled now: from the first unpublished one to the last free one.
    ///
    /// # Errors
    /// [`RingError`] when the consumer's index or capacity cannot be.
    pub fn window(&mut self) -> Result<Range<u64>, RingError> {
        // The tail first: whoever sees an entry released also sees the capacity raised before it.
        let tail = self.view.tail().load(Ordering::Acquire);
        let capacity = self.view.capacity().load(Ordering::Acquire);
        if tail < self.tail || tail > self.published {
            return Err(RingError::Index);
        }
        let raised = self.tail == 0 && capacity > self.capacity;
        let possible = capacity == self.capacity || raised;
        if !possible || capacity > self.view.entry_count_max() {
            return Err(RingError::Capacity);
        }
        (self.tail, self.capacity) = (tail, capacity);
        Ok(self.published..tail + capacity)
    }

    /// The slot of the next entry. A free entry must have been seen by
    /// [`free_entries`](Self::free_entries).
    pub fn slot_mut(&mut self) -> &mut [u8; PAGE_SIZE] {
        self.slot_mut_at(self.next)
    }

    /// Describes the next entry, whose slot is filled, and goes on to the one after it.
    pub fn push(&mut self, entry: &Entry) {
        self.describe(self.next, entry);
        self.next += 1;
    }

    /// Shows the consumer everything pushed so far.
    pub fn publish(&mut self) {
        self.publish_up_to(self.next);
    }

    /// The slot of entry `index`, which must lie in the last seen [`window`](Self::window).
    pub fn slot_mut_at(&mut self, index: u64) -> &mut [u8; PAGE_SIZE] {
        let offset = self.view.slot_offset(self.slot(index));
        self.view.memory.page_mut(offset)
    }

    /// Describes entry `index`, which must lie in the last seen [`window`](Self::window).
    pub fn describe(&mut self, index: u64, entry: &Entry) {
        assert!(entry.is_consistent(), "an entry's sizes fit its kind and encoding");
        let slot = self.slot(index);
        for (number, word) in entry.to_words().into_iter().enumerate() {
            self.view.descriptor_word(slot, number).store(word, Ordering::Relaxed);
        }
    }

    /// Shows the consumer all entries before `index`, which must be filled and described.
    pub fn publish_up_to(&mut self, index: u64) {
        assert!(self.published <= index && index <= self.tail + self.capacity);
        vector::finish_copies();
        self.view.head().store(index, Ordering::Release);
        (self.published, self.next) = (index, index);
    }

    /// The published index, for tests of what a damaged half does.
    #[cfg(test)]
    pub(crate) fn head(&self) -> &core::sync::atomic::AtomicU64 {
        self.view.head()
    }

    fn slot(&self, index: u64) -> u64 {
        let free = self.published <= index && index < self.tail + self.capacity;
        assert!(free, "only an entry that is free is filled");
        index % self.capacity
    }
}
