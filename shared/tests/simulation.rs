//! Both ends of the link against each other, over a simulated network and clock: every epoch
//! arrives exactly, in order and bit for bit, whatever happens to the frames. A failure names its
//! seed, and the same seed fails again.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pollux::link::{Activity, Ending, LinkEvent};
use pollux::ring::{GoodbyeReason, Phase};
use support::Random;
use support::network::Faults;
use support::world::{BACKUP, PRIMARY, Setting, World};

/// Runs a test with each seed and says which one failed.
fn with_seeds(seeds: std::ops::Range<u64>, test: impl Fn(u64)) {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("seed {seed} failed");
            resume_unwind(panic);
        }
    }
}

fn random_faults(random: &mut Random) -> Faults {
    Faults {
        loss: random.below(150),
        duplication: random.below(150),
        corruption: random.below(100),
        reordering: random.below(300),
        hold_up_us: 1 + random.below(5000),
        delay_us: random.below(2000),
        mtu: 9000,
    }
}

#[test]
fn a_clean_network_needs_no_retransmission() {
    let mut world = World::new(&Setting::new(1, Faults::NONE));
    world.run_until("20 epochs", 3_000, |world| world.capture.acked_epoch >= 20);
    let [primary, backup] = world.counters();
    assert_eq!((primary.frames_retransmitted, backup.frames_duplicate), (0, 0));
    assert_eq!((primary.frames_malformed, backup.frames_malformed), (0, 0));
    assert_eq!((primary.sessions, backup.sessions), (1, 1));
    assert!((30..=300).contains(&primary.round_trip_us), "{}", primary.round_trip_us);
    assert_eq!(world.events[PRIMARY], [LinkEvent::Up { frame_size: 9000 }]);
    assert_eq!(world.events[BACKUP], [LinkEvent::Up { frame_size: 9000 }]);
}

#[test]
fn every_epoch_arrives_over_a_bad_network() {
    with_seeds(0..16, |seed| {
        let mut random = Random::new(seed);
        let mut setting = Setting::new(seed, random_faults(&mut random));
        setting.mtus = [[9000, 1500, 576][usize::try_from(random.below(3)).unwrap()]; 2];
        let mut world = World::new(&setting);
        world.capture.ahead_max = 1 + random.below(3);
        world.run_until("12 epochs", 60_000, |world| world.commit.epochs >= 12);
        let [primary, backup] = world.counters();
        let done = world.network.done;
        assert_eq!(primary.sessions, 1, "the session holds: {:?}", world.events);
        assert!(done.lost == 0 || primary.frames_retransmitted > 0);
        let refused = |it: &pollux::ring::LinkCounters| it.frames_malformed + it.frames_unauthentic;
        assert!(refused(&primary) + refused(&backup) <= done.corrupted);
        assert!(world.network.under_way_max < 6000, "{}", world.network.under_way_max);
    });
}

#[test]
fn the_faults_are_real_and_counted() {
    let faults =
        Faults { corruption: 200, duplication: 200, loss: 100, reordering: 100, ..Faults::NONE };
    let mut world = World::new(&Setting::new(3, faults));
    world.run_until("10 epochs", 60_000, |world| world.capture.acked_epoch >= 10);
    let [primary, backup] = world.counters();
    let done = world.network.done;
    assert!(done.corrupted > 20 && done.duplicated > 20 && done.lost > 10);
    assert!(backup.frames_unauthentic > 10 && backup.frames_malformed > 0);
    assert!(backup.frames_replayed > 5, "{backup:?}");
    assert!(primary.frames_retransmitted > 10);
}

#[test]
fn pages_are_sent_in_every_encoding_and_few_bytes() {
    let mut world = World::new(&Setting::new(12, Faults { loss: 50, ..Faults::NONE }));
    world.run_until("60 epochs", 60_000, |world| world.commit.epochs >= 60);
    let [primary, _] = world.counters();
    let pages = [
        primary.pages_raw,
        primary.pages_zero,
        primary.pages_unchanged,
        primary.pages_delta,
        primary.pages_lz4,
    ];
    assert!(pages.iter().all(|&count| count > 0), "{pages:?}");
    let page_bytes = pages.iter().sum::<u64>() * 4096;
    assert!(
        primary.page_bytes_stored < page_bytes * 3 / 4,
        "{} of {page_bytes}",
        primary.page_bytes_stored
    );
}

/// A session's end teaches the next one.
#[test]
fn rare_stalls_of_the_link_end_one_session_at_most() {
    let mut world = World::new(&Setting::new(14, Faults::NONE));
    world.capture.epoch_max = 3;
    for _ in 0..12 {
        world.run_coarsely_until(world.now_us + 300_000_000);
        assert_eq!(world.capture.acked_epoch, 3, "protected again");
        world.network.cut = [true; 2];
        world.run_coarsely_until(world.now_us + 300_000);
        world.network.cut = [false; 2];
    }
    let [primary, backup] = [&world.capture.losses.len(), &world.commit.losses.len()];
    assert!(*primary <= 1 && *backup <= 1, "{primary} and {backup} in an hour");
    assert!(primary + backup > 0, "it was no trial: the timeout alone bears that");
}

