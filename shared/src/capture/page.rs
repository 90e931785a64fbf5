//! Guest memory as this room sees it: pages of 64-bit words that others may write meanwhile.
//!
//! The guest and its backends go on writing while a page is read, so a page is never a `&[u8]`:
//! every word is loaded once, and what was loaded is judged. Where the pages come from (a foreign
//! mapping, or a test's image) is behind [`GuestPages`].

use core::sync::atomic::{AtomicU64, Ordering};

use crate::limits::PAGE_SIZE;

/// 64-bit words in a page.
pub const PAGE_WORD_COUNT: usize = PAGE_SIZE / 8;

/// One page of guest memory. Loads are atomic word by word, nothing more is promised.
pub type PageWords = [AtomicU64; PAGE_WORD_COUNT];

/// Read access to guest memory by gfn.
pub trait GuestPages {
    /// One more than the highest gfn that can be asked for.
    fn gfn_count(&self) -> u64;

    /// The page at `gfn`, or `None` where the guest has no memory.
    fn page(&self, gfn: u64) -> Option<&PageWords>;

    /// The 64-bit word at guest-physical `address`, which must be a multiple of 8.
    fn word_at(&self, address: u64) -> Option<u64> {
        assert!(address.is_multiple_of(8), "a word of guest memory is aligned");
        let page = self.page(address / PAGE_SIZE as u64)?;
        Some(word(page, word_index(address)))
    }
}

/// Loads 64-bit word `index` of `page`.
#[must_use]
pub fn word(page: &PageWords, index: usize) -> u64 {
    page[index].load(Ordering::Relaxed)
}

/// Loads the 32-bit word `index` of `page` (little endian, as x86 stores it).
#[must_use]
pub fn half_word(page: &PageWords, index: usize) -> u32 {
    let both = word(page, index / 2);
    if index.is_multiple_of(2) { low_half(both) } else { low_half(both >> 32) }
}

/// The low 32 bits of a word.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
pub const fn low_half(value: u64) -> u32 {
    value as u32
}

/// Copies `bytes.len()` bytes of `page`, from byte `offset` on.
pub fn copy_bytes(page: &PageWords, offset: usize, bytes: &mut [u8]) {
    assert!(offset + bytes.len() <= PAGE_SIZE, "the copy ends inside the page");
    for (at, byte) in (offset..).zip(bytes) {
        *byte = word(page, at / 8).to_le_bytes()[at % 8];
    }
}

const fn word_index(address: u64) -> usize {
    (address % PAGE_SIZE as u64 / 8) as usize
}

#[cfg(test)]
pub(super) mod image {
    //! A guest's memory as a test builds it.

    use super::{GuestPages, PAGE_WORD_COUNT, PageWords};
    use std::boxed::Box;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Pages by gfn; what was never written is a hole.
    #[derive(Default)]
    pub struct Image(BTreeMap<u64, Box<PageWords>>);

    impl Image {
        pub fn page_mut(&mut self, gfn: u64) -> &PageWords {
            self.0
                .entry(gfn)
                .or_insert_with(|| Box::new([const { AtomicU64::new(0) }; PAGE_WORD_COUNT]))
        }

        pub fn set(&mut self, address: u64, value: u64) {
            let index = usize::try_from(address % 4096 / 8).unwrap();
            self.page_mut(address / 4096)[index].store(value, Ordering::Relaxed);
        }

        pub fn set_half(&mut self, address: u64, value: u32) {
            let shift = if address.is_multiple_of(8) { 0 } else { 32 };
            let whole = address & !7;
            let old = self.page_mut(whole / 4096);
            let old = super::word(old, usize::try_from(whole % 4096 / 8).unwrap());
            self.set(whole, old & !(0xffff_ffff << shift) | u64::from(value) << shift);
        }
    }

    impl GuestPages for Image {
        fn gfn_count(&self) -> u64 {
            self.0.last_key_value().map_or(0, |(gfn, _)| gfn + 1)
        }

        fn page(&self, gfn: u64) -> Option<&PageWords> {
            self.0.get(&gfn).map(|page| &**page)
        }
    }

    #[test]
    fn words_halves_and_bytes_agree() {
        let mut image = Image::default();
        image.set(0x3008, 0x1122_3344_5566_7788);
        image.set_half(0x300c, 0xaabb_ccdd);
        assert_eq!(image.word_at(0x3008), Some(0xaabb_ccdd_5566_7788));
        let page = image.page(3).unwrap();
        assert_eq!(super::half_word(page, 2), 0x5566_7788);
        assert_eq!(super::half_word(page, 3), 0xaabb_ccdd);
        let mut bytes = [0; 3];
        super::copy_bytes(page, 11, &mut bytes);
        assert_eq!(bytes, [0x55, 0xdd, 0xcc]);
        assert_eq!(image.word_at(0x1000), None);
    }
}
