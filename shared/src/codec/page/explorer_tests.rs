//! The explorer, tried on a ship, a link and a backup that are nothing but what they cost.

use std::collections::VecDeque;

use super::*;

/// What pages cost: nanoseconds of ship's core and of the link, at each level.
#[derive(Clone, Copy, Debug)]
struct Costs {
    core_ns: [u64; 3],
    link_ns: [u64; 3],
}

/// 10 Gbit/s and more: the core's time is all that counts. Deltas spare sealing and sending.
const FAST: Costs = Costs { core_ns: [2_600, 1_500, 6_000], link_ns: [400, 150, 100] };
/// The same with a guest whose pages are new each time.
const FAST_WITHOUT_DELTAS: Costs =
    Costs { core_ns: [2_600, 3_300, 9_000], link_ns: [400, 400, 250] };
/// 1 Gbit/s with pages that compress, and change too much for deltas.
const SLOW: Costs = Costs { core_ns: [2_600, 3_300, 9_000], link_ns: [33_000, 33_000, 15_000] };
/// 1 Gbit/s with pages that nothing makes smaller.
const SLOW_NOISE: Costs =
    Costs { core_ns: [2_600, 3_300, 4_000], link_ns: [33_000, 33_000, 33_000] };

/// 1 Gbit/s with pages that change in a few words.
const SLOW_SPARSE: Costs =
    Costs { core_ns: [2_600, 1_500, 1_600], link_ns: [33_000, 2_500, 2_500] };

const ROUND_TRIP_NS: u64 = 100_000;
/// Entries that may be under way.
const WINDOW: u64 = 512;

/// A ship that always has enough to do, or epochs of some size at an interval.
struct Ship {
    explorer: Explorer,
    costs: Costs,
    now_ns: u64,
    link_free_ns: u64,
    under_way: VecDeque<u64>,
    encoded: u64,
    come: u64,
    available: u64,
    epoch: Option<(u64, u64)>,
    used: [u64; 3],
}

impl Ship {
    fn new(costs: Costs) -> Self {
        Self {
            explorer: Explorer::new(Level::Raw..=Level::Lz4, 1024, 4096),
            costs,
            now_ns: 0,
            link_free_ns: 0,
            under_way: VecDeque::new(),
            encoded: 0,
            come: 0,
            available: u64::MAX,
            epoch: None,
            used: [0; 3],
        }
    }

    fn with_epochs(costs: Costs, pages: u64, interval_us: u64) -> Self {
        Self { available: 0, epoch: Some((pages, interval_us * 1000)), ..Self::new(costs) }
    }

    fn run(&mut self, seconds: u64) -> u64 {
        let (end_ns, before) = (self.now_ns + seconds * 1_000_000_000, self.come);
        self.used = [0; 3];
        while self.now_ns < end_ns {
            self.turn();
        }
        self.come - before
    }

    /// Some milliseconds of busy time and what came in them are all that the explorer sees.
    fn turn(&mut self) {
        if let Some((pages, interval_ns)) = self.epoch {
            self.available = self.available.max((self.now_ns / interval_ns + 1) * pages);
        }
        while self.under_way.front().is_some_and(|&at| at + ROUND_TRIP_NS <= self.now_ns) {
            self.under_way.pop_front();
            self.come += 1;
        }
        let (encoded, come, available) = (self.encoded, self.come, self.available);
        let progress = Progress { encoded, come, available, is_starved: false };
        self.explorer.note(self.now_ns / 1000, progress);
        for _ in 0..16 {
            if self.encoded == self.available || self.under_way.len() as u64 >= WINDOW {
                break;
            }
            let level = self.explorer.level(self.encoded) as usize;
            self.used[level] += 1;
            self.encoded += 1;
            self.now_ns += self.costs.core_ns[level];
            self.link_free_ns = self.link_free_ns.max(self.now_ns) + self.costs.link_ns[level];
            self.under_way.push_back(self.link_free_ns);
        }
        self.now_ns += 2_000;
    }

