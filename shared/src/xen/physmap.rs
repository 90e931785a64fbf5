//! How a page that is not a domain's own comes into its physical map (memory.h).

use super::{Domid, Plain};

pub(super) const XENMEM_ADD_TO_PHYSMAP: u32 = 7;

pub(super) const XENMAPSPACE_SHARED_INFO: u32 = 0;

/// struct xen_add_to_physmap.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct AddToPhysmap {
    pub domid: Domid,
    pub size: u16,
    pub space: u32,
    pub index: u64,
    pub gfn: u64,
}

const _: () = assert!(size_of::<AddToPhysmap>() == 24);

// SAFETY: integers only.
unsafe impl Plain for AddToPhysmap {}
