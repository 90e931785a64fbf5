//! What is worth a line in the log.

use core::fmt;

use heapless::Deque;

use crate::ring::GoodbyeReason;

/// Events that wait to be reported; older ones give way.
const EVENT_COUNT_MAX: usize = 8;

/// Something that an operator may want to know of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A session was established.
    Up {
        /// Largest Ethernet payload that it uses, in bytes.
        frame_size: usize,
    },
    /// Not even the smaller of both MTUs passes the path, or the MTUs differ. Said once.
    FrameSizeLimited {
        /// Largest Ethernet payload that passes, in bytes.
        frame_size: usize,
        /// MTU of this host's interface.
        own_mtu: usize,
        /// MTU of the peer's interface.
        peer_mtu: usize,
    },
    /// Nothing authentic came from the peer for longer than is borne.
    Silent {
        /// Milliseconds since something came.
        silent_ms: u64,
        /// The longest of them that this process itself was kept waiting, in milliseconds: when it
        /// is long, this host is too busy, and not the peer dead.
        stall_ms: u64,
    },
    /// The peer is heard, but data does not arrive there.
    Stalled,
    /// The peer ended the session.
    Goodbye(GoodbyeReason),
    /// The peer speaks another version of the protocol. Said once.
    Version {
        /// The peer's.
        peer: u16,
    },
    /// What comes from the peer's address is signed with another key than ours. Said once for each key.
    OtherKey,
    /// The peer's public key is one with which everybody gets the same secret. Said once.
    NoSecret,
    /// The peer's frames contradict one another: its program is damaged.
    Contradiction,
    /// One of several links brings nothing while others do.
    PathLost {
        /// Its number, from 0, in the order in which they were given.
        path: usize,
    },
    /// A lost link has been heard again for a while.
    PathBack {
        /// Its number.
        path: usize,
    },
    /// Data goes over another link than before.
    DataPath {
        /// Its number.
        path: usize,
    },
}

impl LinkEvent {
    /// Number of the link that it is about, if it is about one of several.
    #[must_use]
    pub const fn path(&self) -> Option<usize> {
        match *self {
            Self::PathLost { path } | Self::PathBack { path } | Self::DataPath { path } => {
                Some(path)
            }
            _ => None,
        }
    }
}

impl fmt::Display for LinkEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Up { frame_size } => write!(f, "link up, frames of {frame_size} bytes"),
            Self::FrameSizeLimited { frame_size, own_mtu, peer_mtu } => write!(
                f,
                "frames of more than {frame_size} bytes do not pass (MTU here {own_mtu}, at the \
                 peer {peer_mtu}): set the same MTU on both interfaces and what is between them"
            ),
            Self::Silent { silent_ms, stall_ms } => write!(
                f,
                "link lost: nothing from the peer for {silent_ms} ms (this host's own longest stall \
                 meanwhile: {stall_ms} ms)"
            ),
            Self::Stalled => f.write_str(
                "link given up: the peer is heard but data does not pass, check MTU and cabling",
            ),
            Self::Goodbye(reason) => write!(f, "the peer ended the session: {reason}"),
            Self::Version { peer } => write!(
                f,
                "the peer speaks protocol {peer}, this host {}: run the same Pollux version",
                super::PROTOCOL_VERSION
            ),
            Self::OtherKey => f.write_str(
                "no session: the peer's handshake is signed with another key: put the same key file on \
                 both hosts, and send SIGUSR2 to both helpers",
            ),
            Self::NoSecret => f.write_str(
                "no session: the peer's public key leads to no secret, restart its helper",
            ),
            Self::Contradiction => f.write_str(
                "link given up: the peer's frames contradict one another, restart its helper",
            ),
            Self::PathLost { .. } => f.write_str(
                "the peer is heard on another link but not on this one: check its cable and MAC",
            ),
            Self::PathBack { .. } => f.write_str("the peer is heard on this link again"),
            Self::DataPath { .. } => f.write_str("data goes over this link now"),
        }
    }
}

/// Events that wait to be reported.
#[derive(Debug, Default)]
pub struct EventQueue {
    waiting: Deque<LinkEvent, EVENT_COUNT_MAX>,
    last_condition: Option<LinkEvent>,
}

impl EventQueue {
    pub fn report(&mut self, event: LinkEvent) {
        if self.waiting.is_full() {
            self.waiting.pop_front();
        }
        let pushed = self.waiting.push_back(event);
        assert!(pushed.is_ok(), "one was removed if it was full");
    }

    /// Reports a standing condition, but not again while it is the same.
    pub fn report_once(&mut self, event: LinkEvent) {
        if self.last_condition != Some(event) {
            self.last_condition = Some(event);
            self.report(event);
        }
    }

    /// What held has changed: a condition is worth telling again.
    pub fn forget_condition(&mut self) {
        self.last_condition = None;
    }

    pub fn pop(&mut self) -> Option<LinkEvent> {
        self.waiting.pop_front()
    }
}
