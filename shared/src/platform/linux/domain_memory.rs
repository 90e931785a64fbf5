//! A region of another domain's memory that it shares with this process.
//!
//! As with a guest's memory (`privcmd_memory`), machine frames are mapped, not gfns: whatever becomes of the domain, the
//! pages stay as they are until they are unmapped. Nothing is asked of the kernel for them afterwards.

#![allow(unsafe_code)]

use core::ptr::{self, NonNull};

use rustix::mm::{self, MapFlags, ProtFlags};

use super::privcmd::errno;
use super::privcmd_frames::{Access, map_area};
use crate::limits::PAGE_SIZE;
use crate::platform::memory::SharedMemory;
use crate::xen::{Domid, Errno, Operation, Xen, XenError};

/// Pages in one mapping of the kernel's; a process may have 65,530 of these. Their numbers lie on the stack.
const BATCH_PAGE_COUNT: usize = 512;

impl SharedMemory {
    /// Maps `page_count` pages of domain `domid` from `first_gfn` on; each must have memory.
    ///
    /// # Errors
    /// EINVAL when one of them is a hole; ESRCH when there is no such domain.
    pub fn of_domain(
        xen: &Xen,
        domid: Domid,
        first_gfn: u64,
        page_count: usize,
    ) -> Result<Self, XenError> {
        let fail = |errno| XenError::of_domain(Operation::MapGuestPages, domid, errno);
        let size = page_count.checked_mul(PAGE_SIZE).filter(|size| *size > 0);
        let size = size.ok_or(fail(Errno::EINVAL))?;
        let reserve = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the place, so nothing that exists is replaced.
        let space =
            unsafe { mm::mmap_anonymous(ptr::null_mut(), size, ProtFlags::empty(), reserve) };
        let address = space.map_err(|error| fail(errno(error)))?;
        let base = NonNull::new(address.cast()).ok_or(fail(Errno::ENOMEM))?;
        // From here on it is unmapped when this is dropped, as far as it came.
        let memory = Self { base, size };
        let mut gfns = [0; BATCH_PAGE_COUNT];
        let mut errors = [0; BATCH_PAGE_COUNT];
        for first in (0..page_count).step_by(BATCH_PAGE_COUNT) {
            let count = BATCH_PAGE_COUNT.min(page_count - first);
            let (gfns, errors) = (&mut gfns[..count], &mut errors[..count]);
            for (gfn, place) in (first_gfn + first as u64..).zip(gfns.iter_mut()) {
                *place = gfn;
            }
            errors.fill(-Errno::EINVAL.number());
            // SAFETY: the batch lies within the reserved space.
            let area = unsafe { memory.base.as_ptr().add(first * PAGE_SIZE) };
            map_area(xen.privcmd(), domid, area, Access::ReadWrite, gfns, errors).map_err(fail)?;
            if let Some(error) = errors.iter().find(|error| **error != 0) {
                return Err(fail(Errno::of(-*error)));
            }
        }
        Ok(memory)
    }
}
