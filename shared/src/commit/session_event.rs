//! What a session is begun with, and what its turns bring.

use super::fault::CommitFault;
use super::twin::TwinFault;
use crate::ring::GoodbyeReason;
use crate::xen::Domid;

/// What the operator chose.
#[derive(Clone, Copy, Debug)]
pub struct CommitOptions<'a> {
    /// Where the configuration that the primary sends is kept.
    pub state_directory: &'a str,
    /// An xl configuration to use instead of the primary's.
    pub twin_config: Option<&'a str>,
    /// An arbiter decides whether a twin may live.
    pub has_arbiter: bool,
}

/// What one turn brought.
#[derive(Clone, Copy, Debug)]
pub enum CommitEvent {
    /// There was nothing to do.
    Idle,
    /// Something was done; another turn is due at once.
    Working,
    /// A primary has opened a session. The next turns build the twin, which takes seconds.
    Opened,
    /// The twin is there.
    TwinCreated {
        /// Its number.
        domid: Domid,
    },
    /// A rehearsal has its replica.
    ReplicaCreated {
        /// Pages of it.
        page_count: u64,
    },
    /// The primary of a rehearsal went silent; the replica is gone.
    RehearsalLost,
    /// This epoch is complete, and was acknowledged.
    Complete(u64),
    /// The domain was refused, and the primary told so; the twin, if any, is gone.
    Refused(CommitFault),
    /// The primary went silent, or has handed its guest over. With an epoch that can be revived, the twin
    /// is ready for [`Commit::revive`]; without one it is gone.
    PrimaryLost {
        /// The newest complete epoch, now applied.
        epoch: Option<u64>,
    },
    /// The primary took leave; the twin is gone.
    Goodbye(GoodbyeReason),
    /// The twin could not be destroyed.
    TwinLeftBehind {
        /// Its number.
        domid: Domid,
        /// What xl said.
        fault: TwinFault,
    },
}
