//! The domain's memory: handed out by address, as it is mapped where it lies. What is given back is what was taken
//! last.

use core::fmt;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::free_memory::FreeMemory;
use crate::limits::PAGE_SIZE;
use crate::platform::memory::SharedMemory;

/// The domain has too little memory: what is taken is seldom given back, so that asking again is no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryError {
    size: usize,
    left: usize,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [size_kib, left_kib] = [self.size, self.left].map(|bytes| bytes / 1024);
        write!(
            f,
            "cannot take {size_kib} KiB of memory, {left_kib} KiB are left: raise memory= in the stub \
             domain's configuration"
        )
    }
}

impl core::error::Error for MemoryError {}

/// What is left. There is one thread, so that the two belong together.
static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Names the memory that is handed out from now on.
///
/// # Safety
/// Nobody else uses it, and it is mapped for writing at its own addresses.
pub unsafe fn hand_out(free: &FreeMemory) {
    let Range { start, end } = free.range();
    START.store(start, Ordering::Relaxed);
    END.store(end, Ordering::Relaxed);
}

/// Takes `size` zeroed bytes, a multiple of [`PAGE_SIZE`], for good.
pub(super) fn take(size: usize) -> Result<NonNull<u8>, MemoryError> {
    let mut free = FreeMemory::of(START.load(Ordering::Relaxed)..END.load(Ordering::Relaxed));
    let left = free.size();
    let address = free.take(size).ok_or(MemoryError { size, left })?;
    START.store(free.range().start, Ordering::Relaxed);
    let place = NonNull::new(ptr::with_exposed_provenance_mut::<u8>(address))
        .expect("the page at address 0 is never free");
    // SAFETY: `hand_out` was told that these bytes are free and mapped, and they were taken just now.
    unsafe { place.write_bytes(0, size) };
    Ok(place)
}

/// Gives back the `size` bytes at `base`, if nothing was taken after them; otherwise they are lost.
///
/// # Safety
/// They were taken by [`take`], and nobody uses them any more.
pub(super) unsafe fn give_back(base: NonNull<u8>, size: usize) {
    let start = base.addr().get();
    if start + size == START.load(Ordering::Relaxed) {
        START.store(start, Ordering::Relaxed);
    }
}

/// Bytes that are left.
#[must_use]
pub fn left() -> usize {
    END.load(Ordering::Relaxed).saturating_sub(START.load(Ordering::Relaxed))
}

impl SharedMemory {
    /// Takes a zeroed region of `size` bytes, a multiple of [`PAGE_SIZE`].
    ///
    /// # Errors
    /// [`MemoryError`] when the domain has too little memory.
    pub fn map(size: usize) -> Result<Self, MemoryError> {
        assert!(size > 0 && size.is_multiple_of(PAGE_SIZE), "a region is whole pages");
        Ok(Self { base: take(size)?, size })
    }

    /// gfn of the first page: a stub domain's memory lies where it is mapped, one page after another.
    #[must_use]
    pub fn first_gfn(&self) -> u64 {
        (self.base.addr().get() / PAGE_SIZE) as u64
    }

    /// A second view of the same bytes, for a program that plays both ends, in turns.
    ///
    /// # Errors
    /// None; another platform may have to map something.
    pub fn map_again(&self) -> Result<Self, MemoryError> {
        Ok(Self { base: self.base, size: self.size })
    }

    /// The pages are there already.
    ///
    /// # Errors
    /// None.
    pub fn populate(&mut self, range: Range<usize>) -> Result<(), MemoryError> {
        self.pages(&range);
        Ok(())
    }

    /// The way to the pages is there already.
    pub fn fault_in(&mut self, range: Range<usize>) {
        self.pages(&range);
    }

    /// Makes the pages of `range` read as zeros: there is nobody to give them back to. `range` is in bytes,
    /// both ends multiples of [`PAGE_SIZE`].
    ///
    /// # Errors
    /// None.
    pub fn release(&mut self, range: Range<usize>) -> Result<(), MemoryError> {
        let (address, size) = self.pages(&range);
        // SAFETY: the range lies in this region, borrowed from the view's one owner, and zeros are valid bytes.
        unsafe { address.write_bytes(0, size) };
        Ok(())
    }
}
