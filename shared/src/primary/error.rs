//! Why protection could not start, or ended otherwise than asked. The guest runs on in each case.

use core::fmt;

use crate::arbiter::Record;
use crate::capture::CaptureError;
use crate::other_half::HalfEnd;
use crate::platform::linux::arbiter_program::ArbiterError;
use crate::platform::linux::file::FileError;
use crate::platform::linux::output_gate::GateError;
use crate::platform::linux::process::ProcessEnd;
use crate::rehearsal::TraceError;
use crate::ring::{RefusalText, RingError};
use crate::start::StartError;
use crate::text::FixedText;
use crate::xen::XenError;
use crate::xen::xenstore::XenstoreError;

/// Why `protect` ended with status 1.
#[derive(Clone, Debug)]
pub enum ProtectError {
    /// It could not start.
    Start(StartError),
    /// The xl configuration is empty.
    ConfigEmpty,
    /// A call to Xen failed.
    Xen(XenError),
    /// xenstored refused.
    Xenstore(XenstoreError),
    /// No domain has this name or domid.
    DomainUnknown(FixedText<64>),
    /// Capture cannot go on.
    Capture(CaptureError),
    /// The gate cannot be installed or driven.
    Gate(GateError),
    /// The ring was misused by the other half.
    Ring(RingError),
    /// The ship half ended by itself.
    ShipEnded(HalfEnd),
    /// The ship half ended by itself, and nobody told the backup, which may take over.
    ShipEndedHolding(HalfEnd),
    /// The arbiter cannot be asked.
    Arbiter(ArbiterError),
    /// By the arbiter's record another host runs the guest.
    HeldElsewhere(Record),
    /// The arbiter gave the guest to another host while it ran here.
    LivesElsewhere(Record),
    /// The backup did not take the guest that it was handed.
    NotHandedOver,
    /// Nobody can tell whether it did.
    HandOverUnknown,
    /// The operator ended protection before the arbiter had decided.
    Undecided,
    /// The trace cannot be mapped.
    TraceFile(FileError),
    /// The trace cannot be replayed.
    Trace(TraceError),
    /// The rehearsed guest's process ended by itself.
    GuestEnded(ProcessEnd),
    /// No backup has answered a rehearsal.
    NoBackup {
        /// The link's interface.
        interface: FixedText<16>,
    },
    /// The backup went away during a rehearsal.
    BackupLost,
    /// The backup acknowledges, but does not tell that it has verified what it has.
    NotVerified {
        /// The epoch that was verified last.
        epoch: u64,
    },
    /// The backup will not protect this domain.
    Refused(RefusalText),
}

impl fmt::Display for ProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::ConfigEmpty => f.write_str("--config: the file is empty: give the guest's own"),
            Self::Xen(error) => error.fmt(f),
            Self::Xenstore(error) => error.fmt(f),
            Self::DomainUnknown(domain) => {
                write!(f, "domain {domain} was not found: `xl list` shows what runs here")
            }
            Self::Capture(error) => error.fmt(f),
            Self::Gate(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
            Self::ShipEnded(end) => write!(f, "the sending half {end}: start protection again"),
            Self::ShipEndedHolding(end) => write!(
                f,
                "the sending half {end}, and the backup may take over: output that was held \
                 stays held; start protection again, or destroy the guest here if it lives there"
            ),
            Self::Arbiter(error) => write!(f, "--arbiter: {error}"),
            Self::HeldElsewhere(record) => write!(
                f,
                "the guest lives on another host{}: protect it there; or, if it surely does not, \
                 reset the arbiter's record",
                HolderOf(record)
            ),
            Self::LivesElsewhere(record) => write!(
                f,
                "the backup has taken over{}: the guest here is paused and its output held: \
                 destroy it",
                HolderOf(record)
            ),
            Self::NotHandedOver => f.write_str(
                "the backup did not take the guest, which runs on here, unprotected: see what it says \
                 there, and start protection again",
            ),
            Self::HandOverUnknown => f.write_str(
                "the backup did not answer when it was handed the guest: if that does not live there, \
                 `xl unpause` it here and start protection again",
            ),
            Self::Undecided => f.write_str(
                "the arbiter has not decided who lives: the guest stays paused and its output held: \
                 start protection again when it answers",
            ),
            Self::TraceFile(error) => write!(f, "--trace: {error}"),
            Self::Trace(error) => write!(f, "--trace: {error}"),
            Self::GuestEnded(end) => write!(f, "the rehearsed guest {end}: start it again"),
            Self::NoBackup { interface } => write!(
                f,
                "{interface}: no backup answers: start `backup-helper stand-by --rehearse-only` \
                 there, and check the peer's MAC, the key and the cable"
            ),
            Self::BackupLost => f.write_str(
                "the backup was lost during the rehearsal: see what it says there, and --timeout-ms",
            ),
            Self::NotVerified { epoch } => write!(
                f,
                "the backup has verified epoch {epoch} and none since: see what it says there"
            ),
            Self::Refused(text) => write!(f, "the backup refuses the domain: {text}"),
        }
    }
}

/// Who holds which term, as an addition to a sentence.
struct HolderOf<'a>(&'a Record);

impl fmt::Display for HolderOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.holder {
            Some(holder) => write!(f, " ({holder}, by the arbiter's term {})", self.0.term),
            None => Ok(()),
        }
    }
}

impl core::error::Error for ProtectError {}

macro_rules! from {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for ProtectError {
            // Called, not copied to every `?`: errors are large, and rare.
            #[cold]
            #[inline(never)]
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    Xen(XenError), Xenstore(XenstoreError), Capture(CaptureError), Gate(GateError), Ring(RingError),
    Arbiter(ArbiterError),
}

impl<E> From<E> for ProtectError
where
    StartError: From<E>,
{
    #[cold]
    #[inline(never)]
    fn from(error: E) -> Self {
        Self::Start(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::{ArbiterError, FileError, GateError, ProtectError, StartError};

    /// Every `?` on its way up copies an error, so what makes one of these larger makes the programs
    /// larger: repeat less text in it, or a number in place of a text. (`CaptureError`, which goes up
    /// in a register, sees to itself.)
    #[test]
    fn errors_stay_small() {
        assert!(size_of::<ProtectError>() <= 216, "{}", size_of::<ProtectError>());
        assert!(size_of::<StartError>() <= 128, "{}", size_of::<StartError>());
        assert!(size_of::<ArbiterError>() <= 128, "{}", size_of::<ArbiterError>());
        assert!(size_of::<FileError>() <= 104, "{}", size_of::<FileError>());
        assert!(size_of::<GateError>() <= 24, "{}", size_of::<GateError>());
    }
}
