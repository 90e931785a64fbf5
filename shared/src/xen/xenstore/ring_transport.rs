//! A domain's own xenstore ring as the stream of a [`Xenstore`](super::Xenstore) client (io/xs_wire.h).
//!
//! What comes is gathered without waiting, piece by piece, and handed out only as whole messages: so a
//! client that gives up waiting stays at a message's border, and one that only looks never waits. This
//! side's indexes are kept here; of the page only the daemon's are read, each once, and checked. A
//! daemon that breaks the protocol breaks the connection, for good: only the domain's builder can set a
//! ring up anew.
//!
//! The optional way to ask the daemon to reconnect (`connection`) is not used.

use core::fmt;
use core::sync::atomic::{Ordering, fence};

use embedded_io::{Error, ErrorKind, ErrorType, Read, Write};

use super::message::{HEADER_SIZE, Header, MessageKind, PAYLOAD_SIZE_MAX};
use super::ring::{
    ERROR_OFFSET, REQUEST_CONSUMER_OFFSET, REQUEST_OFFSET, REQUEST_PRODUCER_OFFSET,
    RESPONSE_CONSUMER_OFFSET, RESPONSE_OFFSET, RESPONSE_PRODUCER_OFFSET, RING_SIZE, RING_SIZE_U32,
};
use crate::xen::GuestPage;

const MESSAGE_SIZE_MAX: usize = HEADER_SIZE + PAYLOAD_SIZE_MAX;

/// What the ring needs of its surroundings.
pub trait RingHost {
    /// Microseconds of a clock that never goes back.
    fn now_us(&mut self) -> u64;

    /// Sends an event through xenstore's port (EVTCHNOP_send).
    fn notify(&mut self);

    /// Waits until the port has an event, about `duration_us` at most, and forgets it (SCHEDOP_poll).
    fn wait(&mut self, duration_us: u64);
}

/// Why the ring cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFault {
    /// The daemon did not answer, or take a request, in time.
    Silent,
    /// Its indexes are impossible.
    Indexes,
    /// It announced a message that is longer than the protocol allows.
    Message,
    /// It says that it does not serve the ring any more (`error`).
    Refused,
}

impl fmt::Display for RingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RingFault::Silent => "xenstored does not answer: check that it runs",
            RingFault::Indexes => "xenstored wrote impossible indexes: start the stub domain anew",
            RingFault::Message => {
                "xenstored sent an impossible message: start the stub domain anew"
            }
            RingFault::Refused => "xenstored gave this domain's ring up: see its log",
        })
    }
}

impl core::error::Error for RingFault {}

impl Error for RingFault {
    fn kind(&self) -> ErrorKind {
        match self {
            RingFault::Silent => ErrorKind::TimedOut,
            RingFault::Indexes | RingFault::Message => ErrorKind::InvalidData,
            RingFault::Refused => ErrorKind::NotConnected,
        }
    }
}

/// The ring.
pub struct RingTransport<'m, H> {
    page: GuestPage<'m>,
    host: H,
    answer_us_max: u64,
    request_producer: u32,
    /// What the daemon had taken when it was looked at last.
    requests_taken: u32,
    response_consumer: u32,
    /// What it had written then.
    responses_seen: u32,
    message: [u8; MESSAGE_SIZE_MAX],
    /// Bytes of the message that have come.
    gathered: usize,
    /// Bytes of it that were handed out: none before it is whole.
    handed_out: usize,
    /// The number of the request that was sent last.
    request_id: u32,
    /// Bytes of it that are still to be written.
    unsent: usize,
    /// Until when it is to be answered, if it has not been.
    answer_by_us: Option<u64>,
    fault: Option<RingFault>,
}

