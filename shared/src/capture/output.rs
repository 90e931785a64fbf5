//! The producing side of an epoch: entries go into the ring, and are counted for its end.
//!
//! One [`EpochOutput`] lives as long as a session. Everything pushed since the last
//! [`EpochOutput::end_epoch`] belongs to one epoch; the end carries its number of entries, by
//! which the backup knows that it is complete.

use super::error::CaptureError;
use super::surroundings::Surroundings;
use crate::limits::{FULL_RING_MS, PAGE_SIZE};
use crate::ring::{Control, Entry, EntryKind, Phase, Producer};
use crate::xen::GuestPage;

/// Microseconds between two looks at a ring that is full.
const FULL_RING_REST_US: u64 = 50;

/// Where a session's epochs go.
#[derive(Debug)]
pub struct EpochOutput<'r> {
    producer: &'r mut Producer,
    session: u64,
    patience_ms: u32,
    epoch: u64,
    entry_count: u64,
    free_entry_count: u64,
}

impl<'r> EpochOutput<'r> {
    /// The output of a session that was joined just now, on whose ring `begin` was called.
    /// The first epoch is 1. `timeout_ms` is the silence that the operator bears with.
    #[must_use]
    pub fn new(producer: &'r mut Producer, session: u64, timeout_ms: u32) -> Self {
        let patience_ms = timeout_ms.max(FULL_RING_MS);
        Self { producer, session, patience_ms, epoch: 1, entry_count: 0, free_entry_count: 0 }
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

    /// Entries that the ring has in all.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.producer.capacity()
    }

    /// Pushes a page as it is at this moment.
    ///
    /// # Errors
    /// What ends the wait for room: [`CaptureError::LinkLost`], [`CaptureError::BackupRefused`],
    /// [`CaptureError::BackupStuck`] and [`CaptureError::Interrupted`]; and [`CaptureError::Ring`].
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
    /// As for [`EpochOutput::push_page`].
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

    /// Pushes the digest that a rehearsed guest's memory has at the epoch's end.
    ///
    /// # Errors
    /// As for [`EpochOutput::push_page`].
    pub fn push_digest(
        &mut self,
        digest: u64,
        is_last: bool,
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        self.wait_for_space(surroundings)?;
        let kind = if is_last { EntryKind::DigestOfAll } else { EntryKind::Digest };
        self.push(kind, digest, 0);
        Ok(())
    }

    /// Ends the epoch and goes on to the next; nothing is shown to the consumer yet.
    ///
    /// # Errors
    /// As for [`EpochOutput::push_page`].
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
    /// The guest may be paused, so the wait ends with whatever makes it vain.
    fn wait_for_space(&mut self, surroundings: &mut impl Surroundings) -> Result<(), CaptureError> {
        if self.free_entry_count > 0 || self.free_entry_count()? > 0 {
            return Ok(());
        }
        self.publish();
        let deadline_ns = surroundings.now_ns() + u64::from(self.patience_ms) * 1_000_000;
        while self.free_entry_count()? == 0 {
            if self.control().peer_phase() == Phase::Refused {
                return Err(CaptureError::BackupRefused);
            }
            if surroundings.is_stop_requested() {
                return Err(CaptureError::Interrupted);
            }
            if surroundings.now_ns() >= deadline_ns {
                return Err(CaptureError::BackupStuck { waited_ms: self.patience_ms });
            }
            surroundings.rest(FULL_RING_REST_US);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Consumer, Ring};

    /// A program whose clock goes on only while it waits.
    #[derive(Default)]
    struct Patience {
        now_ns: u64,
        stops_at_ns: Option<u64>,
    }

    impl Surroundings for Patience {
        fn now_ns(&mut self) -> u64 {
            self.now_ns
        }

        fn rest(&mut self, duration_us: u64) {
            self.now_ns += duration_us * 1000;
        }

        fn is_stop_requested(&mut self) -> bool {
            self.stops_at_ns.is_some_and(|at_ns| self.now_ns >= at_ns)
        }

        fn begin_gate_epoch(&mut self, _epoch: u64) -> bool {
            true
        }
    }

    fn full_ring() -> (Producer, Consumer, u64) {
        let (mut producer, mut consumer) = Ring::create(4).unwrap().into_both().unwrap();
        consumer.reset(2);
        consumer.control().announce_session(7);
        let session = producer.control().join_session().unwrap();
        producer.begin().unwrap();
        (producer, consumer, session)
    }

    fn push_three(
        producer: &mut Producer,
        session: u64,
        program: &mut Patience,
    ) -> Result<(), CaptureError> {
        let bytes = [0; 3 * PAGE_SIZE];
        EpochOutput::new(producer, session, 500).push_parts(EntryKind::Config, &bytes, program)
    }

    #[test]
    fn a_backup_that_takes_nothing_is_given_up_in_time() {
        let (mut producer, _consumer, session) = full_ring();
        let mut program = Patience::default();
        let result = push_three(&mut producer, session, &mut program);
        assert_eq!(result, Err(CaptureError::BackupStuck { waited_ms: FULL_RING_MS }));
        assert_eq!(program.now_ns, u64::from(FULL_RING_MS) * 1_000_000);
    }

    #[test]
    fn a_refusal_ends_the_wait_for_room_at_once() {
        let (mut producer, consumer, session) = full_ring();
        consumer.control().set_peer_phase(Phase::Refused);
        let mut program = Patience::default();
        let result = push_three(&mut producer, session, &mut program);
        assert_eq!((result, program.now_ns), (Err(CaptureError::BackupRefused), 0));
    }

    #[test]
    fn the_operators_signal_ends_the_wait_for_room() {
        let (mut producer, _consumer, session) = full_ring();
        let mut program = Patience { stops_at_ns: Some(1_000_000), ..Default::default() };
        let result = push_three(&mut producer, session, &mut program);
        assert_eq!((result, program.now_ns), (Err(CaptureError::Interrupted), 1_000_000));
    }

    #[test]
    fn a_session_that_ends_ends_the_wait_for_room() {
        let (mut producer, consumer, session) = full_ring();
        consumer.control().drop_session(None);
        let result = push_three(&mut producer, session, &mut Patience::default());
        assert_eq!(result, Err(CaptureError::LinkLost));
    }
}
