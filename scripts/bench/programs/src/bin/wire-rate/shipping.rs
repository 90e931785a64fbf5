//! The method that all this is about: a filled ring, shipped over the link.

use std::time::Instant;

use pollux::codec::page::{Level, PageEncoder, ShadowCache};
use pollux::limits::{PAGE_SIZE, RING_ENTRY_COUNT_PRIMARY};
use pollux::link::ship::Ship;
use pollux::link::{LinkOptions, MultiPort};
use pollux::platform::linux::clock;
use pollux::platform::linux::packet_socket::PacketSocket;
use pollux::platform::linux::usage::Usage;
use pollux::ring::{Consumer, Entry, EntryKind, Producer, Ring};
use pollux::wire::{ETHERTYPE_DEFAULT, Entropy, EthernetAddress, SecretKey};

use super::MTU;
use super::namespaces::INTERFACE;
use super::receiver_process::ReceiverProcess;

/// Address that the sending interface is given, so that both ends know it.
pub const SENDER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Longer than anything else in a round takes.
const TIMEOUT_MS: u32 = 30_000;

/// An end's options; both have the same key.
pub fn link_options(own_address: EthernetAddress, peer_address: EthernetAddress) -> LinkOptions {
    LinkOptions {
        own_address,
        peer_address,
        ethertype: ETHERTYPE_DEFAULT,
        path_count: 1,
        mtu: usize::from(MTU),
        timeout_ms: TIMEOUT_MS,
        silence_memory_us: u64::MAX,
        key: SecretKey::new([7; 32]),
        entropy: Entropy::new([own_address.0[5]; 32]),
    }
}

/// What one run came to.
pub struct Shipped {
    /// Frames sent; heartbeats are among them, but are few.
    pub frames: u64,
    /// Bytes of these frames, Ethernet headers included.
    pub bytes: u64,
    pub retransmitted: u64,
    pub seconds: f64,
    pub usage: Usage,
}

/// capture, reduced to pages that are there already, and the real sending end.
pub struct Shipping {
    port: MultiPort<PacketSocket>,
    ship: Box<Ship>,
    ring: Consumer,
    capture: Producer,
    is_joined: bool,
    pushed: u64,
}

impl Shipping {
    pub fn new(receiver_mac: [u8; 6]) -> Self {
        let socket =
            PacketSocket::open(INTERFACE, ETHERTYPE_DEFAULT).expect("an interface of ours");
        assert_eq!((socket.mac(), socket.mtu()), (SENDER_MAC, MTU));
        let ring = Ring::create(RING_ENTRY_COUNT_PRIMARY).expect("address space");
        let (mut capture, mut ring) = ring.into_both().expect("address space");
        capture.populate(RING_ENTRY_COUNT_PRIMARY).expect("64 MiB");
        ring.populate(RING_ENTRY_COUNT_PRIMARY).expect("64 MiB");
        let (own, peer) = (EthernetAddress(SENDER_MAC), EthernetAddress(receiver_mac));
        let options = link_options(own, peer);
        // As the helpers have it, with one link.
        let mut port = MultiPort::default();
        port.add(socket, own, peer);
        // Every page as it is: the same bytes as in the frames of the other methods.
        let encoder = PageEncoder::with_levels(
            ShadowCache::off(),
            Level::Raw..=Level::Raw,
            RING_ENTRY_COUNT_PRIMARY,
        );
        let ship = Box::new(Ship::new(options, encoder, clock::monotonic_us()));
        Self { port, ship, ring, capture, is_joined: false, pushed: 0 }
    }

    /// Pushes `page_count` pages and ships until the last one is acknowledged.
    pub fn run(&mut self, page_count: u64, receiver: &mut ReceiverProcess) -> Shipped {
        receiver.switch("shipping");
        while !self.is_joined {
            self.turn();
            self.is_joined = self.capture.control().join_session().is_some();
            if self.is_joined {
                self.capture.begin().expect("a ring of ours");
            }
        }
        let before = *pollux::link::LinkProcess::counters(self.ship.link());
        let usage = Usage::own();
        self.push(page_count);
        let start = Instant::now();
        while self.capture.free_entries().expect("a ring of ours") < RING_ENTRY_COUNT_PRIMARY {
            self.turn();
        }
        let seconds = start.elapsed().as_secs_f64();
        let usage = Usage::own().since(&usage);
        let after = *pollux::link::LinkProcess::counters(self.ship.link());
        receiver.switch("idle");
        Shipped {
            frames: after.frames_sent - before.frames_sent,
            bytes: after.bytes_sent - before.bytes_sent,
            retransmitted: after.frames_retransmitted - before.frames_retransmitted,
            seconds,
            usage,
        }
    }

    fn turn(&mut self) {
        let turn = self.ship.turn(clock::monotonic_us(), &mut self.port, &mut self.ring);
        turn.expect("the interface stays");
    }

    /// The slots are written in their first use only: capture's work is not measured here.
    fn push(&mut self, page_count: u64) {
        for _ in 0..page_count {
            if self.pushed < RING_ENTRY_COUNT_PRIMARY {
                fill(self.pushed, self.capture.slot_mut());
            }
            self.capture.push(&Entry::raw(EntryKind::Page, 1, self.pushed, 4096));
            self.pushed += 1;
        }
        self.capture.publish();
    }
}

/// A page whose words are all different from one another.
fn fill(number: u64, page: &mut [u8; PAGE_SIZE]) {
    let mut word = number + 1;
    for bytes in page.as_chunks_mut::<8>().0 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *bytes = word.to_le_bytes();
    }
}