    fn share(&self, level: Level) -> u64 {
        self.used[level as usize] * 100 / self.used.iter().sum::<u64>()
    }
}

/// Pages per second that one level alone would bring.
fn alone(costs: Costs, level: Level, seconds: u64) -> u64 {
    let mut ship = Ship::new(costs);
    ship.explorer = Explorer::new(level..=level, 1024, 4096);
    ship.run(seconds)
}

#[test]
fn each_link_gets_the_level_that_pays() {
    for (costs, best) in [
        (FAST, Level::Delta),
        (FAST_WITHOUT_DELTAS, Level::Raw),
        (SLOW, Level::Lz4),
        (SLOW_NOISE, Level::Delta),
        (SLOW_SPARSE, Level::Delta),
    ] {
        let mut ship = Ship::new(costs);
        ship.run(5);
        assert_eq!(ship.explorer.settled, best, "{costs:?}");
        let came = ship.run(10);
        assert!(ship.share(best) >= 94, "{costs:?}: {:?}", ship.used);
        let most = alone(costs, best, 10);
        assert!(came * 100 >= most * 97, "{costs:?}: {came} of {most}");
    }
}

#[test]
fn finding_out_costs_little_and_never_much_against_raw() {
    for costs in [FAST, FAST_WITHOUT_DELTAS, SLOW, SLOW_NOISE, SLOW_SPARSE] {
        let came = Ship::new(costs).run(5);
        let raw = alone(costs, Level::Raw, 5);
        assert!(came * 100 >= raw * 95, "{costs:?}: {came}, raw {raw}");
    }
}

#[test]
fn a_link_that_changes_is_followed() {
    let mut ship = Ship::new(FAST_WITHOUT_DELTAS);
    for (costs, best) in [
        (FAST_WITHOUT_DELTAS, Level::Raw),
        (SLOW, Level::Lz4),
        (FAST, Level::Delta),
        (SLOW, Level::Lz4),
        (FAST_WITHOUT_DELTAS, Level::Raw),
    ] {
        ship.costs = costs;
        ship.run(20);
        assert_eq!(ship.explorer.settled, best, "{costs:?}");
    }
}

#[test]
fn epochs_with_rests_between_are_judged_by_the_time_to_their_last_acknowledgement() {
    // 1000 pages in 50 ms: 33 ms of a slow link raw, 15 ms with LZ4.
    let mut ship = Ship::with_epochs(SLOW, 1000, 50_000);
    ship.run(20);
    assert_eq!(ship.explorer.settled, Level::Lz4);
    // 30 pages: the core is done before the round trip is over, whatever it does.
    let mut ship = Ship::with_epochs(FAST, 30, 25_000);
    ship.run(60);
    assert_eq!(ship.explorer.settled, Level::Delta);
}

#[test]
fn a_starved_ship_learns_nothing() {
    let mut explorer = Explorer::new(Level::Raw..=Level::Lz4, 64, 4096);
    for entry in 1..100_000 {
        let progress =
            Progress { encoded: entry, come: entry - 1, available: entry, is_starved: true };
        explorer.note(entry * 10, progress);
        assert_eq!(explorer.level(entry), HOME);
    }
}

#[test]
fn a_level_that_is_the_only_one_is_kept() {
    for level in [Level::Raw, Level::Delta, Level::Lz4] {
        let mut ship = Ship::new(SLOW);
        ship.explorer = Explorer::new(level..=level, 1024, 4096);
        ship.run(1);
        assert_eq!(ship.share(level), 100);
    }
}

#[test]
fn a_new_session_starts_with_what_was_found() {
    let mut ship = Ship::new(SLOW);
    ship.run(5);
    ship.explorer.start_session();
    assert_eq!((ship.explorer.level(0), ship.explorer.level(5000)), (Level::Lz4, Level::Lz4));
}