#[test]
fn a_partition_ends_the_session_and_another_one_follows() {
    with_seeds(0..6, |seed| {
        let mut world = World::new(&Setting::new(seed, Faults { loss: 20, ..Faults::NONE }));
        world.run_until("5 epochs", 10_000, |world| world.capture.acked_epoch >= 5);
        // One direction, the other, or both.
        world.network.cut = [seed % 3 != 1, seed % 3 != 0];
        let cut_us = world.now_us;
        world.run_until("both notice", 1_200, |world| {
            !world.capture.losses.is_empty() && !world.commit.losses.is_empty()
        });
        assert!(world.now_us - cut_us >= 400_000, "not before the timeout");
        let (goodbye, complete) = world.commit.losses[0];
        // A backup that still hears the primary must learn that it is given up, and that the guest
        // lives on over there.
        let is_heard = world.network.cut == [false, true];
        assert_eq!(goodbye, is_heard.then_some(GoodbyeReason::Failed));
        assert_eq!(world.capture.losses[0], None);
        assert!(complete >= 5);
        world.run_ms(3_000);
        assert_eq!(world.commit.losses.len(), 1, "no session over a cut network");
        world.network.cut = [false; 2];
        world.run_until("5 more epochs", 10_000, |world| {
            world.capture.sessions == 2 && world.capture.acked_epoch >= 5
        });
        assert_eq!((world.capture.sessions, world.commit.losses.len()), (2, 1));
    });
}

#[test]
fn a_short_outage_is_survived() {
    let mut world = World::new(&Setting::new(9, Faults::NONE));
    for round in 1..=5 {
        world.run_until("epochs", 10_000, |world| world.capture.acked_epoch >= round * 4);
        world.network.cut = [true; 2];
        world.run_ms(350);
        world.network.cut = [false; 2];
    }
    world.run_until("epochs", 10_000, |world| world.capture.acked_epoch >= 30);
    assert_eq!(world.counters()[PRIMARY].sessions, 1);
}

#[test]
fn frames_are_as_large_as_the_path_allows() {
    for (mtus, path, expected, told) in [
        ([9000, 9000], 9000, 9000, false),
        ([1500, 1500], 9000, 1500, false),
        ([9000, 1500], 9000, 1500, true),
        ([1500, 9000], 9000, 1500, true),
        ([9000, 9000], 1500, 1500, true),
        ([9000, 9000], 1400, 1280, true),
    ] {
        let mut setting = Setting::new(4, Faults { mtu: path, loss: 30, ..Faults::NONE });
        setting.mtus = mtus;
        let mut world = World::new(&setting);
        world.run_until("3 epochs", 20_000, |world| world.capture.acked_epoch >= 3);
        let limited = LinkEvent::FrameSizeLimited {
            frame_size: expected,
            own_mtu: mtus[0],
            peer_mtu: mtus[1],
        };
        assert!(world.events[PRIMARY].contains(&LinkEvent::Up { frame_size: expected }));
        assert_eq!(world.events[PRIMARY].contains(&limited), told, "{:?}", world.events);
    }
}

#[test]
fn a_path_that_shrinks_is_noticed_and_used_with_smaller_frames() {
    let mut world = World::new(&Setting::new(5, Faults::NONE));
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    world.network.faults.mtu = 1500;
    world.run_until("the stall is noticed", 4_000, |world| !world.commit.losses.is_empty());
    assert!(world.events[PRIMARY].contains(&LinkEvent::Stalled));
    assert_eq!(world.commit.losses[0].0, Some(GoodbyeReason::Failed), "the twin must not wake");
    world.run_until("3 more epochs", 5_000, |world| {
        world.capture.sessions == 2 && world.capture.acked_epoch >= 3
    });
    assert!(world.events[PRIMARY].contains(&LinkEvent::Up { frame_size: 1500 }));
}

#[test]
fn every_goodbye_reaches_the_backup_and_ends_the_primary() {
    let reasons = [
        GoodbyeReason::Ended,
        GoodbyeReason::DomainShutDown,
        GoodbyeReason::DomainRebooted,
        GoodbyeReason::DomainDestroyed,
        GoodbyeReason::Failed,
    ];
    for (seed, reason) in (0..).zip(reasons) {
        let faults = Faults { loss: 300, ..Faults::NONE };
        let mut world = World::new(&Setting::new(seed, faults));
        world.run_until("2 epochs", 60_000, |world| world.capture.acked_epoch >= 2);
        world.capture.ring.control().set_stop(reason);
        world.run_until("both know", 1_000, |world| {
            world.activity[PRIMARY] == Activity::Ended(Ending::Asked)
                && !world.commit.losses.is_empty()
        });
        assert_eq!(world.commit.losses[0].0, Some(reason), "seed {seed}");
        assert!(world.events[BACKUP].contains(&LinkEvent::Goodbye(reason)));
    }
}

