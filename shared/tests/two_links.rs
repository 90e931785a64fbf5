//! Two links between the hosts, over simulated networks and a simulated clock: as long as one of them
//! works in both directions the session holds and epochs go on; when none does, the session is lost after
//! the timeout and not before. A failure names its seed, and the same seed fails again.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pollux::link::LinkEvent;
use support::Random;
use support::network::{Faults, Network};
use support::world::{BACKUP, PRIMARY, STEP_US, Setting, TIMEOUT_MS, World};

/// Offset of a frame's type, and the type of data.
const TYPE_OFFSET: usize = 15;
const DATA: u8 = 4;
/// Time between epochs.
const INTERVAL_US: u64 = 5_000;

fn with_seeds(seeds: std::ops::Range<u64>, test: impl Fn(u64)) {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("seed {seed} failed");
            resume_unwind(panic);
        }
    }
}

fn world_with(seed: u64, first: Faults, second: Faults) -> World {
    let setting = Setting { second: Some(second), pages_max: 20, ..Setting::new(seed, first) };
    let mut world = World::new(&setting);
    (world.interval_us, world.capture.epoch_max) = (INTERVAL_US, 0);
    world
}

fn small_faults(random: &mut Random) -> Faults {
    Faults {
        loss: random.below(30),
        duplication: random.below(50),
        corruption: random.below(20),
        reordering: random.below(100),
        hold_up_us: 1 + random.below(3000),
        delay_us: random.below(1000),
        mtu: 9000,
    }
}

fn network(world: &mut World, path: usize) -> &mut Network {
    match path {
        0 => &mut world.network,
        _ => world.second.as_mut().unwrap(),
    }
}

fn cut(world: &mut World, path: usize, directions: [bool; 2]) {
    network(world, path).cut = directions;
}

/// Runs until so many more epochs are acknowledged, none of which may take longer than `gap_ms`.
fn epochs(world: &mut World, count: u64, gap_ms: u64) {
    for _ in 0..count {
        let epoch = world.capture.acked_epoch;
        world.run_until("an epoch", gap_ms, |world| world.capture.acked_epoch > epoch);
    }
}

fn assert_one_session(world: &mut World) {
    assert_eq!(world.counters().map(|it| it.sessions), [1, 1], "{:?}", world.events);
    assert!(world.capture.losses.is_empty() && world.commit.losses.is_empty());
}

/// Frames of a type that were sent on a path while it was recorded.
fn recorded(world: &mut World, path: usize, is_wanted: impl Fn(u8) -> bool) -> usize {
    let record = network(world, path).record.take().unwrap();
    record.iter().filter(|(_, frame)| is_wanted(frame[TYPE_OFFSET])).count()
}

#[test]
fn data_takes_the_first_link_and_all_else_takes_both() {
    let mut world = world_with(1, Faults::NONE, Faults::NONE);
    (0..2).for_each(|path| network(&mut world, path).record = Some(Vec::new()));
    epochs(&mut world, 60, 20);
    world.run_ms(50);
    let small = recorded(&mut world, 0, |it| it != DATA);
    network(&mut world, 0).record = None;
    let record = network(&mut world, 1).record.take().unwrap();
    assert!(record.iter().all(|(_, frame)| frame[TYPE_OFFSET] != DATA));
    assert_eq!(record.len(), small);
    assert_one_session(&mut world);
    let [primary, backup] = world.counters();
    assert_eq!((primary.frames_retransmitted, backup.frames_duplicate), (0, 0));
    let refused = |it: &pollux::ring::LinkCounters| {
        it.frames_malformed + it.frames_unauthentic + it.frames_replayed
    };
    assert_eq!((refused(&primary), refused(&backup)), (0, 0), "copies are no attack");
    assert!(primary.frames_copied > 20 && backup.frames_copied > 2, "{backup:?}");
    assert_eq!(world.events[PRIMARY], [LinkEvent::Up { frame_size: 9000 }]);
}

#[test]
fn a_link_that_is_cut_in_any_direction_costs_no_session() {
    with_seeds(0..24, |seed| {
        let mut random = Random::new(seed);
        let (first, second) = (small_faults(&mut random), small_faults(&mut random));
        let mut world = world_with(seed, first, second);
        world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
        // One after the other, each in one direction or both.
        for path in [0, 1, 0] {
            world.run_ms(random.below(50));
            let directions = [[true, true], [true, false], [false, true]];
            cut(&mut world, path, directions[usize::try_from(seed % 3).unwrap()]);
            epochs(&mut world, 10 + random.below(20), 350);
            world.run_ms(random.below(1_000));
            cut(&mut world, path, [false; 2]);
            // Until both hosts trust the link again.
            world.run_ms(1_500);
        }
        epochs(&mut world, 5, 350);
        assert_one_session(&mut world);
    });
}

