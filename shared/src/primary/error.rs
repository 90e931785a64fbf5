//! Why protection could not start, or ended otherwise than asked. The guest runs on in each case.

use core::fmt;

use crate::capture::CaptureError;
use crate::platform::linux::output_gate::GateError;
use crate::platform::linux::process::ProcessEnd;
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
    ShipEnded(ProcessEnd),
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
            Self::ShipEnded(end) => {
                write!(
                    f,
                    "the sending half {end}, and the backup may take over: output that was held \
                     stays held; start protection again, or destroy the guest here if it lives there"
                )
            }
            Self::Refused(text) => write!(f, "the backup refuses the domain: {text}"),
        }
    }
}

impl core::error::Error for ProtectError {}

macro_rules! from {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for ProtectError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    Xen(XenError), Xenstore(XenstoreError), Capture(CaptureError), Gate(GateError), Ring(RingError),
}

impl<E> From<E> for ProtectError
where
    StartError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Start(error.into())
    }
}
