//! Shared memory of two processes: mapped once before `fork`, seen by both at the same bytes. Address
//! space is all that it costs until bytes are touched.

use core::fmt;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use rustix::io::Errno;
use rustix::mm::{self, Advice, MapFlags, MremapFlags, ProtFlags};

use crate::limits::PAGE_SIZE;
pub use crate::platform::memory::{HUGE_PAGE_SIZE, SharedMemory};

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
        let address = address.cast();
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
        let address = address.cast();
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
        let address = address.cast();
        let failed = |errno| MemoryError::Release { size, errno };
        // SAFETY: the range lies in this mapping; unlocking changes no byte.
        unsafe { mm::munlock(address, size) }.map_err(failed)?;
        // SAFETY: the range lies in this mapping, borrowed from its one owner in this process, and
        // zeros are valid bytes.
        unsafe { mm::madvise(address, size, Advice::LinuxRemove) }.map_err(failed)
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
    fn parts_are_the_bytes_of_the_whole_and_end_apart() {
        let whole = SharedMemory::map(4 * PAGE_SIZE).unwrap();
        let again = whole.map_again().unwrap();
        let (first, mut second) = whole.split_at(PAGE_SIZE);
        assert_eq!((first.size(), second.size()), (PAGE_SIZE, 3 * PAGE_SIZE));
        first.word(0).store(1, Ordering::Relaxed);
        drop(first);
        second.copy_in(8, &[2]);
        assert_eq!((again.page(0)[0], again.page(PAGE_SIZE)[8]), (1, 2));
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
