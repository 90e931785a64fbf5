//! One page of guest memory, seen from outside while the guest, Xen and backends may write it.
//!
//! Another party can change every byte at any moment, so the page is never a `&[u8]`: it is an
//! array of atomics, and each access is one load or store of a word at least. A copy of a page of a running guest is
//! therefore not a snapshot; it is one when the domain is paused and nobody else has it mapped.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::limits::PAGE_SIZE;
use crate::platform::vector;

const WORD_SIZE: usize = size_of::<u64>();
const WORD_COUNT: usize = PAGE_SIZE / WORD_SIZE;

/// A mapped page of 4096 bytes; `'m` is the mapping's life.
///
/// Writing to a page that was mapped read-only is a programmer's error and panics.
#[derive(Clone, Copy)]
pub struct GuestPage<'m> {
    words: &'m [AtomicU64; WORD_COUNT],
    writable: bool,
}

impl fmt::Debug for GuestPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestPage")
            .field("address", &self.words.as_ptr())
            .field("writable", &self.writable)
            .finish()
    }
}

impl<'m> GuestPage<'m> {
    /// The page at these words, writable. Words that Xen does not share serve as well.
    #[must_use]
    pub const fn from_words(words: &'m [AtomicU64; WORD_COUNT]) -> GuestPage<'m> {
        GuestPage { words, writable: true }
    }

    /// The page at these words, which may lie in memory that is mapped read-only.
    #[must_use]
    pub const fn from_words_read_only(words: &'m [AtomicU64; WORD_COUNT]) -> GuestPage<'m> {
        GuestPage { words, writable: false }
    }

    /// The page as 512 words of eight bytes, for scans. Do not store to a read-only page.
    #[must_use]
    pub const fn words(&self) -> &'m [AtomicU64; WORD_COUNT] {
        self.words
    }

    /// Asks for the page, which will be copied soon.
    pub fn prefetch(&self) {
        vector::prefetch_start(self.words);
    }

    /// Asks for the page's first line, and so for what the processor needs to find the page.
    pub fn prefetch_line(&self) {
        vector::prefetch_line(self.words);
    }

    /// Copies the page into `target`.
    pub fn copy_out(&self, target: &mut [u8; PAGE_SIZE]) {
        vector::copy_page(self.words, target);
    }

    /// Copies `source` into the page.
    pub fn copy_in(&self, source: &[u8; PAGE_SIZE]) {
        self.assert_writable();
        vector::write_page(source, self.words);
    }

    /// Makes every byte of the page zero.
    pub fn zero(&self) {
        self.assert_writable();
        for word in self.words {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Copies the bytes from `offset` on into `target`; they must lie in the page.
    pub fn read(&self, offset: usize, target: &mut [u8]) {
        assert!(offset <= PAGE_SIZE && target.len() <= PAGE_SIZE - offset);
        for (index, byte) in target.iter_mut().enumerate() {
            *byte = self.byte_at(offset + index).load(Ordering::Relaxed);
        }
    }

    /// Copies `source` into the page from `offset` on; it must fit.
    pub fn write(&self, offset: usize, source: &[u8]) {
        self.assert_writable();
        assert!(offset <= PAGE_SIZE && source.len() <= PAGE_SIZE - offset);
        for (index, byte) in source.iter().enumerate() {
            self.byte_at(offset + index).store(*byte, Ordering::Relaxed);
        }
    }

    /// The 32-bit word at `offset`, a multiple of four.
    #[must_use]
    pub fn read_u32(&self, offset: usize) -> u32 {
        self.word32_at(offset).load(Ordering::Acquire)
    }

    /// The 64-bit word at `offset`, a multiple of eight.
    #[must_use]
    pub fn read_u64(&self, offset: usize) -> u64 {
        self.word64_at(offset).load(Ordering::Acquire)
    }

    /// The byte at `offset`, to change while others look.
    #[must_use]
    pub fn byte(&self, offset: usize) -> &'m AtomicU8 {
        self.assert_writable();
        self.byte_at(offset)
    }

    /// The 32-bit word at `offset` (a multiple of four), to change while others look.
    #[must_use]
    pub fn word32(&self, offset: usize) -> &'m AtomicU32 {
        self.assert_writable();
        self.word32_at(offset)
    }

    /// The 64-bit word at `offset` (a multiple of eight), to change while others look.
    #[must_use]
    pub fn word64(&self, offset: usize) -> &'m AtomicU64 {
        self.assert_writable();
        self.word64_at(offset)
    }

