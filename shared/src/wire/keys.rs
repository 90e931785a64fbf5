//! Keys: from the key file and the key exchange to a session's two directions.
//!
//! All of them come from one pseudo-random function, BLAKE2s-256 with a key (RFC 7693). Each use has
//! a [`Purpose`] of its own, so that no output of one can stand for one of another.

use core::fmt;

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput, Update};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::ethernet::EthernetAddress;
use super::exchange::{AgreedSecret, PublicKey};
use super::frame::{Frame, TAG_SIZE};
use super::handshake::Nonce;
use super::seal::{SEAL_KEY_SIZE, Sealer};

const _: () = assert!(KEY_SIZE == 2 * SEAL_KEY_SIZE);

/// Bytes of the keys that are hashed with.
pub(super) const KEY_SIZE: usize = 32;

/// What an output of the function is for: BLAKE2's personalization, of 8 bytes.
pub(super) type Purpose = [u8; 8];
const HANDSHAKE_KEY: Purpose = *b"hand-key";
const HANDSHAKE_TAG: Purpose = *b"hand-tag";
pub(super) const HANDSHAKE_NONCE: Purpose = *b"nonce   ";
pub(super) const EPHEMERAL_SECRET: Purpose = *b"ephemera";
pub(super) const ENTROPY: Purpose = *b"entropy ";
const SEAL_KEYS: Purpose = *b"sealing ";
const DIGEST: Purpose = *b"digest  ";
const SESSION_NUMBER: Purpose = *b"session ";

/// The function's output for one purpose over all `parts`, one after the other. Their sizes must
/// follow from the purpose or from the parts themselves.
pub(super) fn derive(key: &[u8; KEY_SIZE], purpose: &Purpose, parts: &[&[u8]]) -> [u8; KEY_SIZE] {
    let mut hasher = Blake2sMac256::new_with_salt_and_personal(Some(key), &[], purpose)
        .expect("key and purpose have the function's sizes");
    for part in parts {
        hasher.update(part);
    }
    // The hasher wipes itself.
    hasher.finalize_fixed().into()
}

/// BLAKE2s-256 under no secret: what was written is told from what became of it, not from forgeries.
#[must_use]
pub fn digest(bytes: &[u8]) -> [u8; KEY_SIZE] {
    derive(&[0; KEY_SIZE], &DIGEST, &[bytes])
}

/// The secret that both hosts share. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; KEY_SIZE]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl SecretKey {
    /// A key of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_SIZE]) -> Self {
        Self(bytes)
    }

    /// For handing it to the half at the network, which has no other to hand it to.
    #[cfg(not(stubdom))]
    pub(crate) const fn bytes(&self) -> &[u8; KEY_SIZE] {
        &self.0
    }

    /// Reads a key file's text: 64 hexadecimal digits, and white space around them.
    ///
    /// # Errors
    /// [`KeyTextError`] when the text is anything else.
    pub fn from_text(text: &[u8]) -> Result<Self, KeyTextError> {
        let digits = text.trim_ascii();
        if digits.len() != 2 * KEY_SIZE {
            return Err(KeyTextError);
        }
        let mut key = Self([0; KEY_SIZE]);
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(key)
    }
}

fn nibble(digit: u8) -> Result<u8, KeyTextError> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(KeyTextError)
}

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTextError;

impl fmt::Display for KeyTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key file holds 64 hexadecimal digits: write one with `openssl rand -hex 32`")
    }
}

impl core::error::Error for KeyTextError {}

/// Signs and checks handshake frames. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HandshakeKey([u8; KEY_SIZE]);

impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeKey(..)")
    }
}

impl HandshakeKey {
    /// The handshake's key under a shared secret.
    #[must_use]
    pub fn new(secret: &SecretKey) -> Self {
        Self(derive(&secret.0, &HANDSHAKE_KEY, &[]))
    }

