//! Linux's packet socket as a port of the link.

use core::ops::Range;

use super::Interface;
use super::port::{BATCH_FRAMES, FrameBatch, FramePort};
use crate::platform::linux::packet_socket::{PacketSocket, PacketSocketError};

impl FramePort for PacketSocket {
    type Error = PacketSocketError;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Self::Error> {
        batch.fill(|area, frame_size_max, sizes| self.receive_batch(area, frame_size_max, sizes))
    }

    fn send(
        &mut self,
        _: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        _: usize,
    ) -> Result<usize, Self::Error> {
        let mut frames: [&[u8]; BATCH_FRAMES] = [&[]; BATCH_FRAMES];
        let mut count = 0;
        for (target, frame) in frames.iter_mut().zip(batch.frames_of(which)) {
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

impl Interface for PacketSocket {
    fn wait_for_any(interfaces: &mut [Self], duration_us: u64) -> Result<(), Self::Error> {
        Self::wait_any_readable(interfaces, duration_us);
        Ok(())
    }
}
