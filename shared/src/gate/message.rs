//! Netlink's framing: messages of attributes, written and read without copies.
//!
//! Numbers are in the machine's order, and everything is aligned to 4 bytes
//! (include/uapi/linux/netlink.h, Linux 6.1). The writer trusts its caller; the reader trusts
//! nobody and ends where the bytes stop making sense.

/// Bytes of `struct nlmsghdr`.
pub const HEADER_SIZE: usize = 16;

/// Bytes of `struct nlattr`.
const ATTRIBUTE_HEADER_SIZE: usize = 4;

/// Bits of an attribute's type that are its number; the two above say nested and byte order.
const ATTRIBUTE_KIND_MASK: u16 = 0x3fff;

/// Bytes of all messages of one request.
pub const REQUEST_SIZE_MAX: usize = 4096;

/// An acknowledgement, or the refusal of a request.
pub const NLMSG_ERROR: u16 = 2;
/// The end of a listing.
pub const NLMSG_DONE: u16 = 3;

/// It is a request.
pub const NLM_F_REQUEST: u16 = 0x001;
/// Answer also if all is well.
pub const NLM_F_ACK: u16 = 0x004;
/// Send the resulting object to the asker, too.
pub const NLM_F_ECHO: u16 = 0x008;
/// List all objects.
pub const NLM_F_DUMP: u16 = 0x300;
/// Fail if it exists.
pub const NLM_F_EXCL: u16 = 0x200;
/// Create it if it does not exist.
pub const NLM_F_CREATE: u16 = 0x400;

/// One or more messages to the kernel, in order, each with its own sequence number.
#[derive(Debug)]
pub struct Request {
    bytes: [u8; REQUEST_SIZE_MAX],
    size: usize,
    message_start: usize,
    message_count: u32,
}

impl Default for Request {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// No messages yet.
    pub const fn new() -> Self {
        Self { bytes: [0; REQUEST_SIZE_MAX], size: 0, message_start: 0, message_count: 0 }
    }

    /// Begins a message; its sequence number is its place in the request, from 0.
    ///
    /// # Panics
    /// This and all other writing panics if the request grows beyond [`REQUEST_SIZE_MAX`].
    pub fn begin(&mut self, kind: u16, flags: u16, body: &[u8]) {
        self.message_start = self.size;
        self.append(&[0; 4]);
        self.append(&kind.to_ne_bytes());
        self.append(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.append(&self.message_count.to_ne_bytes());
        self.append(&[0; 4]);
        self.message_count += 1;
        self.append_aligned(body);
    }

    /// Appends an attribute to the message.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.append(&attribute_size(ATTRIBUTE_HEADER_SIZE + value.len()));
        self.append(&kind.to_ne_bytes());
        self.append_aligned(value);
    }

    /// Appends text with its terminating zero.
    pub fn text_attribute(&mut self, kind: u16, text: &str) {
        let start = self.size;
        self.attribute(kind, text.as_bytes());
        // Back to the end of the text, before its padding.
        self.size = start + ATTRIBUTE_HEADER_SIZE + text.len();
        self.append_aligned(&[0]);
        self.patch(start, &attribute_size(ATTRIBUTE_HEADER_SIZE + text.len() + 1));
        self.close_message();
    }

    /// Appends an attribute that holds the attributes which `fill` writes.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.size;
        self.attribute(kind, &[]);
        fill(self);
        self.patch(start, &attribute_size(self.size - start));
    }

    /// The messages as they are sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }

    /// How many messages were begun.
    pub fn message_count(&self) -> u32 {
        self.message_count
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.size..self.size + bytes.len()].copy_from_slice(bytes);
        self.size += bytes.len();
    }

    fn append_aligned(&mut self, bytes: &[u8]) {
        self.append(bytes);
        let padding = self.size.next_multiple_of(4) - self.size;
        self.append(&[0; 3][..padding]);
        self.close_message();
    }

    /// Keeps the message's size right after every part of it.
    fn close_message(&mut self) {
        // A request is far below 4 GiB.
        let size = u32::try_from(self.size - self.message_start).unwrap_or(u32::MAX);
        self.patch(self.message_start, &size.to_ne_bytes());
    }

    fn patch(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

fn attribute_size(size: usize) -> [u8; 2] {
    assert!(size <= REQUEST_SIZE_MAX, "attributes are shorter than a request");
    // Never more, as it was just seen.
    u16::try_from(size).unwrap_or(u16::MAX).to_ne_bytes()
}

/// A message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'bytes> {
    /// What it is (`nlmsg_type`).
    pub kind: u16,
    /// The sequence number of the message it answers.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'bytes [u8],
}

