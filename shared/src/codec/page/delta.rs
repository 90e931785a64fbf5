//! A delta: what changed in a page, in words of eight bytes.
//!
//! ```text
//! mask      1 byte: bit `w` says that word `w` of the bitmap follows, since it is not zero
//! bitmap    8 bytes for each bit of the mask: bit `i` of word `w` is the page's word `64 * w + i`
//! values    8 bytes for each bit of the bitmap: the page's new words, in order
//! ```
//!
//! All numbers are little-endian. There is one way to write a set of changes, and at least one.

use crate::limits::PAGE_SIZE;
use crate::platform::vector::PAGE_WORD_COUNT;

/// Words of a bitmap with a bit for each word of a page.
const BITMAP_WORD_COUNT: usize = PAGE_WORD_COUNT / 64;

/// Bytes of a delta at most. A page that changed more than this is sent whole: a little more on the
/// link costs less than telling words apart.
pub const DELTA_SIZE_MAX: usize = PAGE_SIZE * 3 / 4;

/// The changes of a page, read from bytes that may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta<'a> {
    bitmap: [u64; BITMAP_WORD_COUNT],
    values: &'a [[u8; 8]],
}

/// Bytes of the delta with this bitmap.
pub fn size(bitmap: &[u64; BITMAP_WORD_COUNT]) -> usize {
    let bitmap_words = bitmap.iter().filter(|&&word| word != 0).count();
    let value_words: u32 = bitmap.iter().map(|word| word.count_ones()).sum();
    1 + 8 * (bitmap_words + value_words as usize)
}

impl<'a> Delta<'a> {
    /// Reads a delta; none when the bytes are no delta that [`emit`] can have written.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&mask, rest) = bytes.split_first()?;
        let (words, remainder) = rest.as_chunks::<8>();
        if mask == 0 || !remainder.is_empty() || words.len() < mask.count_ones() as usize {
            return None;
        }
        let (bitmap_words, values) = words.split_at(mask.count_ones() as usize);
        let mut bitmap = [0; BITMAP_WORD_COUNT];
        let mut present = bitmap_words.iter();
        for (number, word) in bitmap.iter_mut().enumerate() {
            if mask >> number & 1 == 1 {
                *word = u64::from_le_bytes(*present.next()?);
                if *word == 0 {
                    return None;
                }
            }
        }
        (size(&bitmap) == bytes.len()).then_some(Self { bitmap, values })
    }

    /// The changed words: each one's number in the page and its new bytes.
    pub fn changes(&self) -> impl Iterator<Item = (usize, [u8; 8])> + use<'a> {
        set_bits(self.bitmap).zip(self.values.iter().copied())
    }
}

/// Writes the delta that turns `shadow` into `page`, where they differ by `bitmap`, to the front of
/// `target`, and brings `shadow` up to date. Returns its size.
pub fn emit(
    bitmap: &[u64; BITMAP_WORD_COUNT],
    page: &[u8; PAGE_SIZE],
    shadow: &mut [u8; PAGE_SIZE],
    target: &mut [u8; PAGE_SIZE],
) -> usize {
    let size = size(bitmap);
    assert!(size <= PAGE_SIZE && bitmap.iter().any(|&word| word != 0));
    let (mask, rest) = target.split_first_mut().expect("a page is not empty");
    let (targets, _) = rest.as_chunks_mut::<8>();
    let mut targets = targets.iter_mut();
    let mut put = |bytes: [u8; 8]| *targets.next().expect("the size was checked") = bytes;
    *mask = 0;
    for (number, word) in bitmap.iter().enumerate() {
        if *word != 0 {
            *mask |= 1 << number;
            put(word.to_le_bytes());
        }
    }
    let (words, _) = page.as_chunks::<8>();
    let (shadow, _) = shadow.as_chunks_mut::<8>();
    for place in set_bits(*bitmap) {
        put(words[place]);
        shadow[place] = words[place];
    }
    size
}

/// The numbers of the bits that are set, in order.
fn set_bits(bitmap: [u64; BITMAP_WORD_COUNT]) -> impl Iterator<Item = usize> {
    bitmap.into_iter().enumerate().flat_map(|(number, word)| {
        let mut left = word;
        core::iter::from_fn(move || {
            (left != 0).then(|| {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                // The bound spares the loops above a check of each word.
                (number * 64 + bit) % PAGE_WORD_COUNT
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::vector::differing_words;
    use proptest::prelude::*;

    fn changed(page: &[u8; PAGE_SIZE], changes: &[(usize, u8)]) -> [u8; PAGE_SIZE] {
        let mut changed = *page;
        changes.iter().for_each(|(place, value)| changed[*place] ^= value);
        changed
    }

    proptest! {
        #[test]
        fn a_delta_gives_the_page_and_the_shadow(
            fill: u8,
            changes in proptest::collection::vec((0..PAGE_SIZE, 1u8..), 1..300),
        ) {
            let old = [fill; PAGE_SIZE];
            let page = changed(&old, &changes);
            let bitmap = differing_words(&page, &old);
            prop_assume!(bitmap != [0; 8]);
            let (mut shadow, mut target) = (old, [0xee; PAGE_SIZE]);
            let size = emit(&bitmap, &page, &mut shadow, &mut target);
            prop_assert_eq!(shadow, page);
            let mut twin = old;
            for (place, bytes) in Delta::parse(&target[..size]).unwrap().changes() {
                prop_assert_ne!(&twin[place * 8..][..8], &bytes[..]);
                twin[place * 8..][..8].copy_from_slice(&bytes);
            }
            prop_assert_eq!(twin, page);
            prop_assert_eq!(Delta::parse(&target[..size - 1]), None);
            prop_assert_eq!(Delta::parse(&target[..size + 8]), None);
        }

        #[test]
        fn any_bytes_are_refused_or_a_delta(
            mask: u8,
            words in proptest::collection::vec(0u64..16, 0..24),
            cut in 0usize..3,
        ) {
            let mut bytes = vec![mask];
            words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Some(delta) = Delta::parse(&bytes) {
                let changes: Vec<_> = delta.changes().collect();
                prop_assert!(!changes.is_empty() && changes.is_sorted_by_key(|change| change.0));
                let mut page = [0; PAGE_SIZE];
                for (place, value) in &changes {
                    page[place * 8..][..8].copy_from_slice(value);
                }
                let (mut shadow, mut again) = ([0; PAGE_SIZE], [0; PAGE_SIZE]);
                let size = emit(&delta.bitmap, &page, &mut shadow, &mut again);
                prop_assert_eq!(&again[..size], &bytes[..]);
            }
        }
    }

    #[test]
    fn its_bytes_are_pinned() {
        let page = changed(&[0; PAGE_SIZE], &[(8, 1), (4095, 2)]);
        let bitmap = differing_words(&page, &[0; PAGE_SIZE]);
        let (mut shadow, mut target) = ([0; PAGE_SIZE], [0; PAGE_SIZE]);
        assert_eq!(emit(&bitmap, &page, &mut shadow, &mut target), 33);
        let mut expected = [0; 33];
        (expected[0], expected[1], expected[16]) = (0b1000_0001, 0b10, 0x80);
        (expected[17], expected[32]) = (1, 2);
        assert_eq!(target[..33], expected);
        assert_eq!(Delta::parse(&[0]), None);
        assert_eq!(Delta::parse(&[]), None);
    }
}
