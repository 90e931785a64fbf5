//! Pages as 512 words of 64 bits: the tests that every page goes through.

use crate::limits::PAGE_SIZE;

/// Words of 64 bits in a page.
pub const WORD_COUNT: usize = PAGE_SIZE / 8;
/// Words of 64 bits in a bitmap with a bit for each word of a page.
pub const BITMAP_WORD_COUNT: usize = WORD_COUNT / 64;

/// Words of 64 bits that are looked at together; most of a page's lines are alike as a rule.
type Line = [[u8; 8]; 8];

/// Whether every byte of the page is zero.
#[must_use]
pub fn is_zero(page: &[u8; PAGE_SIZE]) -> bool {
    let (words, _) = page.as_chunks::<8>();
    let (lines, _) = words.as_chunks::<8>();
    lines.iter().all(|line| difference(line, &[[0; 8]; 8]) == 0)
}

/// Which words differ: bit `i` of word `w` stands for the bytes from `8 * (64 * w + i)` on.
#[must_use]
pub fn differing_words(
    left: &[u8; PAGE_SIZE],
    right: &[u8; PAGE_SIZE],
) -> [u64; BITMAP_WORD_COUNT] {
    let (left, _) = left.as_chunks::<8>();
    let (right, _) = right.as_chunks::<8>();
    let lines = left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0);
    let mut bitmap = [0; BITMAP_WORD_COUNT];
    for (number, (left, right)) in lines.enumerate() {
        if difference(left, right) != 0 {
            bitmap[number / 8] |= differing_in_line(left, right) << (number % 8 * 8);
        }
    }
    bitmap
}

/// The bits in which any two words differ.
fn difference(left: &Line, right: &Line) -> u64 {
    let pairs = left.iter().zip(right);
    pairs.fold(0, |any, (left, right)| {
        any | (u64::from_ne_bytes(*left) ^ u64::from_ne_bytes(*right))
    })
}

fn differing_in_line(left: &Line, right: &Line) -> u64 {
    let pairs = left.iter().zip(right).enumerate();
    pairs.fold(0, |bits, (place, (left, right))| bits | (u64::from(left != right) << place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_changed_byte_is_seen(places in proptest::collection::vec((0..PAGE_SIZE, 1u8..), 0..20)) {
            let left = [0x5a; PAGE_SIZE];
            let (mut right, mut zeros) = (left, [0; PAGE_SIZE]);
            for (place, flip) in &places {
                right[*place] = left[*place] ^ flip;
                zeros[*place] = *flip;
            }
            let bitmap = differing_words(&left, &right);
            for word in 0..WORD_COUNT {
                let bytes = word * 8..word * 8 + 8;
                let differs = left[bytes.clone()] != right[bytes];
                prop_assert_eq!(bitmap[word / 64] >> (word % 64) & 1 == 1, differs);
            }
            prop_assert_eq!(is_zero(&zeros), places.is_empty());
        }
    }
}