impl<H: fmt::Debug> fmt::Debug for RingTransport<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RingTransport");
        debug.field("host", &self.host).field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl<'m, H: RingHost> RingTransport<'m, H> {
    /// The ring in `page`, where its indexes stand, with nothing under way. The daemon is given
    /// `answer_us_max` for each answer.
    #[must_use]
    pub fn new(page: GuestPage<'m>, host: H, answer_us_max: u64) -> Self {
        let [request_producer, response_consumer] =
            [REQUEST_PRODUCER_OFFSET, RESPONSE_CONSUMER_OFFSET].map(|it| page.read_u32(it));
        Self {
            page,
            host,
            answer_us_max,
            request_producer,
            requests_taken: request_producer,
            response_consumer,
            responses_seen: response_consumer,
            message: [0; MESSAGE_SIZE_MAX],
            gathered: 0,
            handed_out: 0,
            request_id: 0,
            unsent: 0,
            answer_by_us: None,
            fault: None,
        }
    }

    /// Gathers what has come, without waiting. Whether a whole message is there.
    ///
    /// # Errors
    /// [`RingFault`], but not [`RingFault::Silent`].
    pub fn poll(&mut self) -> Result<bool, RingFault> {
        self.check()?;
        while let missing @ 1.. = self.missing_size()? {
            let available = self.available_size()?;
            if available == 0 {
                return Ok(false);
            }
            self.gather(missing.min(available));
        }
        Ok(true)
    }

    /// Bytes until the message is whole, as far as is known: first its header must be.
    fn missing_size(&mut self) -> Result<usize, RingFault> {
        let Some(header) = self.message.first_chunk().filter(|_| self.gathered >= HEADER_SIZE)
        else {
            return Ok(HEADER_SIZE - self.gathered);
        };
        match Header::from_bytes(header).payload_length() {
            Some(length) => Ok(HEADER_SIZE + length - self.gathered),
            None => Err(self.broken(RingFault::Message)),
        }
    }

    fn available_size(&mut self) -> Result<usize, RingFault> {
        let produced = self.page.read_u32(RESPONSE_PRODUCER_OFFSET);
        let since_taken = |index: u32| index.wrapping_sub(self.response_consumer);
        let possible = since_taken(self.responses_seen)..=RING_SIZE_U32;
        if !possible.contains(&since_taken(produced)) {
            return Err(self.broken(RingFault::Indexes));
        }
        self.responses_seen = produced;
        Ok(since_taken(produced) as usize)
    }

    /// Takes `size` bytes, which are there and have room in the message.
    fn gather(&mut self, size: usize) {
        let before = self.response_consumer;
        let start = before as usize % RING_SIZE;
        let target = &mut self.message[self.gathered..][..size];
        let (head, tail) = target.split_at_mut(size.min(RING_SIZE - start));
        self.page.read(RESPONSE_OFFSET + start, head);
        self.page.read(RESPONSE_OFFSET, tail);
        self.gathered += size;
        let size = u32::try_from(size).expect("a ring is small");
        self.response_consumer = before.wrapping_add(size);
        self.page.word32(RESPONSE_CONSUMER_OFFSET).store(self.response_consumer, Ordering::Release);
        // A daemon that found the ring full until now waits to be told of the room.
        fence(Ordering::SeqCst);
        let produced = self.page.read_u32(RESPONSE_PRODUCER_OFFSET);
        if produced.wrapping_sub(before) >= RING_SIZE_U32 {
            self.host.notify();
        }
    }

    /// Writes as much of `source` as there is room for, and returns how much.
    fn put(&mut self, source: &[u8]) -> Result<usize, RingFault> {
        let taken = self.page.read_u32(REQUEST_CONSUMER_OFFSET);
        let untaken = |index: u32| self.request_producer.wrapping_sub(index);
        if untaken(taken) > untaken(self.requests_taken) {
            return Err(self.broken(RingFault::Indexes));
        }
        self.requests_taken = taken;
        let size = source.len().min(RING_SIZE - untaken(taken) as usize);
        let start = self.request_producer as usize % RING_SIZE;
        let (head, tail) = source[..size].split_at(size.min(RING_SIZE - start));
        self.page.write(REQUEST_OFFSET + start, head);
        self.page.write(REQUEST_OFFSET, tail);
        if size > 0 {
            let size = u32::try_from(size).expect("a ring is small");
            self.request_producer = self.request_producer.wrapping_add(size);
            let producer = self.page.word32(REQUEST_PRODUCER_OFFSET);
            producer.store(self.request_producer, Ordering::Release);
            fence(Ordering::SeqCst);
            self.host.notify();
        }
        Ok(size)
    }

    fn check(&mut self) -> Result<(), RingFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match self.page.read_u32(ERROR_OFFSET) {
            0 => Ok(()),
            _ => Err(self.broken(RingFault::Refused)),
        }
    }

    fn broken(&mut self, fault: RingFault) -> RingFault {
        self.fault = Some(fault);
        fault
    }

    /// Waits for an event, until `by_us` at most.
    fn wait(&mut self, by_us: u64) -> Result<(), RingFault> {
        let now_us = self.host.now_us();
        if now_us >= by_us {
            return Err(RingFault::Silent);
        }
        self.host.wait(by_us - now_us);
        Ok(())
    }

    /// Waits for a whole message: until a request's time is over, or for as long from now. Messages that
    /// nobody asked for give a request no more time.
    fn await_message(&mut self) -> Result<(), RingFault> {
        let now_us = self.host.now_us();
        let by_us = self.answer_by_us.unwrap_or(now_us.saturating_add(self.answer_us_max));
        let is_over = now_us >= by_us;
        while !self.poll()? || is_over {
            self.wait(by_us).inspect_err(|_| self.answer_by_us = None)?;
        }
        Ok(())
    }
}

impl<H> ErrorType for RingTransport<'_, H> {
    type Error = RingFault;
}

impl<H: RingHost> Read for RingTransport<'_, H> {
    fn read(&mut self, target: &mut [u8]) -> Result<usize, RingFault> {
        if target.is_empty() {
            return Ok(0);
        }
        if self.handed_out == 0 {
            self.await_message()?;
            let header = self.message.first_chunk().map(Header::from_bytes);
            let is_answer = |header: Header| {
                header.kind != MessageKind::WatchEvent.code()
                    && header.request_id == self.request_id
            };
            if header.is_some_and(is_answer) {
                self.answer_by_us = None;
            }
        }
        let source = &self.message[self.handed_out..self.gathered];
        let size = source.len().min(target.len());
        target[..size].copy_from_slice(&source[..size]);
        self.handed_out += size;
        if self.handed_out == self.gathered {
            (self.gathered, self.handed_out) = (0, 0);
        }
        Ok(size)
    }
}

/// The client writes a message in one piece, as far as the ring takes it, and flushes.
impl<H: RingHost> Write for RingTransport<'_, H> {
    fn write(&mut self, source: &[u8]) -> Result<usize, RingFault> {
        let by_us = self.host.now_us().saturating_add(self.answer_us_max);
        let is_beginning = self.unsent == 0;
        if is_beginning && let Some(header) = source.first_chunk().map(Header::from_bytes) {
            self.request_id = header.request_id;
        }
        loop {
            self.check()?;
            let size = self.put(source)?;
            if size > 0 || source.is_empty() {
                self.unsent = source.len() - size;
                return Ok(size);
            }
            match self.wait(by_us) {
                // What is there of a request cannot be taken back, so nothing can follow.
                Err(fault) if !is_beginning => return Err(self.broken(fault)),
                result => result?,
            }
        }
    }

    fn flush(&mut self) -> Result<(), RingFault> {
        let now_us = self.host.now_us();
        self.answer_by_us = Some(now_us.saturating_add(self.answer_us_max));
        Ok(())
    }
}
