//! How often a peer that lives is taken for dead, and how soon one that is dead is noticed, under load.
//!
//! A peer sends heartbeats over one or two links; both hosts stall, frames queue and are lost. The limit that
//! is learnt is the link's own (`Silence`), with turns as the link process takes them; beside it, on the same
//! arrivals, stand the fixed timeout and a fixed number of heartbeats. Time is simulated and a run follows
//! from its seed. Nothing but heartbeats is sent: with epochs under way more is heard, never less.
//!
//! `DETECTION_HOURS=96 cargo test --test detection -- --nocapture` prints the table of
//! docs/failure-model.md; the usual run is shorter.

mod load;
#[path = "../support/mod.rs"]
mod support;

use load::{HEAVY, Host, LIGHT, Link, Load, MEDIUM, RARE, RARER, exponential};
use pollux::link::Silence;
use support::Random;

const TIMEOUT_US: u64 = 500_000;
/// As the link derives it from the timeout.
const HEARTBEAT_US: u64 = TIMEOUT_US / 10;
/// The rule that is fixed and short.
const FEW_US: u64 = 3 * HEARTBEAT_US;
/// The longest rest of a link process that has nothing to do.
const TURN_US: u64 = 1_000;
/// How much coarser turns are while there is nothing to judge.
const COARSE_TURN_US: u64 = 10 * TURN_US;
const HOUR_US: u64 = 3_600_000_000;
const HOURS: u64 = 8;
/// Mean time between two deaths that are tried.
const DEATH_INTERVAL_US: f64 = 60e6;
/// More than the timeout cries wolf: so many times a day at most.
const FALSE_ALARMS_PER_DAY_MAX: u64 = 2;
/// And so many times while it learns of stalls that are rarer than this.
const FALSE_ALARMS_LEARNING_MAX: u64 = 4;
const RARE_STALLS_US: f64 = 60e6;

/// The peer, the links and this end, which judges by three rules.
#[derive(Clone, Debug)]
struct World {
    load: Load,
    now_us: u64,
    peer: Host,
    own: Host,
    links: Vec<Link>,
    is_dead: bool,
    next_number: u64,
    next_send_us: u64,
    /// The last numbers that came, the newest one and a bit for each of those before.
    newest: u64,
    come: u128,
    learnt: Silence,
    /// Since when the own process has not stalled for longer than a heartbeat's interval.
    stalled_us: u64,
    /// By the timeout, by few heartbeats, and by what is learnt: whether the peer is taken for dead, and how
    /// often it was.
    is_lost: [bool; 3],
    alarms: [u64; 3],
}

const LEARNT: usize = 2;

/// What an end knows of its peer when a session begins, and what it has learnt in the last one.
fn session(now_us: u64, last: Option<&Silence>) -> Silence {
    let mut silence = Silence::new(TIMEOUT_US, HEARTBEAT_US, now_us);
    silence.learn(Silence::MEMORY_US_FIRST, last);
    silence
}

impl World {
    fn new(seed: u64, load: Load, link_count: u64) -> Self {
        Self {
            load,
            now_us: 0,
            peer: Host::new(seed),
            own: Host::new(seed + 1),
            links: (0..link_count).map(|number| Link::new(seed + 2 + number)).collect(),
            is_dead: false,
            next_number: 200,
            next_send_us: 0,
            newest: 0,
            come: 0,
            learnt: session(0, None),
            stalled_us: 0,
            is_lost: [false; 3],
            alarms: [0; 3],
        }
    }

    /// The heartbeats until this time.
    fn send_until(&mut self, until_us: u64) {
        while !self.is_dead && self.next_send_us <= until_us {
            let at_us = self.peer.runs_us(&self.load, self.next_send_us);
            for link in &mut self.links {
                link.send(&self.load, at_us, self.next_number);
            }
            self.next_number += 1;
            // The peer's process notices with its next turn that one is due.
            self.next_send_us = at_us + HEARTBEAT_US + self.peer.random.below(TURN_US);
        }
    }