    /// The tag over both headers and the body.
    #[must_use]
    pub fn sign(&self, associated: &[u8], body: &[u8]) -> [u8; TAG_SIZE] {
        let hash = derive(&self.0, &HANDSHAKE_TAG, &[associated, body]);
        *hash.first_chunk().expect("a hash is longer than a tag")
    }

    /// Whether a frame's tag is right.
    #[must_use]
    pub fn is_signed(&self, frame: &Frame<'_>) -> bool {
        let expected = self.sign(frame.associated, frame.body);
        let difference = expected.iter().zip(&frame.tag).fold(0, |all, (a, b)| all | (a ^ b));
        core::hint::black_box(difference) == 0
    }
}

/// What a session's keys are made of, beside the two secrets: all of it could be seen on the wire.
#[derive(Clone, Copy, Debug)]
pub struct SessionParts {
    /// The primary's address.
    pub primary: EthernetAddress,
    /// The backup's address.
    pub backup: EthernetAddress,
    /// The primary's nonce.
    pub primary_nonce: Nonce,
    /// The backup's nonce.
    pub backup_nonce: Nonce,
    /// The primary's public key.
    pub primary_public: PublicKey,
    /// The backup's public key.
    pub backup_public: PublicKey,
}

/// A session's identifier and its two sealers.
#[derive(Debug)]
pub struct SessionKeys {
    /// The identifier in the frames' headers; never 0.
    pub session: u64,
    /// For frames from the primary to the backup.
    pub to_backup: Sealer,
    /// For frames from the backup to the primary.
    pub to_primary: Sealer,
}

