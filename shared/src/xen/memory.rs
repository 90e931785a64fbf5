//! A domain's physical map: what lies at which gfn (xen/include/public/memory.h).

use super::hypercall::DATA_OFFSET;
use super::physmap::{AddToPhysmap, XENMAPSPACE_SHARED_INFO, XENMEM_ADD_TO_PHYSMAP};
use super::{Domid, Errno, Operation, Plain, Xen, XenError};

/// XEN_DOMCTL_getpageframeinfo3 (domctl.h): asks for the pages of a list.
const GETPAGEFRAMEINFO3: u32 = 61;
/// Most gfns that it takes at once (arch/x86/domctl.c, Xen 4.17).
const PAGE_FRAME_INFO_COUNT_MAX: usize = 1024;
/// Its answer for a gfn without a page of the domain (XEN_DOMCTL_PFINFO_XTAB).
const PAGE_FRAME_INFO_NONE: u64 = 0xf << 28;

const XENMEM_DECREASE_RESERVATION: u32 = 1;
const XENMEM_POPULATE_PHYSMAP: u32 = 6;
const XENMEM_MAXIMUM_GPFN: u32 = 14;
const XENMEM_REMOVE_FROM_PHYSMAP: u32 = 15;
const XENMEM_CLAIM_PAGES: u32 = 24;

const XENMAPSPACE_GRANT_TABLE: u32 = 1;
/// XENMAPIDX_grant_table_status: the index counts status frames (grant table version 2).
const GRANT_TABLE_STATUS: u32 = 0x8000_0000;

/// struct xen_domctl_getpageframeinfo3.
#[repr(C)]
#[derive(Clone, Copy)]
struct GetPageFrameInfo {
    count: u64,
    array: u64,
}

const _: () = assert!(size_of::<GetPageFrameInfo>() == 16);

// SAFETY: integers only.
unsafe impl Plain for GetPageFrameInfo {}

/// struct xen_memory_domain.
#[repr(C)]
#[derive(Clone, Copy)]
struct MemoryDomain {
    domid: Domid,
}

// SAFETY: integers only.
unsafe impl Plain for MemoryDomain {}

/// struct xen_remove_from_physmap.
#[repr(C)]
#[derive(Clone, Copy)]
struct RemoveFromPhysmap {
    domid: Domid,
    padding: [u16; 3],
    gfn: u64,
}

const _: () = assert!(size_of::<RemoveFromPhysmap>() == 16);

// SAFETY: integers only.
unsafe impl Plain for RemoveFromPhysmap {}

/// struct xen_memory_reservation.
#[repr(C)]
#[derive(Clone, Copy)]
struct MemoryReservation {
    extent_start: u64,
    extent_count: u64,
    extent_order: u32,
    flags: u32,
    domid: Domid,
    padding: [u16; 3],
}

const _: () = assert!(size_of::<MemoryReservation>() == 32);
const _: () = assert!(core::mem::offset_of!(MemoryReservation, domid) == 24);

// SAFETY: integers only.
unsafe impl Plain for MemoryReservation {}

