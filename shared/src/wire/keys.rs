//! Keys: from the key file to a session's two directions.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::ethernet::EthernetAddress;
use super::frame::{Frame, TAG_SIZE};
use super::handshake::Nonce;
use super::seal::{SEAL_KEY_SIZE, Sealer};

/// Bytes of the keys that are hashed with.
const KEY_SIZE: usize = 32;

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
        Self(blake3::derive_key("Pollux 1 handshake frames", &secret.0))
    }

    /// The tag over both headers and the body.
    #[must_use]
    pub fn sign(&self, associated: &[u8], body: &[u8]) -> [u8; TAG_SIZE] {
        let hash = self.hash(associated, body);
        *hash.as_bytes().first_chunk().expect("a hash is longer than a tag")
    }

    /// Whether a frame's tag is right.
    #[must_use]
    pub fn is_signed(&self, frame: &Frame<'_>) -> bool {
        let expected = self.sign(frame.associated, frame.body);
        let difference = expected.iter().zip(&frame.tag).fold(0, |all, (a, b)| all | (a ^ b));
        core::hint::black_box(difference) == 0
    }

    /// A nonce that nobody without the process's entropy can foretell, another for each `count`.
    #[must_use]
    pub fn nonce(entropy: &[u8; KEY_SIZE], count: u64) -> Nonce {
        *blake3::keyed_hash(entropy, &count.to_le_bytes()).as_bytes()
    }

    fn hash(&self, associated: &[u8], body: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(associated);
        hasher.update(body);
        let hash = hasher.finalize();
        hasher.zeroize();
        hash
    }
}

/// What a session's keys are made of, beside the shared secret.
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
    /// Derives a session's keys. Both ends get the same ones, and nobody else.
    #[must_use]
    pub fn derive(secret: &SecretKey, parts: &SessionParts) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("Pollux 1 session keys");
        hasher.update(&secret.0);
        hasher.update(&parts.primary.0);
        hasher.update(&parts.backup.0);
        hasher.update(&parts.primary_nonce);
        hasher.update(&parts.backup_nonce);
        let mut output = hasher.finalize_xof();
        let (mut to_backup, mut to_primary) = ([0; SEAL_KEY_SIZE], [0; SEAL_KEY_SIZE]);
        let mut session = [0; 8];
        output.fill(&mut to_backup);
        output.fill(&mut to_primary);
        output.fill(&mut session);
        let keys = Self {
            session: u64::from_le_bytes(session).max(1),
            to_backup: Sealer::new(&to_backup),
            to_primary: Sealer::new(&to_primary),
        };
        to_backup.zeroize();
        to_primary.zeroize();
        hasher.zeroize();
        output.zeroize();
        keys
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn every_part_changes_the_session() {
        let parts = SessionParts {
            primary: EthernetAddress([2, 0, 0, 0, 0, 1]),
            backup: EthernetAddress([2, 0, 0, 0, 0, 2]),
            primary_nonce: [1; 32],
            backup_nonce: [2; 32],
        };
        let secret = SecretKey::new([7; 32]);
        let session =
            |secret: &SecretKey, parts: &SessionParts| SessionKeys::derive(secret, parts).session;
        let first = session(&secret, &parts);
        assert_eq!(session(&secret, &parts), first);
        let others = [
            session(&SecretKey::new([8; 32]), &parts),
            session(&secret, &SessionParts { primary: parts.backup, ..parts }),
            session(&secret, &SessionParts { backup: parts.primary, ..parts }),
            session(&secret, &SessionParts { primary_nonce: [3; 32], ..parts }),
            session(&secret, &SessionParts { backup_nonce: [3; 32], ..parts }),
        ];
        assert!(others.iter().all(|&other| other != first && other != 0));
    }
}