impl SessionKeys {
    /// Derives a session's keys. Both ends get the same ones, and nobody else: without `secret` nobody
    /// could take part in the exchange, and without its outcome, `agreed`, nobody can derive them later.
    #[must_use]
    pub fn derive(secret: &SecretKey, parts: &SessionParts, agreed: &AgreedSecret) -> Self {
        let parts: [&[u8]; 7] = [
            &parts.primary.0,
            &parts.backup.0,
            &parts.primary_nonce,
            &parts.backup_nonce,
            &parts.primary_public,
            &parts.backup_public,
            agreed.bytes(),
        ];
        let session = derive(&secret.0, &SESSION_NUMBER, &parts);
        let session = session.first_chunk().expect("a hash is longer than a number");
        let mut seal_keys = derive(&secret.0, &SEAL_KEYS, &parts);
        let (to_backup, rest) = seal_keys.split_first_chunk().expect("a hash is two keys");
        let to_primary = rest.first_chunk().expect("a hash is two keys");
        let keys = Self {
            session: u64::from_le_bytes(*session).max(1),
            to_backup: Sealer::new(to_backup),
            to_primary: Sealer::new(to_primary),
        };
        seal_keys.zeroize();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::EphemeralSecret;
    use super::*;

    #[test]
    fn a_key_is_64_digits() {
        let text = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n";
        let key = SecretKey::from_text(text.as_bytes()).unwrap();
        assert_eq!((key.0[0], key.0[1], key.0[31]), (0, 0x11, 0xff));
        for wrong in ["", &text[1..], &text.replace('1', "g"), &format!("{}0", text.trim())] {
            assert_eq!(SecretKey::from_text(wrong.as_bytes()).unwrap_err(), KeyTextError);
        }
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
    }

    /// The first two known answers with a key of the BLAKE2 reference implementation.
    #[test]
    fn without_a_purpose_the_function_is_keyed_blake2s() {
        let key = core::array::from_fn(|index| u8::try_from(index).unwrap());
        let first = |output: [u8; 32]| u128::from_be_bytes(*output.first_chunk().unwrap());
        assert_eq!(first(derive(&key, &[0; 8], &[])), 0x48a8_997d_a407_876b_3d79_c0d9_2325_ad3b);
        assert_eq!(
            first(derive(&key, &[0; 8], &[&[0]])),
            0x40d1_5fee_7c32_8830_166a_c3f9_1865_0f80
        );
    }

    /// Computed with Python's `hashlib.blake2s`.
    #[test]
    fn each_purpose_gives_its_known_answer() {
        let secret = SecretKey::new([7; 32]);
        let tag = HandshakeKey::new(&secret).sign(b"headers", b"body");
        assert_eq!(u128::from_be_bytes(tag), 0x887e_7c2e_4f5b_69d9_ed50_325d_edb8_0f0b);
        let keys = SessionKeys::derive(&secret, &parts(), &agreed(3));
        assert_eq!(keys.session.to_le_bytes(), 0xb607_d78a_5476_c2f5_u64.to_be_bytes());
        let to_backup = 0x8bd4_ffff_8d52_7120_50e6_490c_5d57_843f_u128.to_be_bytes();
        let to_primary = 0x7a6b_9ef6_3ef5_fda0_5a38_5b4b_ce5f_b8c3_u128.to_be_bytes();
        for (sealer, key) in [(keys.to_backup, to_backup), (keys.to_primary, to_primary)] {
            let expected = Sealer::new(&key).seal(1, b"", &mut []);
            assert_eq!(sealer.seal(1, b"", &mut []), expected);
        }
    }

    /// What a primary with this secret and the backup of [`parts`] agree on.
    fn agreed(primary: u8) -> AgreedSecret {
        EphemeralSecret::new([primary; 32]).agree(&parts().backup_public).unwrap()
    }

    fn parts() -> SessionParts {
        SessionParts {
            primary: EthernetAddress([2, 0, 0, 0, 0, 1]),
            backup: EthernetAddress([2, 0, 0, 0, 0, 2]),
            primary_nonce: [1; 32],
            backup_nonce: [2; 32],
            primary_public: EphemeralSecret::new([3; 32]).public_key(),
            backup_public: EphemeralSecret::new([4; 32]).public_key(),
        }
    }

    #[test]
    fn every_part_changes_the_session() {
        let parts = parts();
        let secret = SecretKey::new([7; 32]);
        let session = |secret: &SecretKey, parts: &SessionParts| {
            SessionKeys::derive(secret, parts, &agreed(3)).session
        };
        let first = session(&secret, &parts);
        assert_eq!(session(&secret, &parts), first);
        let others = [
            session(&SecretKey::new([8; 32]), &parts),
            session(&secret, &SessionParts { primary: parts.backup, ..parts }),
            session(&secret, &SessionParts { backup: parts.primary, ..parts }),
            session(&secret, &SessionParts { primary_nonce: [3; 32], ..parts }),
            session(&secret, &SessionParts { backup_nonce: [3; 32], ..parts }),
            session(&secret, &SessionParts { primary_public: [3; 32], ..parts }),
            session(&secret, &SessionParts { backup_public: [3; 32], ..parts }),
        ];
        assert!(others.iter().all(|&other| other != first && other != 0));
    }

    /// Who has the key file and all that was sent, and not one of the secrets, has other keys.
    #[test]
    fn the_exchanged_secret_changes_every_key() {
        let secret = SecretKey::new([7; 32]);
        let seal = |sealer: &Sealer| sealer.seal(1, b"", &mut []);
        let own = SessionKeys::derive(&secret, &parts(), &agreed(3));
        let at_backup = EphemeralSecret::new([4; 32]).agree(&parts().primary_public).unwrap();
        let peer = SessionKeys::derive(&secret, &parts(), &at_backup);
        let other = SessionKeys::derive(&secret, &parts(), &agreed(5));
        let directions: [fn(&SessionKeys) -> &Sealer; 2] =
            [|keys| &keys.to_backup, |keys| &keys.to_primary];
        for direction in directions {
            assert_eq!(seal(direction(&own)), seal(direction(&peer)));
            assert_ne!(seal(direction(&own)), seal(direction(&other)));
        }
        assert_eq!(own.session, peer.session);
        assert_ne!(own.session, other.session);
    }
}
