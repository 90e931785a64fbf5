//! What a link process needs of its surroundings: an interface, and a host.

use core::fmt;

use super::LinkEvent;
use crate::limits::FRAME_SIZE_MAX;
use crate::platform::linux::packet_socket::{PacketSocket, PacketSocketError};
use crate::ring::ProcessFigures;
use crate::wire::ETHERNET_HEADER_SIZE;

/// Frames in a batch.
const BATCH_FRAMES: usize = 16;
/// Bytes for each frame of a batch; more than a frame has, and a multiple of a cache line.
const FRAME_AREA_SIZE: usize = (ETHERNET_HEADER_SIZE + FRAME_SIZE_MAX).next_multiple_of(64);

/// Frames that are sent or received together.
pub struct FrameBatch {
    area: [u8; BATCH_FRAMES * FRAME_AREA_SIZE],
    sizes: [usize; BATCH_FRAMES],
    count: usize,
}

impl fmt::Debug for FrameBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameBatch").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Default for FrameBatch {
    fn default() -> Self {
        Self { area: [0; BATCH_FRAMES * FRAME_AREA_SIZE], sizes: [0; BATCH_FRAMES], count: 0 }
    }
}

impl FrameBatch {
    /// Whether there is no frame in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether no frame can be added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == BATCH_FRAMES
    }

    /// Empties the batch.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// The frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let areas = self.area.chunks_exact(FRAME_AREA_SIZE);
        areas.zip(&self.sizes).take(self.count).map(|(area, &size)| &area[..size])
    }

    /// The frames, in order, to be decrypted in place.
    pub fn frames_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let areas = self.area.chunks_exact_mut(FRAME_AREA_SIZE);
        areas.zip(&self.sizes).take(self.count).map(|(area, &size)| &mut area[..size])
    }

    /// Adds the frame that `build` writes, if it writes one, and says whether it did. The batch
    /// must not be full; `build` returns the frame's size.
    pub fn add(&mut self, build: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        assert!(!self.is_full());
        let area = &mut self.area[self.count * FRAME_AREA_SIZE..][..FRAME_AREA_SIZE];
        let Some(size) = build(area) else { return false };
        assert!(size <= FRAME_AREA_SIZE);
        self.sizes[self.count] = size;
        self.count += 1;
        true
    }

    /// Empties the batch and lets `receive` fill it: it gets the area, the bytes of the area for
    /// each frame, and where to write each frame's size, and returns the number of frames.
    ///
    /// # Errors
    /// Those of `receive`; the batch is empty then.
    pub fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [u8], usize, &mut [usize]) -> Result<usize, E>,
    ) -> Result<(), E> {
        self.count = 0;
        let count = receive(&mut self.area, FRAME_AREA_SIZE, &mut self.sizes)?;
        assert!(count <= BATCH_FRAMES);
        // A frame that was longer than its area is cut, and no frame of ours.
        self.sizes[..count].iter_mut().for_each(|size| *size = (*size).min(FRAME_AREA_SIZE));
        self.count = count;
        Ok(())
    }
}

/// A network interface, as the link uses it. Only [`FramePort::wait`] waits.
pub trait FramePort {
    /// What can go wrong for good. An interface that is down is none of these.
    type Error;

    /// Replaces the batch by the frames that have come; by none if none has.
    ///
    /// # Errors
    /// The port cannot be used any more.
    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Self::Error>;

    /// Sends the batch's frames from number `first` on, and returns how many were taken. The
    /// others were not, since the interface's queue is full.
    ///
    /// # Errors
    /// The port cannot be used any more.
    fn send(&mut self, batch: &FrameBatch, first: usize) -> Result<usize, Self::Error>;

    /// Waits until a frame is there to be received, about `duration_us` at most.
    ///
    /// # Errors
    /// The port cannot be used any more.
    fn wait(&mut self, duration_us: u64) -> Result<(), Self::Error>;
}

impl FramePort for PacketSocket {
    type Error = PacketSocketError;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Self::Error> {
        batch.fill(|area, frame_size_max, sizes| self.receive_batch(area, frame_size_max, sizes))
    }

    fn send(&mut self, batch: &FrameBatch, first: usize) -> Result<usize, Self::Error> {
        let mut frames: [&[u8]; BATCH_FRAMES] = [&[]; BATCH_FRAMES];
        let mut count = 0;
        for (target, frame) in frames.iter_mut().zip(batch.frames().skip(first)) {
            *target = frame;
            count += 1;
        }
        self.send_batch(&frames[..count])
    }

    fn wait(&mut self, duration_us: u64) -> Result<(), Self::Error> {
        self.wait_readable(duration_us);
        Ok(())
    }
}

/// The process's surroundings, beside its interface and ring.
pub trait Host {
    /// Microseconds of a clock that never goes back.
    fn now_us(&mut self) -> u64;

    /// Lets others use the core if somebody waits for it.
    fn yield_core(&mut self);

    /// Whether the process at the other side of the ring lives.
    fn is_other_half_alive(&mut self) -> bool;

    /// What this process has used so far; a host that does not count says nothing.
    fn usage(&mut self) -> ProcessFigures {
        ProcessFigures::default()
    }

    /// Tells the operator.
    fn report(&mut self, event: LinkEvent);
}
