//! What both programs need before they split, and why they cannot have it.
//!
//! What only one of them needs is with its start-up, in `primary` and `backup`.

use core::fmt;

use crate::arbiter::HostId;
use crate::link::MultiPort;
use crate::options::{ArbiterKind, Links, WithStubDomains};
use crate::other_half::{FoundStubDomain, StubDomainError};
use crate::platform::linux::affinity::PinError;
use crate::platform::linux::arbiter_program::{ArbiterError, ArbiterProgram};
use crate::platform::linux::file::FileError;
use crate::platform::linux::key_file::KeyFileError;
use crate::platform::linux::lock::LockError;
use crate::platform::linux::memory::MemoryError;
use crate::platform::linux::packet_socket::{PacketSocket, PacketSocketError};
use crate::platform::linux::process::ForkError;
use crate::platform::linux::status_file::AlreadyDriven;
use crate::platform::processor::ProcessorError;
use crate::ring::hand_over::{HandOver, Program};
use crate::text::FixedText;
use crate::wire::{ETHERTYPE_DEFAULT, EthernetAddress, SecretKey};
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
    /// The stub domain cannot be given the link.
    StubDomain(WithStubDomains, Program, StubDomainError),
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
            Self::StubDomain(_, program, error) => {
                let option = match program {
                    Program::PrimaryHelper => "--ship",
                    Program::BackupHelper => "--receive",
                };
                write!(f, "{option}: {error}")
            }
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

/// What a stub domain is told. The copy of the key is wiped when it is dropped.
#[must_use]
pub fn hand_over(
    links: &Links<'_>,
    timeout_ms: u32,
    has_arbiter: bool,
    delta_cache_size: u64,
    key: &SecretKey,
) -> HandOver {
    HandOver {
        peer_addresses: links.iter().map(|link| link.peer_mac).collect(),
        timeout_ms,
        has_arbiter,
        delta_cache_size,
        key: *key.bytes(),
    }
}

/// Opens the replication links. The other end of one of them must be there; those that are down are told,
/// and used once they are up.
///
/// # Errors
/// [`StartError::Socket`] and [`StartError::LinkDown`].
pub fn open_links(links: &Links<'_>) -> Result<MultiPort<PacketSocket>, StartError> {
    let mut port = MultiPort::default();
    let mut is_any_up = false;
    for link in links.iter() {
        let socket = PacketSocket::open_up_or_down(link.interface, ETHERTYPE_DEFAULT)?;
        let (own, peer) = (EthernetAddress(socket.mac()), EthernetAddress(link.peer_mac));
        is_any_up |= socket.is_link_up();
        port.add(socket, own, peer);
    }
    for socket in port.interfaces() {
        if !is_any_up {
            socket.check_up()?;
            return Err(StartError::LinkDown(FixedText::new(socket.interface())));
        }
        if !socket.is_link_up() {
            crate::log!("{}: no carrier: this link is used once it is up", socket.interface());
        }
    }
    Ok(port)
}

/// This host's end of the first link, by which an arbiter knows it: of its own interfaces, or of those of a stub domain.
#[must_use]
pub fn own_end(port: &MultiPort<PacketSocket>, found: Option<FoundStubDomain>) -> HostId {
    HostId(found.map_or_else(|| port.interfaces()[0].mac(), |found| found.mac().0))
}

/// The arbiter between the ends of the first link, of which `own` is this host's, if there is to be one.
///
/// # Errors
/// [`ArbiterError`] when it cannot be asked at all.
pub fn open_arbiter(
    kind: ArbiterKind<'_>,
    links: &Links<'_>,
    own: HostId,
) -> Result<Option<ArbiterProgram>, ArbiterError> {
    ArbiterProgram::open(kind, own, HostId(links.first.peer_mac))
}

/// Says what it means that nobody decides who may run `guest`.
pub fn warn_without_arbiter(guest: &str) {
    crate::log!(
        "WARNING: --no-arbiter: when the link is cut and both hosts live, both will run {guest} with \
         its output open"
    );
}
