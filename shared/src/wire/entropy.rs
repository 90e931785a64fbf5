//! Where a process's nonces and ephemeral secrets come from, without a source of randomness: the
//! network half has given up its way to one, or may do so at any time.
//!
//! All of them follow from the random bytes that the process is started with, and those are replaced
//! before and after each attempt at a session by a one-way function of themselves. So what was used in
//! an attempt cannot be found again from what is left.
//!
//! **Forward secrecy hangs on this.** A session that was recorded can be read by whoever has the key
//! file and the entropy with which one of its two processes began the attempt, or any from before.
//! It is wiped here, and lies only in memory that is locked and never dumped; but a program cannot
//! wipe what its compiler copied to the stack. It is gone for certain when the process has ended.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::exchange::EphemeralSecret;
use super::handshake::Nonce;
use super::keys::{ENTROPY, EPHEMERAL_SECRET, HANDSHAKE_NONCE, KEY_SIZE, derive};

/// Random bytes of one process, and what has become of them. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Entropy([u8; KEY_SIZE]);

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

impl Entropy {
    /// Begins with these bytes: nobody else may know them, and they must not be used again.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_SIZE]) -> Self {
        Self(bytes)
    }

    /// Goes on to the next attempt. The last one's nonce and secret cannot be had again.
    pub fn advance(&mut self) {
        self.0 = derive(&self.0, &ENTROPY, &[]);
    }

    /// This attempt's nonce, which nobody could foretell.
    #[must_use]
    pub fn nonce(&self) -> Nonce {
        derive(&self.0, &HANDSHAKE_NONCE, &[])
    }

    /// This attempt's secret.
    #[must_use]
    pub fn ephemeral_secret(&self) -> EphemeralSecret {
        EphemeralSecret::new(derive(&self.0, &EPHEMERAL_SECRET, &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hashlib.blake2s`.
    #[test]
    fn each_attempt_gives_its_known_answers() {
        let first = |bytes: [u8; 32]| u64::from_be_bytes(*bytes.first_chunk().unwrap());
        let mut entropy = Entropy::new([9; 32]);
        entropy.advance();
        assert_eq!(first(entropy.0), 0x1d45_8e41_ff1d_6ea5);
        assert_eq!(first(entropy.nonce()), 0x18ad_98ec_7019_be5c);
        let halves = [
            0xd199_a2b9_37b6_023e_0085_6255_819e_07df_u128,
            0x08be_b24e_6c4f_2931_7268_f0ac_cd31_8fbe_u128,
        ];
        let bytes = halves.map(u128::to_be_bytes).concat();
        let secret_1 = EphemeralSecret::new(*bytes.first_chunk().unwrap());
        let secret = entropy.ephemeral_secret();
        assert_eq!(secret.public_key(), secret_1.public_key());
        entropy.advance();
        assert_eq!(first(entropy.nonce()), 0x5461_189f_52b7_b25e);
        assert_ne!(secret.public_key(), entropy.ephemeral_secret().public_key());
        assert_eq!(format!("{entropy:?}"), "Entropy(..)");
    }
}
