//! The page that a guest shares with xenstored (struct xenstore_domain_interface, io/xs_wire.h).
//!
//! Two rings of 1024 bytes carry the messages; four free-running indexes say what is in them. The
//! guest produces requests and consumes responses. Dom0 can look at what is there, and on the
//! backup stand in for the guest. Whoever does the latter must know that the guest itself does
//! not use the page at that moment, and tells xenstored by the guest's port.

use core::fmt;
use core::sync::atomic::Ordering;

use crate::xen::GuestPage;

/// Bytes of each ring (XENSTORE_RING_SIZE).
pub const RING_SIZE: usize = 1024;
pub(super) const RING_SIZE_U32: u32 = 1024;

pub(super) const REQUEST_OFFSET: usize = 0;
pub(super) const RESPONSE_OFFSET: usize = RING_SIZE;
pub(super) const REQUEST_CONSUMER_OFFSET: usize = 2048;
pub(super) const REQUEST_PRODUCER_OFFSET: usize = 2052;
pub(super) const RESPONSE_CONSUMER_OFFSET: usize = 2056;
pub(super) const RESPONSE_PRODUCER_OFFSET: usize = 2060;
const CONNECTION_OFFSET: usize = 2068;
pub(super) const ERROR_OFFSET: usize = 2072;

/// The four indexes; each counts bytes and wraps at 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingIndexes {
    /// Bytes of requests that xenstored has taken.
    pub request_consumer: u32,
    /// Bytes of requests that the guest has written.
    pub request_producer: u32,
    /// Bytes of responses that the guest has taken.
    pub response_consumer: u32,
    /// Bytes of responses that xenstored has written.
    pub response_producer: u32,
}

/// Why a ring cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// More bytes lie between the indexes than the ring has.
    Inconsistent,
    /// There is no room for the message now.
    Full,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RingError::Inconsistent => {
                "the guest's xenstore ring has impossible indexes: this gfn is not its ring"
            }
            RingError::Full => "the guest's xenstore ring is full: try again in a moment",
        })
    }
}

impl core::error::Error for RingError {}

/// A guest's xenstore page.
#[derive(Clone, Copy, Debug)]
pub struct XenstoreRing<'m> {
    page: GuestPage<'m>,
}

