//! The key exchange by which a session's keys die with it: X25519 (RFC 7748).
//!
//! Each end makes a secret for each attempt at a session and sends its public key. What both agree
//! on goes into the session's keys, beside the key file's key: who gets that file later, and has
//! recorded everything, still lacks one of the two secrets, and both are gone by then.
//!
//! A multiplication takes some 60 us on an AMD EPYC; each end does two for each attempt, and none
//! for a frame that anybody could have sent.

use core::fmt;

use curve25519_dalek::montgomery::MontgomeryPoint;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a secret, of a public key, and of what is agreed on (RFC 7748, section 5).
const EXCHANGE_SIZE: usize = 32;

/// What one end tells the other of its secret.
pub type PublicKey = [u8; EXCHANGE_SIZE];

/// The point whose multiples public keys are: u = 9 (RFC 7748, section 4.1).
const BASE_POINT: PublicKey = {
    let mut point = [0; EXCHANGE_SIZE];
    point[0] = 9;
    point
};

/// One end's secret in one attempt at a session. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct EphemeralSecret([u8; EXCHANGE_SIZE]);

impl fmt::Debug for EphemeralSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EphemeralSecret(..)")
    }
}

impl EphemeralSecret {
    /// A secret of these bytes, any ones.
    #[must_use]
    pub const fn new(bytes: [u8; EXCHANGE_SIZE]) -> Self {
        Self(bytes)
    }

    /// The public key of this secret.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.multiply(&BASE_POINT)
    }

    /// What the owner of `peer` and of this secret have in common, and nobody else. None for the few
    /// public keys with which everybody gets the same: zero, which RFC 7748, section 6.1, has us
    /// refuse.
    #[must_use]
    pub fn agree(&self, peer: &PublicKey) -> Option<AgreedSecret> {
        let agreed = AgreedSecret(self.multiply(peer));
        let any_bit = agreed.0.iter().fold(0, |all, byte| all | byte);
        (core::hint::black_box(any_bit) != 0).then_some(agreed)
    }

    fn multiply(&self, point: &PublicKey) -> PublicKey {
        MontgomeryPoint(*point).mul_clamped(self.0).to_bytes()
    }
}

/// What both ends have agreed on. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct AgreedSecret([u8; EXCHANGE_SIZE]);

impl fmt::Debug for AgreedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreedSecret(..)")
    }
}

impl AgreedSecret {
    /// For deriving keys.
    pub(super) const fn bytes(&self) -> &[u8; EXCHANGE_SIZE] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(digits: &str) -> [u8; 32] {
        core::array::from_fn(|place| u8::from_str_radix(&digits[2 * place..][..2], 16).unwrap())
    }

    fn multiply(scalar: &str, point: &str) -> [u8; 32] {
        EphemeralSecret::new(bytes(scalar)).multiply(&bytes(point))
    }

    /// RFC 7748, section 5.2; the second point has the bit set that is to be ignored.
    #[test]
    fn products_are_those_of_rfc_7748() {
        let product = multiply(
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        );
        let expected = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552";
        assert_eq!(product, bytes(expected));
        let product = multiply(
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        );
        let expected = "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957";
        assert_eq!(product, bytes(expected));
    }

    /// RFC 7748, section 5.2: each product is the next scalar, each scalar the next point.
    #[test]
    fn a_thousand_products_are_those_of_rfc_7748() {
        let (mut scalar, mut point) = (BASE_POINT, BASE_POINT);
        for round in 1..=1000 {
            let product = EphemeralSecret::new(scalar).multiply(&point);
            (scalar, point) = (product, scalar);
            let expected = match round {
                1 => "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
                1000 => "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
                _ => continue,
            };
            assert_eq!(scalar, bytes(expected), "round {round}");
        }
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn both_ends_agree() {
        let alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
        let alice = EphemeralSecret::new(bytes(alice));
        let bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
        let bob = EphemeralSecret::new(bytes(bob));
        let public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        assert_eq!(alice.public_key(), bytes(public));
        let public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        assert_eq!(bob.public_key(), bytes(public));
        let agreed = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        assert_eq!(alice.agree(&bob.public_key()).unwrap().0, bytes(agreed));
        assert_eq!(bob.agree(&alice.public_key()).unwrap().0, bytes(agreed));
        assert_eq!(format!("{bob:?}"), "EphemeralSecret(..)");
    }

    /// Every point of low order on the curve and its twist, and their other spellings: 0, 1, both
    /// points of order 8, and p - 1; then p, p + 1 and 2p - 1 reduced, with the ignored bit as well.
    #[test]
    fn points_that_give_no_secret_are_refused() {
        let secret = EphemeralSecret::new([0x5a; 32]);
        for digits in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            let mut point = bytes(digits);
            for top_bit in [0, 0x80] {
                point[31] |= top_bit;
                assert!(secret.agree(&point).is_none(), "{digits}");
            }
        }
        assert!(secret.agree(&BASE_POINT).is_some());
    }
}
