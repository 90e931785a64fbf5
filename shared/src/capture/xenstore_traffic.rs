//! Following the guest's xenstore ring, to know when no request of the guest is open.
//!
//! A request that xenstored has taken and not yet answered is in neither ring: a checkpoint then
//! would revive a guest that waits for an answer for ever. So the headers in both rings are
//! followed (each message carries a request id, xs_wire.h, Xen 4.17), and a request is open until
//! its reply has been seen. The rings hold 1024 bytes each; when more has passed between two
//! looks the thread is lost, and found again when the caller proves that nothing is open.

use heapless::{String, Vec};

use super::page::{PageWords, copy_bytes, half_word};
use crate::limits::{WATCH_TOKEN_SIZE_MAX, XENSTORE_OPEN_REQUEST_COUNT_MAX};

/// XENSTORE_RING_SIZE.
const RING_SIZE: u32 = 1024;
/// XENSTORE_PAYLOAD_MAX.
const PAYLOAD_SIZE_MAX: u32 = 4096;
/// Bytes of struct xsd_sockmsg: type, req_id, tx_id, len.
const HEADER_SIZE: u32 = 16;
/// XS_WATCH_EVENT: the only message that xenstored sends unasked.
const WATCH_EVENT: u32 = 15;

/// Byte offsets of the rings in struct xenstore_domain_interface.
const REQUEST_RING: usize = 0;
const RESPONSE_RING: usize = 1024;
/// 32-bit word offsets of req_cons, req_prod, rsp_cons and rsp_prod.
const INDEXES: usize = 512;

/// The four indexes of a ring page. They count bytes and wrap at 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexes {
    /// Bytes of requests that xenstored has taken.
    pub request_consumer: u32,
    /// Bytes of requests that the guest has written.
    pub request_producer: u32,
    /// Bytes of responses that the guest has taken.
    pub response_consumer: u32,
    /// Bytes of responses that xenstored has written.
    pub response_producer: u32,
}

impl Indexes {
    /// Reads them from the ring page. Responses first: every response that is counted then
    /// answers a request that is counted too.
    #[must_use]
    pub fn read(page: &PageWords) -> Self {
        let response_producer = half_word(page, INDEXES + 3);
        let response_consumer = half_word(page, INDEXES + 2);
        Self {
            request_consumer: half_word(page, INDEXES),
            request_producer: half_word(page, INDEXES + 1),
            response_consumer,
            response_producer,
        }
    }

    /// Whether both rings are empty.
    #[must_use]
    pub const fn are_empty(&self) -> bool {
        self.request_consumer == self.request_producer
            && self.response_consumer == self.response_producer
    }
}

/// What the guest and xenstored are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// The rings are empty and every request has been answered.
    Quiet,
    /// A request is open, or bytes are under way.
    Busy,
    /// Too much has passed since the last look: see [`XenstoreTraffic::found_quiet`].
    Lost,
}

/// The thread through both rings.
#[derive(Clone, Debug, Default)]
pub struct XenstoreTraffic {
    /// Where the next header of each direction begins; `None` when the thread is lost.
    next_headers: Option<(u32, u32)>,
    open_request_ids: Vec<u32, XENSTORE_OPEN_REQUEST_COUNT_MAX>,
}

impl XenstoreTraffic {
    /// Takes up the thread. The caller has proven that, with these indexes, nothing is open: the
    /// rings were empty, xenstored (which serves its connections in turn, and finishes a request
    /// once begun) then answered two requests of the caller, and the indexes did not move.
    pub fn found_quiet(&mut self, indexes: &Indexes) {
        assert!(indexes.are_empty(), "nothing is open only in empty rings");
        self.next_headers = Some((indexes.request_producer, indexes.response_producer));
        self.open_request_ids.clear();
    }

    /// Follows the rings to where they are now. Cheap; the guest may run.
    pub fn observe(&mut self, page: &PageWords) -> Traffic {
        let Some((request, response)) = self.next_headers else { return Traffic::Lost };
        let indexes = Indexes::read(page);
        let followed = self.follow(page, &indexes, request, response);
        self.next_headers = followed;
        let Some((request, response)) = followed else { return Traffic::Lost };
        let complete = request == indexes.request_producer && response == indexes.response_producer;
        if complete && indexes.are_empty() && self.open_request_ids.is_empty() {
            Traffic::Quiet
        } else {
            Traffic::Busy
        }
    }

