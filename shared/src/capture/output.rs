//! The producing side of an epoch: entries go into the ring, and are counted for its end.
//!
//! One [`EpochOutput`] lives as long as a session. Everything pushed since the last
//! [`EpochOutput::end_epoch`] belongs to one epoch; the end carries its number of entries, by
//! which the backup knows that it is complete.

use super::error::CaptureError;
use super::surroundings::Surroundings;
use crate::limits::PAGE_SIZE;
use crate::ring::{Control, Entry, EntryKind, Producer};
use crate::xen::GuestPage;

/// Microseconds between two looks at a ring that is full.
const FULL_RING_REST_US: u64 = 50;

/// Where a session's epochs go.
#[derive(Debug)]
pub struct EpochOutput<'r> {
    producer: &'r mut Producer,
    session: u64,
    epoch: u64,
    entry_count: u64,
    free_entry_count: u64,
}

impl<'r> EpochOutput<'r> {
    /// The output of a session that was joined just now, on whose ring `begin` was called.
    /// The first epoch is 1.
    #[must_use]
    pub const fn new(producer: &'r mut Producer, session: u64) -> Self {
        Self { producer, session, epoch: 1, entry_count: 0, free_entry_count: 0 }
    }

    /// The epoch that is being filled.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Entries of that epoch so far.
    #[must_use]
    pub const fn entry_count(&self) -> u64 {
        self.entry_count
    }

    /// The ring's control words.
    #[must_use]
    pub fn control(&self) -> Control<'_> {
        self.producer.control()
    }

    /// Entries that can be pushed now without waiting.
    ///
    /// # Errors
    /// [`CaptureError::LinkLost`] and [`CaptureError::Ring`].
    pub fn free_entry_count(&mut self) -> Result<u64, CaptureError> {
        if self.producer.control().link_session() != self.session {
            return Err(CaptureError::LinkLost);
        }
        self.free_entry_count = self.producer.free_entries()?;
        Ok(self.free_entry_count)
    }

    /// Pushes a page as it is at this moment.
    ///
    /// # Errors
    /// [`CaptureError::LinkLost`] and [`CaptureError::Ring`].
    pub fn push_page(
        &mut self,
        gfn: u64,
        page: GuestPage<'_>,
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        self.wait_for_space(surroundings)?;
        page.copy_out(self.producer.slot_mut());
        self.push(EntryKind::Page, gfn, PAGE_SIZE);
        Ok(())
    }

    /// Pushes bytes in parts of a page; each part's address is its byte offset.
    ///
    /// # Errors
    /// [`CaptureError::LinkLost`] and [`CaptureError::Ring`].
    pub fn push_parts(
        &mut self,
        kind: EntryKind,
        bytes: &[u8],
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        for (part, offset) in bytes.chunks(PAGE_SIZE).zip((0u64..).step_by(PAGE_SIZE)) {
            self.wait_for_space(surroundings)?;
            self.producer.slot_mut()[..part.len()].copy_from_slice(part);
            self.push(kind, offset, part.len());
        }
        Ok(())
    }

    /// Ends the epoch and goes on to the next; nothing is shown to the consumer yet.
    ///
    /// # Errors
    /// [`CaptureError::LinkLost`] and [`CaptureError::Ring`].
    pub fn end_epoch(&mut self, surroundings: &mut impl Surroundings) -> Result<(), CaptureError> {
        self.wait_for_space(surroundings)?;
        self.push(EntryKind::EpochEnd, self.entry_count + 1, 0);
        self.epoch += 1;
        self.entry_count = 0;
        Ok(())
    }

    /// Shows everything pushed so far to the consumer.
    pub fn publish(&mut self) {
        self.producer.publish();
    }

    fn push(&mut self, kind: EntryKind, address: u64, length: usize) {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.producer.push(&Entry::raw(kind, self.epoch, address, length));
        self.entry_count += 1;
        self.free_entry_count -= 1;
    }

    /// Waits until the ring has a free entry. What is pushed is shown first: only that makes room.
    fn wait_for_space(&mut self, surroundings: &mut impl Surroundings) -> Result<(), CaptureError> {
        if self.free_entry_count > 0 || self.free_entry_count()? > 0 {
            return Ok(());
        }
        self.publish();
        while self.free_entry_count()? == 0 {
            surroundings.rest(FULL_RING_REST_US);
        }
        Ok(())
    }
}
