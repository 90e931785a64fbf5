//! What a backend may not do, told so that a person can act on it.

use core::fmt;

/// How a backend broke the protocol of io/netif.h. The interface is closed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendLie {
    /// More answers than requests, or fewer answers than before.
    ResponseIndex,
    /// An answer to a transmit request that is not open.
    TransmitId,
    /// A transmit request's fate that the protocol does not have.
    TransmitStatus,
    /// An answer in another slot than its receive request.
    ReceiveId,
    /// Received data that goes beyond its page.
    ReceiveExtent,
    /// Flags of received data that were not agreed on.
    ReceiveFlags,
    /// A received frame of too many slots.
    ReceiveFragments,
    /// Information beside a received frame that was not agreed on.
    ReceiveExtra,
}

impl fmt::Display for BackendLie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the interface's backend broke the protocol: ")?;
        f.write_str(match self {
            BackendLie::ResponseIndex => "an impossible number of answers",
            BackendLie::TransmitId => "an answer to a transmit request that is not open",
            BackendLie::TransmitStatus => "an unknown answer to a transmit request",
            BackendLie::ReceiveId => "a received frame in the wrong slot",
            BackendLie::ReceiveExtent => "received data beyond its page",
            BackendLie::ReceiveFlags => "a received frame with flags that were not agreed on",
            BackendLie::ReceiveFragments => "a received frame of too many pieces",
            BackendLie::ReceiveExtra => "a received frame with extras that were not agreed on",
        })?;
        f.write_str("; it is closed: look at the backend domain, then detach and attach the vif")
    }
}

impl core::error::Error for BackendLie {}
