//! What must never happen, whatever fails: held against every event of a run.
//!
//! Output is numbered in the order in which the guest makes it. A checkpoint contains everything up to a
//! number; what has left a host must be contained in whatever lives afterwards.

use std::collections::{HashMap, HashSet};

/// An epoch of a session: the session's tag and the epoch's number.
pub type Checkpoint = (u64, u64);

/// Frames under way on one link at most: the link's window, and what repeats and doubles it.
const UNDER_WAY_MAX: usize = 6_000;

/// How often runs have come to what is seldom; none of it is wrong, and all of it must be met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// protect was killed in the pause of a checkpoint.
    pub killed_in_pause: u64,
    /// A backup was given up that got no further.
    pub given_up: u64,
    /// It has refused, or had no memory any more.
    pub refused: u64,
    /// Both ends of a session have lost it, and the primary asked who lives.
    pub settled: u64,
    /// An acknowledged epoch's output has left the primary after the takeover.
    pub left_late: u64,
    /// A link of several was left for another one.
    pub path_changes: u64,
    /// The primary took the backup for lost before the timeout.
    pub early_silences: u64,
}

impl Met {
    pub fn each(&self) -> [u64; 7] {
        let Self { killed_in_pause, given_up, refused, settled, left_late, .. } = *self;
        let Self { path_changes, early_silences, .. } = *self;
        [killed_in_pause, given_up, refused, settled, left_late, path_changes, early_silences]
    }

    pub fn add(&mut self, other: &Self) {
        self.killed_in_pause += other.killed_in_pause;
        self.given_up += other.given_up;
        self.refused += other.refused;
        self.settled += other.settled;
        self.left_late += other.left_late;
        self.path_changes += other.path_changes;
        self.early_silences += other.early_silences;
    }
}

/// What is known to have happened.
#[derive(Debug, Default)]
pub struct Checker {
    /// Output that each checkpoint contains.
    contained: HashMap<Checkpoint, u64>,
    /// Epochs that the backup has had complete.
    complete: HashSet<Checkpoint>,
    /// The newest output that has left the primary.
    left: u64,
    acknowledged: Option<Checkpoint>,
    pub revived: Option<Checkpoint>,
    is_open: bool,
    pub met: Met,
}

impl Checker {
    /// The primary has taken a checkpoint after `output` pieces of output.
    pub fn note_checkpoint(&mut self, checkpoint: Checkpoint, output: u64) {
        let before = self.contained.insert(checkpoint, output);
        assert_eq!(before, None, "{checkpoint:?} was taken twice");
    }

    /// The backup has every byte of this checkpoint.
    pub fn note_complete(&mut self, checkpoint: Checkpoint) {
        assert!(self.contained.contains_key(&checkpoint), "{checkpoint:?} was never taken");
        self.complete.insert(checkpoint);
    }

    /// The primary takes this checkpoint for acknowledged.
    pub fn note_acknowledged(&mut self, checkpoint: Checkpoint) {
        assert!(self.complete.contains(&checkpoint), "{checkpoint:?} is not on the backup");
        self.acknowledged = Some(checkpoint);
    }

    /// A piece of output has left the primary, through a gate that lets everything pass or, else, since
    /// its epoch was acknowledged. Even when the guest lives on the backup it may, if that guest knows of
    /// it: a primary that stood still has this one epoch to let go.
    pub fn note_left(&mut self, output: u64, is_open: bool) {
        assert!(output > self.left, "output leaves in order");
        self.left = output;
        let known_by = match self.revived {
            None if is_open => return,
            None => self.acknowledged,
            revived => revived,
        };
        self.met.left_late += u64::from(self.revived.is_some());
        let known = known_by.map_or(0, |checkpoint| self.contained[&checkpoint]);
        assert!(output <= known, "output {output} left, {known_by:?} has {known}");
    }

    /// Whether the primary's gate lets everything pass while the guest runs there.
    pub fn note_gate(&mut self, is_open: bool) {
        self.is_open = is_open;
        assert!(!is_open || self.revived.is_none(), "two open gates");
    }

    /// The backup begins to revive the guest from this checkpoint; nothing of what must hold when it
    /// lives may be wrong by now.
    pub fn note_granted(&self, checkpoint: Checkpoint) {
        assert!(self.revived.is_none(), "revived twice");
        assert!(self.complete.contains(&checkpoint), "{checkpoint:?} is torn");
        let known = self.contained[&checkpoint];
        assert!(self.left <= known, "output {} left, {checkpoint:?} has {known}", self.left);
        if let Some((tag, epoch)) = self.acknowledged.filter(|it| it.0 == checkpoint.0) {
            assert!(epoch <= checkpoint.1, "({tag}, {epoch}) was acknowledged, not {checkpoint:?}");
        }
        assert!(!self.is_open, "the primary's gate is open");
    }

    /// The guest lives on the backup from this checkpoint on.
    pub fn note_revived(&mut self, checkpoint: Checkpoint) {
        self.note_granted(checkpoint);
        self.revived = Some(checkpoint);
    }

    /// So many frames are under way on a link.
    pub fn note_under_way(&self, count: usize) {
        assert!(count <= UNDER_WAY_MAX, "{count} frames are under way");
    }
}
