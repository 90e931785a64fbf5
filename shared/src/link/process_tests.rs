//! Tests of `process`.

use core::ops::Range;
use core::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::convert::Infallible;

use super::super::receive::Receive;
use super::super::ship::Ship;
use super::super::{BackupLink, LinkOptions, PrimaryLink};
use super::*;
use crate::codec::page::{PageEncoder, ShadowCache};
use crate::ring::{Consumer, GoodbyeReason, Parting, Phase, Producer, Ring};
use crate::wire::{ETHERTYPE_DEFAULT, Entropy, EthernetAddress, SecretKey};

/// One end of a cable that takes at most `room` frames at a time.
struct Cable {
    inbox: VecDeque<Vec<u8>>,
    outbox: Vec<Vec<u8>>,
    room: usize,
}

impl FramePort for Cable {
    type Error = Infallible;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Infallible> {
        while let Some(frame) = self.inbox.pop_front_if(|_| !batch.is_full()) {
            batch.add(|out| {
                out[..frame.len()].copy_from_slice(&frame);
                Some(frame.len())
            });
        }
        Ok(())
    }

    fn send(
        &mut self,
        _: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        _: usize,
    ) -> Result<usize, Infallible> {
        let before = self.outbox.len();
        let free = self.room.saturating_sub(before);
        self.outbox.extend(batch.frames_of(which).take(free).map(<[u8]>::to_vec));
        Ok(self.outbox.len() - before)
    }

    fn wait(&mut self, _: u64) -> Result<(), Infallible> {
        unreachable!("turns do not wait");
    }
}

struct Pair {
    now_us: u64,
    capture: Producer,
    ship_ring: Consumer,
    ship: Box<Turns<PrimaryLink>>,
    cables: [Cable; 2],
    receive: Box<Turns<BackupLink>>,
    receive_ring: Producer,
    commit: Consumer,
}

