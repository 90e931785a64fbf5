//! The AEAD: AEGIS-128X2, in place or while a body is put together.
//!
//! It is one AES instruction per four or eight bytes, and nothing else: several times as fast as
//! AES-256-GCM, also where the instructions are emulated. Without AES instructions it would need tables,
//! whose timing tells of the key; the programs refuse such a processor when they start
//! ([`crate::platform::processor`]).

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::frame::{Frame, TAG_SIZE};
use crate::platform::vector::{self, KEY_SIZE, NONCE_SIZE, Secret};

pub use crate::platform::vector::Sealing;

/// Bytes of a sealer's key (draft-irtf-cfrg-aegis-aead, section 4).
pub(super) const SEAL_KEY_SIZE: usize = KEY_SIZE;

/// Seals and opens the frames of one direction of one session. The key is wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Sealer {
    key: [u8; SEAL_KEY_SIZE],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// A sealer under this key.
    #[must_use]
    pub const fn new(key: &[u8; SEAL_KEY_SIZE]) -> Self {
        Self { key: *key }
    }

    /// Encrypts `body` and returns the tag over it and `associated`. A packet number must not be
    /// used again under the same key.
    #[must_use]
    pub fn seal(&self, packet_number: u64, associated: &[u8], body: &mut [u8]) -> [u8; TAG_SIZE] {
        vector::seal(self.secret(&nonce(packet_number)), associated, body)
    }

    /// A body of `out.len()` bytes that is encrypted while it is put together in `out`. A packet number
    /// must not be used again under the same key.
    #[must_use]
    pub fn sealing<'a>(
        &self,
        packet_number: u64,
        associated: &[u8],
        out: &'a mut [u8],
    ) -> Sealing<'a> {
        vector::sealing(self.secret(&nonce(packet_number)), associated, out)
    }

    /// Checks a frame's tag and decrypts its body; says whether the frame is authentic. The body of
    /// one that is not is lost.
    #[must_use]
    pub fn open(&self, frame: &mut Frame<'_>) -> bool {
        let nonce = nonce(frame.header.packet_number);
        vector::open(self.secret(&nonce), frame.associated, frame.body, &frame.tag)
    }

    fn secret<'a>(&'a self, nonce: &'a [u8; NONCE_SIZE]) -> Secret<'a> {
        Secret { key: &self.key, nonce }
    }
}

fn nonce(packet_number: u64) -> [u8; NONCE_SIZE] {
    let mut nonce = [0; NONCE_SIZE];
    nonce[..8].copy_from_slice(&packet_number.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use aegis::aegis128x2::Aegis128X2;

    use super::super::{ETHERNET_HEADER_SIZE, FrameHeader, FrameType, HEADER_SIZE};
    use super::*;

    fn sealed(sealer: &Sealer, text: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; Frame::size(text.len())];
        let body_size = u16::try_from(text.len()).unwrap();
        FrameHeader { frame_type: FrameType::Data, body_size, session: 5, packet_number: 9 }
            .emit(&mut bytes[ETHERNET_HEADER_SIZE..]);
        let (associated, rest) = bytes.split_at_mut(ETHERNET_HEADER_SIZE + HEADER_SIZE);
        let (body, tag) = rest.split_at_mut(text.len());
        body.copy_from_slice(text);
        tag.copy_from_slice(&sealer.seal(9, associated, body));
        bytes
    }

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        let sealer = Sealer::new(&[3; SEAL_KEY_SIZE]);
        let bytes = sealed(&sealer, b"pages");
        assert!(!bytes.windows(5).any(|window| window == b"pages"));
        let mut copy = bytes.clone();
        let mut frame = Frame::parse(&mut copy).unwrap();
        assert!(sealer.open(&mut frame));
        assert_eq!(frame.body, b"pages");
        let mut copy = bytes.clone();
        assert!(!Sealer::new(&[4; SEAL_KEY_SIZE]).open(&mut Frame::parse(&mut copy).unwrap()));
        for bit in 0..bytes.len() * 8 {
            let mut copy = bytes.clone();
            copy[bit / 8] ^= 1 << (bit % 8);
            if let Ok(mut frame) = Frame::parse(&mut copy) {
                assert!(!sealer.open(&mut frame), "bit {bit}");
            }
        }
    }

    /// What travels: the packet number is the nonce's first half, and both ways to seal make the same.
    #[test]
    fn the_packet_number_is_the_nonce() {
        let key = core::array::from_fn(|place| u8::try_from(place).unwrap());
        let text: Vec<u8> = (0..200).collect();
        let nonce = [8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut expected = text.clone();
        let tag: [u8; TAG_SIZE] =
            Aegis128X2::new(&key, &nonce).encrypt_in_place(&mut expected, b"headers");
        let sealer = Sealer::new(&key);
        let mut body = text.clone();
        assert_eq!(sealer.seal(0x0102_0304_0506_0708, b"headers", &mut body), tag);
        assert_eq!(body, expected);
        let mut body = vec![0; text.len()];
        let mut sealing = sealer.sealing(0x0102_0304_0506_0708, b"headers", &mut body);
        assert!(sealing.put(&text[..70]) && sealing.put(&text[70..]));
        assert_eq!(sealing.finish(), tag);
        assert_eq!(body, expected);
    }
}
