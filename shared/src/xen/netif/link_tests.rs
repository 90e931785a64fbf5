//! Tests of both ends of the link, each over an interface, and a bridge between the backends.

use core::sync::atomic::Ordering;
use std::boxed::Box;

use super::model_backend::{ModelBackend, Piece};
use super::model_host::{BACK, Host, Scene};
use crate::codec::page::{PageEncoder, ShadowCache};
use crate::link::receive::Receive;
use crate::link::ship::Ship;
use crate::link::{BackupLink, LinkOptions, PrimaryLink, Turns};
use crate::ring::{Consumer, Entry, EntryKind, Producer, Ring};
use crate::wire::{ETHERTYPE_DEFAULT, Entropy, EthernetAddress, SecretKey};

/// An interface, and its backend while there is one.
struct End {
    scene: Scene,
    backend: Option<ModelBackend>,
}

impl End {
    fn new() -> Self {
        Self { scene: Scene::new(Host::attach), backend: None }
    }

    /// Lets the backend's driver and the interface look at one another.
    fn attend(&mut self) {
        self.scene.host.react();
        match self.scene.vif.is_connected() {
            true if self.backend.is_none() => self.backend = Some(self.scene.backend()),
            true => {}
            false => self.backend = None,
        }
    }

    fn pass_on(&mut self, other: &mut End) {
        let Some(backend) = &mut self.backend else { return };
        while let Some(taken) = backend.take() {
            taken.ids.iter().for_each(|id| backend.answer(*id, 0));
            let parts = taken.bytes.chunks(4096);
            let piece = |part: &[u8]| Piece { offset: 0, bytes: part.to_vec() };
            let pieces: std::vec::Vec<_> = parts.map(piece).collect();
            if let Some(other) = &mut other.backend
                && other.buffer_count() >= pieces.len()
            {
                other.deliver(&pieces, 0, &[]);
            }
        }
        backend.show();
        if let Some(other) = &mut other.backend {
            other.show();
        }
    }
}

struct Pair {
    now_us: u64,
    capture: Producer,
    ship_ring: Consumer,
    ship: Box<Turns<PrimaryLink>>,
    ends: [End; 2],
    receive: Box<Turns<BackupLink>>,
    receive_ring: Producer,
    commit: Consumer,
}

impl Pair {
    /// Both ends in a session that both domain halves have joined.
    fn new() -> Self {
        let address = |last| EthernetAddress([0, 0x16, 0x3e, 0, 0, last]);
        let options = |own, peer| LinkOptions {
            own_address: address(own),
            peer_address: address(peer),
            ethertype: ETHERTYPE_DEFAULT,
            path_count: 1,
            mtu: 9000,
            timeout_ms: 500,
            silence_memory_us: u64::MAX,
            key: SecretKey::new([1; 32]),
            entropy: Entropy::new([own; 32]),
        };
        let (capture, ship_ring) = Ring::create(64).unwrap().into_both().unwrap();
        let (receive_ring, commit) = Ring::create(64).unwrap().into_both().unwrap();
        let mut pair = Self {
            now_us: 0,
            capture,
            ship_ring,
            ship: Box::new(Ship::new(options(1, 2), PageEncoder::new(ShadowCache::off()), 0)),
            ends: [End::new(), End::new()],
            receive: Box::new(Receive::new(options(2, 1), 0)),
            receive_ring,
            commit,
        };
        while pair.capture.control().join_session().is_none() {
            pair.turn();
        }
        while pair.commit.control().join_session().is_none() {
            pair.turn();
        }
        pair.capture.begin().unwrap();
        pair.commit.begin().unwrap();
        pair
    }

    fn turn(&mut self) {
        self.now_us += 100;
        assert!(self.now_us < 60_000_000, "stuck");
        let [primary, backup] = &mut self.ends;
        self.ship.turn(self.now_us, &mut primary.scene.vif, &mut self.ship_ring).unwrap();
        primary.attend();
        primary.pass_on(backup);
        self.receive.turn(self.now_us, &mut backup.scene.vif, &mut self.receive_ring).unwrap();
        backup.attend();
        backup.pass_on(primary);
    }

    /// Hands pages over until `count` have come out at the other side.
    fn carry(&mut self, count: u64) {
        let mut pushed = self.commit.available().unwrap().end;
        while self.commit.available().unwrap().end < count {
            for _ in 0..self.capture.free_entries().unwrap().min(count - pushed) {
                self.capture.slot_mut().fill(u8::try_from(pushed + 1).unwrap());
                self.capture.push(&Entry::raw(EntryKind::Page, 1, pushed, 4096));
                pushed += 1;
            }
            self.capture.publish();
            self.turn();
        }
        for index in 0..count {
            assert_eq!(self.commit.page(index), &[u8::try_from(index + 1).unwrap(); 4096]);
        }
    }
}

#[test]
fn the_link_outlives_a_backend_that_closes_and_comes_back() {
    let mut pair = Pair::new();
    pair.carry(20);
    pair.ends[0].scene.host.set(&std::format!("{BACK}/state"), "5");
    pair.carry(40);
    assert_eq!(pair.capture.control().link_session(), 1);
    assert_eq!(pair.ends[0].scene.host.states(), ["4", "4"]);
}

#[test]
fn a_backend_that_lies_costs_the_session_and_nothing_else() {
    let mut pair = Pair::new();
    pair.carry(20);
    let backend = pair.ends[1].backend.take().unwrap();
    backend.receive.word32(8).store(u32::MAX, Ordering::Relaxed);
    while pair.commit.control().link_session() != 0 {
        pair.turn();
    }
    assert!(!pair.ends[1].scene.vif.is_connected());
    assert!(pair.ends[1].scene.vif.take_lie().is_some());
}