/// The messages in what one receive call returned, up to the first that is not whole.
pub fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    core::iter::from_fn(move || {
        let size = usize::try_from(read_u32(bytes, 0)?).ok()?;
        let body = bytes.get(HEADER_SIZE..size)?;
        let reply = Reply { kind: read_u16(bytes, 4)?, sequence: read_u32(bytes, 8)?, body };
        bytes = bytes.get(size.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    })
}

/// The error number of an [`NLMSG_ERROR`]: 0 acknowledges; `None` if the message is too short.
pub fn error_number(reply: &Reply<'_>) -> Option<i32> {
    let number = read_u32(reply.body, 0)?.cast_signed();
    Some(number.wrapping_neg())
}

/// The attributes in `bytes` as (kind, value), up to the first that is not whole.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let size = usize::from(read_u16(bytes, 0)?);
        let kind = read_u16(bytes, 2)? & ATTRIBUTE_KIND_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER_SIZE..size)?;
        bytes = bytes.get(size.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
pub fn find_attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A number of 32 bits in the machine's order.
pub fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::{Request, attributes, error_number, find_attribute, replies};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn messages_have_the_kernels_layout() {
        let mut request = Request::new();
        request.begin(36, 0x404, &[1, 2, 3, 4]);
        request.text_attribute(1, "plug");
        request.nested(2, |request| request.attribute(7, &[9]));
        request.begin(37, 0, &[]);
        let expected: &[u8] = &[
            44, 0, 0, 0, 36, 0, 0x05, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, // header
            1, 2, 3, 4, // body
            9, 0, 1, 0, b'p', b'l', b'u', b'g', 0, 0, 0, 0, // text
            12, 0, 2, 0, 5, 0, 7, 0, 9, 0, 0, 0, // nested
            16, 0, 0, 0, 37, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, // the second message
        ];
        assert_eq!(request.bytes(), expected);
        assert_eq!(request.message_count(), 2);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut request = Request::new();
        request.begin(2, 0, &(-17_i32).to_ne_bytes());
        request.begin(16, 0, &[0; 16]);
        request.text_attribute(3, "vif1.0");
        request.nested(7, |request| request.attribute(0x8003, &[5; 6]));
        let mut read = replies(request.bytes());
        let error = read.next().unwrap();
        assert_eq!((error.kind, error.sequence, error_number(&error)), (2, 0, Some(17)));
        let link = read.next().unwrap();
        assert_eq!((link.kind, link.sequence), (16, 1));
        assert_eq!(find_attribute(&link.body[16..], 3), Some(&b"vif1.0\0"[..]));
        let nested = find_attribute(&link.body[16..], 7).unwrap();
        assert_eq!(attributes(nested).collect::<Vec<_>>(), [(3, &[5_u8; 6][..])]);
        assert_eq!(find_attribute(&link.body[16..], 8), None);
        assert_eq!(read.next(), None);
    }

    #[test]
    fn a_size_of_nothing_ends_the_reading() {
        assert_eq!(replies(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }

    proptest! {
        #[test]
        fn reading_anything_ends(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for reply in replies(&bytes) {
                let _ = error_number(&reply);
                prop_assert_eq!(attributes(reply.body).count(), attributes(reply.body).count());
            }
            let _ = find_attribute(&bytes, 3);
        }

        #[test]
        fn attributes_round_trip(values in proptest::collection::vec(
            (0_u16..0x4000, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut request = Request::new();
            request.begin(1, 0, &[]);
            for (kind, value) in &values {
                request.attribute(*kind, value);
            }
            let reply = replies(request.bytes()).next().unwrap();
            let read: Vec<_> =
                attributes(reply.body).map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(read, values);
        }
    }
}
