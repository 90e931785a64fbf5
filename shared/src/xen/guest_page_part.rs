//! Parts of a page, copied a word at a time: frames in the buffers of an interface.
//!
//! Each word of the page is read or written once, whatever others do to it meanwhile.

use core::sync::atomic::Ordering;

use super::GuestPage;
use crate::limits::PAGE_SIZE;

const WORD_SIZE: usize = size_of::<u64>();

impl GuestPage<'_> {
    /// Copies the bytes from `offset` on into `target`; they must lie in the page.
    pub fn copy_part_out(&self, offset: usize, target: &mut [u8]) {
        assert!(offset <= PAGE_SIZE && target.len() <= PAGE_SIZE - offset);
        let start = offset.next_multiple_of(WORD_SIZE);
        let (head, rest) = target.split_at_mut(target.len().min(start - offset));
        self.read(offset, head);
        let (chunks, tail) = rest.as_chunks_mut::<WORD_SIZE>();
        let tail_offset = start + chunks.len() * WORD_SIZE;
        for (chunk, word) in chunks.iter_mut().zip(&self.words()[start / WORD_SIZE..]) {
            *chunk = word.load(Ordering::Relaxed).to_le_bytes();
        }
        if !tail.is_empty() {
            self.read(tail_offset, tail);
        }
    }

    /// Copies `source` to the page's beginning; it must fit.
    pub fn copy_part_in(&self, source: &[u8]) {
        let (chunks, tail) = source.as_chunks::<WORD_SIZE>();
        let tail_offset = chunks.len() * WORD_SIZE;
        for (index, chunk) in chunks.iter().enumerate() {
            let word = u64::from_le_bytes(*chunk);
            self.word64(index * WORD_SIZE).store(word, Ordering::Relaxed);
        }
        if !tail.is_empty() {
            self.write(tail_offset, tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_the_bytes_that_lie_there(
            bytes in proptest::collection::vec(any::<u8>(), 0..=PAGE_SIZE),
            start: proptest::sample::Index,
            length: proptest::sample::Index,
        ) {
            let words = [const { AtomicU64::new(0) }; PAGE_SIZE / WORD_SIZE];
            let page = GuestPage::from_words(&words);
            page.copy_part_in(&bytes);
            let mut whole = [0; PAGE_SIZE];
            page.copy_out(&mut whole);
            prop_assert_eq!(&whole[..bytes.len()], &bytes[..]);
            prop_assert!(whole[bytes.len()..].iter().all(|byte| *byte == 0));
            let start = start.index(PAGE_SIZE + 1);
            let mut part = std::vec![0xee; length.index(PAGE_SIZE - start + 1)];
            page.copy_part_out(start, &mut part);
            prop_assert_eq!(&part[..], &whole[start..start + part.len()]);
        }
    }
}
