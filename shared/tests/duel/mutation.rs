//! Defects that the checker must catch, each built into the halves on purpose.

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The gate releases an epoch when it ends.
    ReleasesBeforeAcknowledgement,
    /// The guest runs on while its checkpoint is taken.
    RunsInPause,
    /// The backup revives the epoch that is under way.
    RevivesTornEpoch,
    /// The backup lives without asking.
    BackupIgnoresArbiter,
    /// The primary lives without asking.
    PrimaryIgnoresArbiter,
    /// protect lets the guest that it finds run, and its output pass, before the arbiter has answered.
    StartsWithoutArbiter,
    /// An acknowledgement of an earlier session, recorded and sent again, is believed.
    BelievesReplay,
    /// The backup revives what it has had complete before the newest complete epoch.
    RevivesOldEpoch,
    /// protect begins anew in the old term.
    KeepsOldTerm,
}

impl Mutation {
    pub const ALL: [Self; 9] = [
        Self::ReleasesBeforeAcknowledgement,
        Self::RunsInPause,
        Self::RevivesTornEpoch,
        Self::BackupIgnoresArbiter,
        Self::PrimaryIgnoresArbiter,
        Self::StartsWithoutArbiter,
        Self::BelievesReplay,
        Self::RevivesOldEpoch,
        Self::KeepsOldTerm,
    ];
}