    /// Whether a frame is no copy.
    fn is_new(&mut self, number: u64) -> bool {
        if number > self.newest {
            let distance = u32::try_from(number - self.newest).unwrap();
            self.come = self.come.checked_shl(distance).unwrap_or(0) | 1;
            self.newest = number;
            return true;
        }
        let bit = 1_u128.checked_shl(u32::try_from(self.newest - number).unwrap()).unwrap_or(0);
        let is_new = self.come & bit == 0;
        self.come |= bit;
        is_new
    }

    /// One turn of this end's process, after a rest of this length unless a frame comes.
    fn turn(&mut self, rest_us: u64) {
        self.send_until(self.now_us + rest_us);
        let next = self.links.iter().filter_map(|link| link.under_way.front()).min();
        let woken_us = next.map_or(u64::MAX, |&(due_us, _)| due_us.max(self.now_us + 1));
        let wake_us = woken_us.min(self.now_us + rest_us);
        let before_us = self.now_us;
        self.now_us = self.own.runs_us(&self.load, wake_us);
        self.send_until(self.now_us);
        if self.now_us - before_us > HEARTBEAT_US {
            self.stalled_us = self.now_us;
        }
        for path in 0..self.links.len() {
            while let Some((_, number)) =
                self.links[path].under_way.pop_front_if(|frame| frame.0 <= self.now_us)
            {
                self.take_in(number);
            }
        }
        self.learnt.note_turn(self.now_us);
        self.judge();
    }

    fn take_in(&mut self, number: u64) {
        if !self.is_new(number) {
            self.learnt.note_late(self.now_us);
            return;
        }
        if self.is_lost[LEARNT] {
            // Another session begins.
            self.learnt = session(self.now_us, Some(&self.learnt));
        }
        self.learnt.note_heard(self.now_us);
        self.is_lost = [false; 3];
    }

    fn judge(&mut self) {
        let silence_us = self.now_us - self.learnt.heard_us();
        let judged =
            [silence_us > TIMEOUT_US, silence_us > FEW_US, self.learnt.is_lost(self.now_us, 1)];
        for (rule, is_lost) in judged.into_iter().enumerate() {
            self.alarms[rule] += u64::from(is_lost && !self.is_lost[rule]);
            if is_lost && rule == LEARNT && !self.is_lost[rule] {
                self.learnt.note_lost();
            }
            self.is_lost[rule] |= is_lost;
        }
    }

    /// Turns as short as they must be.
    fn step(&mut self) {
        let is_near = self.learnt.silence_us() + COARSE_TURN_US >= FEW_US;
        self.turn(if is_near { TURN_US } else { COARSE_TURN_US });
    }

    /// The peer dies now or within a heartbeat: after how long is that noticed, by each rule?
    fn death(&self, random: &mut Random) -> Option<[u64; 3]> {
        let mut world = self.clone();
        let end_us = world.now_us + random.below(HEARTBEAT_US);
        while world.now_us < end_us {
            world.turn((end_us - world.now_us).min(TURN_US));
        }
        if world.is_lost.contains(&true) {
            return None;
        }
        world.is_dead = true;
        // What a stalled peer was still to send is sent by nobody.
        let death_us = world.now_us;
        for link in &mut world.links {
            link.under_way.retain(|frame| frame.0 <= death_us + 10_000);
        }
        let mut noticed: [Option<u64>; 3] = [None; 3];
        while noticed.contains(&None) {
            world.turn(TURN_US / 2);
            for (noticed, is_lost) in noticed.iter_mut().zip(world.is_lost) {
                *noticed = noticed.or(is_lost.then_some(world.now_us));
            }
        }
        // A turn that is not called a stall takes a heartbeat's interval at most.
        let turn_us_max = HEARTBEAT_US;
        let heard_us = world.learnt.heard_us();
        let bound_us = (heard_us + TIMEOUT_US).max(world.stalled_us + HEARTBEAT_US) + turn_us_max;
        assert!(noticed[LEARNT].unwrap() <= bound_us, "{world:?}");
        Some(noticed.map(|at| at.unwrap() - death_us))
    }
}

