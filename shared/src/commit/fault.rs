//! Why the backup refuses a domain.

use core::fmt;

use super::intake::IntakeFault;
use super::replica::Mismatch;
use super::staging::StagingFault;
use super::twin::TwinFault;
use crate::platform::linux::memory::MemoryError;

/// Why a domain is refused; the primary is told.
#[derive(Clone, Copy, Debug)]
pub enum CommitFault {
    /// The session's opening cannot be used.
    Intake(IntakeFault),
    /// There is no twin.
    Twin(TwinFault),
    /// The ring cannot be made as large as the guest.
    Ring(MemoryError),
    /// The guest is too large for the ring.
    RingLimit {
        /// Pages of the guest.
        pages: u64,
    },
    /// An epoch cannot be used.
    Staging(StagingFault),
    /// A domain came where only rehearsals are taken.
    RehearsalsOnly,
    /// One of the hosts has an arbiter and the other has none.
    Arbiter {
        /// This one has.
        is_here: bool,
    },
    /// There is no memory for the replica.
    Replica(MemoryError),
    /// The replica is not what the guest was.
    Mismatch(Mismatch),
}

impl fmt::Display for CommitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intake(fault) => fault.fmt(f),
            Self::Twin(fault) => fault.fmt(f),
            Self::Ring(error) => write!(f, "the backup has too little memory for epochs: {error}"),
            Self::RingLimit { pages } => {
                write!(
                    f,
                    "the guest is too large for the backup's ring: {pages} pages of memory (with \
                     --receive, give the stub domain more)"
                )
            }
            Self::Staging(fault) => fault.fmt(f),
            Self::RehearsalsOnly => f.write_str(
                "the backup stands by for rehearsals only: start it without --rehearse-only there",
            ),
            Self::Arbiter { is_here } => {
                let (with, without) =
                    if *is_here { ("backup", "primary") } else { ("primary", "backup") };
                write!(f, "the {with} has an arbiter and the {without} none: give both the same")
            }
            Self::Replica(error) => write!(f, "the backup has too little memory: {error}"),
            Self::Mismatch(Mismatch { epoch, is_memory: false }) => {
                write!(f, "MISMATCH: the replica is not the guest as it was at epoch {epoch}")
            }
            Self::Mismatch(Mismatch { epoch, is_memory: true }) => write!(
                f,
                "MISMATCH: the replica's memory at epoch {epoch} is not what was written to it"
            ),
        }
    }
}

impl core::error::Error for CommitFault {}
