//! Why a stub domain cannot carry a link, told so that a person can act on it.

use core::fmt;

use super::memory_plan::RingTooLarge;
use crate::limits::FRAME_SIZE_MIN;
use crate::platform::memory::MemoryError;
use crate::platform::stubdom::entropy::EntropyError;
use crate::xen::XenError;
use crate::xen::netif::VifError;
use crate::xen::xenstore::XenstoreError;

/// Why the domain ends. xl starts it anew (`on_crash="restart"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StubDomainError {
    /// There is no xenstore, as in a domain that was not started by xl.
    NoStore,
    /// Xenstore cannot be asked.
    Store(XenstoreError),
    /// The interface cannot be made.
    Vif(VifError),
    /// The interface's frames are too small.
    Mtu(u16),
    /// Xen refuses something.
    Xen(XenError),
    /// There is too little memory.
    Memory(MemoryError),
    /// There is too little for the ring.
    Ring(RingTooLarge),
    /// There is no randomness.
    Entropy(EntropyError),
}

/// Conversions by `?`.
macro_rules! from {
    ($($source:ty => $variant:ident,)*) => {
        $(impl From<$source> for StubDomainError {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    XenstoreError => Store,
    VifError => Vif,
    XenError => Xen,
    MemoryError => Memory,
    RingTooLarge => Ring,
    EntropyError => Entropy,
}

impl fmt::Display for StubDomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStore => f.write_str(
                "this domain has no xenstore, so it can carry no link: start it by `xl create` \
                 (docs/stub-domain.md)",
            ),
            Self::Store(error) => error.fmt(f),
            Self::Vif(error) => error.fmt(f),
            Self::Mtu(mtu) => write!(
                f,
                "vif 0 has an MTU of {mtu}, the link needs {FRAME_SIZE_MIN}: set mtu= of its vif= in the \
                 stub domain's configuration"
            ),
            Self::Xen(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StubDomainError {}
