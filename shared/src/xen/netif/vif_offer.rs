//! What a backend is told when the interface is offered to it, and what it is asked before.

use super::VifError;
use super::granted_memory::GrantedMemory;
use super::rings::Rings;
use super::vif::{EventPorts, Offer, Phase, Vif, joined};
use crate::limits::{FRAME_SIZE_MAX, PAGE_SIZE};
use crate::text::parse_number;
use crate::wire::ETHERNET_HEADER_SIZE;
use crate::xen::xenbus::{DeviceStore, XenbusState};
use crate::xen::{DOMID_FIRST_RESERVED, Domid};

/// The MTU of an interface for which xenstore has none (io/netif.h).
const MTU_DEFAULT: usize = 1500;

/// What is written beside references and port: that received data is copied into the buffers, that this
/// end tells of new ones, that frames may have several pieces each, and that they have their checksums.
const FEATURES: [&str; 4] =
    ["request-rx-copy", "feature-rx-notify", "feature-sg", "feature-no-csum-offload"];

impl<S: DeviceStore, E: EventPorts> Vif<'_, '_, S, E> {
    /// Offers the interface to a backend that waits for it.
    pub(super) fn offer(&mut self) -> Result<(), VifError> {
        let domid = self.backend_domid()?;
        if self.read_backend_number("feature-rx-copy")? != Some(1) {
            return Err(VifError::NoCopy);
        }
        let takes_pieces = self.read_backend_number("feature-sg")? == Some(1);
        let frame_size_max =
            if takes_pieces { ETHERNET_HEADER_SIZE + FRAME_SIZE_MAX } else { PAGE_SIZE };
        self.read_own_nodes(frame_size_max - ETHERNET_HEADER_SIZE)?;

        let granted = GrantedMemory::grant(self.pages, &mut self.grants.borrow_mut(), domid);
        let memory = granted.map_err(VifError::Grant)?;
        let port = match self.events.open(domid) {
            Ok(port) => port,
            Err(errno) => {
                // Also one that was told nothing may have mapped what was granted to it.
                self.phase = Phase::Withdrawing(memory);
                return Err(VifError::EventChannel(errno));
            }
        };
        let rings = Rings::new(&memory, frame_size_max);
        let written = self.write_offer(&memory, port);
        self.phase = Phase::Offered(Offer { memory, rings, port });
        written.or_else(|error| self.withdraw().and(Err(error)))
    }

    /// The state comes last: the backend reads the rest then.
    fn write_offer(&mut self, memory: &GrantedMemory<'_>, port: u32) -> Result<(), VifError> {
        for (name, number) in [
            ("tx-ring-ref", memory.transmit_ring_reference()),
            ("rx-ring-ref", memory.receive_ring_reference()),
            ("event-channel", port),
        ] {
            self.store.write(&self.node(name)?, &joined(format_args!("{number}"))?)?;
        }
        for name in FEATURES {
            self.store.write(&self.node(name)?, "1")?;
        }
        self.set_state(XenbusState::Connected)
    }

    fn backend_domid(&mut self) -> Result<Domid, VifError> {
        let value = self.store.read(&self.node("backend-id")?)?;
        value
            .and_then(|value| parse_number(&value))
            .filter(|domid| *domid < DOMID_FIRST_RESERVED)
            .ok_or(VifError::Node("backend-id"))
    }

    fn read_own_nodes(&mut self, mtu_max: usize) -> Result<(), VifError> {
        let mac = self.store.read(&self.node("mac")?)?;
        let mac = mac.and_then(|value| value.parse().ok()).ok_or(VifError::Node("mac"))?;
        let mtu = match self.store.read(&self.node("mtu")?)? {
            Some(value) => parse_number(&value).ok_or(VifError::Node("mtu"))?,
            None => MTU_DEFAULT,
        };
        self.mac = Some(mac);
        self.mtu = u16::try_from(mtu.min(mtu_max)).expect("an interface's frames are small");
        Ok(())
    }
}
