//! 64-bit words of one process alone: bitmaps whose size is known only when the program runs.

use super::memory::MemoryError;
use super::private_memory::PrivatePages;
use crate::limits::PAGE_SIZE;

/// Zeroed words that this process owns, present and locked. A child made by `fork` gets a copy.
#[derive(Debug)]
pub struct PrivateWords {
    pages: PrivatePages,
    count: usize,
}

impl PrivateWords {
    /// Takes `count` words, at least one.
    ///
    /// # Errors
    /// [`MemoryError`] when memory is short, or this process may not lock so much.
    pub fn take(count: usize) -> Result<Self, MemoryError> {
        assert!(count > 0, "no words need no memory");
        Ok(Self { pages: PrivatePages::take(count.div_ceil(PAGE_SIZE / 8))?, count })
    }

    /// All words.
    #[must_use]
    pub const fn all(&self) -> &[u64] {
        // SAFETY: the pages are owned, aligned, initialised, and hold at least so many words.
        unsafe { core::slice::from_raw_parts(self.pages.all().as_ptr().cast(), self.count) }
    }

    /// All words, to be written.
    pub const fn all_mut(&mut self) -> &mut [u64] {
        let words = self.pages.all_mut().as_mut_ptr().cast();
        // SAFETY: as in `all`, and borrowed for this caller alone.
        unsafe { core::slice::from_raw_parts_mut(words, self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::PrivateWords;

    #[test]
    fn words_begin_as_zeros_and_keep_what_is_written() {
        let mut words = PrivateWords::take(1000).unwrap();
        assert_eq!(words.all(), [0; 1000]);
        words.all_mut()[999] = 7;
        assert_eq!((words.all().len(), words.all()[999]), (1000, 7));
    }
}
