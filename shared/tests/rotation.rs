//! A new key while both hosts are at work: the session goes on, and the next one is under it.

mod support;

use pollux::link::LinkEvent;
use pollux::wire::{Frame, FrameType, HandshakeKey, SecretKey};
use support::network::Faults;
use support::world::{BACKUP, KEY, PRIMARY, Setting, World};

const NEW_KEY: [u8; 32] = [0x13; 32];

/// What the domain half of one side does when its operator asks.
fn renew(world: &World, side: usize) {
    match side {
        PRIMARY => world.capture.ring.control().publish_key(&NEW_KEY),
        _ => world.commit.ring.control().publish_key(&NEW_KEY),
    }
}

/// A session that goes on while `sides` get the new key, and is lost afterwards.
fn world_that_lost_its_session(seed: u64, sides: &[usize]) -> World {
    let mut world = World::new(&Setting::new(seed, Faults::NONE));
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    sides.iter().for_each(|&side| renew(&world, side));
    world.run_until("3 more epochs", 5_000, |world| world.capture.acked_epoch >= 6);
    assert_eq!(world.counters().map(|it| it.sessions), [1; 2]);
    world.network.cut = [true; 2];
    world.run_until("the end", 2_000, |world| !world.capture.is_up() && !world.commit.is_up());
    world.network.cut = [false; 2];
    world
}

fn assert_next_session(world: &mut World) {
    world.run_until("another session", 5_000, |world| {
        world.capture.is_up() && world.commit.is_up() && world.capture.acked_epoch >= 3
    });
    assert_eq!(world.counters().map(|it| it.sessions), [2; 2]);
}

#[test]
fn the_session_goes_on_and_the_next_is_under_the_new_key() {
    let mut world = world_that_lost_its_session(61, &[PRIMARY, BACKUP]);
    world.network.record = Some(Vec::new());
    assert_next_session(&mut world);
    let [old, new] = [KEY, NEW_KEY].map(|key| HandshakeKey::new(&SecretKey::new(key)));
    let mut confirm_count = 0;
    for (_, mut bytes) in world.network.record.take().unwrap() {
        let frame = Frame::parse(&mut bytes).unwrap();
        if frame.header.frame_type == FrameType::Confirm {
            assert!(new.is_signed(&frame) && !old.is_signed(&frame));
            confirm_count += 1;
        }
    }
    assert!(confirm_count > 0);
    assert!(!world.events[BACKUP].contains(&LinkEvent::OtherKey));
}

#[test]
fn one_side_with_the_new_key_waits_for_the_other() {
    for (seed, first, second) in [(62, PRIMARY, BACKUP), (63, BACKUP, PRIMARY)] {
        let mut world = world_that_lost_its_session(seed, &[first]);
        world.run_ms(2_000);
        assert_eq!(world.counters().map(|it| it.sessions), [1; 2]);
        let told = world.events[BACKUP].iter().filter(|it| **it == LinkEvent::OtherKey).count();
        assert_eq!(told, 1, "{:?}", world.events);
        renew(&world, second);
        assert_next_session(&mut world);
    }
}

#[test]
fn a_key_that_comes_before_the_first_session_is_used_at_once() {
    let mut world = World::new(&Setting::new(64, Faults::NONE));
    renew(&world, PRIMARY);
    world.run_ms(1_000);
    assert_eq!(world.counters().map(|it| it.sessions), [0; 2]);
    renew(&world, BACKUP);
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    for control in [world.capture.ring.control(), world.commit.ring.control()] {
        assert!(control.take_key().is_none(), "the link half has taken it");
    }
}
