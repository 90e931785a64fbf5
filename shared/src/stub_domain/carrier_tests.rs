//! A stub domain's life, against a dom0 that comes, goes, and gives nonsense.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use super::carrier::{Carrier, Region};
use super::model_machine::ModelMachine;
use super::network_half::{NetworkHalf, ReceiveHalf, ShipHalf};
use super::ports::Ports;
use super::scribbler::Scribbler;
use crate::platform::memory::SharedMemory;
use crate::ring::hand_over::{
    HandOver, HandOverPage, HandOverState, Offer, OfferValue, Program, part, region_size,
};
use crate::ring::{GoodbyeReason, Ring};
use crate::wire::EthernetAddress;
use crate::xen::grant_access::GrantTable;
use crate::xen::netif::Vif;
use crate::xen::netif::model_backend::Memory;
use crate::xen::netif::model_host::Host;

const ENTRY_COUNT: u64 = 64;
const FIRST_GFN: u64 = 0x400;
const STORE_PORT: u32 = 1000;

/// What dom0 sees of a stub domain.
struct Dom0 {
    host: Host,
    machine: ModelMachine,
    region: SharedMemory,
}

impl Dom0 {
    fn offer(&self) -> Option<Offer> {
        let read = |name: &str| {
            let value = self.host.get(&format!("/local/domain/5/data/pollux/{name}"));
            Ok::<_, ()>((!value.is_empty()).then(|| OfferValue::new(&value)))
        };
        Offer::read(read).ok()
    }

    fn state(&self) -> String {
        self.host.get("/local/domain/5/data/pollux/state")
    }

    fn map(&self) -> (HandOverPage, Ring) {
        part(self.region.map_again().unwrap(), ENTRY_COUNT)
    }
}

/// Lets a stub domain live `count` lives with an interface and a backend; `act` is what dom0 does in each wait.
fn live<H: NetworkHalf>(count: u32, act: impl FnMut(&Dom0) + 'static) -> Rc<Dom0> {
    let (host, machine, memory) = (Host::default(), ModelMachine::default(), Memory::new());
    host.attach();
    let region = SharedMemory::map(region_size(ENTRY_COUNT)).unwrap();
    let dom0 = Rc::new(Dom0 {
        host: host.clone(),
        machine: machine.clone(),
        region: region.map_again().unwrap(),
    });
    let (seen, mut act) = (Rc::clone(&dom0), act);
    machine.0.borrow_mut().others = Some(Box::new(move |_| {
        seen.host.react();
        act(&seen);
    }));
    let ports = Ports::new(machine, STORE_PORT);
    let (store, grants) = (RefCell::new(host), RefCell::new(GrantTable::new(&memory.table)));
    let vif = Vif::new(0, memory.interface(), &grants, &store, &ports).unwrap();
    let region = Region { memory: region, first_gfn: FIRST_GFN, entry_count: ENTRY_COUNT };
    let mut carrier = Carrier::new(&ports, &store, vif, region);
    for _ in 0..count {
        carrier.live::<H>().unwrap();
    }
    ports.machine().0.borrow_mut().others = None;
    dom0
}

/// A dom0 that takes every offer up, and has the link ended as soon as it is carried.
fn stop_when_taken() -> impl FnMut(&Dom0) {
    let (mut port, mut life_count) = (None, 0);
    move |dom0| {
        let (mut page, ring) = dom0.map();
        match (port, page.state(), dom0.offer()) {
            (None, Some(HandOverState::Awaited), Some(offer)) => {
                assert_eq!((offer.gfn, offer.entry_count), (FIRST_GFN, ENTRY_COUNT));
                assert_eq!(offer.mac, EthernetAddress([0, 0x16, 0x3e, 1, 2, 3]));
                assert_eq!(offer.mtu, 9000);
                life_count += 1;
                assert_eq!(page.link_heartbeat(), 0, "the region is zeroed in life {life_count}");
                dom0.machine.bind(offer.event_port);
                page.give(&HandOver::sample());
                port = Some(offer.event_port);
            }
            (Some(_), Some(HandOverState::Taken), offer) => {
                assert_eq!((offer, dom0.state().as_str()), (None, "taken"));
                if page.link_heartbeat() > 2 {
                    ring.into_producer().control().set_stop(GoodbyeReason::Ended);
                }
            }
            (Some(bound), Some(HandOverState::Ended), _) => {
                dom0.machine.unbind(bound);
                port = None;
            }
            _ => {}
        }
    }
}