impl Xen {
    /// The highest gfn that is in use.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn maximum_gpfn(&self, domid: Domid) -> Result<u64, XenError> {
        self.memory_op(XENMEM_MAXIMUM_GPFN, &mut MemoryDomain { domid })
            .map(u64::from)
            .map_err(|errno| XenError::of_domain(Operation::MaximumGpfn, domid, errno))
    }

    /// Whether the domain has memory of its own at any of `gfn_count` gfns from `first_gfn` on.
    /// Frames that belong to Xen (shared_info, grant table) do not count.
    ///
    /// Wide holes are found by this 1024 gfns at a time; mapping them fails one by one.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn is_any_populated(
        &self,
        domid: Domid,
        first_gfn: u64,
        gfn_count: u64,
    ) -> Result<bool, XenError> {
        let mut gfns = [0; PAGE_FRAME_INFO_COUNT_MAX];
        let end_gfn = first_gfn + gfn_count;
        for first in (first_gfn..end_gfn).step_by(PAGE_FRAME_INFO_COUNT_MAX) {
            let mut count = 0;
            for (gfn, place) in (first..end_gfn).zip(&mut gfns) {
                *place = gfn;
                count += 1;
            }
            let answer = &mut gfns[..count];
            self.bounce().put_slice(DATA_OFFSET, answer);
            let mut list = GetPageFrameInfo { count: count as u64, array: self.data_address() };
            self.domctl(Operation::GetPageFrameInfo, GETPAGEFRAMEINFO3, domid, &mut list)?;
            self.bounce().take_slice(DATA_OFFSET, answer);
            if answer.iter().any(|info| *info != PAGE_FRAME_INFO_NONE) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts the domain's shared_info page at `gfn`. What was there is given back to Xen.
    ///
    /// # Errors
    /// EINVAL when Xen does not accept the gfn; ESRCH when there is no such domain.
    pub fn add_to_physmap_shared_info(&self, domid: Domid, gfn: u64) -> Result<(), XenError> {
        self.add_to_physmap(domid, XENMAPSPACE_SHARED_INFO, 0, gfn)
    }

    /// Puts frame `index` of the domain's grant table at `gfn`; the table grows up to it. What
    /// was there is given back to Xen.
    ///
    /// # Errors
    /// EINVAL beyond the domain's limit of frames; ESRCH when there is no such domain.
    pub fn add_to_physmap_grant_frame(
        &self,
        domid: Domid,
        index: u32,
        gfn: u64,
    ) -> Result<(), XenError> {
        self.add_to_physmap(domid, XENMAPSPACE_GRANT_TABLE, index, gfn)
    }

    /// Puts status frame `index` of the domain's grant table, version 2, at `gfn`.
    ///
    /// # Errors
    /// As for [`Xen::add_to_physmap_grant_frame`].
    pub fn add_to_physmap_grant_status_frame(
        &self,
        domid: Domid,
        index: u32,
        gfn: u64,
    ) -> Result<(), XenError> {
        self.add_to_physmap(domid, XENMAPSPACE_GRANT_TABLE, index | GRANT_TABLE_STATUS, gfn)
    }

    /// Puts the frames of the domain's grant table, from 0 on, at `gfns`.
    ///
    /// # Errors
    /// The first refusal; earlier frames stay where they were put.
    pub fn add_to_physmap_grant_frames(&self, domid: Domid, gfns: &[u64]) -> Result<(), XenError> {
        for (index, gfn) in (0..).zip(gfns) {
            self.add_to_physmap_grant_frame(domid, index, *gfn)?;
        }
        Ok(())
    }

    fn add_to_physmap(
        &self,
        domid: Domid,
        space: u32,
        index: u32,
        gfn: u64,
    ) -> Result<(), XenError> {
        let mut argument = AddToPhysmap { domid, size: 0, space, index: u64::from(index), gfn };
        self.memory_op(XENMEM_ADD_TO_PHYSMAP, &mut argument)
            .map(|_| ())
            .map_err(|errno| XenError::of_domain(Operation::AddToPhysmap, domid, errno))
    }

    /// Takes away what lies at `gfn`; a page of RAM is given back to Xen.
    ///
    /// # Errors
    /// ENOENT or EINVAL when there is nothing.
    pub fn remove_from_physmap(&self, domid: Domid, gfn: u64) -> Result<(), XenError> {
        let mut argument = RemoveFromPhysmap { domid, padding: [0; 3], gfn };
        self.memory_op(XENMEM_REMOVE_FROM_PHYSMAP, &mut argument)
            .map(|_| ())
            .map_err(|errno| XenError::of_domain(Operation::RemoveFromPhysmap, domid, errno))
    }

    /// Gives the domain a new zeroed page at each of `gfns` (at most 8192).
    ///
    /// # Errors
    /// ENOMEM when not all could be had: the host is out of memory, or the domain's
    /// [`Xen::max_mem`] is reached. Those that were had stay.
    pub fn populate_physmap(&self, domid: Domid, gfns: &[u64]) -> Result<(), XenError> {
        self.reservation(Operation::PopulatePhysmap, XENMEM_POPULATE_PHYSMAP, domid, gfns)
    }

    /// Takes the pages of RAM at `gfns` (at most 8192) from the domain.
    ///
    /// # Errors
    /// ENOMEM when not all were there.
    pub fn decrease_reservation(&self, domid: Domid, gfns: &[u64]) -> Result<(), XenError> {
        self.reservation(Operation::DecreaseReservation, XENMEM_DECREASE_RESERVATION, domid, gfns)
    }

    /// Sets memory of the host aside until the domain owns `page_count` pages; 0 gives what is left
    /// of that back. A domain has one claim at most, and it goes with the domain.
    ///
    /// # Errors
    /// ENOMEM when the host has not so much; EINVAL when the domain owns so much already, may not
    /// own so much ([`Xen::max_mem`]), or has a claim.
    pub fn claim_pages(&self, domid: Domid, page_count: u64) -> Result<(), XenError> {
        let mut argument = MemoryReservation {
            extent_start: 0,
            extent_count: page_count,
            extent_order: 0,
            flags: 0,
            domid,
            padding: [0; 3],
        };
        self.memory_op(XENMEM_CLAIM_PAGES, &mut argument)
            .map(|_| ())
            .map_err(|errno| XenError::of_domain(Operation::ClaimPages, domid, errno))
    }

    fn reservation(
        &self,
        operation: Operation,
        command: u32,
        domid: Domid,
        gfns: &[u64],
    ) -> Result<(), XenError> {
        self.bounce().put_slice(DATA_OFFSET, gfns);
        let mut argument = MemoryReservation {
            extent_start: self.data_address(),
            extent_count: gfns.len() as u64,
            extent_order: 0,
            flags: 0,
            domid,
            padding: [0; 3],
        };
        let done = self
            .memory_op(command, &mut argument)
            .map_err(|errno| XenError::of_domain(operation, domid, errno))?;
        // Xen's result is how many extents were done.
        if done as usize == gfns.len() {
            Ok(())
        } else {
            Err(XenError::of_domain(operation, domid, Errno::ENOMEM))
        }
    }
}
