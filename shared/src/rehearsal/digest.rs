//! A digest of a whole memory that is kept up to date word by word.
//!
//! The sum over all 64-bit words of the word times an odd number of its place, modulo 2^64. A word that
//! changes changes the sum by its own share, so that each side follows its writes without reading
//! anything else; memory of zeros has the digest 0. A word in the wrong place, or of the wrong epoch,
//! is found for certain when it is the only one, and otherwise with all but one part in 2^64: this is
//! meant for mistakes, not for malice.

use super::random::mix;
use crate::limits::PAGE_SIZE;

/// 64-bit words of a page.
const PAGE_WORD_COUNT: u64 = PAGE_SIZE as u64 / 8;

/// The digest of a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// The digest of memory that is all zeros.
    pub const ZEROS: Self = Self(0);

    /// The digest with this value.
    #[must_use]
    pub const fn of_value(value: u64) -> Self {
        Self(value)
    }

    /// Its value.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Word `index` of the page at `gfn` has changed.
    pub const fn change(&mut self, gfn: u64, index: u64, old: u64, new: u64) {
        let difference = new.wrapping_sub(old);
        self.0 = self.0.wrapping_add(difference.wrapping_mul(factor(gfn, index)));
    }
}

/// Odd, so that no change of a word goes unseen.
const fn factor(gfn: u64, index: u64) -> u64 {
    mix(gfn * PAGE_WORD_COUNT + index) | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2048 words.
    const PAGE_COUNT: u64 = 4;

    fn of_all(words: &[u64]) -> Digest {
        let mut digest = Digest::ZEROS;
        for (place, word) in (0..).zip(words) {
            digest.change(place / PAGE_WORD_COUNT, place % PAGE_WORD_COUNT, 0, *word);
        }
        digest
    }

    proptest! {
        #[test]
        fn following_writes_comes_to_the_digest_of_what_they_left(
            writes in proptest::collection::vec((0..PAGE_COUNT * PAGE_WORD_COUNT, any::<u64>()), 0..200),
        ) {
            let mut words = [0; 2048];
            let mut digest = Digest::ZEROS;
            for (place, value) in writes {
                let old = core::mem::replace(&mut words[usize::try_from(place).unwrap()], value);
                digest.change(place / PAGE_WORD_COUNT, place % PAGE_WORD_COUNT, old, value);
            }
            prop_assert_eq!(digest, of_all(&words));
        }

        #[test]
        fn one_wrong_bit_or_place_is_seen(place in 0..2048usize, other in 0..2048usize, bit in 0..64u32, value: u64) {
            let mut words = [0; 2048];
            words[place] = value;
            let right = of_all(&words);
            words[place] ^= 1 << bit;
            prop_assert_ne!(of_all(&words), right);
            words[place] ^= 1 << bit;
            words.swap(place, other);
            prop_assert_eq!(of_all(&words) == right, place == other || value == 0);
        }
    }
}
