//! Memory of one half alone, taken as a whole at start: for what an allocator would be asked elsewhere.
//! Where it comes from is each platform's own.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use crate::limits::PAGE_SIZE;

/// Zeroed pages that their taker owns, present and locked. A Linux process made by `fork` gets a copy, so
/// take them in the process that uses them.
pub struct PrivatePages {
    pub(super) base: NonNull<[u8; PAGE_SIZE]>,
    pub(super) count: usize,
}

// SAFETY: the pages are owned; nothing in them is tied to the thread that took them.
unsafe impl Send for PrivatePages {}

impl fmt::Debug for PrivatePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivatePages").field("count", &self.count).finish_non_exhaustive()
    }
}

impl PrivatePages {
    /// All pages.
    #[must_use]
    pub const fn all(&self) -> &[[u8; PAGE_SIZE]] {
        // SAFETY: the mapping is owned, has so many pages, and bytes have no invalid values.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.count) }
    }

    /// All pages as words of eight bytes, to be written.
    pub const fn words_mut(&mut self) -> &mut [u64] {
        let word_count = self.count * PAGE_SIZE / 8;
        // SAFETY: as in `all_mut`; a page's address is a multiple of eight.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr().cast(), word_count) }
    }

    /// All pages as words of eight bytes.
    #[must_use]
    pub const fn words(&self) -> &[u64] {
        let word_count = self.count * PAGE_SIZE / 8;
        // SAFETY: as in `all`; a page's address is a multiple of eight.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr().cast(), word_count) }
    }

    /// All pages, for good, as words that another domain or process may be given access to.
    #[must_use]
    pub fn into_shared_words(self) -> &'static [[AtomicU64; PAGE_SIZE / 8]] {
        let pages = ManuallyDrop::new(self);
        // SAFETY: the mapping is never taken away, is aligned to pages, has so many of them, and was owned, so that
        // from now on it is reached as atomics alone.
        unsafe { core::slice::from_raw_parts(pages.base.as_ptr().cast(), pages.count) }
    }

    /// All pages, to be written.
    pub const fn all_mut(&mut self) -> &mut [[u8; PAGE_SIZE]] {
        // SAFETY: as in `all`, and borrowed for this caller alone.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.count) }
    }
}
