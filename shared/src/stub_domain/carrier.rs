//! A stub domain's work: it offers itself to dom0, carries the link for whoever takes that up, and offers itself
//! anew when that is over.
//!
//! Each life of the link half begins with a zeroed region and a new port, so that nothing of the last one is left to a
//! process of dom0 that knows nothing of it. What ends the domain itself is what another start may mend.

use core::cell::RefCell;
use core::convert::Infallible;

use zeroize::Zeroizing;

use super::error::StubDomainError;
use super::interface::{ToldOfVif, VifPort};
use super::machine::Machine;
use super::memory_plan::delta_cache_size;
use super::network_half::NetworkHalf;
use super::ports::Ports;
use super::stub_host::StubHost;
use crate::limits::{FRAME_SIZE_MIN, STUB_DOMAIN_LOOK_US};
use crate::link::{Ending, LinkOptions, MultiPort, Silence};
use crate::platform::memory::SharedMemory;
use crate::ring::Ring;
use crate::ring::hand_over::{
    HandOver, HandOverPage, HandOverState, Offer, OfferValue, PATH, Program, part,
};
use crate::text::FixedText;
use crate::wire::{ETHERTYPE_DEFAULT, Entropy, EthernetAddress, SecretKey};
use crate::xen::netif::Vif;
use crate::xen::xenbus::DeviceStore;
use crate::xen::xenstore::XenstoreError;

/// The memory that dom0 maps.
#[derive(Debug)]
pub struct Region {
    /// As large as the ring of so many entries asks.
    pub memory: SharedMemory,
    /// Where it begins.
    pub first_gfn: u64,
    /// Entries of the ring.
    pub entry_count: u64,
}

/// What a stub domain works with.
#[derive(Debug)]
pub struct Carrier<'a, 'g, 'm, M, S> {
    ports: &'a Ports<M>,
    store: &'a RefCell<S>,
    vif: Vif<'g, 'm, &'a RefCell<S>, &'a Ports<M>>,
    told: ToldOfVif,
    region: Region,
}

impl<'a, 'g, 'm, M: Machine, S: DeviceStore> Carrier<'a, 'g, 'm, M, S> {
    /// A carrier over one interface.
    pub fn new(
        ports: &'a Ports<M>,
        store: &'a RefCell<S>,
        vif: Vif<'g, 'm, &'a RefCell<S>, &'a Ports<M>>,
        region: Region,
    ) -> Self {
        Self { ports, store, vif, told: ToldOfVif::default(), region }
    }

    /// Carries links until the domain cannot any more.
    ///
    /// # Errors
    /// [`StubDomainError`] says why.
    pub fn serve<H: NetworkHalf>(&mut self) -> Result<Infallible, StubDomainError> {
        loop {
            self.live::<H>()?;
        }
    }

    /// One life of the link half, from the offer to the end of dom0's process.
    pub(super) fn live<H: NetworkHalf>(&mut self) -> Result<(), StubDomainError> {
        let (mac, mtu) = self.await_vif()?;
        let (mut page, ring) = self.offer(H::PROGRAM, mac, mtu)?;
        let Some(message) = self.await_hand_over(&mut page, mac)? else { return Ok(()) };
        Offer::withdraw(|name, value| self.write(name, value))?;
        let wanted = message.delta_cache_size;
        let cache_size = delta_cache_size(wanted, self.ports.machine().memory_left());
        let half = match H::prepare(cache_size) {
            Ok(half) => half,
            Err(error) => {
                self.say(&mut page, HandOverState::Failed);
                return Err(error.into());
            }
        };
        if H::PROGRAM == Program::PrimaryHelper && (cache_size as u64) < wanted {
            let [size_mib, wanted_mib] = [cache_size as u64, wanted].map(|size| size >> 20);
            crate::log!(
                "the delta cache has {size_mib} MiB, not the {wanted_mib} MiB that were asked for: raise \
                 memory= in the stub domain's configuration"
            );
        }
        let options = self.link_options(&message, mac, mtu)?;
        // The key is in the options now, and nowhere else.
        drop(message);
        self.say(&mut page, HandOverState::Taken);
        let ending = self.carry(half, options, ring, &page);
        let state = match ending {
            Ok(Ending::Asked) => HandOverState::Ended,
            Ok(_) | Err(_) => HandOverState::Failed,
        };
        self.say(&mut page, state);
        match ending? {
            Ending::Asked => crate::log!("the link has ended as asked"),
            Ending::OtherHalfGone => crate::log!("dom0's process is gone: the link has ended"),
            ending @ Ending::RingBroken(_) => crate::log!("the link has ended: {ending}"),
        }
        self.await_leave()
    }

