//! Memory that the two halves of a program share, seen by both at the same bytes.
//!
//! A [`SharedMemory`] is one view of a region. Within a half the view is owned, so the borrow
//! checker keeps its slices apart; what the *other* half does to the bytes no compiler sees.
//! Hence the contract: words are atomics, and a reader takes bytes out of the region before it
//! decides anything by them, since they may change under its hands if the other half is hostile.
//! Which half may write which byte, and when, is the business of the room that lays the region
//! out (`ring`).
//!
//! Where the memory comes from, and what a view can ask of the system, is each platform's own.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU64;

#[cfg(not(stubdom))]
pub use super::linux::memory::MemoryError;
#[cfg(stubdom)]
pub use super::stubdom::memory::MemoryError;
use crate::limits::PAGE_SIZE;

/// Bytes of a huge page. It backs only what is aligned to as much in the region.
pub const HUGE_PAGE_SIZE: usize = 2 * 1024 * 1024;

/// One view of a region. The region starts zeroed.
pub struct SharedMemory {
    pub(super) base: NonNull<u8>,
    pub(super) size: usize,
}

// SAFETY: the view owns its place; nothing in it is tied to the thread that made it.
unsafe impl Send for SharedMemory {}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory").field("size", &self.size).finish_non_exhaustive()
    }
}

impl SharedMemory {
    /// Bytes in the region.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Two views of what lies before and from byte `offset` on, a multiple of [`PAGE_SIZE`] inside the region.
    #[must_use]
    pub fn split_at(self, offset: usize) -> (Self, Self) {
        let (second, _) = self.pages(&(offset..self.size));
        assert!(0 < offset && offset < self.size, "both parts have bytes");
        // The parts end the mapping, not the whole.
        let whole = ManuallyDrop::new(self);
        let second = NonNull::new(second).expect("no part of a mapping lies at address 0");
        let first = Self { base: whole.base, size: offset };
        (first, Self { base: second, size: whole.size - offset })
    }

    /// The 64-bit word at byte `offset`, which must be a multiple of 8 inside the region.
    #[must_use]
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "a word is aligned");
        let address = self.at(offset, 8).cast();
        // SAFETY: `at` checked the bounds, the offset is aligned, the mapping lives as long as the
        // borrow, and words are only ever reached as atomics.
        unsafe { AtomicU64::from_ptr(address) }
    }

    /// The 64-bit words of `range`, which is in bytes, both ends multiples of 8.
    #[must_use]
    pub fn words(&self, range: Range<usize>) -> &[AtomicU64] {
        assert!(range.start.is_multiple_of(8) && range.end.is_multiple_of(8), "words are aligned");
        assert!(range.start <= range.end, "a range has a length");
        let address = self.at(range.start, range.end - range.start).cast::<AtomicU64>();
        // SAFETY: `at` checked the bounds, the ends are aligned, and the mapping lives as long as
        // the borrow; atomics are what shared words are reached as.
        unsafe { core::slice::from_raw_parts(address, (range.end - range.start) / 8) }
    }

    /// Copies bytes at `offset` out of the region.
    pub fn copy_out(&self, offset: usize, target: &mut [u8]) {
        let source = self.at(offset, target.len());
        // SAFETY: `at` checked the bounds; `target` is other memory than the region.
        unsafe { ptr::copy_nonoverlapping(source, target.as_mut_ptr(), target.len()) }
    }

    /// Copies `source` into the region at `offset`.
    pub fn copy_in(&mut self, offset: usize, source: &[u8]) {
        let target = self.at(offset, source.len());
        // SAFETY: `at` checked the bounds; `source` is other memory than the region.
        unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target, source.len()) }
    }

    /// The page at `offset`, a multiple of [`PAGE_SIZE`]. A hostile other process can change it at
    /// any time: pass these bytes on, decide nothing by them.
    #[must_use]
    pub fn page(&self, offset: usize) -> &[u8; PAGE_SIZE] {
        let page = self.page_at(offset);
        // SAFETY: a whole page inside the mapping; bytes have no invalid values.
        unsafe { &*page }
    }

    /// The page at `offset`, a multiple of [`PAGE_SIZE`], to be written.
    pub fn page_mut(&mut self, offset: usize) -> &mut [u8; PAGE_SIZE] {
        let page = self.page_at(offset);
        // SAFETY: a whole page inside the mapping, borrowed from the one owner of this view.
        unsafe { &mut *page }
    }

    /// Where the pages of `range` begin, and their bytes. `range` is in bytes, both ends multiples of
    /// [`PAGE_SIZE`].
    pub(super) fn pages(&self, range: &Range<usize>) -> (*mut u8, usize) {
        let aligned = range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE);
        assert!(aligned && range.start <= range.end, "a range is whole pages");
        let size = range.end - range.start;
        (self.at(range.start, size), size)
    }

    fn page_at(&self, offset: usize) -> *mut [u8; PAGE_SIZE] {
        assert!(offset.is_multiple_of(PAGE_SIZE), "a page is aligned");
        self.at(offset, PAGE_SIZE).cast()
    }

    fn at(&self, offset: usize, size: usize) -> *mut u8 {
        let inside = offset.checked_add(size).is_some_and(|end| end <= self.size);
        assert!(inside, "{size} bytes at {offset} of {} are outside the region", self.size);
        // SAFETY: `offset` was just seen to lie in the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }
}
