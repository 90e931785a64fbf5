//! The memory that epochs are applied to, as staging sees it: the twin's, a replica's, or a test's.

use crate::codec::page::PageUpdate;
use crate::limits::PAGE_SIZE;

/// The twin's memory, as staging writes it.
pub trait TwinMemory {
    /// Sees to it that the twin has memory at `gfn`, so that writing there later succeeds.
    ///
    /// # Errors
    /// When the twin can have no memory there.
    fn provide_page(&mut self, gfn: u64) -> Result<(), NoMemoryAt>;

    /// Whether the twin has memory at `gfn`.
    fn has_page(&self, gfn: u64) -> bool;

    /// Copies the page at `gfn` out; false when the twin has no memory there.
    fn read_page(&self, gfn: u64, target: &mut [u8; PAGE_SIZE]) -> bool;

    /// Brings the page at `gfn` up to date. With an update that is not relative, the twin gets
    /// memory there if it has none.
    ///
    /// # Errors
    /// When the twin can have no memory there, or has none for a relative update.
    fn update_page(&mut self, gfn: u64, update: &PageUpdate<'_>) -> Result<(), NoMemoryAt>;
}

/// The twin has no page at this gfn and cannot get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemoryAt(pub u64);
