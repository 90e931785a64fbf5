//! Why a stub domain cannot be given the link, told so that a person can act on it.

use core::fmt;

use crate::ring::hand_over::{HandOverState, OfferError, Program};
use crate::xen::XenError;
use crate::xen::xenstore::XenstoreError;

/// Why a stub domain cannot be given the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StubDomainError {
    /// A call to Xen failed.
    Xen(XenError),
    /// This program cannot have a port.
    NoEvents,
    /// No domain has this name.
    Unknown,
    /// The domain has shut down, or is being destroyed.
    NotRunning,
    /// It offers nothing that can be used.
    Offer(OfferError<XenstoreError>),
    /// It is the other program's.
    Program(Program),
    /// Its ring is smaller than what is needed.
    RingSmall,
    /// What it offers is larger than its memory.
    Outside,
    /// It names an address that is not the one which the toolstack gave its first interface, or that is the peer's.
    Address,
    /// Somebody else has what it offered.
    Taken,
    /// It does not take the hand-over, or not in time.
    NotTaken(HandOverState),
}

impl From<OfferError<XenstoreError>> for StubDomainError {
    fn from(error: OfferError<XenstoreError>) -> Self {
        Self::Offer(error)
    }
}

impl From<XenstoreError> for StubDomainError {
    fn from(error: XenstoreError) -> Self {
        Self::Offer(OfferError::Store(error))
    }
}

impl From<XenError> for StubDomainError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl StubDomainError {
    /// Whether it is told by a domain that is on its way up, and will be another one in a moment.
    pub(super) const fn is_early(self) -> bool {
        matches!(self, Self::Offer(OfferError::None | OfferError::Taken))
    }
}

impl fmt::Display for StubDomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self {
            Self::Xen(error) => return error.fmt(f),
            Self::Offer(error) => return write!(f, "the stub domain cannot be used: {error}"),
            Self::NotTaken(state) => return state.fmt(f),
            Self::Program(program) => {
                return write!(f, "the stub domain is a {}: name the other one", program.name());
            }
            Self::NoEvents => "no event channels: load the kernel module xen-evtchn",
            Self::Unknown => "there is no such stub domain: start it with `xl create`",
            Self::NotRunning => "the stub domain has ended: destroy it and create it anew",
            Self::RingSmall => "the stub domain's ring is too small: give it more memory",
            Self::Outside => "the stub domain offers memory that it has not: do not trust it",
            Self::Address => {
                "the stub domain's MAC address is not its configuration's, or is the peer's: set mac= \
                 in its vif, and give --link the peer's"
            }
            Self::Taken => "what the stub domain offered is in use: end the helper that uses it",
        };
        f.write_str(line)
    }
}

impl core::error::Error for StubDomainError {}

// It is handed upwards in registers, or nearly.
const _: () = assert!(size_of::<StubDomainError>() <= 24);