#[test]
fn a_cut_link_stretches_one_epoch_by_little() {
    let mut world = world_with(2, Faults::NONE, Faults::NONE);
    world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
    cut(&mut world, 0, [true; 2]);
    // An eighth of the timeout in which data does not arrive, and some round trips.
    epochs(&mut world, 1, 90);
    epochs(&mut world, 50, 20);
    assert!(world.events[PRIMARY].contains(&LinkEvent::DataPath { path: 1 }));
    world.run_ms(1_000);
    assert!(world.events[PRIMARY].contains(&LinkEvent::PathLost { path: 0 }));
    assert!(world.events[BACKUP].contains(&LinkEvent::PathLost { path: 0 }));
    cut(&mut world, 0, [false; 2]);
    epochs(&mut world, 50, 20);
    world.run_ms(1_500);
    assert_eq!(world.events[PRIMARY].last(), Some(&LinkEvent::DataPath { path: 0 }));
    assert!(world.events[PRIMARY].contains(&LinkEvent::PathBack { path: 0 }));
    assert_one_session(&mut world);
}

/// The sets of links that either end shows: heard, heard by the peer, data.
fn shown_links(world: &mut World) -> [[u8; 3]; 2] {
    world.counters().map(|it| *it.links.to_le_bytes().first_chunk().unwrap())
}

#[test]
fn each_end_shows_which_links_are_heard_and_which_carries_data() {
    let mut world = world_with(4, Faults::NONE, Faults::NONE);
    assert_eq!(shown_links(&mut world), [[0; 3]; 2], "there is no session");
    world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
    assert_eq!(shown_links(&mut world), [[0b11, 0b11, 0b01], [0b11, 0, 0b01]]);
    // Of the first link only the way back is left.
    cut(&mut world, 0, [true, false]);
    epochs(&mut world, 1, 90);
    epochs(&mut world, 100, 20);
    world.run_ms(1_000);
    assert_eq!(shown_links(&mut world), [[0b11, 0b10, 0b10], [0b10, 0, 0b10]]);
}

#[test]
fn each_direction_may_have_a_link_of_its_own() {
    let mut world = world_with(3, Faults::NONE, Faults::NONE);
    world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
    cut(&mut world, 0, [true, false]);
    cut(&mut world, 1, [false, true]);
    epochs(&mut world, 1, 90);
    epochs(&mut world, 50, 20);
    world.run_ms(3_000);
    epochs(&mut world, 1, 20);
    assert_one_session(&mut world);
}

#[test]
fn an_interface_that_is_down_holds_nothing_up() {
    for side in [PRIMARY, BACKUP] {
        let mut world = world_with(4, Faults::NONE, Faults::NONE);
        world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
        *world.network.ports[side].is_down.borrow_mut() = true;
        epochs(&mut world, 1, 120);
        epochs(&mut world, 100, 20);
        world.run_ms(1_000);
        *world.network.ports[side].is_down.borrow_mut() = false;
        world.run_ms(1_500);
        epochs(&mut world, 5, 20);
        assert!(world.events[1 - side].contains(&LinkEvent::PathBack { path: 0 }));
        assert_one_session(&mut world);
    }
}

#[test]
fn both_links_cut_mean_lost_after_the_timeout_and_not_before() {
    with_seeds(0..16, |seed| {
        let mut random = Random::new(seed);
        let faults = Faults { loss: 20, ..Faults::NONE };
        let mut world = world_with(seed, faults, faults);
        world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
        let first = usize::try_from(seed % 2).unwrap();
        cut(&mut world, first, [true; 2]);
        world.run_ms(random.below(2_000));
        assert_one_session(&mut world);
        cut(&mut world, 1 - first, [true; 2]);
        world.run_ms(u64::from(TIMEOUT_MS) * 3 / 4);
        assert_one_session(&mut world);
        world.run_until("both notice", 400, |world| {
            !world.capture.losses.is_empty() && !world.commit.losses.is_empty()
        });
        assert_eq!((world.capture.losses[0], world.commit.losses[0].0), (None, None));
        // Whichever link is back first carries the next session.
        let back = usize::try_from(random.below(2)).unwrap();
        cut(&mut world, back, [false; 2]);
        world.run_until("5 more epochs", 10_000, |world| {
            world.capture.sessions == 2 && world.capture.acked_epoch >= 5
        });
    });
}

#[test]
fn a_slow_second_link_carries_on_and_is_left_again() {
    let slow = Faults { delay_us: 20_000, ..Faults::NONE };
    let mut world = world_with(5, Faults::NONE, slow);
    world.run_until("20 epochs", 2_000, |world| world.capture.acked_epoch >= 20);
    assert_eq!(world.counters()[PRIMARY].frames_retransmitted, 0);
    cut(&mut world, 0, [true; 2]);
    epochs(&mut world, 20, 300);
    cut(&mut world, 0, [false; 2]);
    world.run_ms(1_500);
    epochs(&mut world, 100, 20);
    assert_one_session(&mut world);
}

