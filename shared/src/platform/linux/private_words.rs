//! 64-bit words of one process alone, taken from the kernel as a whole: bitmaps whose size is known
//! only when the program runs.

use core::fmt;
use core::ptr::{self, NonNull};

use rustix::mm::{self, MapFlags, ProtFlags};

use super::memory::MemoryError;
use crate::limits::PAGE_SIZE;

/// Zeroed words that this process owns, present and locked. A child made by `fork` gets a copy.
pub struct PrivateWords {
    base: NonNull<u64>,
    count: usize,
}

impl fmt::Debug for PrivateWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateWords").field("count", &self.count).finish_non_exhaustive()
    }
}

impl PrivateWords {
    /// Takes `count` words, at least one.
    ///
    /// # Errors
    /// [`MemoryError`] when memory is short, or this process may not lock so much.
    pub fn take(count: usize) -> Result<Self, MemoryError> {
        assert!(count > 0, "no words need no memory");
        let size = size_of_mapping(count);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let mapped =
            unsafe { mm::mmap_anonymous(ptr::null_mut(), size, protection, MapFlags::PRIVATE) };
        let address = mapped.map_err(|errno| MemoryError::Map { size, errno })?;
        let base = NonNull::new(address.cast()).expect("the kernel maps nothing at address 0");
        // From here on dropping it unmaps what was mapped.
        let words = Self { base, count };
        // Locking brings all of it into memory.
        // SAFETY: the range is this mapping's own; locking changes no byte.
        let locked = unsafe { mm::mlock(address, size) };
        locked.map_err(|errno| MemoryError::Lock { size, errno })?;
        Ok(words)
    }

    /// All words.
    #[must_use]
    pub const fn all(&self) -> &[u64] {
        // SAFETY: the mapping is owned, aligned to a page, and has so many words.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.count) }
    }

    /// All words, to be written.
    pub const fn all_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `all`, and borrowed for this caller alone.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.count) }
    }
}

impl Drop for PrivateWords {
    fn drop(&mut self) {
        let size = size_of_mapping(self.count);
        // SAFETY: no borrow of the words outlives their owner.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), size) };
        assert!(unmapped.is_ok(), "a mapping that was made can be unmapped");
    }
}

fn size_of_mapping(count: usize) -> usize {
    let size = count.checked_mul(8).expect("a size below the address space");
    size.next_multiple_of(PAGE_SIZE)
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
