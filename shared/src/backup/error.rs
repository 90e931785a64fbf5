//! Why the backup could not stand by, or ended otherwise than asked.

use core::fmt;

use crate::platform::linux::affinity::PinError;
use crate::platform::linux::command::CommandError;
use crate::platform::linux::file::FileError;
use crate::platform::linux::key_file::KeyFileError;
use crate::platform::linux::lock::LockError;
use crate::platform::linux::memory::MemoryError;
use crate::platform::linux::packet_socket::PacketSocketError;
use crate::platform::linux::process::{ForkError, ProcessEnd};
use crate::platform::linux::status_file::AlreadyDriven;
use crate::platform::processor::ProcessorError;
use crate::revive::ReviveError;
use crate::ring::RingError;
use crate::text::FixedText;
use crate::xen::{Domid, XenOpenError};

/// Why `stand-by` ended with status 1.
#[derive(Clone, Copy, Debug)]
pub enum StandByError {
    /// The processor is none that the programs were built for.
    Processor(ProcessorError),
    /// The key file is refused.
    Key(KeyFileError),
    /// The toolstack is missing.
    Toolstack(CommandError),
    /// The configuration for the twin cannot be read.
    TwinConfig(FileError),
    /// Xen or xenstored cannot be reached.
    Open(XenOpenError),
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
    /// Another helper stands by here.
    Driven(AlreadyDriven),
    /// The receive half ended by itself.
    ReceiveEnded(ProcessEnd),
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
            Self::Processor(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Toolstack(error) => write!(f, "xl, which builds the twin: {error}"),
            Self::TwinConfig(error) => write!(f, "--twin-config: {error}"),
            Self::Open(error) => error.fmt(f),
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
            Self::ReceiveEnded(end) => {
                write!(f, "the receiving half {end}: the twin is gone; start stand-by again")
            }
            Self::Revive { domid, error } => {
                write!(f, "the twin (domid {domid}) could not be brought to life: {error}")
            }
        }
    }
}

impl core::error::Error for StandByError {}

macro_rules! from {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for StandByError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    Processor(ProcessorError), Key(KeyFileError), Toolstack(CommandError), Open(XenOpenError), Socket(PacketSocketError),
    Memory(MemoryError), Ring(RingError), Lock(LockError), Pin(PinError), Fork(ForkError),
    Driven(AlreadyDriven),
}