    fn follow(
        &mut self,
        page: &PageWords,
        indexes: &Indexes,
        mut request: u32,
        mut response: u32,
    ) -> Option<(u32, u32)> {
        while let Some(header) = next_header(page, REQUEST_RING, request, indexes.request_producer)?
        {
            self.open_request_ids.push(header.request_id).ok()?;
            request = header.end;
        }
        while let Some(header) =
            next_header(page, RESPONSE_RING, response, indexes.response_producer)?
        {
            if header.kind != WATCH_EVENT {
                let at = self.open_request_ids.iter().position(|id| *id == header.request_id)?;
                self.open_request_ids.swap_remove(at);
            }
            response = header.end;
        }
        // What was read is what was written only if nothing was written over it meanwhile.
        let after = Indexes::read(page);
        let overwritten = |before: u32, now: u32| now.wrapping_sub(before) > RING_SIZE;
        let (old_request, old_response) = self.next_headers?;
        let lost = (request != old_request && overwritten(old_request, after.request_producer))
            || (response != old_response && overwritten(old_response, after.response_producer));
        (!lost).then_some((request, response))
    }
}

struct Header {
    kind: u32,
    request_id: u32,
    length: u32,
    end: u32,
}

/// The header at `position` of a ring written up to `producer`: `Some(None)` when it is not all
/// there yet, `None` when the thread is lost.
#[expect(clippy::option_option, reason = "lost, not yet, or here")]
fn next_header(
    page: &PageWords,
    ring: usize,
    position: u32,
    producer: u32,
) -> Option<Option<Header>> {
    let written = producer.wrapping_sub(position);
    if written.cast_signed() < i32::from(u8::try_from(HEADER_SIZE).unwrap_or(16)) {
        // Also while the body of a message goes on beyond what is written: negative.
        return Some(None);
    }
    if written > RING_SIZE {
        return None;
    }
    let mut bytes = [0; HEADER_SIZE as usize];
    copy_ring(page, ring, position, &mut bytes);
    let (words, _) = bytes.as_chunks::<4>();
    let length = u32::from_le_bytes(words[3]);
    (length <= PAYLOAD_SIZE_MAX).then(|| {
        Some(Header {
            kind: u32::from_le_bytes(words[0]),
            request_id: u32::from_le_bytes(words[1]),
            length,
            end: position.wrapping_add(HEADER_SIZE + length),
        })
    })
}

fn copy_ring(page: &PageWords, ring: usize, position: u32, bytes: &mut [u8]) {
    for (index, byte) in (position..=u32::MAX).chain(0..).zip(bytes) {
        let offset = usize::try_from(index % RING_SIZE).unwrap_or(0);
        copy_bytes(page, ring + offset, core::slice::from_mut(byte));
    }
}

/// The token of the guest's own watch on `path`, from the events that xenstored wrote into the
/// response ring since `position`. `None` when no complete event names `path`.
///
/// With several watches on `path` the token that stands for the highest address is taken: Linux
/// uses the address of the watch, and its own shutdown watch is static, above all allocated ones.
#[must_use]
pub fn watch_token(
    page: &PageWords,
    position: u32,
    path: &str,
) -> Option<String<WATCH_TOKEN_SIZE_MAX>> {
    let producer = Indexes::read(page).response_producer;
    let mut position = position;
    let mut best: Option<String<WATCH_TOKEN_SIZE_MAX>> = None;
    while let Some(Some(header)) = next_header(page, RESPONSE_RING, position, producer) {
        let mut payload = [0; RING_SIZE as usize];
        let body = payload.get_mut(..usize::try_from(header.length).ok()?)?;
        if producer.wrapping_sub(header.end).cast_signed() < 0 {
            return best;
        }
        copy_ring(page, RESPONSE_RING, position.wrapping_add(HEADER_SIZE), body);
        if header.kind == WATCH_EVENT {
            let mut texts = body.split(|byte| *byte == 0);
            let (event_path, token) = (texts.next()?, texts.next()?);
            let token = core::str::from_utf8(token).ok().and_then(|it| String::try_from(it).ok());
            if let Some(token) = token.filter(|_| event_path == path.as_bytes())
                && best
                    .as_ref()
                    .is_none_or(|best| (best.len(), best.as_str()) < (token.len(), &token))
            {
                best = Some(token);
            }
        }
        position = header.end;
    }
    best
}

#[cfg(test)]
#[path = "xenstore_traffic_tests.rs"]
mod tests;
