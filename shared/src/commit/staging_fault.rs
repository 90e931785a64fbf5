//! Why a session cannot go on: what staging finds wrong with its entries.

use core::fmt;

use crate::revive::check::StateFault;
use crate::ring::{EntryKind, RingError};

/// Why a session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagingFault {
    /// The other half broke the ring's rules.
    Ring(RingError),
    /// An entry belongs to another epoch than the one that is on its way.
    Order {
        /// The epoch on its way.
        wanted: u64,
        /// The entry's.
        found: u64,
    },
    /// An entry of this kind has no place here.
    Kind(EntryKind),
    /// An epoch has another number of entries than its end says.
    Count {
        /// The epoch.
        epoch: u64,
        /// Entries that came.
        entries: u64,
        /// Entries that its end names.
        wanted: u64,
    },
    /// A part of the state or HVM context is out of place, or they exceed the limits.
    Part {
        /// The epoch.
        epoch: u64,
    },
    /// The state cannot be read.
    Decode {
        /// The epoch.
        epoch: u64,
    },
    /// The HVM context cannot be read, or lacks a vCPU that was online.
    Context {
        /// The epoch.
        epoch: u64,
    },
    /// An epoch of a rehearsal came without its digest, or with two.
    Digest {
        /// The epoch.
        epoch: u64,
    },
    /// The state cannot be revived in this twin.
    State(StateFault),
    /// A page lies where the twin can have no memory.
    Gfn(u64),
    /// The bytes of a page cannot be decoded.
    Encoding(u64),
    /// A page came as changes of a version that the twin never had.
    Base(u64),
}

impl fmt::Display for StagingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::State(fault) => fault.fmt(f),
            Self::Gfn(gfn) => write!(
                f,
                "the twin can have no memory at gfn {gfn:#x}: give it the guest's configuration"
            ),
            Self::Encoding(gfn) => write!(f, "the page at gfn {gfn:#x} came in a broken encoding"),
            Self::Base(gfn) => write!(f, "changes came of a page at gfn {gfn:#x} that never came"),
            Self::Order { wanted, found } => {
                write!(f, "an entry of epoch {found} came within epoch {wanted}")
            }
            Self::Kind(kind) => write!(f, "an entry of kind {kind:?} came out of place"),
            Self::Count { epoch, entries, wanted } => {
                write!(f, "epoch {epoch} has {entries} entries where its end names {wanted}")
            }
            Self::Part { epoch } => write!(f, "the state of epoch {epoch} is out of order"),
            Self::Context { epoch } => {
                write!(f, "the HVM context of epoch {epoch} does not hold every online vCPU")
            }
            Self::Digest { epoch } => write!(f, "epoch {epoch} came without one digest"),
            Self::Decode { epoch } => write!(
                f,
                "the state of epoch {epoch} is malformed: run the same Pollux version on both hosts"
            ),
        }
    }
}

impl core::error::Error for StagingFault {}

impl From<RingError> for StagingFault {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}
