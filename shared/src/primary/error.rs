//! Why protection could not start, or ended otherwise than asked. The guest runs on in each case.

use core::fmt;

use crate::capture::CaptureError;
use crate::platform::linux::affinity::PinError;
use crate::platform::linux::file::FileError;
use crate::platform::linux::key_file::KeyFileError;
use crate::platform::linux::lock::LockError;
use crate::platform::linux::memory::MemoryError;
use crate::platform::linux::output_gate::GateError;
use crate::platform::linux::packet_socket::PacketSocketError;
use crate::platform::linux::process::{ForkError, ProcessEnd};
use crate::platform::linux::status_file::AlreadyDriven;
use crate::platform::processor::ProcessorError;
use crate::ring::{RefusalText, RingError};
use crate::text::FixedText;
use crate::xen::xenstore::XenstoreError;
use crate::xen::{XenError, XenOpenError};

/// Why `protect` ended with status 1.
#[derive(Clone, Debug)]
pub enum ProtectError {
    /// The processor is none that the programs were built for.
    Processor(ProcessorError),
    /// The key file is refused.
    Key(KeyFileError),
    /// The xl configuration cannot be read.
    Config(FileError),
    /// The xl configuration is empty.
    ConfigEmpty,
    /// Xen or xenstored cannot be reached.
    Open(XenOpenError),
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
    /// The replication interface cannot be used.
    Socket(PacketSocketError),
    /// The replication interface has no carrier.
    LinkDown(FixedText<16>),
    /// The ring cannot be made.
    Memory(MemoryError),
    /// The ring was misused by the other half.
    Ring(RingError),
    /// Memory cannot be locked.
    Lock(LockError),
    /// A core cannot be used.
    Pin(PinError),
    /// The program cannot split.
    Fork(ForkError),
    /// Another helper protects this domain.
    Driven(AlreadyDriven),
    /// The ship half ended by itself.
    ShipEnded(ProcessEnd),
    /// The backup will not protect this domain.
    Refused(RefusalText),
}

impl fmt::Display for ProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processor(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Config(error) => write!(f, "--config: {error}"),
            Self::ConfigEmpty => f.write_str("--config: the file is empty: give the guest's own"),
            Self::Open(error) => error.fmt(f),
            Self::Xen(error) => error.fmt(f),
            Self::Xenstore(error) => error.fmt(f),
            Self::DomainUnknown(domain) => {
                write!(f, "domain {domain} was not found: `xl list` shows what runs here")
            }
            Self::Capture(error) => error.fmt(f),
            Self::Gate(error) => error.fmt(f),
            Self::Socket(error) => error.fmt(f),
            Self::LinkDown(interface) => {
                write!(f, "interface {interface} has no carrier: check its cable and the peer")
            }
            Self::Memory(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
            Self::Lock(error) => error.fmt(f),
            Self::Pin(error) => error.fmt(f),
            Self::Fork(error) => error.fmt(f),
            Self::Driven(error) => error.fmt(f),
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
    Processor(ProcessorError), Key(KeyFileError), Open(XenOpenError), Xen(XenError), Xenstore(XenstoreError),
    Capture(CaptureError), Gate(GateError), Socket(PacketSocketError), Memory(MemoryError),
    Ring(RingError), Lock(LockError), Pin(PinError), Fork(ForkError), Driven(AlreadyDriven),
}
