//! Both directions of an interface that is offered to a backend.

use super::BackendLie;
use super::granted_memory::GrantedMemory;
use super::receiver::Receiver;
use super::transmitter::Transmitter;

/// What was lost on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Slots of frames that the backend did not send on.
    pub transmit_dropped: u64,
    /// Frames of the backend's that were not passed on: broken, empty, or too long.
    pub receive_dropped: u64,
}

impl core::ops::Add for RingCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            transmit_dropped: self.transmit_dropped + other.transmit_dropped,
            receive_dropped: self.receive_dropped + other.receive_dropped,
        }
    }
}

/// The two rings of an interface, over memory that is granted to the backend.
#[derive(Debug)]
pub struct Rings<'m> {
    transmitter: Transmitter<'m>,
    receiver: Receiver<'m>,
}

impl<'m> Rings<'m> {
    /// Empty rings, with every buffer offered; frames out have `frame_size_max` bytes at most, Ethernet
    /// header included.
    ///
    /// # Panics
    /// If that is more than 65,535.
    #[must_use]
    pub fn new(memory: &GrantedMemory<'m>, frame_size_max: usize) -> Self {
        let transmitter = Transmitter::new(memory, frame_size_max);
        Self { transmitter, receiver: Receiver::new(memory) }
    }

    /// Sends frames in order until the ring is full, and returns how many were taken, and whether the
    /// backend is to be notified.
    ///
    /// # Errors
    /// [`BackendLie`]: the rings are not to be used any more.
    pub fn send<'f>(
        &mut self,
        frames: impl Iterator<Item = &'f [u8]>,
    ) -> Result<(usize, bool), BackendLie> {
        // Before, not when the ring is full, so that few buffers serve, which the caches still have.
        self.transmitter.take_responses()?;
        let count = frames.take_while(|frame| self.transmitter.send(frame)).count();
        Ok((count, self.transmitter.show_requests()))
    }

    /// Receives the frames that are there into `area`, each at a multiple of `frame_area_size`, writes
    /// their sizes to `sizes`, and returns how many came, and whether the backend is to be notified.
    ///
    /// # Errors
    /// [`BackendLie`]: the rings are not to be used any more.
    pub fn receive(
        &mut self,
        area: &mut [u8],
        frame_area_size: usize,
        sizes: &mut [usize],
    ) -> Result<(usize, bool), BackendLie> {
        let mut count = 0;
        for (target, target_size) in area.chunks_exact_mut(frame_area_size).zip(sizes) {
            let Some(size) = self.receiver.receive(target)? else { break };
            *target_size = size;
            count += 1;
        }
        Ok((count, self.receiver.offer_buffers()))
    }

    /// Asks for an event when a frame comes. Whether one may be there already.
    ///
    /// # Errors
    /// [`BackendLie`]: the rings are not to be used any more.
    pub fn ask_for_event(&mut self) -> Result<bool, BackendLie> {
        self.receiver.ask_for_event()
    }

    /// Asks for no more events, having waited.
    pub fn ask_for_no_event(&self) {
        self.receiver.ask_for_no_event();
    }

    /// What was lost.
    #[must_use]
    pub const fn counts(&self) -> RingCounts {
        RingCounts {
            transmit_dropped: self.transmitter.dropped_count,
            receive_dropped: self.receiver.dropped_count,
        }
    }

    #[cfg(test)]
    pub(super) fn start_at(&mut self, index: u32) {
        self.transmitter.start_at(index);
        self.receiver.start_at(index);
    }
}
