//! The guest's watch on `control/shutdown`, re-created through its own xenstore ring.
//!
//! The new xenstored knows nothing of the guest's watches. The guest re-creates them when it
//! resumes, but to be asked to suspend it needs this one: so the request is written into the
//! paused guest's ring as if the guest had, and its answer is taken out again. The event that
//! follows it is left for the guest.

use super::Clock;
use super::error::ReviveError;
use crate::limits::WATCH_TOKEN_SIZE_MAX;
use crate::platform::linux::clock::yield_now;
use crate::xen::GuestPage;
use crate::xen::xenstore::ring::{RING_SIZE, RingError, XenstoreRing};
use crate::xen::xenstore::{HEADER_SIZE, Header, MessageKind};

/// A number that the guest's requests will not reach: they count from 0.
const REQUEST_ID: u32 = u32::MAX - 1;
const PATH: &[u8] = b"control/shutdown\0";
const REQUEST_SIZE_MAX: usize = HEADER_SIZE + PATH.len() + WATCH_TOKEN_SIZE_MAX + 1;
/// How long xenstored may take.
const ANSWER_TIMEOUT_US: u64 = 5_000_000;

/// A request for the watch that waits in the guest's ring.
#[derive(Debug)]
pub struct WatchRequest<'m> {
    ring: XenstoreRing<'m>,
    /// Nothing was in the ring, neither an unread response nor a request that xenstored will answer
    /// first, so the next response is the answer.
    was_drained: bool,
}

impl<'m> WatchRequest<'m> {
    /// Writes the request into the ring of the paused guest. Its port must be notified next.
    ///
    /// # Errors
    /// [`ReviveError::WatchUnanswered`] when the ring has no room.
    pub fn put(page: GuestPage<'m>, token: &str) -> Result<Self, ReviveError> {
        let ring = XenstoreRing::new(page);
        let was_drained = ring.is_quiescent();
        let mut request = [0; REQUEST_SIZE_MAX];
        let size = write_request(&mut request, token);
        ring.push_request(&request[..size]).map_err(|_| ReviveError::WatchUnanswered)?;
        Ok(Self { ring, was_drained })
    }

    /// Waits for the answer and takes it out of the ring. Where something of the guest's own comes
    /// before it, it is left: a guest ignores the answer to a request it does not know.
    ///
    /// # Errors
    /// [`ReviveError::WatchUnanswered`] when xenstored is silent or refuses.
    pub fn finish(self, now_us: Clock) -> Result<(), ReviveError> {
        let deadline_us = now_us() + ANSWER_TIMEOUT_US;
        while now_us() < deadline_us {
            if self.take_answer()? {
                return Ok(());
            }
            yield_now();
        }
        Err(ReviveError::WatchUnanswered)
    }

    /// Takes the answer, if it is there.
    fn take_answer(&self) -> Result<bool, ReviveError> {
        let unusable = |_: RingError| ReviveError::WatchUnanswered;
        let indexes = self.ring.indexes();
        if !self.was_drained {
            return Ok(indexes.request_consumer == indexes.request_producer);
        }
        let mut bytes = [0; RING_SIZE];
        let responses = self.ring.responses(&mut bytes).map_err(unusable)?;
        let Some((header, size)) = first_message(responses) else { return Ok(false) };
        if header.request_id != REQUEST_ID || header.kind != MessageKind::Watch.code() {
            return Err(ReviveError::WatchUnanswered);
        }
        self.ring.consume_responses(size).map_err(unusable)?;
        Ok(true)
    }
}

/// Writes header, path and token, and returns the request's length.
fn write_request(buffer: &mut [u8; REQUEST_SIZE_MAX], token: &str) -> usize {
    let payload_size = PATH.len() + token.len() + 1;
    let header = Header {
        kind: MessageKind::Watch.code(),
        request_id: REQUEST_ID,
        transaction_id: 0,
        length: u32::try_from(payload_size).unwrap_or(u32::MAX),
    };
    let mut end = 0;
    for part in [&header.to_bytes()[..], PATH, token.as_bytes(), b"\0"] {
        buffer[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    end
}

/// The first message of `bytes`, and the bytes that it takes, once all of it is there.
fn first_message(bytes: &[u8]) -> Option<(Header, u32)> {
    let header = Header::from_bytes(bytes.first_chunk()?);
    let size = HEADER_SIZE + header.payload_length()?;
    (bytes.len() >= size).then_some((header, u32::try_from(size).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};

    const TOKEN: &str = "FFFFFFFF82A51F80";
    /// Where the indexes lie (io/xs_wire.h): request producer, response producer.
    const REQUEST_PRODUCER: usize = 2052;
    const RESPONSE_PRODUCER: usize = 2060;

    fn message(kind: MessageKind, request_id: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        let header = Header { kind: kind.code(), request_id, transaction_id: 0, length };
        [&header.to_bytes()[..], payload].concat()
    }

    fn respond(page: GuestPage<'_>, bytes: &[u8]) {
        let producer = page.word32(RESPONSE_PRODUCER);
        let start = producer.load(Ordering::Relaxed) as usize;
        page.write(RING_SIZE + start, bytes);
        producer.fetch_add(u32::try_from(bytes.len()).unwrap(), Ordering::Relaxed);
    }

    #[test]
    fn the_answer_is_taken_and_the_event_left() {
        let words = [const { AtomicU64::new(0) }; 512];
        let page = GuestPage::from_words(&words);
        let request = WatchRequest::put(page, TOKEN).unwrap();
        let mut bytes = [0; RING_SIZE];
        let sent = request.ring.requests(&mut bytes).unwrap();
        let payload = b"control/shutdown\0FFFFFFFF82A51F80\0";
        assert_eq!(sent, message(MessageKind::Watch, REQUEST_ID, payload));
        assert_eq!(page.read_u32(REQUEST_PRODUCER) as usize, sent.len());

        assert_eq!(request.take_answer(), Ok(false));
        let answer = message(MessageKind::Watch, REQUEST_ID, b"OK\0");
        respond(page, &answer[..17]);
        assert_eq!(request.take_answer(), Ok(false), "half an answer");
        respond(page, &answer[17..]);
        let event = message(MessageKind::WatchEvent, 0, payload);
        respond(page, &event);
        assert_eq!(request.take_answer(), Ok(true));
        let mut bytes = [0; RING_SIZE];
        assert_eq!(request.ring.responses(&mut bytes).unwrap(), event);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let words = [const { AtomicU64::new(0) }; 512];
        let page = GuestPage::from_words(&words);
        let request = WatchRequest::put(page, TOKEN).unwrap();
        respond(page, &message(MessageKind::Error, REQUEST_ID, b"EINVAL\0"));
        assert_eq!(request.take_answer(), Err(ReviveError::WatchUnanswered));
    }

    #[test]
    fn unread_responses_stay_the_guests() {
        let words = [const { AtomicU64::new(0) }; 512];
        let page = GuestPage::from_words(&words);
        respond(page, &message(MessageKind::Read, 9, b"value"));
        let request = WatchRequest::put(page, TOKEN).unwrap();
        assert_eq!(request.take_answer(), Ok(false));
        let taken = page.read_u32(REQUEST_PRODUCER);
        page.word32(2048).store(taken, Ordering::Relaxed);
        assert_eq!(request.take_answer(), Ok(true));
        let mut bytes = [0; RING_SIZE];
        assert_eq!(request.ring.responses(&mut bytes).unwrap().len(), HEADER_SIZE + 5);
    }
}
