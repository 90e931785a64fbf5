//! What the link does to frames: `cargo bench --bench frames`.
//!
//! Both ends of the link run here against one another, without a network: their turns are timed, less
//! the time in which the cable copies frames.

mod harness;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use aegis::aegis128l::Aegis128L;
use aegis::aegis128x2::Aegis128X2;
use harness::Harness;
use pollux::codec::page::{Level, PageEncoder, ShadowCache};
use pollux::limits::{PAGE_SIZE, RING_ENTRY_COUNT_PRIMARY};
use pollux::link::receive::Receive;
use pollux::link::ship::Ship;
use pollux::link::{FrameBatch, FramePort, LinkOptions, LinkProcess};
use pollux::platform::vector::{self, Secret};
use pollux::ring::{Entry, EntryKind, Ring};
use pollux::wire::{ETHERTYPE_DEFAULT, Entropy, EthernetAddress, SecretKey};

/// Bytes that are sealed in the largest data frame.
const BODY_SIZE: usize = 8960;
const ROUND_COUNT: usize = 15;

fn main() {
    let harness = Harness::new();
    vector::choose();
    seals(&harness);
    link(&harness);
}

fn seals(harness: &Harness) {
    let (key, nonce, headers) = ([1; 16], [2; 16], [3; 38]);
    let secret = Secret { key: &key, nonce: &nonce };
    let text = vec![5; BODY_SIZE];
    let mut body = vec![4; BODY_SIZE];
    harness.report("library: seal with AEGIS-128L", BODY_SIZE, false, || {
        black_box(Aegis128L::<16>::new(&key, &nonce).encrypt_in_place(&mut body, &headers));
    });
    harness.report("library: seal with AEGIS-128X2", BODY_SIZE, false, || {
        black_box(Aegis128X2::<16>::new(&key, &nonce).encrypt_in_place(&mut body, &headers));
    });
    harness.report("seal in place", BODY_SIZE, false, || {
        black_box(vector::seal(secret, &headers, &mut body));
    });
    // As a data frame has it: its own header, and pages with a header each.
    let pieces = [42, PAGE_SIZE, 26, PAGE_SIZE, 26];
    harness.report("seal while it is put together", BODY_SIZE, false, || {
        let mut sealing = vector::sealing(secret, &headers, &mut body);
        let mut rest = text.as_slice();
        for size in pieces {
            let (piece, after) = rest.split_at(size);
            assert!(sealing.put(piece));
            rest = after;
        }
        assert!(sealing.put(rest));
        black_box(sealing.finish());
    });
    let tag = vector::seal(secret, &headers, &mut body);
    let mut copy = body.clone();
    harness.report("copy and open", BODY_SIZE, false, || {
        copy.copy_from_slice(&body);
        assert!(black_box(vector::open(secret, &headers, &mut copy, &tag)));
    });
}

/// One end of a cable, with the time that it has taken itself.
#[derive(Default)]
struct Cable {
    inbox: VecDeque<Vec<u8>>,
    outbox: Vec<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    taken: Duration,
}

impl FramePort for Cable {
    type Error = Infallible;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Infallible> {
        let start = Instant::now();
        while let Some(frame) = self.inbox.pop_front_if(|_| !batch.is_full()) {
            batch.add(|out| {
                out[..frame.len()].copy_from_slice(&frame);
                Some(frame.len())
            });
            self.spare.push(frame);
        }
        self.taken += start.elapsed();
        Ok(())
    }

    fn send(
        &mut self,
        _: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        _: usize,
    ) -> Result<usize, Infallible> {
        let start = Instant::now();
        let before = self.outbox.len();
        for frame in batch.frames_of(which) {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(frame);
            self.outbox.push(copy);
        }
        self.taken += start.elapsed();
        Ok(self.outbox.len() - before)
    }

    fn wait(&mut self, _: u64) -> Result<(), Infallible> {
        unreachable!("turns do not wait");
    }
}

