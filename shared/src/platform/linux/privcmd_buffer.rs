//! Memory that a hypercall may point to: present, and not moved by the kernel meanwhile.
//!
//! Xen reads a hypercall's arguments through dom0's page tables and answers EFAULT when a page is
//! not there. /dev/xen/hypercall hands out such memory; where it is missing (before Linux 4.18),
//! anonymous memory is touched and locked, which leaves a small chance of EFAULT when the kernel
//! migrates the page at that very moment.

#![allow(unsafe_code)]

use core::ffi::c_void;
use core::fmt;
use core::ptr::NonNull;

use rustix::fd::BorrowedFd;
use rustix::mm::{MapFlags, ProtFlags};

use super::privcmd::{Privcmd, errno};
use crate::limits::PAGE_SIZE;
use crate::xen::{Errno, Plain};

/// Pages from mmap, given back on drop.
pub(super) struct Pages {
    pointer: NonNull<u8>,
    byte_count: usize,
}

impl Pages {
    /// Zeroed private memory; the kernel provides each page when it is touched first.
    pub(super) fn anonymous(
        byte_count: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Result<Pages, Errno> {
        let byte_count = byte_count.next_multiple_of(PAGE_SIZE);
        // SAFETY: the kernel chooses the place, so nothing that exists is replaced.
        let pointer = unsafe {
            rustix::mm::mmap_anonymous(core::ptr::null_mut(), byte_count, protection, flags)
        };
        Pages::from_mmap(pointer, byte_count)
    }

    fn of_device(device: BorrowedFd<'_>, byte_count: usize) -> Result<Pages, Errno> {
        let byte_count = byte_count.next_multiple_of(PAGE_SIZE);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, so nothing that exists is replaced.
        let pointer = unsafe {
            rustix::mm::mmap(
                core::ptr::null_mut(),
                byte_count,
                protection,
                MapFlags::SHARED,
                device,
                0,
            )
        };
        Pages::from_mmap(pointer, byte_count)
    }

    fn from_mmap(
        result: rustix::io::Result<*mut c_void>,
        byte_count: usize,
    ) -> Result<Pages, Errno> {
        let pointer = NonNull::new(result.map_err(errno)?.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Pages { pointer, byte_count })
    }

    /// Memory for hypercalls, zeroed.
    fn locked(privcmd: &Privcmd, byte_count: usize) -> Result<Pages, Errno> {
        if let Some(Ok(pages)) =
            privcmd.buffer_device().map(|device| Pages::of_device(device, byte_count))
        {
            return Ok(pages);
        }
        let pages = Pages::anonymous(
            byte_count,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::POPULATE,
        )?;
        // SAFETY: the range is this mapping's own; locking it changes nothing that is visible.
        unsafe { rustix::mm::mlock(pages.pointer.as_ptr().cast(), pages.byte_count) }
            .map_err(errno)?;
        Ok(pages)
    }

    pub(super) const fn pointer(&self) -> NonNull<u8> {
        self.pointer
    }

    pub(super) const fn byte_count(&self) -> usize {
        self.byte_count
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("pointer", &self.pointer)
            .field("byte_count", &self.byte_count)
            .finish()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's own, and its owner is gone. A failure would leave
        // the memory mapped, which harms nobody.
        let _ = unsafe { rustix::mm::munmap(self.pointer.as_ptr().cast(), self.byte_count) };
    }
}

/// A buffer that hypercalls fill or read in place: the dirty bitmap, for one.
///
/// Its length is what was asked for, rounded up to pages; it starts out zeroed.
#[derive(Debug)]
pub struct HypercallBuffer {
    pages: Pages,
}

// SAFETY: the buffer owns its memory, and gives it out only by the borrow rules.
unsafe impl Send for HypercallBuffer {}

impl HypercallBuffer {
    /// Allocates `byte_count` bytes (at least one), rounded up to pages.
    ///
    /// # Errors
    /// ENOMEM or EAGAIN when the kernel has none, or the limit of locked memory is met.
    pub(crate) fn allocate(privcmd: &Privcmd, byte_count: usize) -> Result<Self, Errno> {
        assert!(byte_count > 0);
        Ok(HypercallBuffer { pages: Pages::locked(privcmd, byte_count)? })
    }

