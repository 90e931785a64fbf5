//! The dirty bitmap: which gfns a set bit names, found a word at a time.
//!
//! Xen writes one bit per gfn (XEN_DOMCTL_SHADOW_OP_CLEAN, domctl.h, Xen 4.17), gfn 0 in bit 0 of
//! word 0. A guest's gfn space is mostly holes and clean pages, so the scan tests 64 gfns with
//! one load and visits only set bits. The bitmap's memory belongs to the caller.

/// Words that are passed together when all of them are 0: a cache line.
const SKIPPED_WORD_COUNT: usize = 8;

/// 64-bit words of a bitmap that covers `gfn_count` gfns.
#[must_use]
pub const fn bitmap_word_count(gfn_count: u64) -> u64 {
    gfn_count.div_ceil(64)
}

/// The gfns whose bits are set, ascending.
#[must_use]
pub fn set_gfns(bitmap: &[u64]) -> SetGfns<'_> {
    SetGfns { bitmap, cursor: Cursor::default() }
}

/// Number of set bits.
#[must_use]
pub fn count(bitmap: &[u64]) -> u64 {
    bitmap.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// Sets the bit of `gfn`; a gfn beyond the bitmap is left alone.
pub fn set(bitmap: &mut [u64], gfn: u64) {
    if let Some(word) = word_of(bitmap, gfn) {
        *word |= bit_of(gfn);
    }
}

/// Clears the bit of `gfn`; a gfn beyond the bitmap is left alone.
pub fn clear(bitmap: &mut [u64], gfn: u64) {
    if let Some(word) = word_of(bitmap, gfn) {
        *word &= !bit_of(gfn);
    }
}

/// Whether the bit of `gfn` is set.
#[must_use]
pub fn is_set(bitmap: &[u64], gfn: u64) -> bool {
    let word = usize::try_from(gfn / 64).ok().and_then(|index| bitmap.get(index));
    word.is_some_and(|word| word & bit_of(gfn) != 0)
}

const fn bit_of(gfn: u64) -> u64 {
    1 << (gfn % 64)
}

fn word_of(bitmap: &mut [u64], gfn: u64) -> Option<&mut u64> {
    bitmap.get_mut(usize::try_from(gfn / 64).ok()?)
}

/// A place in a bitmap, for a walk that is made by and by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    word: usize,
    /// Bits of that word that were passed.
    passed: u64,
}

impl Cursor {
    /// The next gfn whose bit is set.
    pub fn next(&mut self, bitmap: &[u64]) -> Option<u64> {
        loop {
            let bits = bitmap.get(self.word)? & !self.passed;
            if bits != 0 {
                self.passed |= bits & bits.wrapping_neg();
                return Some(self.word as u64 * 64 + u64::from(bits.trailing_zeros()));
            }
            (self.word, self.passed) = (self.word + 1, 0);
            self.skip_empty(bitmap);
        }
    }

    /// Passes words that hold nothing, many at a time: the larger a guest, the more of them there are.
    fn skip_empty(&mut self, bitmap: &[u64]) {
        let rest = bitmap.get(self.word..).unwrap_or_default();
        let is_empty = |words: &&[u64]| words.iter().fold(0, |all, word| all | word) == 0;
        let empty_count = rest.chunks_exact(SKIPPED_WORD_COUNT).take_while(is_empty).count();
        self.word += empty_count * SKIPPED_WORD_COUNT;
    }

    /// Number of set bits that were not passed.
    #[must_use]
    pub fn remaining_count(&self, bitmap: &[u64]) -> u64 {
        let rest = bitmap.get(self.word..).unwrap_or_default();
        let passed_count = rest.first().map_or(0, |word| (word & self.passed).count_ones());
        count(rest) - u64::from(passed_count)
    }
}

/// Iterator of [`set_gfns`].
#[derive(Clone, Debug)]
pub struct SetGfns<'a> {
    bitmap: &'a [u64],
    cursor: Cursor,
}

impl Iterator for SetGfns<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.cursor.next(self.bitmap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(bitmap: &[u64]) -> Vec<u64> {
        (0..bitmap.len() * 64)
            .filter(|bit| bitmap[bit / 64] >> (bit % 64) & 1 == 1)
            .map(|bit| bit as u64)
            .collect()
    }

    /// Mostly clean, as a guest is.
    fn sparse_word() -> impl Strategy<Value = u64> {
        prop_oneof![4 => Just(0u64), 1 => Just(u64::MAX), 2 => any::<u64>(), 1 => (0u32..64).prop_map(|bit| 1 << bit)]
    }

    proptest! {
        #[test]
        fn finds_what_a_naive_scan_finds(bitmap in proptest::collection::vec(sparse_word(), 0..40)) {
            let found: Vec<u64> = set_gfns(&bitmap).collect();
            prop_assert_eq!(count(&bitmap), found.len() as u64);
            prop_assert_eq!(found, naive(&bitmap));
        }

        #[test]
        fn sets_and_clears_one_bit(mut bitmap in proptest::collection::vec(any::<u64>(), 1..8), gfn in 0u64..600) {
            let before = naive(&bitmap);
            let inside = gfn < bitmap.len() as u64 * 64;
            set(&mut bitmap, gfn);
            prop_assert_eq!(is_set(&bitmap, gfn), inside);
            clear(&mut bitmap, gfn);
            prop_assert!(!is_set(&bitmap, gfn));
            let rest: Vec<u64> = before.into_iter().filter(|other| *other != gfn).collect();
            prop_assert_eq!(naive(&bitmap), rest);
        }
    }

    #[test]
    fn a_bitmap_covers_its_last_gfn() {
        assert_eq!(bitmap_word_count(0), 0);
        assert_eq!(bitmap_word_count(64), 1);
        assert_eq!(bitmap_word_count(65), 2);
        assert_eq!(bitmap_word_count(0xff000), 0xff000 / 64);
    }
}
