//! The guest, and the gate in its host's kernel: both go on as they are when protect is killed.

use std::collections::VecDeque;

use pollux::gate::EpochOrder;
use pollux::limits::EPOCH_REVIVABLE_FIRST;

use crate::checker::Checker;

/// Time between two pieces of output.
pub const OUTPUT_INTERVAL_US: u64 = 2_500;
/// Pieces of output that the gate holds; what is beyond is lost, as on a crowded network.
const HELD_COUNT_MAX: usize = 1_000;

/// What the guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Running,
    Paused,
    Gone,
}

#[derive(Debug)]
pub struct Guest {
    pub life: Life,
    /// It stands still with its host until then.
    pub stalled_until_us: u64,
    gate: EpochOrder,
    /// The newest epoch that has ended at the gate.
    gate_epoch: u64,
    /// Output that waits: the epoch that it was made in, and its number.
    held: VecDeque<(u64, u64)>,
    /// Pieces of output so far.
    pub output: u64,
    pub output_due_us: u64,
}

impl Guest {
    pub fn new(now_us: u64) -> Self {
        Self {
            life: Life::Running,
            stalled_until_us: 0,
            gate: EpochOrder::new(),
            gate_epoch: 0,
            held: VecDeque::new(),
            output: 0,
            output_due_us: now_us,
        }
    }

    pub fn pause(&mut self) {
        if self.life == Life::Running {
            self.life = Life::Paused;
        }
    }

    pub fn resume(&mut self) {
        if self.life == Life::Paused {
            self.life = Life::Running;
        }
    }

    pub fn step(&mut self, now_us: u64, checker: &mut Checker) {
        let runs = self.life == Life::Running && now_us >= self.stalled_until_us;
        if runs && now_us >= self.output_due_us {
            self.output_due_us = now_us + OUTPUT_INTERVAL_US;
            self.output += 1;
            if self.held.len() < HELD_COUNT_MAX {
                self.held.push_back((self.gate_epoch + 1, self.output));
            }
            if self.gate.is_pass_through() {
                self.release(u64::MAX, true, checker);
            }
        }
    }

    /// Whether what it sends leaves as if there were no gate.
    pub fn is_open(&self) -> bool {
        self.life == Life::Running && self.gate.is_pass_through()
    }

    /// No epoch of the session has ended yet.
    pub fn begin_session(&mut self) {
        self.gate_epoch = EPOCH_REVIVABLE_FIRST - 1;
    }

    /// What it sends from now on belongs to the next epoch; a second pause for the same epoch changes
    /// nothing.
    pub fn end_epoch(&mut self, epoch: u64) {
        if self.gate_epoch != epoch {
            let _ = self.gate.end_epoch(epoch);
            self.gate_epoch = epoch;
        }
    }

    /// The output of an acknowledged epoch leaves.
    pub fn acknowledge(&mut self, epoch: u64, checker: &mut Checker) {
        let _ = self.gate.acknowledge(epoch);
        self.release(epoch, false, checker);
    }

    /// For a mutation: it leaves, whether it was acknowledged or not.
    pub fn release_early(&mut self, epoch: u64, checker: &mut Checker) {
        self.release(epoch, false, checker);
    }

    /// All output leaves, that to come as well.
    pub fn pass_through(&mut self, checker: &mut Checker) {
        let _ = self.gate.release_all();
        self.release(u64::MAX, true, checker);
    }

    fn release(&mut self, epoch: u64, is_open: bool, checker: &mut Checker) {
        while let Some((_, output)) = self.held.pop_front_if(|it| it.0 <= epoch) {
            checker.note_left(output, is_open);
        }
    }
}
