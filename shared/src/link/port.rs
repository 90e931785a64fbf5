//! What a link process needs of its surroundings: an interface, and a host.

use core::fmt;
use core::ops::Range;

use super::LinkEvent;
use crate::limits::FRAME_SIZE_MAX;
use crate::ring::ProcessFigures;
use crate::wire::ETHERNET_HEADER_SIZE;

/// Frames in a batch.
pub(super) const BATCH_FRAMES: usize = 16;
/// Bytes for each frame of a batch; more than a frame has, and a multiple of a cache line.
const FRAME_AREA_SIZE: usize = (ETHERNET_HEADER_SIZE + FRAME_SIZE_MAX).next_multiple_of(64);

/// Frames that are sent or received together.
pub struct FrameBatch {
    areas: [[u8; FRAME_AREA_SIZE]; BATCH_FRAMES],
    sizes: [usize; BATCH_FRAMES],
    /// The paths on which received ones came.
    paths: [usize; BATCH_FRAMES],
    count: usize,
}

impl fmt::Debug for FrameBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameBatch").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Default for FrameBatch {
    fn default() -> Self {
        Self {
            areas: [[0; FRAME_AREA_SIZE]; BATCH_FRAMES],
            sizes: [0; BATCH_FRAMES],
            paths: [0; BATCH_FRAMES],
            count: 0,
        }
    }
}

impl FrameBatch {
    /// Whether there is no frame in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many frames there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
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
        self.frames_of(0..self.count)
    }

    /// Those of the frames that have these numbers.
    pub fn frames_of(&self, which: Range<usize>) -> impl Iterator<Item = &[u8]> {
        which.map(|number| &self.areas[number][..self.sizes[number]])
    }

    /// Received frames, in order, to be decrypted in place, each with the path on which it came.
    pub fn arrivals_mut(&mut self) -> impl Iterator<Item = (usize, &mut [u8])> {
        let frames = self.areas.iter_mut().zip(&self.sizes).zip(&self.paths).take(self.count);
        frames.map(|((area, &size), &path)| (path, &mut area[..size]))
    }

    /// One of the frames.
    pub(super) fn frame_mut(&mut self, number: usize) -> &mut [u8] {
        &mut self.areas[number][..self.sizes[number]]
    }

    /// Says on which path a received frame came: none if it is no frame of that path, and to be dropped.
    pub(super) fn set_path(&mut self, number: usize, path: Option<usize>) {
        match path {
            Some(path) => self.paths[number] = path,
            None => self.sizes[number] = 0,
        }
    }

    /// Adds the frame that `build` writes, if it writes one, and says whether it did. The batch
    /// must not be full; `build` returns the frame's size.
    pub fn add(&mut self, build: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Some(size) = build(&mut self.areas[self.count]) else { return false };
        assert!(size <= FRAME_AREA_SIZE);
        (self.sizes[self.count], self.paths[self.count]) = (size, 0);
        self.count += 1;
        true
    }

    /// Lets `receive` fill what is left of the batch: it gets the area, the bytes of the area for each
    /// frame, and where to write each frame's size, and returns the number of frames.
    ///
    /// # Errors
    /// Those of `receive`; nothing is added then.
    pub fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [u8], usize, &mut [usize]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let (area, sizes) = (&mut self.areas[self.count..], &mut self.sizes[self.count..]);
        let count = receive(area.as_flattened_mut(), FRAME_AREA_SIZE, sizes)?;
        // A frame that was longer than its area is cut, and no frame of ours.
        sizes[..count].iter_mut().for_each(|size| *size = (*size).min(FRAME_AREA_SIZE));
        self.paths[self.count..][..count].fill(0);
        self.count += count;
        Ok(())
    }
}

/// A network interface, as the link uses it. Only [`FramePort::wait`] waits.
pub trait FramePort {
    /// What can go wrong for good. An interface that is down is none of these.
    type Error;

    /// Adds the frames that have come to the batch, as far as it has room; none if none has.
    ///
    /// # Errors
    /// The port cannot be used any more.
    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Self::Error>;

    /// Sends those of the batch's frames that have the numbers `which`, in order, and returns how many
    /// were taken. The others were not, since the interface's queue is full; by the time some are waited
    /// for, but not for ever. Data takes the path of this number, if there are several.
    ///
    /// # Errors
    /// The port cannot be used any more.
    fn send(
        &mut self,
        now_us: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        data_path: usize,
    ) -> Result<usize, Self::Error>;

    /// Waits until a frame is there to be received, about `duration_us` at most.
    ///
    /// # Errors
    /// The port cannot be used any more.
    fn wait(&mut self, duration_us: u64) -> Result<(), Self::Error>;
}

/// The process's surroundings, beside its interface and ring.
pub trait Host {
    /// Microseconds of a clock that never goes back.
    fn now_us(&mut self) -> u64;

    /// Microseconds of its core that this process has used; a host that does not count says 0.
    fn processor_us(&mut self) -> u64 {
        0
    }

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