#[test]
fn a_link_is_carried_until_it_is_ended_and_offered_anew() {
    let dom0 = live::<ReceiveHalf>(2, stop_when_taken());
    assert_eq!(dom0.map().0.state(), Some(HandOverState::Ended));
    let dom0 = live::<ShipHalf>(2, stop_when_taken());
    assert_eq!(dom0.map().0.state(), Some(HandOverState::Ended));
    assert_eq!(dom0.machine.0.borrow().open.len(), 2, "the interface's and the last offer's");
}

#[test]
fn each_half_says_which_it_is() {
    let programs = Rc::new(RefCell::new(Vec::new()));
    for is_primary in [true, false] {
        let (programs, mut stop) = (Rc::clone(&programs), stop_when_taken());
        let act = move |dom0: &Dom0| {
            programs.borrow_mut().extend(dom0.offer().map(|offer| offer.program));
            stop(dom0);
        };
        if is_primary {
            live::<ShipHalf>(1, act)
        } else {
            live::<ReceiveHalf>(1, act)
        };
    }
    programs.borrow_mut().dedup();
    assert_eq!(*programs.borrow(), [Program::PrimaryHelper, Program::BackupHelper]);
}

/// A dom0 that takes every offer up with a sample hand-over, changed so, and leaves once `is_enough` of the page.
fn leave_when(
    change: impl Fn(&mut HandOver),
    is_enough: impl Fn(&HandOverPage) -> bool,
) -> impl FnMut(&Dom0) {
    let mut port = None;
    move |dom0| {
        let (mut page, _) = dom0.map();
        match (port, page.state(), dom0.offer()) {
            (None, Some(HandOverState::Awaited), Some(offer)) => {
                dom0.machine.bind(offer.event_port);
                let mut message = HandOver::sample();
                change(&mut message);
                page.give(&message);
                port = Some(offer.event_port);
            }
            (Some(bound), ..) if is_enough(&page) => {
                dom0.machine.unbind(bound);
                port = None;
            }
            _ => {}
        }
    }
}

fn is_taken(page: &HandOverPage) -> bool {
    page.state() == Some(HandOverState::Taken)
}

#[test]
fn a_process_that_dies_ends_the_link_and_nothing_else() {
    let dom0 = live::<ReceiveHalf>(3, leave_when(|_| {}, is_taken));
    assert_eq!(dom0.map().0.state(), Some(HandOverState::Failed));
}

#[test]
fn a_scribbler_lies_until_dom0_has_enough() {
    let is_enough = |page: &HandOverPage| is_taken(page) && page.link_heartbeat() > 20;
    let dom0 = live::<Scribbler<ShipHalf>>(1, leave_when(|_| {}, is_enough));
    assert_eq!(dom0.map().0.state(), Some(HandOverState::Failed));
    let region = &dom0.region;
    let written = region.words(4096..3 * 4096).iter().filter(|word| word.load(Relaxed) != 0);
    assert!(written.count() > 50);
}

#[test]
fn a_process_that_dies_before_it_gives_anything_makes_the_offer_a_new_one() {
    let (mut seen, mut is_bound) = (Vec::new(), false);
    live::<ReceiveHalf>(3, move |dom0| {
        let Some(offer) = dom0.offer() else { return };
        if is_bound {
            dom0.machine.unbind(offer.event_port);
        } else {
            assert!(!seen.contains(&offer.event_port), "a port serves one offer");
            seen.push(offer.event_port);
            dom0.machine.bind(offer.event_port);
        }
        is_bound = !is_bound;
    });
}

#[test]
fn a_hand_over_that_does_not_fit_is_refused() {
    for change in [
        (|message| message.peer_addresses[0] = [0, 0x16, 0x3e, 1, 2, 3]) as fn(&mut HandOver),
        |message| message.peer_addresses.push([2; 6]).unwrap(),
        |message| message.peer_addresses.clear(),
    ] {
        let is_refused = |page: &HandOverPage| page.state() == Some(HandOverState::WrongAddress);
        let dom0 = live::<ShipHalf>(1, leave_when(change, is_refused));
        assert_eq!(dom0.map().0.state(), Some(HandOverState::WrongAddress));
    }
}
