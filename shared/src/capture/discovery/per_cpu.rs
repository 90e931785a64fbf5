//! Linux's own pointers: the per-CPU areas name vcpu_info and the control block of each vCPU.
//!
//! Linux keeps a pointer to each in a per-CPU variable, at one offset from every vCPU's GS base.
//! Where several places resemble a structure, the ones that the kernel itself points at, from
//! the same offset in every area, are the right ones. A guest that is not Linux gives no proof
//! here, and discovery must do without.

use heapless::Vec;

use super::evidence::{Registers, online};
use crate::capture::page::GuestPages;
use crate::capture::page_table::translate;
use crate::limits::{PER_CPU_AREA_SIZE_MAX, VCPU_COUNT_MAX};

/// The per-CPU area of one vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Whose area.
    pub vcpu: u32,
    /// Its first address, as the kernel sees it.
    pub virtual_base: u64,
    /// The guest-physical address of the same.
    pub physical_base: u64,
}

/// The areas of all vCPUs that are up, by vCPU number.
pub type Areas = Vec<Area, VCPU_COUNT_MAX>;

/// Finds every area; `None` when one vCPU has no kernel GS base or it is not mapped.
///
/// Any vCPU's page tables map the kernel, so those of the others are tried where a vCPU's own
/// (a user mode's) do not.
#[must_use]
pub fn areas(pages: &impl GuestPages, registers: &Registers) -> Option<Areas> {
    let mut areas = Areas::new();
    for (vcpu, own) in online(registers) {
        let virtual_base = own.kernel_gs_base()?;
        let physical_base = translate(pages, own.cr3, virtual_base).or_else(|| {
            online(registers).find_map(|(_, other)| translate(pages, other.cr3, virtual_base))
        })?;
        areas.push(Area { vcpu, virtual_base, physical_base }).ok()?;
    }
    Some(areas)
}

/// What a search for pointers gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointers {
    /// No offset holds acceptable pointers in all areas.
    None,
    /// Exactly this: the guest-physical address pointed at, by position in the areas.
    One(Vec<u64, VCPU_COUNT_MAX>),
    /// Two offsets disagree.
    Several,
}

/// Searches the areas for an offset at which each holds a pointer that `accept` takes.
///
/// `accept` is given the position in `areas` and the guest-physical address that the pointer
/// means in the kernel's linear mapping, the one that maps the areas.
#[must_use]
pub fn pointers(
    pages: &impl GuestPages,
    areas: &Areas,
    accept: impl Fn(usize, u64) -> bool,
) -> Pointers {
    let mut found = Pointers::None;
    for offset in (0..PER_CPU_AREA_SIZE_MAX).step_by(8) {
        let Some(addresses) = addresses_at(pages, areas, offset, &accept) else { continue };
        match &found {
            Pointers::One(earlier) if *earlier != addresses => return Pointers::Several,
            _ => found = Pointers::One(addresses),
        }
    }
    found
}

fn addresses_at(
    pages: &impl GuestPages,
    areas: &Areas,
    offset: u64,
    accept: &impl Fn(usize, u64) -> bool,
) -> Option<Vec<u64, VCPU_COUNT_MAX>> {
    let mut addresses = Vec::new();
    for (position, area) in areas.iter().enumerate() {
        let pointer = pages.word_at((area.physical_base + offset) & !7)?;
        let address = pointer.wrapping_sub(area.virtual_base).wrapping_add(area.physical_base);
        if !accept(position, address) {
            return None;
        }
        addresses.push(address).ok()?;
    }
    (!addresses.is_empty()).then_some(addresses)
}
