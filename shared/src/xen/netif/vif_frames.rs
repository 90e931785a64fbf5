//! Frames through an interface. One that is not connected carries none, which is no error.

use core::borrow::BorrowMut;

use heapless::Vec;

use super::vif::{EventPorts, Phase, Vif};
use super::{BackendLie, VifError};
use crate::limits::LINK_COUNT_MAX;
use crate::xen::xenbus::DeviceStore;

impl<S: DeviceStore, E: EventPorts> Vif<'_, '_, S, E> {
    /// Sends frames in order, and returns how many were taken: those before the ring was full.
    ///
    /// # Errors
    /// [`VifError::Store`], when the backend has lied and xenstore cannot be told.
    pub fn send<'f>(&mut self, frames: impl Iterator<Item = &'f [u8]>) -> Result<usize, VifError> {
        let Phase::Connected(offer) = &mut self.phase else { return Ok(0) };
        let (port, sent) = (offer.port, offer.rings.send(frames));
        self.conclude(port, sent)
    }

    /// Receives the frames that are there into `area`, each at a multiple of `frame_area_size`, writes
    /// their sizes to `sizes`, and returns how many came. Attends to the negotiation before.
    ///
    /// # Errors
    /// [`VifError`].
    pub fn receive(
        &mut self,
        area: &mut [u8],
        frame_area_size: usize,
        sizes: &mut [usize],
    ) -> Result<usize, VifError> {
        self.attend()?;
        let Phase::Connected(offer) = &mut self.phase else { return Ok(0) };
        let received = offer.rings.receive(area, frame_area_size, sizes);
        let port = offer.port;
        self.conclude(port, received)
    }

    /// Waits until a frame is there to be received on any of them, about `duration_us` at most.
    ///
    /// # Errors
    /// [`VifError::Store`], when a backend has lied and xenstore cannot be told.
    ///
    /// # Panics
    /// If there are more than [`LINK_COUNT_MAX`].
    pub fn wait_for_any(
        interfaces: &mut [impl BorrowMut<Self>],
        duration_us: u64,
    ) -> Result<(), VifError> {
        let mut ports = Vec::<u32, LINK_COUNT_MAX>::new();
        let mut is_something_there = false;
        for interface in &mut *interfaces {
            let vif = interface.borrow_mut();
            let Phase::Connected(offer) = &mut vif.phase else { continue };
            match offer.rings.ask_for_event() {
                Ok(is_there) => {
                    is_something_there |= is_there;
                    ports.push(offer.port).expect("no more interfaces than links");
                }
                Err(lie) => vif.close_for(lie)?,
            }
        }
        if !is_something_there && let Some(first) = interfaces.first_mut() {
            first.borrow_mut().events.wait(&ports, duration_us);
        }
        for interface in interfaces {
            if let Phase::Connected(offer) = &interface.borrow_mut().phase {
                offer.rings.ask_for_no_event();
            }
        }
        Ok(())
    }

    /// Notifies the backend, or ends the interface for what it did.
    fn conclude(
        &mut self,
        port: u32,
        result: Result<(usize, bool), BackendLie>,
    ) -> Result<usize, VifError> {
        match result {
            Ok((count, is_notified)) => {
                if is_notified {
                    self.events.notify(port);
                }
                Ok(count)
            }
            Err(lie) => self.close_for(lie).map(|()| 0),
        }
    }
}
