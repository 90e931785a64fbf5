//! What both programs need before they split, and why they cannot have it.
//!
//! What only one of them needs is with its start-up, in `primary` and `backup`.

use core::fmt;

use crate::options::Link;
use crate::platform::linux::affinity::PinError;
use crate::platform::linux::file::FileError;
use crate::platform::linux::key_file::KeyFileError;
use crate::platform::linux::lock::LockError;
use crate::platform::linux::memory::MemoryError;
use crate::platform::linux::packet_socket::{PacketSocket, PacketSocketError};
use crate::platform::linux::process::ForkError;
use crate::platform::linux::status_file::AlreadyDriven;
use crate::platform::processor::ProcessorError;
use crate::text::FixedText;
use crate::wire::ETHERTYPE_DEFAULT;
use crate::xen::XenOpenError;

/// Why a program could not start.
#[derive(Clone, Copy, Debug)]
pub enum StartError {
    /// The processor is none that the programs were built for.
    Processor(ProcessorError),
    /// The key file is refused.
    Key(KeyFileError),
    /// The xl configuration cannot be read.
    Config {
        /// The option that named it.
        option: &'static str,
        /// Why not.
        error: FileError,
    },
    /// Xen or xenstored cannot be reached.
    Open(XenOpenError),
    /// The replication interface cannot be used.
    Socket(PacketSocketError),
    /// The replication interface has no carrier.
    LinkDown(FixedText<16>),
    /// The ring cannot be made.
    Memory(MemoryError),
    /// Memory cannot be locked.
    Lock(LockError),
    /// A core cannot be used.
    Pin(PinError),
    /// The program cannot split.
    Fork(ForkError),
    /// Another helper does this already.
    Driven(AlreadyDriven),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processor(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Config { option, error } => write!(f, "{option}: {error}"),
            Self::Open(error) => error.fmt(f),
            Self::Socket(error) => error.fmt(f),
            Self::LinkDown(interface) => {
                write!(f, "interface {interface} has no carrier: check its cable and the peer")
            }
            Self::Memory(error) => error.fmt(f),
            Self::Lock(error) => error.fmt(f),
            Self::Pin(error) => error.fmt(f),
            Self::Fork(error) => error.fmt(f),
            Self::Driven(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {}

macro_rules! from {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for StartError {
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
    Processor(ProcessorError), Key(KeyFileError), Open(XenOpenError), Socket(PacketSocketError),
    Memory(MemoryError), Lock(LockError), Pin(PinError), Fork(ForkError), Driven(AlreadyDriven),
}

/// Opens the replication link, whose other end must be there.
///
/// # Errors
/// [`StartError::Socket`] and [`StartError::LinkDown`].
pub fn open_link(link: &Link<'_>) -> Result<PacketSocket, StartError> {
    let socket = PacketSocket::open(link.interface, ETHERTYPE_DEFAULT)?;
    if socket.is_link_up() {
        Ok(socket)
    } else {
        Err(StartError::LinkDown(FixedText::new(link.interface)))
    }
}
