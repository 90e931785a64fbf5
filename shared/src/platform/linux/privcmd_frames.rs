//! A few frames of a guest, mapped for as long as they are needed.
//!
//! As with the whole guest (`privcmd_memory`), machine frames are mapped, not gfns, and a forked
//! child does not inherit them.

#![allow(unsafe_code)]

use core::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags};

use super::privcmd::{Privcmd, errno};
use super::privcmd_buffer::Pages;
use crate::limits::PAGE_SIZE;
use crate::xen::{Domid, Errno, GuestPage, Operation, Xen, XenError};

/// How often a page that is paged out is asked for again before it counts as a hole.
const PAGED_OUT_ATTEMPT_COUNT: u32 = 100;

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only reading; the processor refuses the rest.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    fn protection(self) -> ProtFlags {
        match self {
            Access::ReadOnly => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        }
    }
}

/// Maps one kernel mapping's worth of pages over reserved address space.
///
/// `errors` holds Linux's number for each page afterwards: 0 when it is there.
pub(super) fn map_area(
    privcmd: &Privcmd,
    domid: Domid,
    area: *mut u8,
    access: Access,
    gfns: &[u64],
    errors: &mut [i32],
) -> Result<(), Errno> {
    // SAFETY: the area lies in address space that the caller reserved, and the exclusive borrow
    // of its owner means that no page of it is lent: replacing what is mapped there harms nobody.
    let pointer = unsafe {
        rustix::mm::mmap(
            area.cast(),
            gfns.len() * PAGE_SIZE,
            access.protection(),
            MapFlags::SHARED | MapFlags::FIXED,
            privcmd.device(),
            0,
        )
    }
    .map_err(errno)?;
    // SAFETY: the mapping was made just now, by us, and is filled as a whole.
    unsafe { privcmd.map_batch(domid, pointer, gfns, errors) }?;
    // A domain that does not exist looks like holes of this kind.
    if errors.first() == Some(&-Errno::ESRCH.number()) {
        return Err(Errno::ESRCH);
    }
    for _ in 0..PAGED_OUT_ATTEMPT_COUNT {
        if !errors.contains(&-Errno::ENOENT.number()) {
            break;
        }
        for (index, error) in errors.iter_mut().enumerate() {
            if *error != -Errno::ENOENT.number() {
                continue;
            }
            // SAFETY: the page lies in the mapping, and is not mapped yet.
            let page = unsafe { pointer.byte_add(index * PAGE_SIZE) };
            let error = core::slice::from_mut(error);
            // SAFETY: as above; Linux lets holes of such a mapping be filled later.
            unsafe { privcmd.map_batch(domid, page, &gfns[index..=index], error) }?;
        }
    }
    Ok(())
}

/// A few frames of a domain, in the order they were named.
#[derive(Debug)]
pub struct FrameMapping {
    space: Pages,
    count: usize,
    access: Access,
}

// SAFETY: as for `GuestMemory`.
unsafe impl Send for FrameMapping {}

impl FrameMapping {
    /// Most frames that one mapping takes.
    pub const FRAME_COUNT_MAX: usize = 64;

    /// Maps `gfns` (1 to 64 of them) of domain `domid`; all must have memory.
    ///
    /// # Errors
    /// The first page's error (EINVAL for a hole), or the call's.
    pub fn map(
        xen: &Xen,
        domid: Domid,
        gfns: &[u64],
        access: Access,
    ) -> Result<FrameMapping, XenError> {
        assert!(!gfns.is_empty() && gfns.len() <= Self::FRAME_COUNT_MAX);
        let fail = |errno| XenError::of_domain(Operation::MapGuestPages, domid, errno);
        let byte_count = gfns.len() * PAGE_SIZE;
        let space =
            Pages::anonymous(byte_count, ProtFlags::empty(), MapFlags::PRIVATE).map_err(fail)?;
        let mut errors = [-Errno::EINVAL.number(); Self::FRAME_COUNT_MAX];
        let errors = &mut errors[..gfns.len()];
        map_area(xen.privcmd(), domid, space.pointer().as_ptr(), access, gfns, errors)
            .map_err(fail)?;
        match errors.iter().find(|error| **error != 0) {
            Some(error) => Err(fail(Errno::of(-*error))),
            None => Ok(FrameMapping { space, count: gfns.len(), access }),
        }
    }

    /// Frames mapped.
    #[must_use]
    pub const fn frame_count(&self) -> usize {
        self.count
    }

    /// The page of the `index`th gfn; an index beyond them is a programmer's error.
    #[must_use]
    pub fn page(&self, index: usize) -> GuestPage<'_> {
        assert!(index < self.count);
        // SAFETY: the page lies within the mapping.
        let pointer = unsafe { self.space.pointer().as_ptr().add(index * PAGE_SIZE) };
        // SAFETY: the page is mapped while `self` lives, aligned, only accessed as atomics.
        let words = unsafe { &*pointer.cast::<[AtomicU64; PAGE_SIZE / size_of::<u64>()]>() };
        match self.access {
            Access::ReadOnly => GuestPage::from_words_read_only(words),
            Access::ReadWrite => GuestPage::from_words(words),
        }
    }
}