impl Pair {
    /// Both ends in a session that both domain halves have joined.
    fn new(room: usize) -> Self {
        let address = |last| EthernetAddress([2, 0, 0, 0, 0, last]);
        let options = |own, peer| LinkOptions {
            own_address: address(own),
            peer_address: address(peer),
            ethertype: ETHERTYPE_DEFAULT,
            path_count: 1,
            mtu: 1500,
            timeout_ms: 500,
            silence_memory_us: u64::MAX,
            key: SecretKey::new([1; 32]),
            entropy: Entropy::new([own; 32]),
        };
        let (capture, ship_ring) = Ring::create(64).unwrap().into_both().unwrap();
        let (receive_ring, commit) = Ring::create(64).unwrap().into_both().unwrap();
        let cable = || Cable { inbox: VecDeque::new(), outbox: Vec::new(), room };
        let mut pair = Self {
            now_us: 0,
            capture,
            ship_ring,
            ship: Box::new(Ship::new(options(1, 2), PageEncoder::new(ShadowCache::off()), 0)),
            cables: [cable(), cable()],
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

    fn turn(&mut self) -> [Activity; 2] {
        self.now_us += 100;
        assert!(self.now_us < 60_000_000, "stuck");
        let [primary, backup] = &mut self.cables;
        let shipped = self.ship.turn(self.now_us, primary, &mut self.ship_ring).unwrap();
        backup.inbox.extend(primary.outbox.drain(..));
        let received = self.receive.turn(self.now_us, backup, &mut self.receive_ring).unwrap();
        primary.inbox.extend(backup.outbox.drain(..));
        [shipped, received]
    }
}

#[test]
fn a_queue_that_is_often_full_loses_nothing() {
    let mut pair = Pair::new(1);
    let mut pushed = 0;
    while pair.commit.available().unwrap().end < 40 {
        for _ in 0..pair.capture.free_entries().unwrap().min(40 - pushed) {
            pair.capture.slot_mut().fill(u8::try_from(pushed + 1).unwrap());
            let page = crate::ring::Entry::raw(crate::ring::EntryKind::Page, 1, pushed, 4096);
            pair.capture.push(&page);
            pushed += 1;
        }
        pair.capture.publish();
        pair.turn();
    }
    for index in 0..40 {
        assert_eq!(pair.commit.page(index), &[u8::try_from(index + 1).unwrap(); 4096]);
    }
}

#[test]
fn a_damaged_capture_ends_ship_and_wakes_no_twin() {
    let mut pair = Pair::new(16);
    pair.capture.head().store(u64::MAX, Ordering::Relaxed);
    let broken = Ending::RingBroken(RingError::Index);
    while pair.turn()[0] != Activity::Ended(broken) {}
    assert_eq!(pair.commit.control().link_session(), 0);
    assert_eq!(pair.commit.control().goodbye(), Some(GoodbyeReason::Failed));
}

#[test]
fn a_capture_that_leaves_gives_the_backup_up_and_may_begin_anew() {
    let mut pair = Pair::new(16);
    pair.turn();
    pair.capture.control().leave_session();
    while pair.commit.control().link_session() != 0 {
        pair.turn();
    }
    assert_eq!(pair.commit.control().goodbye(), Some(GoodbyeReason::Failed));
    pair.commit.control().leave_session();
    while pair.capture.control().join_session().is_none() {
        pair.turn();
    }
    assert_eq!(pair.capture.control().link_session(), 2);
}

#[test]
fn a_damaged_commit_ends_receive_and_tells_the_primary() {
    let mut pair = Pair::new(16);
    pair.commit.tail().store(5, Ordering::Relaxed);
    let broken = Ending::RingBroken(RingError::Index);
    while pair.turn()[1] != Activity::Ended(broken) {}
    assert_eq!(pair.capture.control().link_session(), 0);
    assert_eq!(pair.capture.control().goodbye(), Some(GoodbyeReason::Failed));
}

/// Turns until ship has ended; how the backup parted from the first session.
fn end_of_ship(pair: &mut Pair) -> (Activity, Option<Parting>) {
    loop {
        let [ship, _] = pair.turn();
        if matches!(ship, Activity::Ended(_)) {
            return (ship, pair.capture.control().parting(1));
        }
    }
}

#[test]
fn a_backup_that_was_handed_the_guest_says_so() {
    let mut pair = Pair::new(16);
    pair.commit.control().set_phase(Phase::Protected);
    pair.turn();
    pair.capture.control().set_stop(GoodbyeReason::HandOver);
    pair.capture.control().leave_session();
    let end = end_of_ship(&mut pair);
    assert_eq!(end, (Activity::Ended(Ending::Asked), Some(Parting::HandedOver)));
    assert_eq!(pair.commit.control().goodbye(), Some(GoodbyeReason::HandOver));
}

#[test]
fn what_answers_an_earlier_goodbye_is_no_answer_to_a_hand_over() {
    // The hand-over comes while the other goodbye is on its way, and when that was answered.
    for turns_between in [0, 400] {
        let mut pair = Pair::new(16);
        pair.commit.control().set_phase(Phase::Protected);
        pair.turn();
        pair.capture.control().leave_session();
        pair.ship.turn(pair.now_us, &mut pair.cables[0], &mut pair.ship_ring).unwrap();
        for _ in 0..turns_between {
            pair.turn();
        }
        pair.capture.control().set_stop(GoodbyeReason::HandOver);
        let end = end_of_ship(&mut pair);
        assert_eq!(end, (Activity::Ended(Ending::Asked), Some(Parting::RevivesNothing)));
        assert_eq!(pair.commit.control().goodbye(), Some(GoodbyeReason::Failed));
    }
}

#[test]
fn a_flood_does_not_hide_that_the_peer_is_silent() {
    let mut pair = Pair::new(16);
    pair.turn();
    let garbage = vec![7; 64];
    while pair.capture.control().link_session() != 0 {
        pair.now_us += 100;
        assert!(pair.now_us < 60_000_000, "the flood hides it");
        // More than a turn takes in, and nothing of the peer's among it.
        let primary = &mut pair.cables[0];
        primary.inbox.resize(1000, garbage.clone());
        pair.ship.turn(pair.now_us, primary, &mut pair.ship_ring).unwrap();
        primary.outbox.clear();
    }
}
