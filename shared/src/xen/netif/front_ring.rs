//! The frontend's side of a ring of requests and answers in one page (io/ring.h).
//!
//! Indexes count slots and wrap at 2^32. Those of this side are kept here and only written to the page;
//! of what lies there only the backend's are read, each once, and checked.

use core::sync::atomic::{Ordering, fence};

use super::BackendLie;
use crate::limits::PAGE_SIZE;
use crate::xen::GuestPage;

/// Slots of a ring: as many as fit, rounded down to a power of two (__CONST_RING_SIZE), the same for
/// transmit slots of 12 bytes and receive slots of 8.
pub const SLOT_COUNT: usize = 256;
const SLOT_COUNT_U32: u32 = 256;

// struct *_sring: req_prod, req_event, rsp_prod, rsp_event, 48 bytes of no use here, slots.
const REQUEST_PRODUCER_OFFSET: usize = 0;
const REQUEST_EVENT_OFFSET: usize = 4;
const RESPONSE_PRODUCER_OFFSET: usize = 8;
const RESPONSE_EVENT_OFFSET: usize = 12;
const SLOTS_OFFSET: usize = 64;

const fn slot_count(slot_size: usize) -> usize {
    let fitting = (PAGE_SIZE - SLOTS_OFFSET) / slot_size;
    1 << fitting.ilog2()
}

const _: () = assert!(slot_count(12) == SLOT_COUNT && slot_count(8) == SLOT_COUNT);

/// A ring of slots of `SLOT_SIZE` bytes.
#[derive(Debug)]
pub struct FrontRing<'m, const SLOT_SIZE: usize> {
    page: GuestPage<'m>,
    /// Requests that were written.
    request_producer: u32,
    /// Those that the backend has been shown.
    requests_shown: u32,
    /// Answers that were taken.
    response_consumer: u32,
    /// Answers that were seen.
    responses_seen: u32,
}

impl<'m, const SLOT_SIZE: usize> FrontRing<'m, SLOT_SIZE> {
    /// An empty ring in `page`, which the backend does not use yet.
    pub fn new(page: GuestPage<'m>) -> Self {
        page.zero();
        // The backend tells of the first request. `rsp_event`, unlike in ring.h, begins with 0: behind.
        page.word32(REQUEST_EVENT_OFFSET).store(1, Ordering::Release);
        Self {
            page,
            request_producer: 0,
            requests_shown: 0,
            response_consumer: 0,
            responses_seen: 0,
        }
    }

    /// How many requests can be written.
    pub fn free_count(&self) -> usize {
        let used = self.request_producer.wrapping_sub(self.response_consumer);
        SLOT_COUNT - used as usize
    }

    /// Writes the words of the next request. There must be room; the backend sees it when it is shown.
    pub fn put_request(&mut self, words: &[u32]) {
        assert!(self.free_count() > 0 && size_of_val(words) <= SLOT_SIZE);
        let offset = slot_offset::<SLOT_SIZE>(self.request_producer);
        for (index, word) in words.iter().enumerate() {
            self.page.word32(offset + index * size_of::<u32>()).store(*word, Ordering::Relaxed);
        }
        self.request_producer = self.request_producer.wrapping_add(1);
    }

    /// The number of the slot that the next request will have.
    pub fn next_slot(&self) -> usize {
        self.request_producer as usize % SLOT_COUNT
    }

    /// Shows the backend the requests that were written. Whether it is to be notified.
    #[must_use]
    pub fn show_requests(&mut self) -> bool {
        let (old, new) = (self.requests_shown, self.request_producer);
        if old == new {
            return false;
        }
        self.requests_shown = new;
        self.page.word32(REQUEST_PRODUCER_OFFSET).store(new, Ordering::Release);
        // The backend sees them before it is asked whether it wants to be told of them.
        fence(Ordering::SeqCst);
        let event = self.page.read_u32(REQUEST_EVENT_OFFSET);
        new.wrapping_sub(event) < new.wrapping_sub(old)
    }

    /// How many answers are there to be taken: never more than requests are open.
    ///
    /// # Errors
    /// [`BackendLie::ResponseIndex`].
    pub fn response_count(&mut self) -> Result<usize, BackendLie> {
        let produced = self.page.read_u32(RESPONSE_PRODUCER_OFFSET);
        let since_taken = |index: u32| index.wrapping_sub(self.response_consumer);
        let possible = since_taken(self.responses_seen)..=since_taken(self.requests_shown);
        if !possible.contains(&since_taken(produced)) {
            return Err(BackendLie::ResponseIndex);
        }
        self.responses_seen = produced;
        Ok(since_taken(produced) as usize)
    }

    /// The slot of the answer that is `position` after the first one that was not taken.
    pub fn response_slot(&self, position: usize) -> usize {
        (self.response_consumer as usize + position) % SLOT_COUNT
    }

    /// The first four bytes of an answer, read once.
    pub fn response_word32(&self, slot: usize) -> u32 {
        self.page.read_u32(SLOTS_OFFSET + slot % SLOT_COUNT * SLOT_SIZE)
    }

    /// The eight bytes of an answer, read once.
    pub fn response_word64(&self, slot: usize) -> u64 {
        const { assert!(SLOT_SIZE.is_multiple_of(8), "read in one piece") };
        self.page.read_u64(SLOTS_OFFSET + slot % SLOT_COUNT * SLOT_SIZE)
    }

    /// Takes `count` answers, which must have been seen; their slots are free.
    pub fn take_responses(&mut self, count: usize) {
        let seen = self.responses_seen.wrapping_sub(self.response_consumer);
        assert!(count <= seen as usize, "only what was seen is taken");
        let count = u32::try_from(count).expect("a ring has few slots");
        self.response_consumer = self.response_consumer.wrapping_add(count);
    }

    /// Asks for an event at the next answer. Whether there is one already: then none may come.
    #[must_use]
    pub fn ask_for_event(&self) -> bool {
        let next = self.responses_seen.wrapping_add(1);
        self.page.word32(RESPONSE_EVENT_OFFSET).store(next, Ordering::Release);
        // The backend sees the question before its answers are looked at once more.
        fence(Ordering::SeqCst);
        self.page.read_u32(RESPONSE_PRODUCER_OFFSET) != self.responses_seen
    }

    /// Asks for no event, for the next 4 billion answers.
    pub fn ask_for_no_event(&self) {
        self.page.word32(RESPONSE_EVENT_OFFSET).store(self.responses_seen, Ordering::Release);
    }

    /// A ring whose indexes have come to `index`, as if it had been used for long.
    #[cfg(test)]
    pub fn at(page: GuestPage<'m>, index: u32) -> Self {
        let ring = Self::new(page);
        page.word32(REQUEST_PRODUCER_OFFSET).store(index, Ordering::Release);
        page.word32(REQUEST_EVENT_OFFSET).store(index.wrapping_add(1), Ordering::Release);
        page.word32(RESPONSE_PRODUCER_OFFSET).store(index, Ordering::Release);
        page.word32(RESPONSE_EVENT_OFFSET).store(index, Ordering::Release);
        Self {
            request_producer: index,
            requests_shown: index,
            response_consumer: index,
            responses_seen: index,
            ..ring
        }
    }
}

fn slot_offset<const SLOT_SIZE: usize>(index: u32) -> usize {
    SLOTS_OFFSET + (index % SLOT_COUNT_U32) as usize * SLOT_SIZE
}
