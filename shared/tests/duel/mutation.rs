//! Defects that the checker must catch, each built into the halves on purpose.

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The gate releases an epoch when it ends.
    ReleasesBeforeAcknowledgement,
    /// The backup revives the epoch that is under way.
    RevivesTornEpoch,
    /// The backup lives without asking.
    BackupIgnoresArbiter,
    /// The primary lives without asking.
    PrimaryIgnoresArbiter,
    /// An acknowledgement of an earlier session, recorded and sent again, is believed.
    BelievesReplay,
    /// The backup revives what it has had complete before the newest complete epoch.
    RevivesOldEpoch,
    /// protect begins anew in the old term.
    KeepsOldTerm,
}

impl Mutation {
    pub const ALL: [Self; 7] = [
        Self::ReleasesBeforeAcknowledgement,
        Self::RevivesTornEpoch,
        Self::BackupIgnoresArbiter,
        Self::PrimaryIgnoresArbiter,
        Self::BelievesReplay,
        Self::RevivesOldEpoch,
        Self::KeepsOldTerm,
    ];
}
