//! The replication links, each of which fails by itself.

use pollux::link::MultiPort;

use crate::checker::Checker;
use crate::support::Random;
use crate::support::network::{Faults, Network, Port};
use crate::support::world::{BACKUP, PRIMARY, addresses};

/// Links between the hosts at most.
const LINK_COUNT_MAX: u64 = 3;

pub const NO_FAULTS: Faults = Faults { mtu: 1500, ..Faults::NONE };

pub struct Links {
    pub networks: Vec<Network>,
    pub ports: [MultiPort<Port>; 2],
}

impl Links {
    /// One link in half of all runs, more in the others; most have faults of their own, or none has.
    pub fn new(random: &mut Random) -> Self {
        let count = if random.chance(500) { 1 } else { 1 + random.below(LINK_COUNT_MAX) };
        let is_bad = random.chance(500);
        let networks: Vec<_> = (0..count)
            .map(|_| {
                let faults = if is_bad { some_faults(random) } else { NO_FAULTS };
                Network::new(random.next(), faults)
            })
            .collect();
        let ports = [PRIMARY, BACKUP].map(|side| {
            let mut port = MultiPort::default();
            for (path, network) in (0..).zip(&networks) {
                let addresses = addresses(path);
                port.add(network.ports[side].clone(), addresses[side], addresses[1 - side]);
            }
            port
        });
        Self { networks, ports }
    }

    /// When the next frame arrives that is under way.
    pub fn due_us(&self) -> Option<u64> {
        self.networks.iter().filter_map(Network::due_us).min()
    }

    pub fn step(&mut self, now_us: u64, checker: &Checker) {
        for network in &mut self.networks {
            network.step(now_us);
            checker.note_under_way(network.under_way_count());
        }
    }

    /// All is well from now on; what is under way still comes when it comes.
    pub fn mend(&mut self) {
        for network in &mut self.networks {
            (network.cut, network.faults) = ([false; 2], NO_FAULTS);
            network.ports.iter().for_each(|port| *port.is_down.borrow_mut() = false);
        }
    }

    /// Something happens to one of them, or to all.
    pub fn trouble(&mut self, random: &mut Random) {
        let count = self.networks.len();
        let one = usize::try_from(random.below(count as u64)).unwrap();
        let which = if random.chance(650) { 0..count } else { one..one + 1 };
        let cut = [random.chance(500), random.chance(500)];
        let (kind, long) = (random.below(12), random.chance(200));
        let delay_us = random.below(if long { 2_000_000 } else { 100_000 });
        let side = usize::try_from(random.below(2)).unwrap();
        for network in &mut self.networks[which] {
            match kind {
                0..3 => network.cut = cut,
                3..5 => network.cut = [true; 2],
                5..8 => network.cut = [false; 2],
                8 => network.faults.delay_us = delay_us,
                9 => network.faults.delay_us = delay_us / 50,
                10 => *network.ports[side].is_down.borrow_mut() ^= true,
                _ => network.faults = some_faults(random),
            }
        }
    }
}

fn some_faults(random: &mut Random) -> Faults {
    Faults {
        loss: random.below(200),
        duplication: random.below(200),
        corruption: random.below(100),
        reordering: random.below(300),
        hold_up_us: 1 + random.below(5000),
        delay_us: random.below(3000),
        mtu: 1500,
    }
}