impl<'m> XenstoreRing<'m> {
    /// The ring in `page`, which lies at the gfn of HVM param STORE_PFN.
    #[must_use]
    pub const fn new(page: GuestPage<'m>) -> XenstoreRing<'m> {
        XenstoreRing { page }
    }

    /// The indexes at this moment.
    #[must_use]
    pub fn indexes(&self) -> RingIndexes {
        RingIndexes {
            request_consumer: self.page.read_u32(REQUEST_CONSUMER_OFFSET),
            request_producer: self.page.read_u32(REQUEST_PRODUCER_OFFSET),
            response_consumer: self.page.read_u32(RESPONSE_CONSUMER_OFFSET),
            response_producer: self.page.read_u32(RESPONSE_PRODUCER_OFFSET),
        }
    }

    /// Whether both rings are empty. Xenstored may still owe the answer to a request that it has
    /// taken.
    #[must_use]
    pub fn is_quiescent(&self) -> bool {
        let indexes = self.indexes();
        indexes.request_producer == indexes.request_consumer
            && indexes.response_producer == indexes.response_consumer
    }

    /// Copies the responses that the guest has not taken yet into `target`; they stay there.
    ///
    /// # Errors
    /// [`RingError::Inconsistent`].
    pub fn responses<'t>(&self, target: &'t mut [u8; RING_SIZE]) -> Result<&'t [u8], RingError> {
        let indexes = self.indexes();
        self.copy_between(
            RESPONSE_OFFSET,
            indexes.response_consumer,
            indexes.response_producer,
            target,
        )
    }

    /// Copies the requests that xenstored has not taken yet into `target`; they stay there.
    ///
    /// # Errors
    /// [`RingError::Inconsistent`].
    pub fn requests<'t>(&self, target: &'t mut [u8; RING_SIZE]) -> Result<&'t [u8], RingError> {
        let indexes = self.indexes();
        self.copy_between(
            REQUEST_OFFSET,
            indexes.request_consumer,
            indexes.request_producer,
            target,
        )
    }

    /// Takes `byte_count` bytes of responses, in the guest's place.
    ///
    /// # Errors
    /// [`RingError::Inconsistent`] when there are not as many.
    pub fn consume_responses(&self, byte_count: u32) -> Result<(), RingError> {
        let indexes = self.indexes();
        let available = indexes.response_producer.wrapping_sub(indexes.response_consumer);
        if available > RING_SIZE_U32 || byte_count > available {
            return Err(RingError::Inconsistent);
        }
        let consumer = indexes.response_consumer.wrapping_add(byte_count);
        self.page.word32(RESPONSE_CONSUMER_OFFSET).store(consumer, Ordering::Release);
        Ok(())
    }

    /// Writes a whole message as a request, in the guest's place. Xenstored notices it when the
    /// guest's port is notified.
    ///
    /// # Errors
    /// [`RingError::Full`] when there is no room for all of it; nothing is written then.
    pub fn push_request(&self, message: &[u8]) -> Result<(), RingError> {
        let indexes = self.indexes();
        let used = indexes.request_producer.wrapping_sub(indexes.request_consumer);
        let free = RING_SIZE_U32.checked_sub(used).ok_or(RingError::Inconsistent)?;
        let length = u32::try_from(message.len()).map_err(|_| RingError::Full)?;
        if length > free {
            return Err(RingError::Full);
        }
        for (index, byte) in (indexes.request_producer as usize..).zip(message) {
            self.page.byte(REQUEST_OFFSET + index % RING_SIZE).store(*byte, Ordering::Relaxed);
        }
        let producer = indexes.request_producer.wrapping_add(length);
        self.page.word32(REQUEST_PRODUCER_OFFSET).store(producer, Ordering::Release);
        Ok(())
    }

    /// Empties both rings and sets all indexes to zero, as a domain builder leaves them.
    pub fn reset(&self) {
        for offset in [
            REQUEST_CONSUMER_OFFSET,
            REQUEST_PRODUCER_OFFSET,
            RESPONSE_CONSUMER_OFFSET,
            RESPONSE_PRODUCER_OFFSET,
            CONNECTION_OFFSET,
            ERROR_OFFSET,
        ] {
            self.page.word32(offset).store(0, Ordering::Release);
        }
    }

    fn copy_between<'t>(
        &self,
        ring_offset: usize,
        consumer: u32,
        producer: u32,
        target: &'t mut [u8; RING_SIZE],
    ) -> Result<&'t [u8], RingError> {
        let length = producer.wrapping_sub(consumer) as usize;
        let bytes = target.get_mut(..length).ok_or(RingError::Inconsistent)?;
        let start = consumer as usize % RING_SIZE;
        let first = length.min(RING_SIZE - start);
        let (head, tail) = bytes.split_at_mut(first);
        self.page.read(ring_offset + start, head);
        self.page.read(ring_offset, tail);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use proptest::prelude::*;

    fn empty() -> [AtomicU64; 512] {
        [const { AtomicU64::new(0) }; 512]
    }

    fn set_indexes(page: GuestPage<'_>, indexes: RingIndexes) {
        page.word32(REQUEST_CONSUMER_OFFSET).store(indexes.request_consumer, Ordering::Relaxed);
        page.word32(REQUEST_PRODUCER_OFFSET).store(indexes.request_producer, Ordering::Relaxed);
        page.word32(RESPONSE_CONSUMER_OFFSET).store(indexes.response_consumer, Ordering::Relaxed);
        page.word32(RESPONSE_PRODUCER_OFFSET).store(indexes.response_producer, Ordering::Relaxed);
    }

    proptest! {
        #[test]
        fn requests_are_read_back_wherever_the_ring_stands(
            start: u32,
            message in proptest::collection::vec(any::<u8>(), 0..=RING_SIZE),
        ) {
            let words = empty();
            let page = GuestPage::from_words(&words);
            let ring = XenstoreRing::new(page);
            set_indexes(page, RingIndexes {
                request_consumer: start,
                request_producer: start,
                response_consumer: start,
                response_producer: start,
            });
            prop_assert!(ring.is_quiescent());
            ring.push_request(&message).unwrap();
            let mut target = [0; RING_SIZE];
            prop_assert_eq!(ring.requests(&mut target).unwrap(), &message[..]);
            if !message.is_empty() {
                prop_assert!(!ring.is_quiescent());
                let too_much = [0; RING_SIZE];
                prop_assert_eq!(ring.push_request(&too_much), Err(RingError::Full));
            }
            // The response ring and the indexes beside were not touched.
            prop_assert_eq!(ring.responses(&mut target).unwrap().len(), 0);
            ring.reset();
            prop_assert!(ring.is_quiescent());
            prop_assert_eq!(ring.indexes().request_producer, 0);
        }

        #[test]
        fn any_indexes_are_handled(words: [u32; 4], byte_count: u32) {
            let memory = empty();
            let page = GuestPage::from_words(&memory);
            let ring = XenstoreRing::new(page);
            set_indexes(page, RingIndexes {
                request_consumer: words[0],
                request_producer: words[1],
                response_consumer: words[2],
                response_producer: words[3],
            });
            let mut target = [0; RING_SIZE];
            let _ = ring.requests(&mut target);
            let _ = ring.responses(&mut target);
            let _ = ring.consume_responses(byte_count);
            let _ = ring.push_request(b"x");
        }
    }

    #[test]
    fn responses_are_taken_in_the_guest_s_place() {
        let words = empty();
        let page = GuestPage::from_words(&words);
        let ring = XenstoreRing::new(page);
        page.write(RESPONSE_OFFSET + 1020, b"abcd");
        page.write(RESPONSE_OFFSET, b"efg");
        let consumed = RingIndexes {
            request_consumer: 5,
            request_producer: 5,
            response_consumer: 1020,
            response_producer: 1027,
        };
        set_indexes(page, consumed);
        let mut target = [0; RING_SIZE];
        assert_eq!(ring.responses(&mut target), Ok(&b"abcdefg"[..]));
        assert_eq!(ring.consume_responses(8), Err(RingError::Inconsistent));
        assert_eq!(ring.consume_responses(5), Ok(()));
        assert_eq!(ring.responses(&mut target), Ok(&b"fg"[..]));
    }
}