    /// The content as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is mapped, initialised (zero at first) and owned by `self`.
        unsafe { core::slice::from_raw_parts(self.pages.pointer.as_ptr(), self.pages.byte_count) }
    }

    /// The content as bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and borrowed for this caller alone.
        unsafe {
            core::slice::from_raw_parts_mut(self.pages.pointer.as_ptr(), self.pages.byte_count)
        }
    }

    /// The content as words of eight bytes, in the machine's (little-endian) order.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        let word_count = self.pages.byte_count / size_of::<u64>();
        // SAFETY: as in `bytes`; pages are aligned for words.
        unsafe { core::slice::from_raw_parts(self.pages.pointer.as_ptr().cast(), word_count) }
    }

    /// The content as words of eight bytes, to change.
    pub fn words_mut(&mut self) -> &mut [u64] {
        let word_count = self.pages.byte_count / size_of::<u64>();
        // SAFETY: as in `bytes_mut`; pages are aligned for words.
        unsafe { core::slice::from_raw_parts_mut(self.pages.pointer.as_ptr().cast(), word_count) }
    }

    /// Where the buffer lies, for a hypercall's argument.
    pub(crate) fn address(&mut self) -> u64 {
        self.pages.pointer.as_ptr().expose_provenance() as u64
    }
}

/// The pages that arguments and small arrays pass through on their way to Xen and back.
///
/// Values are copied in and out and never lent, so a shared reference suffices.
#[derive(Debug)]
pub(crate) struct Bounce {
    pages: Pages,
}

impl Bounce {
    pub(crate) fn allocate(privcmd: &Privcmd, byte_count: usize) -> Result<Bounce, Errno> {
        Ok(Bounce { pages: Pages::locked(privcmd, byte_count)? })
    }

    /// Address of the byte at `offset`.
    pub(crate) fn address(&self, offset: usize) -> u64 {
        self.pointer_to::<u8>(offset, 0).expose_provenance() as u64
    }

    pub(crate) fn put<T: Plain>(&self, offset: usize, value: &T) {
        self.put_slice(offset, core::slice::from_ref(value));
    }

    pub(crate) fn put_slice<T: Plain>(&self, offset: usize, values: &[T]) {
        let target = self.pointer_to::<T>(offset, values.len());
        // SAFETY: the target has room for the values and is aligned (asserted by `pointer_to`);
        // the pages are never lent, so the two do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(values.as_ptr(), target, values.len()) }
    }

    pub(crate) fn take<T: Plain>(&self, offset: usize) -> T {
        // SAFETY: the source has room for a `T`, is aligned, and any bytes are a `T` by `Plain`.
        unsafe { self.pointer_to::<T>(offset, 1).read() }
    }

    pub(crate) fn take_slice<T: Plain>(&self, offset: usize, values: &mut [T]) {
        let source = self.pointer_to::<T>(offset, values.len());
        // SAFETY: as in `put_slice`, and any bytes are a `T` by `Plain`.
        unsafe { core::ptr::copy_nonoverlapping(source, values.as_mut_ptr(), values.len()) }
    }

    fn pointer_to<T>(&self, offset: usize, count: usize) -> *mut T {
        let room = self.pages.byte_count.checked_sub(offset).expect("an offset in the pages");
        let fits = count.checked_mul(size_of::<T>()).is_some_and(|size| size <= room);
        assert!(fits, "the elements fit");
        assert!(offset.is_multiple_of(align_of::<T>()));
        // SAFETY: the offset is within the mapping.
        unsafe { self.pages.pointer.as_ptr().add(offset).cast() }
    }
}
