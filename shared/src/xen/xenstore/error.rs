//! Why a request to xenstored failed, told so that a person can act on it.

use core::fmt;

use super::message::{MessageKind, RefusalReason};

/// Why a request to xenstored failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XenstoreError {
    /// Xenstored answered no.
    Refused {
        /// What was asked.
        request: MessageKind,
        /// Its reason.
        reason: RefusalReason,
    },
    /// The connection is broken: xenstored ended, or was restarted.
    Disconnected,
    /// No answer came in time.
    Silent,
    /// The answer is not of the protocol, or not of the form that the request has.
    Malformed,
    /// The request does not fit a message.
    TooLong,
}

impl XenstoreError {
    /// Whether the node does not exist.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, XenstoreError::Refused { reason: RefusalReason::NotFound, .. })
    }
}

impl fmt::Display for XenstoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XenstoreError::Refused { request, reason } => {
                write!(f, "xenstored refused {request:?}: {reason}")
            }
            XenstoreError::Disconnected => {
                f.write_str("the connection to xenstored broke: check that xenstored runs")
            }
            XenstoreError::Silent => f.write_str(
                "xenstored does not answer: check that it runs and that dom0 is not overloaded",
            ),
            XenstoreError::Malformed => f.write_str(
                "xenstored's answer is malformed: check which xenstored runs on this host",
            ),
            XenstoreError::TooLong => f.write_str(
                "the xenstore request is longer than 4096 bytes: use a shorter name or value",
            ),
        }
    }
}

impl core::error::Error for XenstoreError {}