    fn assert_writable(&self) {
        assert!(self.writable, "the page is mapped read-only");
    }

    fn byte_at(&self, offset: usize) -> &'m AtomicU8 {
        assert!(offset < PAGE_SIZE);
        // SAFETY: the pointer stays inside the page, and the page outlives 'm.
        let pointer = unsafe { self.words.as_ptr().cast::<AtomicU8>().add(offset) };
        // SAFETY: inside the page, aligned, and only ever accessed as atomics.
        unsafe { &*pointer }
    }

    fn word32_at(&self, offset: usize) -> &'m AtomicU32 {
        assert!(offset < PAGE_SIZE && offset.is_multiple_of(size_of::<u32>()));
        // SAFETY: the pointer stays inside the page, and the page outlives 'm.
        let pointer = unsafe { self.words.as_ptr().cast::<AtomicU32>().add(offset / 4) };
        // SAFETY: inside the page, aligned by the assertion, only ever accessed as atomics.
        unsafe { &*pointer }
    }

    fn word64_at(&self, offset: usize) -> &'m AtomicU64 {
        assert!(offset < PAGE_SIZE && offset.is_multiple_of(WORD_SIZE));
        &self.words[offset / WORD_SIZE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn empty() -> [AtomicU64; WORD_COUNT] {
        [const { AtomicU64::new(0) }; WORD_COUNT]
    }

    proptest! {
        #[test]
        fn what_is_copied_in_comes_out(bytes in proptest::collection::vec(any::<u8>(), PAGE_SIZE)) {
            let words = empty();
            let page = GuestPage::from_words(&words);
            let source: &[u8; PAGE_SIZE] = bytes.as_slice().try_into().unwrap();
            page.copy_in(source);
            let mut target = [0; PAGE_SIZE];
            page.copy_out(&mut target);
            prop_assert_eq!(&target, source);
            let mut part = [0; 100];
            page.read(PAGE_SIZE - 100, &mut part);
            prop_assert_eq!(&part[..], &source[PAGE_SIZE - 100..]);
        }

        #[test]
        fn parts_are_written_where_they_belong(
            offset in 0..PAGE_SIZE,
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let words = empty();
            let page = GuestPage::from_words(&words);
            let length = bytes.len().min(PAGE_SIZE - offset);
            page.write(offset, &bytes[..length]);
            let mut target = [0; PAGE_SIZE];
            page.copy_out(&mut target);
            prop_assert_eq!(&target[offset..offset + length], &bytes[..length]);
            prop_assert!(target[..offset].iter().all(|byte| *byte == 0));
            prop_assert!(target[offset + length..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn words_and_bytes_are_the_same_memory() {
        let words = empty();
        let page = GuestPage::from_words(&words);
        page.word32(4092).store(0x8000_0001, Ordering::Relaxed);
        assert_eq!(page.byte(4095).load(Ordering::Relaxed), 0x80);
        assert_eq!(page.read_u64(4088), 0x8000_0001_0000_0000);
        page.zero();
        assert_eq!(page.read_u32(4092), 0);
    }

    #[test]
    #[should_panic(expected = "read-only")]
    fn a_read_only_page_is_not_written() {
        let words = empty();
        GuestPage::from_words_read_only(&words).write(0, &[1]);
    }
}
