//! Frames from the backend.
//!
//! Every slot of the ring has its buffer, and the backend answers a request in the slot that it had, as
//! io/netif.h demands: what a slot says about a frame is then about that buffer, whatever else it says.
//! A frame is taken when all of its slots are there; each is read once.

use heapless::Vec;

use super::BackendLie;
use super::front_ring::{FrontRing, SLOT_COUNT};
use super::granted_memory::{GrantedMemory, InterfacePages};
use super::slot::{ExtraInfo, ReceiveRequest, ReceiveResponse};
use crate::limits::PAGE_SIZE;

/// Slots of data in a frame at most: what every backend must take (XEN_NETIF_NR_SLOTS_MIN), and one,
/// since some put a frame's headers in a slot of their own.
pub const FRAGMENT_COUNT_MAX: usize = 18 + 1;
/// Extras of a frame at most: one of each kind.
const EXTRA_COUNT_MAX: usize = 4;

const _: () = assert!(FRAGMENT_COUNT_MAX + EXTRA_COUNT_MAX <= SLOT_COUNT);

/// Data in a buffer.
#[derive(Clone, Copy, Debug)]
struct Fragment {
    slot: usize,
    offset: usize,
    size: usize,
}

/// A frame that is all there.
#[derive(Debug, Default)]
struct Arrival {
    slot_count: usize,
    fragments: Vec<Fragment, FRAGMENT_COUNT_MAX>,
    /// It is not to be used.
    is_broken: bool,
}

impl Arrival {
    fn size(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.size).sum()
    }
}

/// The direction in.
#[derive(Debug)]
pub struct Receiver<'m> {
    ring: FrontRing<'m, { ReceiveRequest::SIZE }>,
    pages: InterfacePages<'m>,
    references: [u32; SLOT_COUNT],
    /// Answers that are there and have been found to be no whole frame.
    unfinished_count: usize,
    /// Frames that came and were not passed on.
    pub dropped_count: u64,
}

impl<'m> Receiver<'m> {
    /// Over granted memory, with every buffer offered.
    pub fn new(memory: &GrantedMemory<'m>) -> Self {
        let mut receiver = Self {
            ring: FrontRing::new(memory.pages().receive_ring()),
            pages: memory.pages(),
            references: memory.receive_references(),
            unfinished_count: 0,
            dropped_count: 0,
        };
        // Nobody is there to be notified yet.
        let _ = receiver.offer_buffers();
        receiver
    }

    /// Copies the next frame into `target`, and returns its size. One that does not fit, is empty or
    /// broken is dropped.
    ///
    /// # Errors
    /// [`BackendLie`].
    pub fn receive(&mut self, target: &mut [u8]) -> Result<Option<usize>, BackendLie> {
        let mut left = self.ring.response_count()?;
        while let Some(arrival) = self.next_arrival(left)? {
            left -= arrival.slot_count;
            self.ring.take_responses(arrival.slot_count);
            let size = arrival.size();
            if arrival.is_broken || size == 0 || size > target.len() {
                self.dropped_count += 1;
                continue;
            }
            let mut rest = &mut target[..size];
            for Fragment { slot, offset, size } in arrival.fragments {
                let (part, after) = rest.split_at_mut(size);
                self.pages.receive_buffer(slot).copy_part_out(offset, part);
                rest = after;
            }
            self.unfinished_count = 0;
            return Ok(Some(size));
        }
        self.unfinished_count = left;
        Ok(None)
    }

    /// Offers the backend every buffer that is free. Whether it is to be notified.
    #[must_use]
    pub fn offer_buffers(&mut self) -> bool {
        for _ in 0..self.ring.free_count() {
            let slot = self.ring.next_slot();
            let id = u16::try_from(slot).expect("a ring has few slots");
            let request = ReceiveRequest { id, reference: self.references[slot] };
            self.ring.put_request(&request.to_words());
        }
        self.ring.show_requests()
    }

    /// Asks for an event when something comes. Whether something is there already.
    ///
    /// # Errors
    /// [`BackendLie`].
    pub fn ask_for_event(&mut self) -> Result<bool, BackendLie> {
        let is_something_there = self.ring.response_count()? != self.unfinished_count;
        Ok(is_something_there || self.ring.ask_for_event())
    }

    /// Asks for no more events.
    pub fn ask_for_no_event(&self) {
        self.ring.ask_for_no_event();
    }

    /// The frame in the next of `left` slots, if all of it is there.
    fn next_arrival(&self, left: usize) -> Result<Option<Arrival>, BackendLie> {
        let mut arrival = Arrival::default();
        while arrival.slot_count < left {
            let is_first = arrival.slot_count == 0;
            let slot = self.ring.response_slot(arrival.slot_count);
            arrival.slot_count += 1;
            let response = ReceiveResponse::from_word(self.ring.response_word64(slot));
            arrival.add(slot, response)?;
            if response.flags & ReceiveResponse::EXTRA_INFO != 0 {
                if !is_first {
                    return Err(BackendLie::ReceiveFlags);
                }
                if !self.skip_extras(&mut arrival, left)? {
                    return Ok(None);
                }
            }
            if response.flags & ReceiveResponse::MORE_DATA == 0 {
                return Ok(Some(arrival));
            }
        }
        Ok(None)
    }

    /// Goes past the extras that follow; whether all of them are there.
    fn skip_extras(&self, arrival: &mut Arrival, left: usize) -> Result<bool, BackendLie> {
        for _ in 0..EXTRA_COUNT_MAX {
            if arrival.slot_count == left {
                return Ok(false);
            }
            let slot = self.ring.response_slot(arrival.slot_count);
            arrival.slot_count += 1;
            let extra = ExtraInfo::from_word(self.ring.response_word64(slot));
            match extra.kind {
                ExtraInfo::HASH => {}
                ExtraInfo::SEGMENTATION => arrival.is_broken = true,
                _ => return Err(BackendLie::ReceiveExtra),
            }
            match extra.flags {
                0 => return Ok(true),
                ExtraInfo::MORE => {}
                _ => return Err(BackendLie::ReceiveExtra),
            }
        }
        Err(BackendLie::ReceiveExtra)
    }

    #[cfg(test)]
    pub fn start_at(&mut self, index: u32) {
        self.ring = FrontRing::at(self.pages.receive_ring(), index);
        let _ = self.offer_buffers();
    }
}

impl Arrival {
    /// Adds the data that the backend says to have put in the buffer of `slot`.
    fn add(&mut self, slot: usize, response: ReceiveResponse) -> Result<(), BackendLie> {
        if usize::from(response.id) != slot {
            return Err(BackendLie::ReceiveId);
        }
        if response.flags & !ReceiveResponse::FLAGS_MASK != 0 {
            return Err(BackendLie::ReceiveFlags);
        }
        // Less than 0 says that the backend could not fill it; the rest says nothing then.
        let (offset, size) = match usize::try_from(response.status) {
            Ok(size) => (usize::from(response.offset), size),
            Err(_) => (0, 0),
        };
        self.is_broken |= response.status < 0;
        if offset > PAGE_SIZE || size > PAGE_SIZE - offset {
            return Err(BackendLie::ReceiveExtent);
        }
        let pushed = self.fragments.push(Fragment { slot, offset, size });
        pushed.map_err(|_| BackendLie::ReceiveFragments)
    }
}