#[test]
fn a_patient_backup_hears_the_goodbye_of_an_impatient_primary() {
    for asked in [false, true] {
        let mut setting = Setting::new(11, Faults::NONE);
        setting.timeouts_ms = [500, 4_000];
        let mut world = World::new(&setting);
        world.run_until("5 epochs", 5_000, |world| world.capture.acked_epoch >= 5);
        world.network.cut = [true; 2];
        if asked {
            world.capture.ring.control().set_stop(GoodbyeReason::Ended);
        }
        world.run_ms(3_000);
        assert_eq!(world.capture.losses, [None]);
        assert!(world.capture.ring.control().is_leaving(), "the backup may still hear of it");
        world.network.cut = [false; 2];
        world.run_until("the backup knows", 500, |world| !world.commit.losses.is_empty());
        let reason = if asked { GoodbyeReason::Ended } else { GoodbyeReason::Failed };
        assert_eq!(world.commit.losses[0].0, Some(reason), "the twin must not wake");
        world.run_until("the leave is over", 100, |world| {
            !world.capture.ring.control().is_leaving()
        });
    }
}

#[test]
fn a_backup_that_is_given_up_knows_when_the_leave_is_over() {
    with_seeds(0..6, |seed| {
        let faults = Faults { loss: 100, ..Faults::NONE };
        let mut world = World::new(&Setting::new(seed, faults));
        world.run_until("5 epochs", 20_000, |world| world.capture.acked_epoch >= 5);
        let session = world.capture.ring.control().link_session();
        world.capture.give_up();
        world.run_until("the leave is over", 1_000, |world| {
            let control = world.capture.ring.control();
            control.link_session() != session && !control.is_leaving()
        });
        assert!(world.events[BACKUP].contains(&LinkEvent::Goodbye(GoodbyeReason::Failed)));
    });
}

#[test]
fn a_backup_that_stops_says_so() {
    let mut world = World::new(&Setting::new(6, Faults::NONE));
    world.run_until("2 epochs", 5_000, |world| world.capture.acked_epoch >= 2);
    world.commit.ring.control().set_stop(GoodbyeReason::Ended);
    world.run_until("both know", 1_000, |world| {
        world.activity[BACKUP] == Activity::Ended(Ending::Asked) && !world.capture.losses.is_empty()
    });
    assert_eq!(world.capture.losses[0], Some(GoodbyeReason::Ended));
    world.run_ms(2_000);
    assert_eq!(world.capture.sessions, 1);
}

#[test]
fn a_refusal_reaches_the_primary_with_its_text() {
    let mut world = World::new(&Setting::new(7, Faults { loss: 200, ..Faults::NONE }));
    world.commit.refusal = Some("the twin needs 4096 MiB, 812 MiB are free".into());
    world.run_until("the phase", 5_000, |world| {
        world.capture.ring.control().peer_phase() == Phase::Refused
    });
    let text = world.capture.ring.control().peer_refusal();
    assert_eq!(Some(text.to_string()), world.commit.refusal);
}

#[test]
fn a_slow_backup_stretches_epochs_and_loses_nothing() {
    let mut setting = Setting::new(8, Faults { loss: 30, ..Faults::NONE });
    (setting.primary_entries, setting.backup_entries, setting.pages_max) = (16, 70, 60);
    let mut world = World::new(&setting);
    world.pace = [64, 1];
    world.run_until("20 epochs", 20_000, |world| world.capture.acked_epoch >= 20);
    world.commit.asleep = true;
    world.run_ms(5_000);
    assert_eq!(world.counters()[PRIMARY].sessions, 1, "waiting for credit is no silence");
    world.commit.asleep = false;
    world.run_until("40 epochs", 20_000, |world| world.capture.acked_epoch >= 40);
}

#[test]
fn a_session_waits_until_commit_has_left_the_last_one() {
    let mut world = World::new(&Setting::new(10, Faults::NONE));
    world.run_until("2 epochs", 5_000, |world| world.capture.acked_epoch >= 2);
    world.network.cut = [true; 2];
    world.commit.asleep = true;
    world.run_ms(1_000);
    world.network.cut = [false; 2];
    world.run_ms(2_000);
    assert_eq!((world.capture.sessions, world.counters()[BACKUP].sessions), (1, 1));
    world.commit.asleep = false;
    world.run_until("2 epochs", 5_000, |world| {
        world.capture.sessions == 2 && world.capture.acked_epoch >= 2
    });
}

#[test]
fn another_key_is_never_heard() {
    let setting = Setting::new(11, Faults::NONE);
    let mut world = World::new(&setting);
    let mut options = support::world::options(BACKUP, 9000, 11);
    options.key = pollux::wire::SecretKey::new([0x78; 32]);
    *world.receive = pollux::link::receive::Receive::new(options, world.now_us);
    world.run_ms(2_000);
    let [primary, backup] = world.counters();
    assert_eq!((primary.sessions, backup.sessions, backup.frames_received), (0, 0, 0));
    assert!(backup.frames_unauthentic > 10);
}
