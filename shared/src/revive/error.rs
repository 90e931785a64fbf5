//! Why a revival failed.

use core::fmt;

use crate::xen::stub::StubFault;
use crate::xen::xenstore::XenstoreError;
use crate::xen::{XenError, XenOpenError};

/// A revival that cannot go on. The twin is left paused, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviveError {
    /// Xen refused a step.
    Xen {
        /// What was being done.
        doing: &'static str,
        /// What Xen said.
        error: XenError,
    },
    /// A device of this host's Xen cannot be used.
    Open(XenOpenError),
    /// xenstored refused a step, or cannot be reached.
    Xenstore {
        /// What was being done.
        doing: &'static str,
        /// What xenstored said.
        error: XenstoreError,
    },
    /// The twin's HVM context, as Xen gave it, cannot be read.
    Context,
    /// The guest has memory at every place where the stub could lie.
    NoRoomForStub,
    /// The guest has used all FIFO priorities but one or none.
    NoFreshPriorities,
    /// The stub did not come to its end.
    StubSilent,
    /// The stub's work cannot be used.
    Stub(StubFault),
    /// A page of the guest's event structures is missing in the twin.
    NoMemoryAt(u64),
    /// xenstored did not answer the guest's watch request in time, or not with success.
    WatchUnanswered,
    /// The guest ended instead of suspending; its shutdown reason (sched.h), 255 when it is gone.
    Ended(u8),
}

impl fmt::Display for ReviveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen { doing, error } => write!(f, "revival failed while {doing}: {error}"),
            Self::Open(error) => write!(f, "revival failed: {error}"),
            Self::Xenstore { doing, error } => write!(f, "revival failed while {doing}: {error}"),
            Self::Context => {
                f.write_str("revival failed: Xen's HVM context of the twin cannot be read")
            }
            Self::NoRoomForStub => f.write_str(
                "revival failed: the twin has memory between 0xfb000000 and 0xfe200000, \
                 where its start-up code must lie",
            ),
            Self::NoFreshPriorities => {
                f.write_str("revival failed: the guest uses all priorities of its event channels")
            }
            Self::StubSilent => {
                f.write_str("revival failed: the twin's start-up code did not come to its end")
            }
            Self::Stub(fault) => write!(f, "revival failed: {fault}"),
            Self::NoMemoryAt(gfn) => {
                write!(f, "revival failed: the twin has no memory at gfn {gfn:#x}")
            }
            Self::WatchUnanswered => {
                f.write_str("revival failed: xenstored did not take the guest's watch: is it up?")
            }
            Self::Ended(255) => f.write_str("the revived guest is gone: see `xl dmesg`"),
            Self::Ended(reason) => write!(
                f,
                "the revived guest shut down (reason {reason}) before it had resumed: see its console"
            ),
        }
    }
}

impl core::error::Error for ReviveError {}

/// Adds what was being done to an error of Xen or xenstored.
pub trait While<T> {
    /// The error as one of revival.
    ///
    /// # Errors
    /// The same as before.
    fn while_doing(self, doing: &'static str) -> Result<T, ReviveError>;
}

impl<T> While<T> for Result<T, XenError> {
    fn while_doing(self, doing: &'static str) -> Result<T, ReviveError> {
        self.map_err(|error| ReviveError::Xen { doing, error })
    }
}

impl<T> While<T> for Result<T, XenstoreError> {
    fn while_doing(self, doing: &'static str) -> Result<T, ReviveError> {
        self.map_err(|error| ReviveError::Xenstore { doing, error })
    }
}
