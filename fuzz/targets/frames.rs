//! Both ends of the link in a session, and an attacker on the wire without the key: frames changed,
//! cut, repeated, turned round and made up. Nothing but counters may tell of it: the session goes on,
//! and every entry arrives as it was.

#![no_main]

use fuzz::input::Input;
use fuzz::peer::{Side, options};
use fuzz::seeds::Seeds;
use pollux::codec::page::{PageEncoder, ShadowCache};
use pollux::limits::FRAME_SIZE_MAX;
use pollux::link::{BackupLink, LinkProcess, PrimaryLink};
use pollux::ring::{Consumer, Entry, EntryKind, LinkCounters, Producer, Ring};

fuzz::target!(seeds, try_bytes);

const ENTRY_COUNT: u64 = 64;
const STEP_US: u64 = 200;
/// Frames of the session that the attacker keeps.
const RECORD_COUNT_MAX: usize = 200;

struct World {
    now_us: u64,
    capture: Producer,
    ship_ring: Consumer,
    primary: Box<PrimaryLink>,
    backup: Box<BackupLink>,
    receive_ring: Producer,
    commit: Consumer,
    /// Frames on their way to the primary, and to the backup.
    under_way: [Vec<Vec<u8>>; 2],
    record: Vec<Vec<u8>>,
    pushed: u64,
    seen: u64,
}

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new();
    world.meet();
    let before = world.refused();
    let mut count = 0;
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        let target = usize::from(input.u8() & 1);
        if let Some(frame) = world.forge(&mut input) {
            world.under_way[target].push(frame);
            count += 1;
        }
        if input.u8() & 3 == 0 {
            world.push(4);
            world.step();
        }
    }
    world.step();
    assert_eq!(world.refused() - before, count, "each one is refused and counted");
    let goal = world.pushed + 8;
    for _ in 0..200 {
        world.push(2);
        world.step();
        if world.seen >= goal {
            return world.check_session();
        }
    }
    panic!("the session does not go on");
}

impl World {
    fn new() -> Self {
        let ring = || Ring::create(ENTRY_COUNT).expect("address space").into_both();
        let (capture, ship_ring) = ring().expect("address space");
        let (receive_ring, commit) = ring().expect("address space");
        let now_us = 1_000_000;
        let encoder = PageEncoder::new(ShadowCache::off());
        Self {
            now_us,
            capture,
            ship_ring,
            primary: Box::new(PrimaryLink::new(options(Side::Primary, 1500), encoder, now_us)),
            backup: Box::new(BackupLink::new(options(Side::Backup, 1500), now_us)),
            receive_ring,
            commit,
            under_way: [Vec::new(), Vec::new()],
            record: Vec::new(),
            pushed: 0,
            seen: 0,
        }
    }

    /// Up to a session in which some entries have arrived.
    fn meet(&mut self) {
        let mut is_joined = [false; 2];
        for _ in 0..400 {
            self.step();
            if !is_joined[0] && self.capture.control().join_session().is_some() {
                self.capture.begin().expect("a possible capacity");
                is_joined[0] = true;
            }
            if !is_joined[1] && self.commit.control().join_session().is_some() {
                self.commit.begin().expect("a possible capacity");
                is_joined[1] = true;
            }
            if is_joined == [true; 2] {
                self.push(6);
            }
            if self.seen >= 12 {
                return;
            }
        }
        panic!("both ends meet");
    }

    fn push(&mut self, count: u64) {
        let free = self.capture.free_entries().expect("the link keeps the ring's rules");
        for _ in 0..count.min(free) {
            let page = page_of(self.pushed);
            *self.capture.slot_mut() = page;
            self.capture.push(&Entry::raw(EntryKind::Page, 1, self.pushed, 4096));
            self.pushed += 1;
        }
        self.capture.publish();
    }

