//! Both hosts and the network between them, under one simulated clock.

use pollux::codec::page::{Level, PageEncoder, ShadowCache};
use pollux::limits::PAGE_SIZE;
use pollux::link::receive::Receive;
use pollux::link::ship::Ship;
use pollux::link::{Activity, LinkEvent, LinkOptions, LinkProcess, MultiPort, Silence};
use pollux::ring::{LinkCounters, Ring};
use pollux::wire::{ETHERTYPE_DEFAULT, Entropy, EthernetAddress, SecretKey};

use super::halves::{Capture, Commit};
use super::network::{Faults, Network, Port};

/// How long a step of the simulated clock is.
pub const STEP_US: u64 = 50;
/// The longer steps, still shorter than a heartbeat's interval.
const COARSE_STEP_US: u64 = 5_000;
pub const TIMEOUT_MS: u32 = 500;
pub const PRIMARY: usize = 0;
pub const BACKUP: usize = 1;

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub seed: u64,
    pub faults: Faults,
    /// Those of a second network, if there is one.
    pub second: Option<Faults>,
    /// The backup was given its links in the other order.
    pub is_crossed: bool,
    pub mtus: [usize; 2],
    pub timeouts_ms: [u32; 2],
    /// Entries of the primary's ring.
    pub primary_entries: u64,
    /// Entries that commit gives credit for.
    pub backup_entries: u64,
    /// Pages of an epoch at most.
    pub pages_max: u64,
}

impl Setting {
    pub const fn new(seed: u64, faults: Faults) -> Self {
        Self {
            seed,
            faults,
            second: None,
            is_crossed: false,
            mtus: [9000; 2],
            timeouts_ms: [TIMEOUT_MS; 2],
            primary_entries: 128,
            backup_entries: 256,
            pages_max: 60,
        }
    }
}

/// Two hosts.
#[derive(Debug)]
pub struct World {
    pub now_us: u64,
    pub capture: Capture,
    ship_ring: pollux::ring::Consumer,
    pub ship: Box<Ship>,
    pub network: Network,
    /// The second one, if there are two.
    pub second: Option<Network>,
    ports: [MultiPort<Port>; 2],
    pub receive: Box<Receive>,
    receive_ring: pollux::ring::Producer,
    pub commit: Commit,
    pub events: [Vec<LinkEvent>; 2],
    pub activity: [Activity; 2],
    /// Entries that the halves handle per step.
    pub pace: [u64; 2],
    /// An epoch begins at most so often; 0 for no limit.
    pub interval_us: u64,
}

/// Both hosts' addresses on a path.
pub fn addresses(path: u8) -> [EthernetAddress; 2] {
    [EthernetAddress([2, 0, 0, 0, path, 1]), EthernetAddress([2, 0, 0, 0, path, 2])]
}

fn first_path(setting: &Setting, side: usize) -> u8 {
    u8::from(setting.is_crossed && side == BACKUP)
}

/// The key file's key, the same on both hosts.
pub const KEY: [u8; 32] = [0x77; 32];

/// The entropy of one side's network process.
pub fn entropy(side: usize, seed: u64) -> [u8; 32] {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = u8::try_from(side).unwrap();
    bytes
}

pub fn options(side: usize, mtu: usize, seed: u64) -> LinkOptions {
    let addresses = addresses(0);
    LinkOptions {
        own_address: addresses[side],
        peer_address: addresses[1 - side],
        ethertype: ETHERTYPE_DEFAULT,
        path_count: 1,
        mtu,
        timeout_ms: TIMEOUT_MS,
        silence_memory_us: Silence::MEMORY_US_FIRST,
        key: SecretKey::new(KEY),
        entropy: Entropy::new(entropy(side, seed)),
    }
}

/// An encoder with a cache that is smaller than the guest; each seed has levels of its own, or an
/// explorer that tries them all.
pub fn encoder(seed: u64) -> PageEncoder {
    encoder_with(seed, 32)
}

/// The same with a cache of so many pages.
pub fn encoder_with(seed: u64, cache_page_count: usize) -> PageEncoder {
    let levels = match seed % 4 {
        0 => Level::Raw..=Level::Lz4,
        1 => Level::Delta..=Level::Delta,
        2 => Level::Lz4..=Level::Lz4,
        _ => Level::Raw..=Level::Raw,
    };
    PageEncoder::with_levels(ShadowCache::create(cache_page_count * PAGE_SIZE).unwrap(), levels, 8)
}

