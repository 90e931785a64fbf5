//! What can end or delay a capture, told so that a person can act on it.

use core::fmt;

use super::discovery::DiscoveryError;
use super::preconditions::Refusal;
use crate::limits::{EVENT_CHANNEL_COUNT_MAX, GRANT_FRAME_COUNT_MAX, SHARED_PAGE_COUNT_MAX};
use crate::ring::RingError;
use crate::xen::XenError;
use crate::xen::xenstore::XenstoreError;

/// Why the guest shut down (SHUTDOWN_*, sched.h, Xen 4.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// SHUTDOWN_poweroff.
    PowerOff,
    /// SHUTDOWN_reboot: its toolstack starts another domain in its place.
    Reboot,
    /// SHUTDOWN_suspend: someone saves or migrates it.
    Suspend,
    /// SHUTDOWN_crash.
    Crash,
    /// SHUTDOWN_watchdog, soft_reset, or a number this version does not know.
    Other(u8),
}

impl ShutdownReason {
    /// The reason with Xen's number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::PowerOff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("powered off"),
            Self::Reboot => f.write_str("rebooted"),
            Self::Suspend => f.write_str("was suspended by another tool"),
            Self::Crash => f.write_str("crashed"),
            Self::Other(number) => write!(f, "shut down (reason {number})"),
        }
    }
}

/// Why a step of capture did not succeed. The guest runs again in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureError {
    /// A call to Xen failed.
    Xen(XenError),
    /// xenstored refused or went away.
    Xenstore(XenstoreError),
    /// The domain cannot be protected.
    Refused(Refusal),
    /// The guest's structures could not be told.
    Discovery(DiscoveryError),
    /// The guest did not answer to a write of `control/shutdown` with an event for its own watch.
    NoShutdownWatch,
    /// The domain no longer exists.
    DomainGone,
    /// The guest shut down.
    DomainShutDown(ShutdownReason),
    /// The session that the ring belongs to is over.
    LinkLost,
    /// The backup has refused the domain; it says why.
    BackupRefused,
    /// The backup is heard, but takes no page any more.
    BackupStuck {
        /// For so long.
        waited_ms: u32,
    },
    /// The operator ends protection.
    Interrupted,
    /// The other half of this helper broke the ring's rules.
    Ring(RingError),
    /// The gate could not begin the next epoch.
    GateFailed,
    /// The guest talks to xenstored at this moment: try again in a millisecond.
    XenstoreBusy,
    /// The structures are no longer where they were found: discover them anew.
    StructuresMoved,
    /// Backends have more pages mapped than the limit allows.
    TooManySharedPages,
    /// A port beyond the limit.
    TooManyPorts,
    /// A grant table beyond the limit.
    TooManyGrantFrames,
    /// The guest owns a physical interrupt.
    PhysicalIrq {
        /// At this port.
        port: u32,
    },
    /// The HVM context is malformed or too long.
    HvmContext,
    /// The encoded state is longer than its limit.
    StateTooLong,
    /// The guest changed its ports, grants or memory around every pause.
    NeverStill,
}

impl CaptureError {
    /// Whether the same call may succeed soon, with nothing else done.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::XenstoreBusy | Self::NeverStill)
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen(error) => error.fmt(f),
            Self::Xenstore(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Discovery(error) => error.fmt(f),
            Self::NoShutdownWatch => f.write_str(
                "the guest does not watch control/shutdown: its kernel's Xen drivers must be up",
            ),
            Self::DomainGone => f.write_str("the domain no longer exists: protection has ended"),
            Self::DomainShutDown(reason) => {
                write!(f, "the domain {reason}: start protect again once it runs")
            }
            Self::LinkLost => f.write_str("the link to the backup was lost"),
            Self::BackupRefused => f.write_str("the backup refuses the domain"),
            Self::BackupStuck { waited_ms } => {
                write!(f, "the backup is heard but has taken no page for {waited_ms} ms")
            }
            Self::Interrupted => f.write_str("protection was ended"),
            Self::Ring(error) => error.fmt(f),
            Self::GateFailed => {
                f.write_str("the gate could not begin its next epoch: start protect again")
            }
            Self::XenstoreBusy => {
                f.write_str("the guest has a xenstore request open: try again in a moment")
            }
            Self::StructuresMoved => f.write_str(
                "the guest's event structures have moved (it resumed or changed its vCPUs)",
            ),
            Self::TooManySharedPages => write!(
                f,
                "backends have more than {SHARED_PAGE_COUNT_MAX} pages of the guest mapped: \
                 give it fewer devices or queues"
            ),
            Self::TooManyPorts => write!(
                f,
                "the guest has an event channel beyond port {}: give it fewer devices or vCPUs",
                EVENT_CHANNEL_COUNT_MAX - 1
            ),
            Self::TooManyGrantFrames => write!(
                f,
                "the guest has more than {GRANT_FRAME_COUNT_MAX} grant-table frames: \
                 set max_grant_frames={GRANT_FRAME_COUNT_MAX} in its configuration"
            ),
            Self::PhysicalIrq { port } => {
                write!(f, "the guest owns a physical interrupt (port {port}): take its device away")
            }
            Self::HvmContext => f.write_str("Xen's HVM context of the domain cannot be read"),
            Self::StateTooLong => f.write_str("the domain's state does not fit its message"),
            Self::NeverStill => f.write_str(
                "the guest changed its event channels, grants or memory around every pause: \
                 try again in a moment",
            ),
        }
    }
}

impl core::error::Error for CaptureError {}

// Hundreds of places hand it upwards: as one word it goes in a register.
const _: () = assert!(size_of::<CaptureError>() <= 8 && size_of::<XenError>() <= 8);

impl From<XenError> for CaptureError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl From<XenstoreError> for CaptureError {
    fn from(error: XenstoreError) -> Self {
        Self::Xenstore(error)
    }
}

impl From<DiscoveryError> for CaptureError {
    fn from(error: DiscoveryError) -> Self {
        Self::Discovery(error)
    }
}

impl From<Refusal> for CaptureError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<RingError> for CaptureError {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}