/// What a load came to.
struct Measured {
    alarms: [u64; 3],
    /// By each rule, sorted.
    detections_us: [Vec<u64>; 3],
}

impl Measured {
    fn detection_ms(&self, rule: usize, percent: usize) -> u64 {
        let sorted = &self.detections_us[rule];
        sorted[(sorted.len() - 1) * percent / 100] / 1000
    }
}

fn hours() -> u64 {
    std::env::var("DETECTION_HOURS").map_or(HOURS, |text| text.parse().expect("a number of hours"))
}

fn measure(load: Load, link_count: u64, hours: u64) -> Measured {
    let mut world = World::new(1, load, link_count);
    let mut random = Random::new(2);
    let mut measured = Measured { alarms: [0; 3], detections_us: Default::default() };
    let mut death_us = 0;
    while world.now_us < hours * HOUR_US {
        world.step();
        if world.now_us >= death_us {
            death_us = world.now_us + exponential(&mut random, DEATH_INTERVAL_US);
            let Some(noticed_us) = world.death(&mut random) else { continue };
            for (all, one) in measured.detections_us.iter_mut().zip(noticed_us) {
                all.push(one);
            }
        }
    }
    measured.detections_us.iter_mut().for_each(|all| all.sort_unstable());
    measured.alarms = world.alarms;
    measured
}

#[test]
fn the_learnt_limit_is_short_and_cries_no_wolf() {
    let hours = hours();
    println!("timeout {} ms, {hours} hours for each line", TIMEOUT_US / 1000);
    println!("load   links  rule          false alarms a day  detection p50, p99, max in ms");
    for load in [LIGHT, MEDIUM, HEAVY, RARE, RARER] {
        for link_count in [1, 2] {
            let measured = measure(load, link_count, hours);
            for (rule, name) in ["timeout", "3 heartbeats", "learnt"].iter().enumerate() {
                let [p50, p99, max] = [50, 99, 100].map(|it| measured.detection_ms(rule, it));
                let alarms = measured.alarms[rule] * 240 / hours;
                println!(
                    "{:6} {link_count:5}  {name:12} {:18}.{} {p50:14}, {p99}, {max}",
                    load.name,
                    alarms / 10,
                    alarms % 10
                );
            }
            let [timeout, few, learnt] = measured.alarms;
            let is_rare = load.stall_interval_us > RARE_STALLS_US;
            let learning_max = if is_rare { FALSE_ALARMS_LEARNING_MAX } else { 0 };
            let more_max = (FALSE_ALARMS_PER_DAY_MAX * hours).div_ceil(24) + learning_max;
            assert!(learnt <= timeout + more_max, "{load:?}: {learnt} false alarms");
            assert!(few <= more_max || learnt < few, "{load:?}: no better than few heartbeats");
            if load.name == LIGHT.name {
                assert_eq!(learnt, 0, "nothing happened");
                assert!(measured.detection_ms(LEARNT, 50) < TIMEOUT_US / 1000 / 2);
            }
        }
    }
}

/// Whatever becomes of one of two links, the peer is not lost while the other one is well.
#[test]
fn no_single_link_makes_a_peer_lost() {
    for seed in 0..4 {
        let mut world = World::new(100 + seed, LIGHT, 2);
        let mut random = Random::new(seed);
        while world.now_us < HOUR_US {
            // Well for long enough that the limit gets short; then one is cut.
            let well_us = world.now_us + random.below(400_000_000);
            let bad_us = well_us + random.below(10_000_000);
            let bad = usize::try_from(random.below(2)).unwrap();
            while world.now_us < bad_us {
                world.step();
                if world.now_us >= well_us {
                    world.links[bad].slowness_us = None;
                }
            }
            // Back, and slow every other time: what comes is a copy, until the other link is the bad one.
            world.links[bad].slowness_us = Some(random.below(2) * random.below(TIMEOUT_US * 3 / 4));
            assert_eq!(world.alarms[0] + world.alarms[LEARNT], 0, "seed {seed}");
        }
        assert!(world.alarms[1] > 0, "it was no trial");
    }
}
