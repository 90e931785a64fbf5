//! Private pages of a stub domain: all of its memory is its own, so they are like any other.

use super::memory::{MemoryError, give_back, take};
use crate::limits::PAGE_SIZE;
use crate::platform::private_memory::PrivatePages;

impl PrivatePages {
    /// Takes `count` pages, at least one. They are given back when dropped, if they were taken last.
    ///
    /// # Errors
    /// [`MemoryError`] when the domain has too little memory.
    pub fn take(count: usize) -> Result<Self, MemoryError> {
        assert!(count > 0);
        let size = count.checked_mul(PAGE_SIZE).expect("a size below the address space");
        Ok(Self { base: take(size)?.cast(), count })
    }
}

impl Drop for PrivatePages {
    fn drop(&mut self) {
        // SAFETY: `take` took them, and no borrow of the pages outlives their owner.
        unsafe { give_back(self.base.cast(), self.count * PAGE_SIZE) };
    }
}
