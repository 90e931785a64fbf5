//! Frames to the backend.
//!
//! A frame is copied into as many buffers as it needs, from the start of each. A buffer is used again
//! when the backend has answered its request, in whatever order.

use heapless::Vec;

use super::BackendLie;
use super::front_ring::{FrontRing, SLOT_COUNT};
use super::granted_memory::{GrantedMemory, InterfacePages};
use super::slot::{TransmitRequest, TransmitResponse};
use crate::limits::PAGE_SIZE;

/// The direction out.
#[derive(Debug)]
pub struct Transmitter<'m> {
    ring: FrontRing<'m, { TransmitRequest::SIZE }>,
    pages: InterfacePages<'m>,
    references: [u32; SLOT_COUNT],
    /// Buffers without a request, by number, which is also the request's id.
    free: Vec<u16, SLOT_COUNT>,
    is_open: [bool; SLOT_COUNT],
    /// Bytes of a frame, with its Ethernet header.
    frame_size_max: usize,
    /// Requests that the backend refused or dropped, and frames that are too long for it.
    pub dropped_count: u64,
}

impl<'m> Transmitter<'m> {
    /// Over granted memory; the frames have `frame_size_max` bytes at most.
    pub fn new(memory: &GrantedMemory<'m>, frame_size_max: usize) -> Self {
        assert!(frame_size_max <= usize::from(u16::MAX), "XEN_NETIF_MAX_TX_SIZE");
        Self {
            ring: FrontRing::new(memory.pages().transmit_ring()),
            pages: memory.pages(),
            references: memory.transmit_references(),
            free: (0..).take(SLOT_COUNT).collect(),
            is_open: [false; SLOT_COUNT],
            frame_size_max,
            dropped_count: 0,
        }
    }

    /// Takes a frame, unless the ring is full; whether it was. One that is empty, or longer than the
    /// backend takes, is dropped.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        if frame.is_empty() || frame.len() > self.frame_size_max {
            self.dropped_count += 1;
            return true;
        }
        let slot_count = frame.len().div_ceil(PAGE_SIZE);
        if self.ring.free_count() < slot_count {
            return false;
        }
        for (index, part) in frame.chunks(PAGE_SIZE).enumerate() {
            let size = if index == 0 { frame.len() } else { part.len() };
            let more = if index + 1 < slot_count { TransmitRequest::MORE_DATA } else { 0 };
            self.put_request(part, size, more);
        }
        true
    }

    /// Shows the backend what was sent. Whether it is to be notified.
    #[must_use]
    pub fn show_requests(&mut self) -> bool {
        self.ring.show_requests()
    }

    /// Takes the answers that have come.
    ///
    /// # Errors
    /// [`BackendLie`].
    pub fn take_responses(&mut self) -> Result<(), BackendLie> {
        for _ in 0..self.ring.response_count()? {
            let word = self.ring.response_word32(self.ring.response_slot(0));
            let TransmitResponse { id, status } = TransmitResponse::from_word(word);
            let is_open = self.is_open.get_mut(usize::from(id)).ok_or(BackendLie::TransmitId)?;
            if !core::mem::take(is_open) {
                return Err(BackendLie::TransmitId);
            }
            match status {
                TransmitResponse::OKAY => {}
                TransmitResponse::ERROR | TransmitResponse::DROPPED => self.dropped_count += 1,
                _ => return Err(BackendLie::TransmitStatus),
            }
            self.ring.take_responses(1);
            self.free.push(id).expect("as many buffers as slots");
        }
        Ok(())
    }

    fn put_request(&mut self, part: &[u8], size: usize, flags: u16) {
        let id = self.free.pop().expect("as many buffers as slots");
        let slot = usize::from(id);
        self.pages.transmit_buffer(slot).copy_part_in(part);
        self.is_open[slot] = true;
        let size = u16::try_from(size).expect("a frame's size was checked");
        let request =
            TransmitRequest { reference: self.references[slot], offset: 0, flags, id, size };
        self.ring.put_request(&request.to_words());
    }

    #[cfg(test)]
    pub fn start_at(&mut self, index: u32) {
        self.ring = FrontRing::at(self.pages.transmit_ring(), index);
    }
}
