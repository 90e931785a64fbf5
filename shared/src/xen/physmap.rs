//! A domain's physical map: what of it is memory, and how a page that is not its own comes into it (memory.h).

use super::{Domid, Plain};

pub(super) const XENMEM_ADD_TO_PHYSMAP: u32 = 7;
#[cfg(stubdom)]
pub(super) const XENMEM_MEMORY_MAP: u32 = 9;

pub(super) const XENMAPSPACE_SHARED_INFO: u32 = 0;
#[cfg(stubdom)]
pub(super) const XENMAPSPACE_GRANT_TABLE: u32 = 1;

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

/// struct xen_memory_map.
#[cfg(stubdom)]
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct MemoryMap {
    pub entry_count: u32,
    pub padding: u32,
    pub entries: u64,
}

#[cfg(stubdom)]
const _: () = assert!(size_of::<MemoryMap>() == 16);

// SAFETY: integers only.
#[cfg(stubdom)]
unsafe impl Plain for MemoryMap {}
