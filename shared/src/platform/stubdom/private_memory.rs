//! Private pages of a stub domain: all of its memory is its own, so they are like any other.

use super::memory::{MemoryError, take};
use crate::limits::PAGE_SIZE;
use crate::platform::private_memory::PrivatePages;

impl PrivatePages {
    /// Takes `count` pages, at least one, for good.
    ///
    /// # Errors
    /// [`MemoryError`] when the domain has too little memory.
    pub fn take(count: usize) -> Result<Self, MemoryError> {
        assert!(count > 0);
        let size = count.checked_mul(PAGE_SIZE).expect("a size below the address space");
        Ok(Self { base: take(size)?.cast(), count })
    }
}
