//! The whole of a guest's memory, mapped once at start.
//!
//! A mapping holds machine frames, not gfns: when the guest's physical map changes (ballooning,
//! XENMEM_add_to_physmap), the old frame stays mapped until [`GuestMemory::remap`], and counts
//! among the domain's pages until then. A forked child does not inherit these mappings (Linux
//! marks them VM_DONTCOPY).

#![allow(unsafe_code)]

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags};

use super::privcmd::Privcmd;
use super::privcmd_buffer::Pages;
use super::privcmd_frames::{Access, map_area};
use crate::limits::PAGE_SIZE;
use crate::xen::{Domid, Errno, GuestPage, Operation, Xen, XenError};

/// Pages in one mapping of the kernel's: 16 MiB. One ioctl fills it, and it is renewed as one,
/// since Linux maps such an area only as a whole. Far below the 65530 mappings of a process.
const BATCH_PAGE_COUNT: usize = 4096;

const PAGE_SIZE_U64: u64 = PAGE_SIZE as u64;

/// A domain's whole memory, mapped once, so that copying a page costs no system call.
pub struct GuestMemory {
    domid: Domid,
    gfn_count: u64,
    present_count: u64,
    /// Reserved address space, gfn 0 at its start.
    space: Pages,
    /// One bit a gfn.
    presence: Pages,
    /// The arguments of one batch: gfns, then errors.
    batch: Pages,
}

impl fmt::Debug for GuestMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestMemory")
            .field("domid", &self.domid)
            .field("gfn_count", &self.gfn_count)
            .field("present_count", &self.present_count)
            .finish_non_exhaustive()
    }
}

// SAFETY: the mapping belongs to the process, not to a thread; pages are lent as atomics only.
unsafe impl Send for GuestMemory {}

impl GuestMemory {
    /// Maps gfns 0 to `gfn_count` of domain `domid`, to read and write. Gfns without memory are
    /// holes and no error. Takes 2 to 3 us a page or hole in an emulator, far less on hardware.
    ///
    /// # Errors
    /// When address space or memory for the tables is short, or the domain does not exist.
    pub fn map(xen: &Xen, domid: Domid, gfn_count: u64) -> Result<GuestMemory, XenError> {
        let fail = |errno| XenError::of_domain(Operation::MapGuestPages, domid, errno);
        let page_count = usize::try_from(gfn_count).map_err(|_| fail(Errno::E2BIG))?;
        let byte_count = page_count
            .checked_next_multiple_of(BATCH_PAGE_COUNT)
            .and_then(|rounded| rounded.checked_mul(PAGE_SIZE))
            .filter(|byte_count| *byte_count > 0)
            .ok_or_else(|| fail(Errno::EINVAL))?;
        let reserve = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let read_write = ProtFlags::READ | ProtFlags::WRITE;
        let batch_size = BATCH_PAGE_COUNT * (size_of::<u64>() + size_of::<i32>());
        let mut memory = GuestMemory {
            domid,
            gfn_count,
            present_count: 0,
            space: Pages::anonymous(byte_count, ProtFlags::empty(), reserve).map_err(fail)?,
            presence: Pages::anonymous(page_count.div_ceil(8), read_write, MapFlags::PRIVATE)
                .map_err(fail)?,
            batch: Pages::anonymous(batch_size, read_write, MapFlags::PRIVATE).map_err(fail)?,
        };
        for batch_index in 0..page_count.div_ceil(BATCH_PAGE_COUNT) {
            let first_gfn = (batch_index * BATCH_PAGE_COUNT) as u64;
            let batch_count = (BATCH_PAGE_COUNT as u64).min(gfn_count - first_gfn);
            // The space between memory and the special pages below 4 GiB is a million holes, and
            // each would be a hypercall that fails.
            if xen.is_any_populated(domid, first_gfn, batch_count)? {
                memory.map_batch(xen.privcmd(), batch_index).map_err(fail)?;
            }
        }
        Ok(memory)
    }

    /// The domain that is mapped.
    #[must_use]
    pub const fn domid(&self) -> Domid {
        self.domid
    }

    /// Gfns covered, holes included.
    #[must_use]
    pub const fn gfn_count(&self) -> u64 {
        self.gfn_count
    }

    /// Gfns that have memory.
    #[must_use]
    pub const fn present_count(&self) -> u64 {
        self.present_count
    }

    /// Whether `gfn` is covered and has memory.
    #[must_use]
    pub fn is_present(&self, gfn: u64) -> bool {
        gfn < self.gfn_count && self.presence_words()[word_of(gfn)] & bit_of(gfn) != 0
    }

    /// One bit a gfn (bit `gfn % 64` of word `gfn / 64`): set when it has memory.
    #[must_use]
    pub fn presence_words(&self) -> &[u64] {
        let word_count = self.presence.byte_count() / size_of::<u64>();
        // SAFETY: the mapping is owned, initialised (zero at first), and aligned to a page.
        unsafe { core::slice::from_raw_parts(self.presence.pointer().as_ptr().cast(), word_count) }
    }

