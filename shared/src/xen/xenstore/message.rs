//! Messages of the xenstore protocol (xen/include/public/io/xs_wire.h, Xen 4.17).
//!
//! A message is a header of four little-endian words and a payload of NUL-separated strings. A
//! reply repeats the request's number; a watch event comes unasked, with number 0.

use core::fmt;

/// Bytes of struct xsd_sockmsg.
pub const HEADER_SIZE: usize = 16;
/// Most bytes of a payload (XENSTORE_PAYLOAD_MAX).
pub const PAYLOAD_SIZE_MAX: usize = 4096;

/// enum xsd_sockmsg_type, as far as Pollux speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageKind {
    /// XS_DIRECTORY: names of a node's children.
    Directory = 1,
    /// XS_READ.
    Read = 2,
    /// XS_GET_PERMS.
    GetPermissions = 3,
    /// XS_WATCH.
    Watch = 4,
    /// XS_UNWATCH.
    Unwatch = 5,
    /// XS_TRANSACTION_START.
    TransactionStart = 6,
    /// XS_TRANSACTION_END.
    TransactionEnd = 7,
    /// XS_INTRODUCE: a domain's ring and port.
    Introduce = 8,
    /// XS_RELEASE: forget a domain.
    Release = 9,
    /// XS_GET_DOMAIN_PATH.
    GetDomainPath = 10,
    /// XS_WRITE.
    Write = 11,
    /// XS_MKDIR.
    MakeDirectory = 12,
    /// XS_RM.
    Remove = 13,
    /// XS_SET_PERMS.
    SetPermissions = 14,
    /// XS_WATCH_EVENT.
    WatchEvent = 15,
    /// XS_ERROR: the request was refused; the payload names the errno.
    Error = 16,
    /// XS_IS_DOMAIN_INTRODUCED.
    IsDomainIntroduced = 17,
    /// XS_RESUME: forget that a domain has shut down.
    Resume = 18,
}

impl MessageKind {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

/// struct xsd_sockmsg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`MessageKind::code`], or a kind that is not in that list.
    pub kind: u32,
    /// Repeated in the reply.
    pub request_id: u32,
    /// 0 outside a transaction.
    pub transaction_id: u32,
    /// Bytes of payload that follow.
    pub length: u32,
}

impl Header {
    /// The header in its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8; HEADER_SIZE]) -> Header {
        let [k0, k1, k2, k3, r0, r1, r2, r3, t0, t1, t2, t3, l0, l1, l2, l3] = *bytes;
        Header {
            kind: u32::from_le_bytes([k0, k1, k2, k3]),
            request_id: u32::from_le_bytes([r0, r1, r2, r3]),
            transaction_id: u32::from_le_bytes([t0, t1, t2, t3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }

    /// The header as its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let words = [self.kind, self.request_id, self.transaction_id, self.length];
        for (target, word) in bytes.chunks_exact_mut(size_of::<u32>()).zip(words) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Bytes of payload, when they are not more than the protocol allows.
    #[must_use]
    pub fn payload_length(&self) -> Option<usize> {
        usize::try_from(self.length).ok().filter(|length| *length <= PAYLOAD_SIZE_MAX)
    }
}

/// Path and token of a watch event's payload: `path NUL token NUL`.
#[must_use]
pub fn split_watch_event(payload: &[u8]) -> Option<(&str, &str)> {
    let mut parts = payload.split(|byte| *byte == 0);
    let path = core::str::from_utf8(parts.next()?).ok()?;
    let token = core::str::from_utf8(parts.next()?).ok()?;
    // The token must have ended in NUL too, else it was cut off.
    parts.next()?;
    Some((path, token))
}

/// Why xenstored refused a request (xsd_errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// ENOENT: no such node.
    NotFound,
    /// EACCES or EPERM: not for this caller.
    NotPermitted,
    /// EAGAIN: the transaction met another's changes; run it again.
    Again,
    /// EEXIST: it exists already.
    Exists,
    /// EINVAL: malformed, or not in this state.
    Invalid,
    /// E2BIG: the answer is larger than a message.
    TooBig,
    /// EBUSY: try later.
    Busy,
    /// ENOSPC or ENOMEM: a quota or the daemon's memory is used up.
    NoSpace,
    /// Another reason.
    Other,
}

impl RefusalReason {
    /// The reason in the payload of an error reply: the errno's name and NUL.
    #[must_use]
    pub fn from_payload(payload: &[u8]) -> RefusalReason {
        let name = payload.split(|byte| *byte == 0).next().unwrap_or_default();
        match name {
            b"ENOENT" => RefusalReason::NotFound,
            b"EACCES" | b"EPERM" => RefusalReason::NotPermitted,
            b"EAGAIN" => RefusalReason::Again,
            b"EEXIST" => RefusalReason::Exists,
            b"EINVAL" => RefusalReason::Invalid,
            b"E2BIG" => RefusalReason::TooBig,
            b"EBUSY" => RefusalReason::Busy,
            b"ENOSPC" | b"ENOMEM" => RefusalReason::NoSpace,
            _ => RefusalReason::Other,
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RefusalReason::NotFound => "no such node: is the domain running?",
            RefusalReason::NotPermitted => "not permitted: run as root in dom0",
            RefusalReason::Again => "another change came between: try again",
            RefusalReason::Exists => "it exists already",
            RefusalReason::Invalid => "xenstored does not accept it",
            RefusalReason::TooBig => "the node is too large",
            RefusalReason::Busy => "xenstored is busy: try again",
            RefusalReason::NoSpace => "xenstored is out of quota or memory",
            RefusalReason::Other => "see xenstored's log",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_four_words() {
        let header = Header { kind: 2, request_id: 7, transaction_id: 0, length: 5 };
        assert_eq!(header.to_bytes(), [2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(header.payload_length(), Some(5));
        assert_eq!(Header { length: 4097, ..header }.payload_length(), None);
    }

    #[test]
    fn kinds_have_the_header_s_numbers() {
        assert_eq!(MessageKind::Directory.code(), 1);
        assert_eq!(MessageKind::Introduce.code(), 8);
        assert_eq!(MessageKind::WatchEvent.code(), 15);
        assert_eq!(MessageKind::Error.code(), 16);
        assert_eq!(MessageKind::Resume.code(), 18);
    }

    #[test]
    fn watch_events_are_split_at_nul() {
        let payload = b"control/shutdown\0FFFFFFFF82A51F80\0";
        assert_eq!(split_watch_event(payload), Some(("control/shutdown", "FFFFFFFF82A51F80")));
        assert_eq!(split_watch_event(b"path\0token"), None);
        assert_eq!(split_watch_event(b"path"), None);
    }

    #[test]
    fn refusals_are_named() {
        assert_eq!(RefusalReason::from_payload(b"ENOENT\0"), RefusalReason::NotFound);
        assert_eq!(RefusalReason::from_payload(b"EISDIR\0"), RefusalReason::Other);
        assert_eq!(RefusalReason::from_payload(b""), RefusalReason::Other);
    }

    proptest! {
        #[test]
        fn headers_survive_the_way(bytes: [u8; HEADER_SIZE]) {
            prop_assert_eq!(Header::from_bytes(&bytes).to_bytes(), bytes);
        }

        #[test]
        fn any_payload_is_split_or_refused(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Some((path, token)) = split_watch_event(&payload) {
                prop_assert!(path.len() + token.len() + 2 <= payload.len());
            }
            let _ = RefusalReason::from_payload(&payload);
        }
    }
}
