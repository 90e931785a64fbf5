//! A relay between two real interfaces that treats frames badly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pollux::link::{FrameBatch, FramePort};
use pollux::platform::linux::packet_socket::PacketSocket;

use super::Random;

/// Bytes of an Ethernet header: the relay does not change these.
const HEADER_SIZE: usize = 14;

/// What the relay does to frames, per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelayFaults {
    pub loss: u64,
    pub duplication: u64,
    pub reordering: u64,
    pub corruption: u64,
}

/// Counts of what it did.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelayDone {
    pub carried: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
}

/// Two sockets, and what is held back of each one's frames.
#[derive(Debug)]
pub struct Relay {
    sockets: [PacketSocket; 2],
    held: [Vec<Vec<u8>>; 2],
    faults: RelayFaults,
    random: Random,
    done: RelayDone,
}

impl Relay {
    pub fn new(sockets: [PacketSocket; 2], faults: RelayFaults) -> Self {
        let held = [Vec::new(), Vec::new()];
        Self { sockets, held, faults, random: Random::new(99), done: RelayDone::default() }
    }

    /// Carries frames until it is told to stop.
    pub fn run(mut self, stop: &AtomicBool) -> RelayDone {
        let mut batch = FrameBatch::default();
        while !stop.load(Ordering::Relaxed) {
            let carried = self.done.carried;
            for from in 0..2 {
                batch.clear();
                self.sockets[from].receive(&mut batch).unwrap();
                self.carry(from, &batch);
            }
            if carried == self.done.carried {
                thread::sleep(Duration::from_micros(50));
            }
        }
        self.done
    }

    fn carry(&mut self, from: usize, batch: &FrameBatch) {
        // What was held back goes out after what came later.
        let late = std::mem::take(&mut self.held[from]);
        let mut out = Vec::new();
        for frame in batch.frames() {
            self.treat(from, frame.to_vec(), &mut out);
        }
        for frame in out.iter().chain(&late) {
            self.done.carried += 1;
            // A full queue is one more way to lose a frame.
            let _ = self.sockets[1 - from].send_batch(&[frame]);
        }
    }

    fn treat(&mut self, from: usize, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        if self.random.chance(self.faults.loss) {
            self.done.lost += 1;
            return;
        }
        if self.random.chance(self.faults.duplication) {
            self.done.duplicated += 1;
            out.push(frame.clone());
        }
        if self.random.chance(self.faults.corruption) {
            self.done.corrupted += 1;
            let place = self.random.below((frame.len() - HEADER_SIZE) as u64);
            frame[HEADER_SIZE + usize::try_from(place).unwrap()] ^= 1 << self.random.below(8);
        }
        if self.random.chance(self.faults.reordering) {
            self.done.reordered += 1;
            self.held[from].push(frame);
        } else {
            out.push(frame);
        }
    }
}
