//! What can go wrong with a packet socket, and what to do then.

use super::INTERFACE_NAME_SIZE_MAX;
use crate::platform::linux::errno::ErrnoText;
use crate::text::FixedText;
use core::fmt;
use rustix::io::Errno;

/// What went wrong with a packet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketSocketErrorKind {
    /// The host has no such interface.
    NoInterface,
    /// The interface does not carry Ethernet frames.
    NotEthernet,
    /// The interface is a port of a bridge, which takes its frames before any socket sees them.
    BridgePort,
    /// The interface is not up.
    Down,
    /// A step failed.
    System(&'static str, Errno),
}

/// A packet socket could not be opened or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketSocketError {
    /// On which interface.
    pub interface: FixedText<INTERFACE_NAME_SIZE_MAX>,
    /// What went wrong.
    pub kind: PacketSocketErrorKind,
}

impl fmt::Display for PacketSocketError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interface = self.interface;
        match self.kind {
            PacketSocketErrorKind::NoInterface => {
                write!(formatter, "there is no network interface {interface}: see `ip link`")
            }
            PacketSocketErrorKind::NotEthernet => {
                write!(formatter, "{interface} does not carry Ethernet: choose another interface")
            }
            PacketSocketErrorKind::BridgePort => write!(
                formatter,
                "{interface} is a port of a bridge, which takes its frames: \
                 use the bridge itself or another interface"
            ),
            PacketSocketErrorKind::Down => {
                write!(formatter, "{interface} is down: `ip link set {interface} up`")
            }
            PacketSocketErrorKind::System(step, errno) => {
                write!(formatter, "{interface}: cannot {step}: {}", ErrnoText(errno))
            }
        }
    }
}

impl core::error::Error for PacketSocketError {}
