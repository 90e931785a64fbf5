//! Private pages of a process, from the kernel.

use core::ptr::{self, NonNull};

use rustix::mm::{self, Advice, MapFlags, ProtFlags};

use super::memory::MemoryError;
use crate::limits::PAGE_SIZE;
pub use crate::platform::private_memory::PrivatePages;

impl PrivatePages {
    /// Takes `count` pages, at least one, in large ones of the processor's where the kernel has them.
    ///
    /// # Errors
    /// [`MemoryError`] when memory is short, or this process may not lock so much.
    pub fn take(count: usize) -> Result<Self, MemoryError> {
        assert!(count > 0);
        let size = count.checked_mul(PAGE_SIZE).expect("a size below the address space");
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let mapped = unsafe { mm::mmap_anonymous(ptr::null_mut(), size, protection, flags) };
        let address = mapped.map_err(|errno| MemoryError::Map { size, errno })?;
        let base = NonNull::new(address.cast()).expect("the kernel maps nothing at address 0");
        // From here on dropping it unmaps what was mapped.
        let pages = Self { base, count };
        // A kernel without large pages refuses; ordinary ones do as well.
        // SAFETY: the range is this mapping's own, and advice changes no byte.
        let _ = unsafe { mm::madvise(address, size, Advice::LinuxHugepage) };
        // Locking brings all of it into memory.
        // SAFETY: the range is this mapping's own; locking changes no byte.
        let locked = unsafe { mm::mlock(address, size) };
        match locked {
            Ok(()) => Ok(pages),
            Err(errno) => Err(MemoryError::Lock { size, errno }),
        }
    }
}

impl Drop for PrivatePages {
    fn drop(&mut self) {
        // SAFETY: no borrow of the pages outlives their owner.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.count * PAGE_SIZE) };
        assert!(unmapped.is_ok(), "a mapping that was made can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_zeroed_and_keep_what_is_written() {
        let mut pages = PrivatePages::take(600).unwrap();
        assert!(pages.all().iter().flatten().all(|&byte| byte == 0));
        for (page, value) in pages.all_mut().iter_mut().zip((0..=u8::MAX).cycle()) {
            page.fill(value);
        }
        assert_eq!((pages.all().len(), pages.all()[599]), (600, [87; PAGE_SIZE]));
        pages.words_mut()[600 * 512 - 1] = 5;
        assert_eq!((pages.words().len(), pages.words()[512]), (600 * 512, 0x0101_0101_0101_0101));
        assert_eq!(pages.all()[599][4088..], 5_u64.to_ne_bytes());
    }

    #[test]
    fn more_than_the_machine_has_is_refused() {
        let refused = PrivatePages::take(1 << 36);
        assert!(matches!(refused, Err(MemoryError::Map { .. } | MemoryError::Lock { .. })));
    }
}
