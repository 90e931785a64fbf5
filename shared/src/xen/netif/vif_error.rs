//! Why an interface cannot be used, told so that a person can act on it.

use core::fmt;

use crate::xen::Errno;
use crate::xen::grant_access::GrantError;
use crate::xen::xenstore::XenstoreError;

/// Why an interface cannot be used. What a backend does is none of these: see
/// [`Vif::take_lie`](super::Vif::take_lie).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VifError {
    /// Xenstore could not be asked.
    Store(XenstoreError),
    /// Its pages could not be granted.
    Grant(GrantError),
    /// Xen gave no event channel.
    EventChannel(Errno),
    /// This node in the interface's part of xenstore is missing, or makes no sense.
    Node(&'static str),
    /// The backend does not copy what it delivers (`feature-rx-copy`).
    NoCopy,
}

impl From<XenstoreError> for VifError {
    fn from(error: XenstoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for VifError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the interface's state is unknown: {error}"),
            Self::Grant(error) => write!(f, "the interface cannot be offered: {error}"),
            Self::EventChannel(errno) => write!(
                f,
                "no event channel for the interface ({errno}): raise max_event_channels= in the stub \
                 domain's configuration"
            ),
            Self::Node(name) => write!(
                f,
                "xenstore has no usable `{name}` of the interface: check vif= in the stub domain's \
                 configuration"
            ),
            Self::NoCopy => f.write_str(
                "the interface's backend has no feature-rx-copy: use another backend domain",
            ),
        }
    }
}

impl core::error::Error for VifError {}
