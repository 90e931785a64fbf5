//! Why the backup could not stand by, or ended otherwise than asked.

use core::fmt;

use crate::other_half::HalfEnd;
use crate::platform::linux::arbiter_program::ArbiterError;
use crate::platform::linux::command::CommandError;
use crate::revive::ReviveError;
use crate::ring::RingError;
use crate::start::StartError;
use crate::xen::Domid;

/// Why `stand-by` ended with status 1.
#[derive(Clone, Copy, Debug)]
pub enum StandByError {
    /// It could not start.
    Start(StartError),
    /// The toolstack is missing.
    Toolstack(CommandError),
    /// The arbiter cannot be asked.
    Arbiter(ArbiterError),
    /// Xen, xenstored or its event channels cannot be used.
    NoXen(StartError),
    /// The ring was misused by the other half.
    Ring(RingError),
    /// The receive half ended by itself.
    ReceiveEnded(HalfEnd),
    /// The primary was lost and its guest could not be brought to life.
    Revive {
        /// The twin, left for people to look at.
        domid: Domid,
        /// What failed.
        error: ReviveError,
    },
}

impl fmt::Display for StandByError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Toolstack(error) => write!(
                f,
                "xl, which builds the twin: {error} (--rehearse-only takes rehearsals without Xen)"
            ),
            Self::Arbiter(error) => write!(f, "--arbiter: {error}"),
            Self::NoXen(error) => {
                write!(f, "{error} (--rehearse-only takes rehearsals without Xen)")
            }
            Self::Ring(error) => error.fmt(f),
            Self::ReceiveEnded(end) => {
                write!(f, "the receiving half {end}: the twin is gone; start stand-by again")
            }
            Self::Revive { domid, error } => {
                write!(
                    f,
                    "the twin (domid {domid}) could not be brought to life: {error}; the guest runs \
                     nowhere now: docs/failure-model.md says what to do"
                )
            }
        }
    }
}

impl core::error::Error for StandByError {}

impl<E> From<E> for StandByError
where
    StartError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Start(error.into())
    }
}

impl From<CommandError> for StandByError {
    fn from(error: CommandError) -> Self {
        Self::Toolstack(error)
    }
}

impl From<ArbiterError> for StandByError {
    fn from(error: ArbiterError) -> Self {
        Self::Arbiter(error)
    }
}

impl From<RingError> for StandByError {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}