    /// Delivers what is under way, and lets everybody do what is due.
    fn step(&mut self) {
        self.now_us += STEP_US;
        let now_us = self.now_us;
        let [to_primary, to_backup] = std::mem::take(&mut self.under_way);
        for mut frame in to_primary {
            self.primary.handle_frame(now_us, 0, &mut frame, &mut self.ship_ring);
        }
        for mut frame in to_backup {
            self.backup.handle_frame(now_us, 0, &mut frame, &mut self.receive_ring);
        }
        self.primary.poll_timers(now_us, &mut self.ship_ring);
        self.backup.poll_timers(now_us, &mut self.receive_ring);
        let mut out = [0; 14 + FRAME_SIZE_MAX];
        while let Some(size) = self.primary.poll_transmit(now_us, &mut self.ship_ring, &mut out) {
            self.under_way[1].push(out[..size].to_vec());
        }
        while let Some(size) = self.backup.poll_transmit(now_us, &mut self.receive_ring, &mut out) {
            self.under_way[0].push(out[..size].to_vec());
        }
        let fresh = self.under_way.iter().flatten().cloned();
        self.record.extend(fresh.take(RECORD_COUNT_MAX.saturating_sub(self.record.len())));
        self.consume();
    }

    /// commit checks every entry that has come.
    fn consume(&mut self) {
        if self.commit.control().domain_session() == 0 {
            return;
        }
        let available = self.commit.available().expect("the link keeps the ring's rules");
        for index in available.clone() {
            let entry = self.commit.entry(index).expect("a published entry makes sense");
            assert_eq!((entry.kind, entry.address, entry.length), (EntryKind::Page, index, 4096));
            if entry.stored_size == 4096 {
                assert!(*self.commit.page(index) == page_of(index), "entry {index} has changed");
            }
        }
        self.seen = available.end;
        self.commit.release(available.end);
    }

    /// A frame that neither end has sent, or one that was delivered before.
    fn forge(&self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let number = usize::from(input.u8());
        let mut frame = self.record.get(number % self.record.len().max(1))?.clone();
        let place = usize::from(input.u16()) % frame.len();
        match input.below(6) {
            // As it was: an attacker repeats it, to either end.
            0 => {}
            1 => {
                // The trailer is not covered by a change of nothing.
                let flip = input.u8().max(1);
                frame[place] ^= flip;
            }
            2 => frame.truncate(place),
            3 => {
                let (destination, rest) = frame.split_at_mut(6);
                destination.swap_with_slice(&mut rest[..6]);
            }
            4 => {
                let bytes = input.counted(64);
                let end = (place + bytes.len()).min(frame.len());
                let part = &mut frame[place..end];
                let is_change = part != &bytes[..part.len()];
                part.copy_from_slice(&bytes[..part.len()]);
                if !is_change {
                    return None;
                }
            }
            _ => {
                // Addresses and type that look right, before bytes that are not.
                frame.truncate(14);
                frame.extend(input.counted(600));
            }
        }
        // What was sent but has not been delivered yet is no forgery.
        let is_real = self.under_way.iter().flatten().any(|real| *real == frame);
        (!is_real).then_some(frame)
    }

    /// Frames that were dropped for any reason, at both ends.
    fn refused(&self) -> u64 {
        let sum = |it: &LinkCounters| {
            it.frames_malformed + it.frames_unauthentic + it.frames_replayed + it.frames_unexpected
        };
        sum(self.primary.counters()) + sum(self.backup.counters())
    }

    fn check_session(&self) {
        assert_eq!((self.primary.counters().sessions, self.backup.counters().sessions), (1, 1));
        let session = self.capture.control().link_session();
        assert_eq!((session, self.commit.control().link_session()), (1, 1));
    }
}

/// No page is zero, or small in any encoding.
fn page_of(index: u64) -> [u8; 4096] {
    let mut word = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    core::array::from_fn(|_| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        word.to_le_bytes()[7]
    })
}

fn seeds() -> Seeds {
    let attacks = |start: u8| {
        let mut bytes = Vec::new();
        for number in 0..12u8 {
            let (target, place) = (number & 1, number.wrapping_mul(37));
            bytes.extend([target, start + number * 3, place, 0, number % 6, 4, 0, 1, 2, 3, 4, 0]);
        }
        bytes
    };
    Seeds::from([("handshake", attacks(0)), ("data", attacks(20)), ("late", attacks(90))])
}