    /// Waits until the interface has an address, which it has once it was offered to its backend.
    fn await_vif(&mut self) -> Result<(EthernetAddress, u16), StubDomainError> {
        let mut is_told = false;
        loop {
            self.told.attend(&mut self.vif)?;
            match (self.vif.mac(), self.vif.mtu()) {
                (Some(_), mtu) if usize::from(mtu) < FRAME_SIZE_MIN => {
                    return Err(StubDomainError::Mtu(mtu));
                }
                (Some(mac), mtu) => return Ok((mac, mtu)),
                (None, _) => {}
            }
            self.ports.wait_at(&[], STUB_DOMAIN_LOOK_US);
            if !core::mem::replace(&mut is_told, true) {
                crate::log!("vif 0: waiting for its backend");
            }
        }
    }

    fn offer(
        &mut self,
        program: Program,
        mac: EthernetAddress,
        mtu: u16,
    ) -> Result<(HandOverPage, Ring), StubDomainError> {
        let entry_count = self.region.entry_count;
        let size = self.region.memory.size();
        self.region.memory.release(0..size)?;
        let (page, ring) = part(self.region.memory.map_again()?, entry_count);
        let event_port = self.ports.open_for_dom0()?;
        let gfn = self.region.first_gfn;
        let offer = Offer { program, gfn, entry_count, event_port, mac, mtu };
        offer.write(|name, value| self.write(name, value))?;
        let size_mib = size >> 20;
        crate::log!(
            "offered to dom0: a ring of {entry_count} entries, {size_mib} MiB at gfn {gfn}, and vif 0, \
             {mac}, MTU {mtu}"
        );
        Ok((page, ring))
    }

    /// Waits for a hand-over that can be used; none when the offer has to be renewed.
    fn await_hand_over(
        &mut self,
        page: &mut HandOverPage,
        mac: EthernetAddress,
    ) -> Result<Option<HandOver>, StubDomainError> {
        let mut was_there = false;
        loop {
            self.told.attend(&mut self.vif)?;
            // In this order: dom0 is bound before it gives anything.
            let is_touched = was_there || page.state() != Some(HandOverState::Awaited);
            was_there = self.ports.is_dom0_there();
            if is_touched && !was_there {
                // It may have left a key, or part of one.
                return Ok(None);
            }
            let taken = if was_there { page.take() } else { None };
            match taken.map(|taken| usable(taken, mac)) {
                Some(Ok(message)) => return Ok(Some(message)),
                Some(Err(state)) => {
                    crate::log!("no link: {state}");
                    self.say(page, state);
                    self.await_leave()?;
                    return Ok(None);
                }
                None => self.ports.wait_at(&[], STUB_DOMAIN_LOOK_US),
            }
        }
    }

    fn link_options(
        &self,
        message: &HandOver,
        mac: EthernetAddress,
        mtu: u16,
    ) -> Result<LinkOptions, StubDomainError> {
        let mut entropy = Zeroizing::new([0; 32]);
        self.ports.machine().fill_random(entropy.as_mut())?;
        Ok(LinkOptions {
            own_address: mac,
            peer_address: first_peer(message),
            ethertype: ETHERTYPE_DEFAULT,
            path_count: 1,
            mtu: mtu.into(),
            timeout_ms: message.timeout_ms,
            silence_memory_us: Silence::memory_us(message.has_arbiter),
            key: SecretKey::new(message.key),
            entropy: Entropy::new(*entropy),
        })
    }

    fn carry<H: NetworkHalf>(
        &mut self,
        half: H,
        options: LinkOptions,
        ring: Ring,
        page: &HandOverPage,
    ) -> Result<Ending, XenstoreError> {
        let (own, peer, timeout_ms) =
            (options.own_address, options.peer_address, options.timeout_ms);
        crate::log!("dom0 has handed the link over: peer {peer}, timeout {timeout_ms} ms");
        let mut port = MultiPort::default();
        port.add(VifPort::new(&mut self.vif, &mut self.told), own, peer);
        half.carry(options, &mut port, ring, &mut StubHost { ports: self.ports, page })
    }

    /// Waits until dom0's process is gone: the region may be mapped there until then.
    fn await_leave(&mut self) -> Result<(), StubDomainError> {
        while self.ports.is_dom0_there() {
            self.told.attend(&mut self.vif)?;
            self.ports.wait_at(&[], STUB_DOMAIN_LOOK_US);
        }
        Ok(())
    }

    fn say(&self, page: &mut HandOverPage, state: HandOverState) {
        page.set_state(state);
        self.ports.notify_dom0();
    }

    fn write(&self, name: &str, value: &OfferValue) -> Result<(), XenstoreError> {
        let path = FixedText::<64>::format(format_args!("{PATH}/{name}"));
        self.store.borrow_mut().write(path.as_str(), value.as_str())
    }
}

/// A hand-over that fits this domain: one link, to somebody else.
fn usable(
    taken: Result<HandOver, HandOverState>,
    mac: EthernetAddress,
) -> Result<HandOver, HandOverState> {
    let message = taken?;
    let fits = message.peer_addresses.len() == 1 && first_peer(&message) != mac;
    if fits { Ok(message) } else { Err(HandOverState::WrongAddress) }
}

fn first_peer(message: &HandOver) -> EthernetAddress {
    EthernetAddress(message.peer_addresses[0])
}