    /// The page at `gfn`, or none when it is a hole or not covered.
    #[must_use]
    pub fn page(&self, gfn: u64) -> Option<GuestPage<'_>> {
        if !self.is_present(gfn) {
            return None;
        }
        let offset = usize::try_from(gfn * PAGE_SIZE_U64).ok()?;
        // SAFETY: the offset is within the reserved space, since the gfn is covered.
        let pointer = unsafe { self.space.pointer().as_ptr().add(offset) };
        // SAFETY: the page is mapped (presence), stays so while `self` is borrowed (`remap`
        // borrows exclusively), is aligned, and is only ever accessed as atomics.
        let words = unsafe { &*pointer.cast::<[AtomicU64; PAGE_SIZE / size_of::<u64>()]>() };
        Some(GuestPage::from_words(words))
    }

    /// The 32-bit word at byte `offset` (a multiple of four) of the page at `gfn`.
    #[must_use]
    pub fn word32(&self, gfn: u64, offset: usize) -> Option<&AtomicU32> {
        Some(self.page(gfn)?.word32(offset))
    }

    /// The byte at `offset` of the page at `gfn`.
    #[must_use]
    pub fn byte(&self, gfn: u64, offset: usize) -> Option<&AtomicU8> {
        Some(self.page(gfn)?.byte(offset))
    }

    /// Looks up the frames behind `gfns` again: needed after the domain's physical map changed
    /// there. The neighbours within 16 MiB are renewed with them; every gfn must be covered.
    ///
    /// # Errors
    /// When mapping fails as a whole. The pages concerned are holes then.
    pub fn remap(&mut self, xen: &Xen, gfns: &[u64]) -> Result<(), XenError> {
        let mut renewed = None;
        for gfn in gfns {
            assert!(*gfn < self.gfn_count, "gfn {gfn:#x} is not covered by the mapping");
            let batch_index = word_of(*gfn) / (BATCH_PAGE_COUNT / 64);
            // Frames that are renewed together are neighbours as a rule: once for a run of them.
            if renewed == Some(batch_index) {
                continue;
            }
            self.map_batch(xen.privcmd(), batch_index).map_err(|errno| {
                XenError::of_domain(Operation::MapGuestPages, self.domid, errno)
            })?;
            renewed = Some(batch_index);
        }
        Ok(())
    }

    /// Maps one batch anew and notes which of its pages are there.
    fn map_batch(&mut self, privcmd: &Privcmd, batch_index: usize) -> Result<(), Errno> {
        let first = batch_index * BATCH_PAGE_COUNT;
        let covered = usize::try_from(self.gfn_count).map_err(|_| Errno::E2BIG)?;
        let count = BATCH_PAGE_COUNT.min(covered - first);
        let gfns_pointer = self.batch.pointer().as_ptr().cast::<u64>();
        // SAFETY: the errors' part begins after the gfns' part, within the mapping.
        let errors_pointer = unsafe { gfns_pointer.add(BATCH_PAGE_COUNT) }.cast::<i32>();
        // SAFETY: owned memory with room for a whole batch, borrowed exclusively through `self`.
        let gfns = unsafe { core::slice::from_raw_parts_mut(gfns_pointer, count) };
        // SAFETY: as above, and apart from the gfns.
        let errors = unsafe { core::slice::from_raw_parts_mut(errors_pointer, count) };
        for (index, gfn) in gfns.iter_mut().enumerate() {
            *gfn = (first + index) as u64;
        }
        // Holes unless the call says otherwise, also when it fails half-way.
        errors.fill(-Errno::EINVAL.number());
        // SAFETY: the batch lies within the reserved space.
        let area = unsafe { self.space.pointer().as_ptr().add(first * PAGE_SIZE) };
        let result = map_area(privcmd, self.domid, area, Access::ReadWrite, gfns, errors);
        for (gfn, error) in gfns.iter().zip(errors.iter()) {
            self.set_presence(*gfn, result.is_ok() && *error == 0);
        }
        result
    }

    fn set_presence(&mut self, gfn: u64, present: bool) {
        let was_present = self.is_present(gfn);
        // SAFETY: the word's index is within the bitmap, since the gfn is covered.
        let pointer = unsafe { self.presence.pointer().as_ptr().cast::<u64>().add(word_of(gfn)) };
        // SAFETY: owned memory, borrowed exclusively through `self`.
        let word = unsafe { &mut *pointer };
        if present {
            *word |= bit_of(gfn);
        } else {
            *word &= !bit_of(gfn);
        }
        self.present_count += u64::from(present);
        self.present_count -= u64::from(was_present);
    }
}

/// Index of the 64-bit word that holds the gfn's bit; the caller checks that it is covered.
#[allow(clippy::cast_possible_truncation)] // A covered gfn fits usize: it was mapped.
const fn word_of(gfn: u64) -> usize {
    (gfn / 64) as usize
}

const fn bit_of(gfn: u64) -> u64 {
    1 << (gfn % 64)
}