#[test]
fn flapping_links_cost_no_session_while_one_works() {
    with_seeds(0..16, |seed| {
        let mut random = Random::new(seed);
        let (first, second) = (small_faults(&mut random), small_faults(&mut random));
        let mut world = world_with(seed, first, second);
        world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
        let end_us = world.now_us + 5_000_000;
        let before = world.commit.epochs;
        // Which one works may change from one moment to the next.
        while world.now_us < end_us {
            let works = usize::try_from(random.below(2)).unwrap();
            cut(&mut world, works, [false; 2]);
            for _ in 0..1 + random.below(3) {
                let directions = [random.chance(500), random.chance(500)];
                cut(&mut world, 1 - works, directions);
                world.run_ms(20 + random.below(400));
            }
        }
        assert_one_session(&mut world);
        let count = world.commit.epochs - before;
        assert!(count > 200, "{count} epochs");
    });
}

#[test]
fn a_flapping_first_link_is_left_alone() {
    let mut world = world_with(6, Faults::NONE, Faults::NONE);
    world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
    for _ in 0..8 {
        cut(&mut world, 0, [true; 2]);
        world.run_ms(500);
        cut(&mut world, 0, [false; 2]);
        world.run_ms(500);
    }
    let changes = |it: &&LinkEvent| matches!(it, LinkEvent::DataPath { .. });
    let count = world.events[PRIMARY].iter().filter(changes).count();
    assert!(count <= 2, "{:?}", world.events[PRIMARY]);
    assert_one_session(&mut world);
}

#[test]
fn a_link_that_was_never_there_is_used_once_it_is() {
    for path in [0, 1] {
        let mut world = world_with(7, Faults::NONE, Faults::NONE);
        cut(&mut world, path, [true; 2]);
        world.run_until("10 epochs", 2_000, |world| world.capture.acked_epoch >= 10);
        world.run_ms(1_000);
        assert!(world.events[PRIMARY].contains(&LinkEvent::PathLost { path }));
        cut(&mut world, path, [false; 2]);
        world.run_ms(1_500);
        cut(&mut world, 1 - path, [true; 2]);
        epochs(&mut world, 20, 150);
        assert_one_session(&mut world);
    }
}

#[test]
fn large_frames_that_one_link_swallows_take_the_other() {
    let mut world = world_with(8, Faults::NONE, Faults::NONE);
    world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
    world.network.faults.mtu = 1500;
    epochs(&mut world, 1, 120);
    // It is tried again ever more rarely, and each try stretches one epoch.
    epochs(&mut world, 1_000, 120);
    assert_one_session(&mut world);
    assert!(!world.events[PRIMARY].contains(&LinkEvent::PathLost { path: 0 }), "it is heard");
    let changes = |it: &&LinkEvent| matches!(it, LinkEvent::DataPath { .. });
    let count = world.events[PRIMARY].iter().filter(changes).count();
    assert!((3..=7).contains(&count), "{count}");
}

#[test]
fn hosts_with_links_in_different_orders_do_not_connect() {
    let setting =
        Setting { second: Some(Faults::NONE), is_crossed: true, ..Setting::new(9, Faults::NONE) };
    let mut world = World::new(&setting);
    world.run_ms(2_000);
    let [primary, backup] = world.counters();
    assert_eq!((primary.sessions, backup.sessions), (0, 0));
    assert!(backup.frames_unauthentic > 10);
}

#[test]
fn frames_recorded_on_one_link_keep_nobody_alive_on_the_other() {
    let mut world = world_with(10, Faults::NONE, Faults::NONE);
    cut(&mut world, 1, [true; 2]);
    world.network.record = Some(Vec::new());
    world.run_until("20 epochs", 5_000, |world| world.capture.acked_epoch >= 20);
    let record = world.network.record.take().unwrap();
    cut(&mut world, 0, [true; 2]);
    let cut_us = world.now_us;
    // All that the backup has not heard on the second link, with the addresses that belong there.
    let sealed = record.into_iter().filter(|(from, frame)| *from == PRIMARY && frame[15] > 3);
    let mut sealed = sealed.map(|(_, mut frame)| {
        (frame[4], frame[10]) = (1, 1);
        frame
    });
    while world.commit.losses.is_empty() {
        assert!(world.now_us - cut_us < 600_000, "the backup was deceived");
        if let Some(frame) = sealed.next() {
            let due_us = world.now_us + STEP_US;
            network(&mut world, 1).deliver_at(due_us, BACKUP, frame);
        }
        (0..20).for_each(|_| world.step());
    }
    assert_eq!(world.commit.losses[0].0, None);
    assert!(world.counters()[BACKUP].frames_copied > 50);
}
