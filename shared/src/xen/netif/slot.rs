//! What lies in a slot (io/netif.h): requests to words, and words to answers.

/// struct netif_tx_request: 12 bytes, also the size of a transmit slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransmitRequest {
    /// The granted page with the data.
    pub reference: u32,
    /// Where in the page it begins, in bytes.
    pub offset: u16,
    /// [`TransmitRequest::MORE_DATA`] or none.
    pub flags: u16,
    /// Repeated in the answer.
    pub id: u16,
    /// Bytes of data: of the whole frame in its first request, of the page in the others.
    pub size: u16,
}

impl TransmitRequest {
    /// Bytes of the slot.
    pub const SIZE: usize = 12;
    /// The frame goes on in the next request (NETTXF_more_data).
    pub const MORE_DATA: u16 = 1 << 2;

    /// As it lies in the slot.
    pub fn to_words(self) -> [u32; 3] {
        let word = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        [self.reference, word(self.offset, self.flags), word(self.id, self.size)]
    }
}

/// struct netif_tx_response, the first 4 bytes of a transmit slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransmitResponse {
    /// The request's.
    pub id: u16,
    /// What became of it.
    pub status: i16,
}

impl TransmitResponse {
    /// The frame was taken (NETIF_RSP_OKAY).
    pub const OKAY: i16 = 0;
    /// It was refused (NETIF_RSP_ERROR).
    pub const ERROR: i16 = -1;
    /// It was dropped (NETIF_RSP_DROPPED).
    pub const DROPPED: i16 = -2;

    /// From the slot's first word.
    pub fn from_word(word: u32) -> Self {
        let [i0, i1, s0, s1] = word.to_le_bytes();
        Self { id: u16::from_le_bytes([i0, i1]), status: i16::from_le_bytes([s0, s1]) }
    }
}

/// struct netif_rx_request: 8 bytes, also the size of a receive slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveRequest {
    /// Repeated in the answer.
    pub id: u16,
    /// The granted page to be filled.
    pub reference: u32,
}

impl ReceiveRequest {
    /// Bytes of the slot.
    pub const SIZE: usize = 8;

    /// As it lies in the slot.
    pub fn to_words(self) -> [u32; 2] {
        [u32::from(self.id), self.reference]
    }
}

/// struct netif_rx_response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveResponse {
    /// The request's.
    pub id: u16,
    /// Where in the page the data begins, in bytes.
    pub offset: u16,
    /// The constants below.
    pub flags: u16,
    /// Bytes of data, or less than 0 if there is none.
    pub status: i16,
}

impl ReceiveResponse {
    /// The frame goes on in the next slot of data (NETRXF_more_data).
    pub const MORE_DATA: u16 = 1 << 2;
    /// The next slot is an extra (NETRXF_extra_info).
    pub const EXTRA_INFO: u16 = 1 << 3;
    /// What a backend may set: also NETRXF_data_validated and NETRXF_csum_blank, which say nothing to
    /// us. NETRXF_gso_prefix must be offered first.
    pub const FLAGS_MASK: u16 = 0xf;

    /// From the slot.
    pub fn from_word(word: u64) -> Self {
        let [i0, i1, o0, o1, f0, f1, s0, s1] = word.to_le_bytes();
        Self {
            id: u16::from_le_bytes([i0, i1]),
            offset: u16::from_le_bytes([o0, o1]),
            flags: u16::from_le_bytes([f0, f1]),
            status: i16::from_le_bytes([s0, s1]),
        }
    }
}

/// struct netif_extra_info, which lies over an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraInfo {
    /// XEN_NETIF_EXTRA_TYPE_*.
    pub kind: u8,
    /// [`ExtraInfo::MORE`] or none.
    pub flags: u8,
}

impl ExtraInfo {
    /// How the frame is to be segmented (XEN_NETIF_EXTRA_TYPE_GSO).
    pub const SEGMENTATION: u8 = 1;
    /// A hash value (XEN_NETIF_EXTRA_TYPE_HASH).
    pub const HASH: u8 = 4;
    /// Another extra follows (XEN_NETIF_EXTRA_FLAG_MORE).
    pub const MORE: u8 = 1;

    /// From the slot.
    pub fn from_word(word: u64) -> Self {
        let [kind, flags, ..] = word.to_le_bytes();
        Self { kind, flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_as_the_header_draws_them() {
        let request =
            TransmitRequest { reference: 0x0102_0304, offset: 0x0506, flags: 4, id: 7, size: 9014 };
        assert_eq!(request.to_words(), [0x0102_0304, 0x0004_0506, 9014 << 16 | 7]);
        assert_eq!(
            TransmitResponse::from_word(0xfffe_0007),
            TransmitResponse { id: 7, status: TransmitResponse::DROPPED }
        );
        assert_eq!(ReceiveRequest { id: 255, reference: 9 }.to_words(), [255, 9]);
        assert_eq!(
            ReceiveResponse::from_word(0xffff_000c_0010_00ff),
            ReceiveResponse { id: 255, offset: 16, flags: 12, status: -1 }
        );
        assert_eq!(ExtraInfo::from_word(0x0104), ExtraInfo { kind: 4, flags: 1 });
    }
}
