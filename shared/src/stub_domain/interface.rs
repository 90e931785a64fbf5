//! The domain's interface as the link's port, whose ups and downs are told on the console.
//!
//! An interface that cannot be used is one that carries nothing: it may come back, and the link knows what
//! silence means. Only without xenstore it never does.

use core::borrow::{Borrow, BorrowMut};
use core::ops::Range;

use crate::link::{FrameBatch, FramePort, Interface};
use crate::xen::netif::{EventPorts, Vif, VifError};
use crate::xen::xenbus::DeviceStore;
use crate::xen::xenstore::XenstoreError;

/// What has been told of an interface.
#[derive(Debug, Default)]
pub struct ToldOfVif {
    is_connected: bool,
    error: Option<VifError>,
}

impl ToldOfVif {
    /// Does what is to be done of the interface's negotiation, and tells what is new.
    ///
    /// # Errors
    /// Xenstore cannot be asked.
    pub fn attend<S: DeviceStore, E: EventPorts>(
        &mut self,
        vif: &mut Vif<'_, '_, S, E>,
    ) -> Result<(), XenstoreError> {
        let attended = vif.attend();
        self.tell(vif, attended)
    }

    fn tell<S: DeviceStore, E: EventPorts>(
        &mut self,
        vif: &mut Vif<'_, '_, S, E>,
        result: Result<(), VifError>,
    ) -> Result<(), XenstoreError> {
        if let Some(lie) = vif.take_lie() {
            crate::log!("vif 0: {lie}");
        }
        let was_connected = core::mem::replace(&mut self.is_connected, vif.is_connected());
        match (was_connected, self.is_connected) {
            (false, true) => {
                self.error = None;
                crate::log!("vif 0: connected");
            }
            (true, false) => crate::log!("vif 0: its backend is gone, or has closed it"),
            _ => {}
        }
        match result {
            Err(VifError::Store(error)) => return Err(error),
            Err(error) if self.error != Some(error) => {
                self.error = Some(error);
                crate::log!("vif 0: {error}");
            }
            _ => {}
        }
        Ok(())
    }
}

/// The interface, for one life of the link half.
#[derive(Debug)]
pub struct VifPort<'v, 'g, 'm, S, E> {
    vif: &'v mut Vif<'g, 'm, S, E>,
    told: &'v mut ToldOfVif,
}

impl<'v, 'g, 'm, S, E> VifPort<'v, 'g, 'm, S, E> {
    /// This interface, of which so much has been told.
    pub const fn new(vif: &'v mut Vif<'g, 'm, S, E>, told: &'v mut ToldOfVif) -> Self {
        Self { vif, told }
    }
}

impl<S: DeviceStore, E: EventPorts> FramePort for VifPort<'_, '_, '_, S, E> {
    type Error = XenstoreError;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), XenstoreError> {
        let received = FramePort::receive(self.vif, batch);
        self.told.tell(self.vif, received)
    }

    fn send(
        &mut self,
        now_us: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        data_path: usize,
    ) -> Result<usize, XenstoreError> {
        match FramePort::send(self.vif, now_us, batch, which, data_path) {
            Ok(count) => Ok(count),
            Err(error) => self.told.tell(self.vif, Err(error)).map(|()| 0),
        }
    }

    fn wait(&mut self, duration_us: u64) -> Result<(), XenstoreError> {
        Self::wait_for_any(core::slice::from_mut(self), duration_us)
    }
}

impl<S: DeviceStore, E: EventPorts> Interface for VifPort<'_, '_, '_, S, E> {
    fn wait_for_any(interfaces: &mut [Self], duration_us: u64) -> Result<(), XenstoreError> {
        match Vif::<'_, '_, S, E>::wait_for_any(interfaces, duration_us) {
            Err(VifError::Store(error)) => Err(error),
            // The next look at the interface tells.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl<'g, 'm, S, E> Borrow<Vif<'g, 'm, S, E>> for VifPort<'_, 'g, 'm, S, E> {
    fn borrow(&self) -> &Vif<'g, 'm, S, E> {
        self.vif
    }
}

impl<'g, 'm, S, E> BorrowMut<Vif<'g, 'm, S, E>> for VifPort<'_, 'g, 'm, S, E> {
    fn borrow_mut(&mut self) -> &mut Vif<'g, 'm, S, E> {
        self.vif
    }
}