fn options(own: u8, peer: u8) -> LinkOptions {
    let address = |last| EthernetAddress([2, 0, 0, 0, 0, last]);
    LinkOptions {
        own_address: address(own),
        peer_address: address(peer),
        ethertype: ETHERTYPE_DEFAULT,
        path_count: 1,
        mtu: 9000,
        timeout_ms: 60_000,
        silence_memory_us: u64::MAX,
        key: SecretKey::new([1; 32]),
        entropy: Entropy::new([own; 32]),
    }
}

/// Ships whole rings of pages that are not zero: the frame's building and seal at one end, its opening
/// and assembly at the other.
fn link(harness: &Harness) {
    let count = RING_ENTRY_COUNT_PRIMARY;
    let (mut capture, mut ship_ring) = Ring::create(count).unwrap().into_both().unwrap();
    let (mut receive_ring, mut commit) = Ring::create(count).unwrap().into_both().unwrap();
    capture.populate(count).unwrap();
    receive_ring.populate(count).unwrap();
    let raw = Level::Raw..=Level::Raw;
    let encoder = PageEncoder::with_levels(ShadowCache::off(), raw, count);
    let mut ship = Box::new(Ship::new(options(1, 2), encoder, 0));
    let mut receive = Box::new(Receive::new(options(2, 1), 0));
    let mut cables = [Cable::default(), Cable::default()];
    let (mut now_us, mut joined, mut pushed) = (0, [false; 2], 0);
    let (mut shipping, mut receiving) = (Vec::new(), Vec::new());
    for round in 0..=ROUND_COUNT {
        let frames_before = ship.link().counters().frames_sent;
        let mut spent = [Duration::ZERO; 2];
        let mut is_pushed = false;
        while !is_pushed || capture.free_entries().unwrap() < count {
            now_us += 200;
            let [primary, backup] = &mut cables;
            spent[0] += timed(primary, |port| ship.turn(now_us, port, &mut ship_ring).unwrap());
            backup.inbox.extend(primary.outbox.drain(..));
            spent[1] +=
                timed(backup, |port| receive.turn(now_us, port, &mut receive_ring).unwrap());
            primary.inbox.extend(backup.outbox.drain(..));
            if !joined[0] && capture.control().join_session().is_some() {
                capture.begin().unwrap();
                joined[0] = true;
            }
            if !joined[1] && commit.control().join_session().is_some() {
                commit.begin().unwrap();
                commit.raise_capacity(count);
                joined[1] = true;
            }
            if joined == [true; 2] && !is_pushed {
                for _ in 0..count {
                    capture.slot_mut()[..8].copy_from_slice(&[1; 8]);
                    capture.push(&Entry::raw(EntryKind::Page, 1, pushed, 4096));
                    pushed += 1;
                }
                capture.publish();
                is_pushed = true;
            }
            let available = commit.available().unwrap().end;
            if available > 0 {
                commit.release(available);
            }
        }
        let frames = ship.link().counters().frames_sent - frames_before;
        if round > 0 {
            let per_frame =
                |it: Duration| it.as_secs_f64() * 1e9 / f64::from(u32::try_from(frames).unwrap());
            shipping.push(per_frame(spent[0]));
            receiving.push(per_frame(spent[1]));
        }
    }
    for (name, mut samples) in
        [("fill and seal a frame", shipping), ("open and assemble a frame", receiving)]
    {
        samples.sort_by(f64::total_cmp);
        harness.line(name, 2 * PAGE_SIZE, true, samples[ROUND_COUNT / 2]);
    }
}

/// The time of `turn` without the cable's.
fn timed<T>(cable: &mut Cable, turn: impl FnOnce(&mut Cable) -> T) -> Duration {
    let (start, before) = (Instant::now(), cable.taken);
    black_box(turn(cable));
    start.elapsed().saturating_sub(cable.taken - before)
}