impl World {
    pub fn new(setting: &Setting) -> Self {
        let Setting { seed, pages_max, .. } = *setting;
        let (producer, ship_ring) =
            Ring::create(setting.primary_entries).unwrap().into_both().unwrap();
        let (receive_ring, consumer) =
            Ring::create(setting.backup_entries).unwrap().into_both().unwrap();
        let now_us = 1_000_000;
        let options = |side: usize| LinkOptions {
            timeout_ms: setting.timeouts_ms[side],
            path_count: 1 + usize::from(setting.second.is_some()),
            own_address: addresses(first_path(setting, side))[side],
            peer_address: addresses(first_path(setting, side))[1 - side],
            ..options(side, setting.mtus[side], seed)
        };
        let network = Network::new(seed, setting.faults);
        let second = setting.second.map(|faults| Network::new(seed + 1_000_000, faults));
        let ports = [PRIMARY, BACKUP].map(|side| {
            let mut networks: Vec<_> = (0..).zip([Some(&network), second.as_ref()]).collect();
            networks.rotate_left(first_path(setting, side).into());
            let mut port = MultiPort::default();
            for (path, network) in networks {
                let Some(network) = network else { continue };
                let addresses = addresses(path);
                port.add(network.ports[side].clone(), addresses[side], addresses[1 - side]);
            }
            port
        });
        Self {
            now_us,
            capture: Capture::new(producer, seed, pages_max),
            ship_ring,
            ship: Box::new(Ship::new(options(PRIMARY), encoder(seed), now_us)),
            network,
            second,
            ports,
            receive: Box::new(Receive::new(options(BACKUP), now_us)),
            receive_ring,
            commit: Commit::new(consumer, seed, pages_max, setting.backup_entries),
            events: [Vec::new(), Vec::new()],
            activity: [Activity::Idle; 2],
            pace: [8, 16],
            interval_us: 0,
        }
    }

    pub fn step(&mut self) {
        self.now_us += STEP_US;
        if self.now_us.checked_rem(self.interval_us) == Some(0) {
            self.capture.epoch_max = self.capture.acked_epoch + 1;
        }
        self.capture.step(self.pace[PRIMARY]);
        let [primary_port, backup_port] = &mut self.ports;
        let now_us = self.now_us;
        self.activity[PRIMARY] = self.ship.turn(now_us, primary_port, &mut self.ship_ring).unwrap();
        self.activity[BACKUP] =
            self.receive.turn(now_us, backup_port, &mut self.receive_ring).unwrap();
        self.network.step(now_us);
        self.second.iter_mut().for_each(|network| network.step(now_us));
        self.commit.step(self.pace[BACKUP]);
        while let Some(event) = self.ship.link().poll_event() {
            self.events[PRIMARY].push(event);
        }
        while let Some(event) = self.receive.link().poll_event() {
            self.events[BACKUP].push(event);
        }
        let acked = self.capture.ring.control().acked_epoch();
        let both_up = self.capture.is_up() && self.commit.is_up();
        assert!(!both_up || acked <= self.commit.complete_epoch.max(self.capture.acked_epoch));
    }

    /// Runs in longer steps than usual: for long times in which little happens.
    pub fn run_coarsely_until(&mut self, end_us: u64) {
        while self.now_us < end_us {
            self.now_us += COARSE_STEP_US - STEP_US;
            self.step();
        }
    }

    pub fn run_ms(&mut self, duration_ms: u64) {
        let end_us = self.now_us + duration_ms * 1000;
        while self.now_us < end_us {
            self.step();
        }
    }

    /// Steps until `done`, and fails with `what` when that takes longer than `limit_ms`.
    pub fn run_until(&mut self, what: &str, limit_ms: u64, mut done: impl FnMut(&Self) -> bool) {
        let end_us = self.now_us + limit_ms * 1000;
        while !done(self) {
            assert!(self.now_us < end_us, "not within {limit_ms} ms: {what}; {}", self.describe());
            self.step();
        }
    }

    pub fn counters(&mut self) -> [LinkCounters; 2] {
        self.ship.link().show_counters(&self.ship_ring);
        self.receive.link().show_counters(&self.receive_ring);
        [*self.ship.link().counters(), *self.receive.link().counters()]
    }

    fn describe(&mut self) -> String {
        format!(
            "events {:?}\ncounters {:?}\nnetwork {:?}\nproduced {} acked {} complete {} losses {:?} {:?}",
            self.events,
            [*self.ship.link().counters(), *self.receive.link().counters()],
            self.network.done,
            self.capture.produced_epoch,
            self.capture.acked_epoch,
            self.commit.complete_epoch,
            self.capture.losses,
            self.commit.losses,
        )
    }
}
