//! What must never happen, whatever fails: held against every event of a run.
//!
//! Output is numbered in the order in which the guest makes it. A checkpoint contains everything up to a
//! number; what has left a host must be contained in whatever lives afterwards.

use std::collections::HashMap;

/// An epoch of a session: the session's tag and the epoch's number.
pub type Checkpoint = (u64, u64);

/// What is known to have happened.
#[derive(Debug, Default)]
pub struct Checker {
    /// Output that each checkpoint contains.
    contained: HashMap<Checkpoint, u64>,
    /// Epochs that the backup has had complete.
    complete: HashMap<Checkpoint, ()>,
    /// The newest output that has left the primary.
    left: u64,
    acknowledged: Option<Checkpoint>,
    pub revived: Option<Checkpoint>,
    is_open: bool,
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
        self.complete.insert(checkpoint, ());
    }

    /// The primary takes this checkpoint for acknowledged.
    pub fn note_acknowledged(&mut self, checkpoint: Checkpoint) {
        assert!(self.complete.contains_key(&checkpoint), "{checkpoint:?} is not on the backup");
        self.acknowledged = Some(checkpoint);
    }

    /// A piece of output has left the primary.
    pub fn note_left(&mut self, output: u64) {
        assert!(self.revived.is_none(), "output {output} left the primary after the takeover");
        assert!(output > self.left, "output leaves in order");
        self.left = output;
    }

    /// Whether the primary's gate lets everything pass while the guest runs there.
    pub fn note_gate(&mut self, is_open: bool) {
        self.is_open = is_open;
        assert!(!is_open || self.revived.is_none(), "two open gates");
    }

    /// The guest lives on the backup from this checkpoint on.
    pub fn note_revived(&mut self, checkpoint: Checkpoint) {
        assert!(self.revived.is_none(), "revived twice");
        assert!(self.complete.contains_key(&checkpoint), "{checkpoint:?} is torn");
        let contained = self.contained[&checkpoint];
        assert!(
            self.left <= contained,
            "output {} left, {checkpoint:?} has {contained}",
            self.left
        );
        if let Some((tag, epoch)) = self.acknowledged.filter(|it| it.0 == checkpoint.0) {
            assert!(epoch <= checkpoint.1, "({tag}, {epoch}) was acknowledged, not {checkpoint:?}");
        }
        assert!(!self.is_open, "the primary's gate is open");
        self.revived = Some(checkpoint);
    }
}
