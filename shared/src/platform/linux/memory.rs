//! Memory that two processes share: mapped once before `fork`, seen by both at the same bytes.
//!
//! A [`SharedMemory`] is one view of a region. Within a process the view is owned, so the borrow
//! checker keeps its slices apart; what the *other* process does to the bytes no compiler sees.
//! Hence the contract: words are atomics, and a reader takes bytes out of the region before it
//! decides anything by them, since they may change under its hands if the other process is hostile.
//! Which process may write which byte, and when, is the business of the room that lays the region
//! out (`ring`).

use core::fmt;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{self, Advice, MapFlags, MremapFlags, ProtFlags};

use crate::limits::PAGE_SIZE;

/// Bytes of a huge page. It backs only what is aligned to as much in the region.
pub const HUGE_PAGE_SIZE: usize = 2 * 1024 * 1024;

/// One view of a region that this process shares with its children and with its other views.
///
/// The region starts zeroed. Address space is all that it costs until bytes are touched.
pub struct SharedMemory {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: the view owns its mapping; nothing in it is tied to the thread that made it.
unsafe impl Send for SharedMemory {}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory").field("size", &self.size).finish_non_exhaustive()
    }
}

impl SharedMemory {
    /// Maps a zeroed region of `size` bytes, a multiple of [`PAGE_SIZE`], without reserving memory
    /// for it.
    ///
    /// # Errors
    /// [`MemoryError::Map`] when the kernel refuses.
    pub fn map(size: usize) -> Result<Self, MemoryError> {
        assert!(size > 0 && size.is_multiple_of(PAGE_SIZE), "a region is whole pages");
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let mapped = unsafe { mm::mmap_anonymous(ptr::null_mut(), size, protection, flags) };
        Self::of_mapping(mapped, size)
    }

    /// A second view of the same bytes at another address, for a process that plays both ends.
    ///
    /// # Errors
    /// [`MemoryError::Map`] when the kernel refuses.
    pub fn map_again(&self) -> Result<Self, MemoryError> {
        let base = self.base.as_ptr().cast();
        // SAFETY: an old size of 0 leaves a shared mapping as it is and maps its pages once more.
        let mapped = unsafe { mm::mremap(base, 0, self.size, MremapFlags::MAYMOVE) };
        Self::of_mapping(mapped, self.size)
    }

    fn of_mapping(
        mapped: Result<*mut core::ffi::c_void, Errno>,
        size: usize,
    ) -> Result<Self, MemoryError> {
        let address = mapped.map_err(|errno| MemoryError::Map { size, errno })?;
        let base = NonNull::new(address.cast()).expect("the kernel maps nothing at address 0");
        Ok(Self { base, size })
    }

    /// Bytes in the region.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
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

    /// Takes the pages of `range` from the kernel now and keeps them, so that this process meets no
    /// fault later: huge ones where the kernel gives them
    /// (`/sys/kernel/mm/transparent_hugepage/shmem_enabled`), and they fit: see
    /// [`HUGE_PAGE_SIZE`]. `range` is in bytes, both ends multiples of [`PAGE_SIZE`].
    ///
    /// # Errors
    /// [`MemoryError::Populate`] when memory is short, [`MemoryError::Lock`] when this process may
    /// not lock so much.
    pub fn populate(&mut self, range: Range<usize>) -> Result<(), MemoryError> {
        let (address, size) = self.pages(&range);
        // The kernel may say no, as it does when its settings keep shared memory in small pages.
        // SAFETY: the range lies in this mapping; advice changes no byte.
        let _ = unsafe { mm::madvise(address, size, Advice::LinuxHugepage) };
        // SAFETY: the range lies in this mapping; populating changes no byte.
        let populated = unsafe { mm::madvise(address, size, Advice::LinuxPopulateWrite) };
        match populated {
            Ok(()) => {}
            // MADV_POPULATE_WRITE came with Linux 5.14; before it, each page is touched by hand.
            Err(Errno::INVAL) => range.clone().step_by(PAGE_SIZE).for_each(|page| {
                self.word(page).fetch_or(0, Ordering::Relaxed);
            }),
            Err(errno) => return Err(MemoryError::Populate { size, errno }),
        }
        // SAFETY: the range lies in this mapping; locking changes no byte.
        let locked = unsafe { mm::mlock(address, size) };
        locked.map_err(|errno| MemoryError::Lock { size, errno })
    }

