//! A Xen interface as the link's port: how a stub domain sends and receives.

use core::ops::Range;

use super::Interface;
use super::port::{FrameBatch, FramePort};
use crate::xen::netif::{EventPorts, Vif, VifError};
use crate::xen::xenbus::DeviceStore;

impl<S: DeviceStore, E: EventPorts> FramePort for Vif<'_, '_, S, E> {
    type Error = VifError;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), VifError> {
        batch.fill(|area, frame_area_size, sizes| self.receive(area, frame_area_size, sizes))
    }

    fn send(
        &mut self,
        _: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        _: usize,
    ) -> Result<usize, VifError> {
        self.send(batch.frames_of(which))
    }

    fn wait(&mut self, duration_us: u64) -> Result<(), VifError> {
        Self::wait_for_any(core::slice::from_mut(self), duration_us)
    }
}

impl<S: DeviceStore, E: EventPorts> Interface for Vif<'_, '_, S, E> {
    fn wait_for_any(interfaces: &mut [Self], duration_us: u64) -> Result<(), VifError> {
        Self::wait_for_any(interfaces, duration_us)
    }
}
