//! An attacker on the wire: whatever is recorded, cut, turned round, changed or made up, the
//! session goes on, every epoch arrives as it was, and only counters tell of it.

mod support;

use pollux::ring::GoodbyeReason;
use support::Random;
use support::network::Faults;
use support::world::{BACKUP, PRIMARY, STEP_US, Setting, World};

/// Runs a session to its end and returns every frame that was sent.
fn recorded_session(world: &mut World) -> Vec<(usize, Vec<u8>)> {
    world.network.record = Some(Vec::new());
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    world.network.cut = [true; 2];
    world.run_until("the end", 2_000, |world| !world.capture.is_up() && !world.commit.is_up());
    world.network.cut = [false; 2];
    world.network.record.take().unwrap()
}

/// Delivers frames bit by bit while the world goes on.
fn inject(world: &mut World, frames: impl Iterator<Item = (usize, Vec<u8>)>) -> u64 {
    let mut count = 0;
    for (target, frame) in frames {
        world.network.deliver_at(world.now_us + STEP_US, target, frame);
        count += 1;
        if count % 4 == 0 {
            world.step();
        }
    }
    world.run_ms(20);
    count
}

/// Frames that were dropped for any reason, at both ends.
fn refused(world: &mut World) -> u64 {
    let sum = |it: pollux::ring::LinkCounters| {
        it.frames_malformed + it.frames_unauthentic + it.frames_replayed + it.frames_unexpected
    };
    world.counters().map(sum).iter().sum()
}

/// Lets the live session make progress, and asserts that it is still the same one.
fn assert_unharmed(world: &mut World, sessions: u64) {
    let epoch = world.capture.acked_epoch;
    world.run_until("progress", 5_000, |world| world.capture.acked_epoch >= epoch + 3);
    let [primary, backup] = world.counters();
    assert_eq!((primary.sessions, backup.sessions), (sessions, sessions));
}

#[test]
fn a_recorded_session_can_be_replayed_without_effect() {
    let mut world = World::new(&Setting::new(21, Faults::NONE));
    let record = recorded_session(&mut world);
    assert!(record.len() > 60, "{}", record.len());
    world.run_until("a session", 5_000, |world| world.capture.is_up() && world.commit.is_up());
    let before = refused(&mut world);
    let count = inject(&mut world, record.iter().map(|(from, frame)| (1 - from, frame.clone())));
    assert_eq!(refused(&mut world) - before, count, "each one is refused and counted");
    assert_unharmed(&mut world, 2);
}

#[test]
fn frames_of_the_live_session_can_be_replayed_without_effect() {
    let mut world = World::new(&Setting::new(22, Faults::NONE));
    world.network.record = Some(Vec::new());
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    let record = world.network.record.take().unwrap();
    let before = refused(&mut world);
    let count = inject(&mut world, record.into_iter().map(|(from, frame)| (1 - from, frame)));
    assert_eq!(refused(&mut world) - before, count);
    assert_unharmed(&mut world, 1);
}

#[test]
fn reflected_frames_have_no_effect() {
    let mut world = World::new(&Setting::new(23, Faults::NONE));
    world.network.record = Some(Vec::new());
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    let record = world.network.record.take().unwrap();
    // As they are, and with the addresses of a frame from the peer.
    let turned = record.iter().map(|(from, frame)| {
        let mut turned = frame.clone();
        turned[..6].copy_from_slice(&frame[6..12]);
        turned[6..12].copy_from_slice(&frame[..6]);
        (*from, turned)
    });
    let frames: Vec<_> = record.iter().cloned().chain(turned).collect();
    let before = refused(&mut world);
    let count = inject(&mut world, frames.into_iter());
    assert_eq!(refused(&mut world) - before, count);
    assert_unharmed(&mut world, 1);
}

#[test]
fn truncated_changed_and_random_frames_have_no_effect() {
    let mut world = World::new(&Setting::new(24, Faults::NONE));
    world.network.record = Some(Vec::new());
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    let record = world.network.record.take().unwrap();
    let mut random = Random::new(24);
    let mut frames = Vec::new();
    for (from, frame) in record {
        let place = usize::try_from(random.below(frame.len() as u64)).unwrap();
        frames.push((1 - from, frame[..place].to_vec()));
        let mut changed = frame.clone();
        changed[place] ^= 1 << random.below(8);
        frames.push((1 - from, changed));
        // A header that looks right before bytes that are not.
        let mut invented = frame;
        invented[30..38].copy_from_slice(&random.next().to_le_bytes());
        invented[38..].iter_mut().for_each(|byte| *byte = random.next().to_le_bytes()[0]);
        frames.push((1 - from, invented));
    }
    let before = refused(&mut world);
    let count = inject(&mut world, frames.into_iter());
    assert_eq!(refused(&mut world) - before, count);
    assert_unharmed(&mut world, 1);
}

#[test]
fn an_idle_backup_is_not_woken_by_a_recorded_session() {
    let mut world = World::new(&Setting::new(25, Faults::NONE));
    let record = recorded_session(&mut world);
    // The primary is gone; the attacker plays its part, again and again.
    world.network.cut = [true, true];
    let losses = world.commit.losses.len();
    for _ in 0..3 {
        let to_backup = record.iter().filter(|(from, _)| *from == PRIMARY);
        inject(&mut world, to_backup.map(|(_, frame)| (BACKUP, frame.clone())));
    }
    let [_, backup] = world.counters();
    assert_eq!((backup.sessions, world.commit.losses.len()), (1, losses));
    assert!(!world.commit.is_up());
    world.network.cut = [false; 2];
    world.run_until("the real primary", 5_000, |world| {
        world.capture.is_up() && world.capture.acked_epoch >= 3
    });
    assert_unharmed(&mut world, 2);
}

#[test]
fn a_storm_of_old_handshakes_does_not_prevent_a_session() {
    let mut world = World::new(&Setting::new(27, Faults::NONE));
    let record = recorded_session(&mut world);
    let handshakes: Vec<_> = record.into_iter().filter(|(_, frame)| frame[15] <= 3).collect();
    for turn in 0..20_000 {
        let (from, frame) = &handshakes[turn % handshakes.len()];
        world.network.deliver_at(world.now_us, 1 - from, frame.clone());
        world.step();
        if world.capture.is_up() && world.commit.is_up() {
            break;
        }
    }
    assert!(world.capture.is_up() && world.commit.is_up());
    assert_unharmed(&mut world, 2);
}

#[test]
fn a_recorded_goodbye_ends_nothing() {
    let mut world = World::new(&Setting::new(28, Faults::NONE));
    world.network.record = Some(Vec::new());
    world.run_until("2 epochs", 5_000, |world| world.capture.acked_epoch >= 2);
    world.commit.ring.control().set_stop(GoodbyeReason::Ended);
    world.run_until("the end", 2_000, |world| !world.capture.losses.is_empty());
    let record = world.network.record.take().unwrap();
    assert!(record.iter().any(|(_, frame)| frame[15] == 8), "a goodbye was recorded");

    let mut world = World::new(&Setting::new(29, Faults::NONE));
    world.run_until("2 epochs", 5_000, |world| world.capture.acked_epoch >= 2);
    inject(&mut world, record.into_iter().map(|(from, frame)| (1 - from, frame)));
    assert!(world.capture.losses.is_empty() && world.commit.losses.is_empty());
    assert_unharmed(&mut world, 1);
}