    /// Takes this process's way to the pages of `range`, which another process has populated: only
    /// that, so that it needs no privilege. A kernel that cannot (before Linux 5.14) is forgiven; the
    /// pages are met by faults then. `range` is in bytes, both ends multiples of [`PAGE_SIZE`].
    pub fn fault_in(&mut self, range: Range<usize>) {
        let (address, size) = self.pages(&range);
        // SAFETY: the range lies in this mapping; populating changes no byte.
        let _ = unsafe { mm::madvise(address, size, Advice::LinuxPopulateWrite) };
    }

    /// Gives the pages of `range` back to the kernel; they read as zeros from now on.
    /// `range` is in bytes, both ends multiples of [`PAGE_SIZE`].
    ///
    /// # Errors
    /// [`MemoryError::Release`] when the kernel refuses.
    pub fn release(&mut self, range: Range<usize>) -> Result<(), MemoryError> {
        let (address, size) = self.pages(&range);
        let failed = |errno| MemoryError::Release { size, errno };
        // SAFETY: the range lies in this mapping; unlocking changes no byte.
        unsafe { mm::munlock(address, size) }.map_err(failed)?;
        // SAFETY: the range lies in this mapping, borrowed from its one owner in this process, and
        // zeros are valid bytes.
        unsafe { mm::madvise(address, size, Advice::LinuxRemove) }.map_err(failed)
    }

    fn pages(&self, range: &Range<usize>) -> (*mut core::ffi::c_void, usize) {
        let aligned = range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE);
        assert!(aligned && range.start <= range.end, "a range is whole pages");
        let size = range.end - range.start;
        (self.at(range.start, size).cast(), size)
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

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: no borrow of the view outlives it; other views and processes have own mappings.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.size) };
        assert!(unmapped.is_ok(), "a mapping that was made can be unmapped");
    }
}

/// Why shared memory is not as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// No region could be mapped.
    Map {
        /// Bytes asked for.
        size: usize,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The kernel has not enough memory for it.
    Populate {
        /// Bytes asked for.
        size: usize,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The process may not lock it.
    Lock {
        /// Bytes asked for.
        size: usize,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The kernel would not take it back.
    Release {
        /// Bytes offered.
        size: usize,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, size, errno, advice) = match *self {
            Self::Map { size, errno } => {
                ("map", size, errno, "raise RLIMIT_AS or vm.overcommit_memory")
            }
            Self::Populate { size, errno } => {
                ("take", size, errno, "give dom0 more memory or protect a smaller domain")
            }
            Self::Lock { size, errno } => ("lock", size, errno, "raise RLIMIT_MEMLOCK"),
            Self::Release { size, errno } => ("release", size, errno, "restart the helper"),
        };
        let size_kib = size / 1024;
        write!(f, "cannot {what} {size_kib} KiB of memory ({errno}): {advice}")
    }
}

impl core::error::Error for MemoryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_views_are_the_same_bytes() {
        let mut first = SharedMemory::map(4 * PAGE_SIZE).unwrap();
        let second = first.map_again().unwrap();
        first.copy_in(PAGE_SIZE + 3, b"shared");
        first.word(8).store(77, Ordering::Release);
        let mut seen = [0; 6];
        second.copy_out(PAGE_SIZE + 3, &mut seen);
        assert_eq!(&seen, b"shared");
        assert_eq!(second.word(8).load(Ordering::Acquire), 77);
        assert_eq!(&second.page(PAGE_SIZE)[3..9], b"shared");
        drop(first);
        assert_eq!(second.word(8).load(Ordering::Acquire), 77);
    }

    #[test]
    fn released_pages_read_as_zeros_everywhere() {
        let mut first = SharedMemory::map(4 * PAGE_SIZE).unwrap();
        let second = first.map_again().unwrap();
        first.populate(0..4 * PAGE_SIZE).unwrap();
        first.page_mut(PAGE_SIZE).fill(9);
        first.page_mut(2 * PAGE_SIZE).fill(8);
        first.release(2 * PAGE_SIZE..4 * PAGE_SIZE).unwrap();
        assert_eq!(second.page(PAGE_SIZE), &[9; PAGE_SIZE]);
        assert_eq!(second.page(2 * PAGE_SIZE), &[0; PAGE_SIZE]);
    }

    #[test]
    fn a_region_larger_than_the_machine_costs_nothing_until_touched() {
        let memory = SharedMemory::map(1 << 38).unwrap();
        memory.word((1 << 38) - 8).store(1, Ordering::Relaxed);
    }

    #[test]
    #[should_panic(expected = "outside the region")]
    fn bytes_beyond_the_end_are_a_programmers_error() {
        let memory = SharedMemory::map(PAGE_SIZE).unwrap();
        memory.copy_out(PAGE_SIZE - 1, &mut [0; 2]);
    }
}
