//! The process that faces the network, on either host: its privileges go before its first frame.
//!
//! It is started by `fork` with sockets that are open already, keeps those sockets and its end of the
//! ring, and nothing else. The link's own rules are in `link`.

use core::fmt;

use heapless::Vec;
use zeroize::Zeroizing;

use crate::limits::LINK_COUNT_MAX;
use crate::link::{Ending, Host, LinkEvent, LinkOptions, LinkProcess, MultiPort, Silence, Turns};
use crate::options::Links;
use crate::platform::linux::affinity::{PinError, pin_to_core};
use crate::platform::linux::lock::{LockError, lock_memory};
use crate::platform::linux::packet_socket::{PacketSocket, PacketSocketError};
use crate::platform::linux::priority::take_precedence;
use crate::platform::linux::privileges::{DropError, drop_privileges};
use crate::platform::linux::process::Parent;
use crate::platform::linux::program::ExitStatus;
use crate::platform::linux::seccomp::leave_only_link_calls;
use crate::platform::linux::usage::Usage;
use crate::platform::linux::{clock, random};
use crate::ring::ProcessFigures;
use crate::wire::{ETHERTYPE_DEFAULT, Entropy, EthernetAddress, SecretKey};

/// What both link halves are started with.
#[derive(Debug)]
pub struct LinkHalf<'a> {
    /// The replication links.
    pub links: Links<'a>,
    /// Their sockets.
    pub port: MultiPort<PacketSocket>,
    /// Core to pin to, then polled without pause.
    pub core: Option<u16>,
    /// The other half.
    pub parent: Parent,
}

/// Why a link half could not begin, or had to end.
#[derive(Debug)]
enum LinkHalfError {
    Pin(PinError),
    Lock(LockError),
    Drop(DropError),
    Socket(PacketSocketError),
    Ended(Ending),
}

impl fmt::Display for LinkHalfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(error) => error.fmt(f),
            Self::Lock(error) => error.fmt(f),
            Self::Drop(error) => error.fmt(f),
            Self::Socket(error) => error.fmt(f),
            Self::Ended(ending) => ending.fmt(f),
        }
    }
}

/// The options of the link's state machine for this host's interfaces. To be called in the process of
/// that half: the entropy is its own, and ends with it.
#[must_use]
pub fn link_options(
    links: &Links<'_>,
    port: &MultiPort<PacketSocket>,
    timeout_ms: u32,
    has_arbiter: bool,
    key: SecretKey,
) -> LinkOptions {
    let mut entropy = Zeroizing::new([0; 32]);
    random::fill(entropy.as_mut());
    let sockets = port.interfaces();
    // Frames must fit every link: any of them may be the last one.
    let mtu = sockets.iter().map(PacketSocket::mtu).min().unwrap_or(0);
    LinkOptions {
        own_address: EthernetAddress(sockets[0].mac()),
        peer_address: EthernetAddress(links.first.peer_mac),
        ethertype: ETHERTYPE_DEFAULT,
        path_count: sockets.len(),
        mtu: usize::from(mtu),
        timeout_ms,
        silence_memory_us: Silence::memory_us(has_arbiter),
        key,
        entropy: Entropy::new(*entropy),
    }
}

impl LinkHalf<'_> {
    /// Takes turns until the other half or the link ends it; the caller ends the process with what
    /// this returns.
    pub fn run<L: LinkProcess>(mut self, turns: &mut Turns<L>, ring: &mut L::Ring) -> ExitStatus {
        match self.serve(turns, ring) {
            Ok(()) => ExitStatus::Done,
            Err(error) => {
                crate::log!("{}: {error}", self.links.first.interface);
                ExitStatus::Failed
            }
        }
    }

    fn serve<L: LinkProcess>(
        &mut self,
        turns: &mut Turns<L>,
        ring: &mut L::Ring,
    ) -> Result<(), LinkHalfError> {
        if let Some(core) = self.core {
            pin_to_core(core).map_err(LinkHalfError::Pin)?;
        }
        take_precedence();
        lock_memory().map_err(LinkHalfError::Lock)?;
        {
            let mut kept = Vec::<_, { 2 * LINK_COUNT_MAX }>::new();
            for socket in self.port.interfaces() {
                let _ = kept.extend_from_slice(&socket.descriptors());
            }
            drop_privileges(&kept).map_err(LinkHalfError::Drop)?;
        }
        if !self.parent.die_with() {
            return Ok(());
        }
        // Last: what came before makes calls that are not left afterwards.
        if !leave_only_link_calls().map_err(LinkHalfError::Drop)? {
            crate::log!(
                "WARNING: this kernel has no seccomp filters: the process at the network can make \
                 any system call, with the rights of nobody; set CONFIG_SECCOMP_FILTER"
            );
        }
        let mut host = LinuxHost { links: self.links, parent: self.parent };
        match turns.run(&mut self.port, ring, &mut host, self.core.is_some()) {
            Ok(Ending::Asked) => Ok(()),
            Ok(other) => Err(LinkHalfError::Ended(other)),
            Err(error) => Err(LinkHalfError::Socket(error)),
        }
    }
}

/// What this process has used so far.
#[must_use]
pub fn own_figures() -> ProcessFigures {
    let usage = Usage::own();
    ProcessFigures {
        processor_us: usage.user_us + usage.system_us,
        fault_count: usage.minor_faults + usage.major_faults,
    }
}

struct LinuxHost<'a> {
    links: Links<'a>,
    parent: Parent,
}

impl Host for LinuxHost<'_> {
    fn now_us(&mut self) -> u64 {
        clock::monotonic_us()
    }

    fn processor_us(&mut self) -> u64 {
        clock::processor_us()
    }

    fn yield_core(&mut self) {
        clock::yield_now();
    }

    fn is_other_half_alive(&mut self) -> bool {
        self.parent.is_alive()
    }

    fn usage(&mut self) -> ProcessFigures {
        own_figures()
    }

    fn report(&mut self, event: LinkEvent) {
        crate::log!("{}: {event}", self.links.interface(event.path().unwrap_or(0)));
    }
}
