//! The ways to compare pages: with zero, and with one another.

use core::arch::x86_64::{
    __m256i, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_loadu_si256, _mm256_movemask_pd,
    _mm256_or_si256, _mm256_testz_si256,
};

use super::PAGE_WORD_COUNT;
use crate::limits::PAGE_SIZE;

/// A way to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CompareMethod {
    /// General registers.
    Words,
    /// Vectors of 32 bytes.
    Avx2,
}

/// Bytes between two looks at whether a page is still zero.
pub const STRIDE_SIZE: usize = 128;
/// Bytes whose words have their bits in one word of the answer.
const GROUP_SIZE: usize = 64 * size_of::<u64>();

pub fn is_zero(method: CompareMethod, page: &[u8; PAGE_SIZE]) -> bool {
    match method {
        CompareMethod::Words => is_zero_words(page),
        // SAFETY: the method was chosen where AVX2 is.
        CompareMethod::Avx2 => unsafe { is_zero_avx2(page) },
    }
}

fn is_zero_words(page: &[u8; PAGE_SIZE]) -> bool {
    let (strides, _) = page.as_chunks::<STRIDE_SIZE>();
    strides.iter().all(|stride| {
        let (words, _) = stride.as_chunks();
        words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word)) == 0
    })
}

#[target_feature(enable = "avx2")]
fn is_zero_avx2(page: &[u8; PAGE_SIZE]) -> bool {
    let (strides, _) = page.as_chunks::<STRIDE_SIZE>();
    for stride in strides {
        let (vectors, _) = stride.as_chunks();
        let lower = _mm256_or_si256(load(&vectors[0]), load(&vectors[1]));
        let upper = _mm256_or_si256(load(&vectors[2]), load(&vectors[3]));
        let all = _mm256_or_si256(lower, upper);
        if _mm256_testz_si256(all, all) == 0 {
            return false;
        }
    }
    true
}

pub fn differing_words(
    method: CompareMethod,
    left: &[u8; PAGE_SIZE],
    right: &[u8; PAGE_SIZE],
) -> [u64; PAGE_WORD_COUNT / 64] {
    let (left, _) = left.as_chunks::<GROUP_SIZE>();
    let (right, _) = right.as_chunks::<GROUP_SIZE>();
    core::array::from_fn(|group| match method {
        CompareMethod::Words => differing_in_group_words(&left[group], &right[group]),
        // SAFETY: the method was chosen where AVX2 is.
        CompareMethod::Avx2 => unsafe { differing_in_group_avx2(&left[group], &right[group]) },
    })
}

fn differing_in_group_words(left: &[u8; GROUP_SIZE], right: &[u8; GROUP_SIZE]) -> u64 {
    let (left, _) = left.as_chunks::<8>();
    let (right, _) = right.as_chunks::<8>();
    let pairs = left.iter().zip(right).enumerate();
    pairs.fold(0, |bits, (number, (left, right))| bits | u64::from(left != right) << number)
}

#[target_feature(enable = "avx2")]
fn differing_in_group_avx2(left: &[u8; GROUP_SIZE], right: &[u8; GROUP_SIZE]) -> u64 {
    let (left, _) = left.as_chunks();
    let (right, _) = right.as_chunks();
    let mut equal = 0;
    for (number, (left, right)) in left.iter().zip(right).enumerate() {
        let words = _mm256_cmpeq_epi64(load(left), load(right));
        let bits = _mm256_movemask_pd(_mm256_castsi256_pd(words));
        equal |= u64::from(bits.cast_unsigned()) << (4 * number);
    }
    !equal
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; size_of::<__m256i>()]) -> __m256i {
    // SAFETY: exactly as many bytes as are loaded, of any alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    use super::super::features::has_avx2;
    use super::*;
    use proptest::prelude::*;

    fn methods() -> impl Iterator<Item = CompareMethod> {
        let all = [CompareMethod::Words, CompareMethod::Avx2];
        all.into_iter().filter(|&it| it != CompareMethod::Avx2 || has_avx2())
    }

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        for method in methods() {
            let mut page = [0; PAGE_SIZE];
            assert!(is_zero(method, &page));
            for position in 0..PAGE_SIZE {
                page[position] = 1 << (position % 8);
                assert!(!is_zero(method, &page), "{method:?}, byte {position}");
                page[position] = 0;
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_the_words_that_differ_are_told(
            bytes in proptest::collection::vec(any::<u8>(), PAGE_SIZE),
            changes in proptest::collection::vec((0..PAGE_SIZE, 1_u8..), 0..40),
        ) {
            let left: [u8; PAGE_SIZE] = bytes.try_into().unwrap();
            let mut right = left;
            for (position, flip) in changes {
                right[position] ^= flip;
            }
            for method in methods() {
                let bits = differing_words(method, &left, &right);
                for word in 0..PAGE_WORD_COUNT {
                    let differs = left[word * 8..][..8] != right[word * 8..][..8];
                    prop_assert_eq!(bits[word / 64] >> (word % 64) & 1 == 1, differs);
                }
            }
        }
    }
}
