//! Deciding: which of the surveyed places are the structures, and whose they are.
//!
//! Everything here is judged on a paused guest. Exactly one answer is demanded; where places only
//! resemble a structure, or an owner cannot be told, the answer is an error and the caller tries
//! another instant.

use heapless::Vec;

use super::control_block::Owner;
use super::evidence::{PortTable, Registers, online};
use super::per_cpu::{self, Areas, Pointers};
use super::survey::Survey;
use super::vcpu_info::VCPU_INFO_SIZE;
use super::{DiscoveryError, Structures, VcpuStructures};
use super::{control_block, event_array, vcpu_info};
use crate::capture::page::{GuestPages, word};
use crate::limits::{
    CONTROL_BLOCK_CANDIDATE_COUNT_MAX, PAGE_SIZE, VCPU_COUNT_MAX, VCPU_INFO_CANDIDATE_COUNT_MAX,
};

/// vcpu_info structures that shared_info holds, for vCPUs that never registered one
/// (XEN_LEGACY_MAX_VCPUS, arch-x86/xen.h).
const SHARED_VCPU_INFO_COUNT: u64 = 32;

/// How far the clocks of a domain's vCPUs may be apart, in nanoseconds.
const CLOCK_TOLERANCE_NS: u64 = 100_000_000;

/// What is known of the paused guest.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Its open ports.
    pub ports: &'a PortTable,
    /// Its vCPUs' registers.
    pub registers: &'a Registers,
    /// Its TSC frequency in kHz (gettscinfo).
    pub khz: u64,
    /// Where it mapped shared_info.
    pub shared_info_gfn: u64,
    /// vCPUs it has, up or down.
    pub vcpu_count: u32,
}

/// Finds every structure of the paused guest among the surveyed places.
///
/// # Errors
/// [`DiscoveryError`] names what was not found, or found more than once.
pub fn identify(
    pages: &impl GuestPages,
    survey: &Survey,
    evidence: &Evidence<'_>,
) -> Result<Structures, DiscoveryError> {
    if survey.overflowed() {
        return Err(DiscoveryError::TooManyCandidates);
    }
    let event_array_gfn = event_array_gfn(pages, survey, evidence)?;
    let areas = per_cpu::areas(pages, evidence.registers);
    let control_blocks = control_blocks(pages, survey, evidence, areas.as_ref())?;
    let vcpu_infos = vcpu_infos(pages, survey, evidence, areas.as_ref())?;
    let mut vcpus: Vec<Option<VcpuStructures>, VCPU_COUNT_MAX> = Vec::new();
    let vcpu_count = usize::try_from(evidence.vcpu_count).unwrap_or(usize::MAX);
    vcpus.resize(vcpu_count, None).map_err(|_| DiscoveryError::VcpuCount)?;
    let found = control_blocks.iter().zip(&vcpu_infos);
    for ((vcpu, _), (block, info)) in online(evidence.registers).zip(found) {
        let place = usize::try_from(vcpu).ok().and_then(|vcpu| vcpus.get_mut(vcpu));
        *place.ok_or(DiscoveryError::VcpuCount)? =
            Some(VcpuStructures { vcpu_info: *info, control_block_gfn: *block });
    }
    Ok(Structures { event_array_gfn, vcpus })
}

fn event_array_gfn(
    pages: &impl GuestPages,
    survey: &Survey,
    evidence: &Evidence<'_>,
) -> Result<u64, DiscoveryError> {
    let mut matching = survey.event_arrays().iter().copied().filter(|gfn| {
        pages.page(*gfn).is_some_and(|page| event_array::is_array_of(page, evidence.ports))
    });
    match (matching.next(), matching.count()) {
        (Some(gfn), 0) => Ok(gfn),
        (None, _) if uses_two_level_events(pages, evidence.shared_info_gfn) => {
            Err(DiscoveryError::TwoLevelEvents)
        }
        (None, _) => Err(DiscoveryError::EventArray { found: 0 }),
        (Some(_), others) => Err(DiscoveryError::event_array(others + 1)),
    }
}

/// Whether shared_info's 2-level mask is in use: a guest that uses it masks all unused ports, a
/// FIFO guest never writes there. `evtchn_mask` is the 64 words from byte 2560 of
/// struct shared_info (xen.h, Xen 4.17).
fn uses_two_level_events(pages: &impl GuestPages, shared_info_gfn: u64) -> bool {
    pages.page(shared_info_gfn).is_some_and(|page| {
        (2560 / 8..2560 / 8 + 64).filter(|index| word(page, *index) == u64::MAX).count() > 32
    })
}

/// The control block of each vCPU that is up, in order.
fn control_blocks(
    pages: &impl GuestPages,
    survey: &Survey,
    evidence: &Evidence<'_>,
    areas: Option<&Areas>,
) -> Result<Vec<u64, VCPU_COUNT_MAX>, DiscoveryError> {
    let mut owned: Vec<(u64, Owner), CONTROL_BLOCK_CANDIDATE_COUNT_MAX> = Vec::new();
    for gfn in survey.control_blocks() {
        let owner = pages
            .page(*gfn)
            .map_or(Owner::Nobody, |page| control_block::owner(page, evidence.ports));
        if owner != Owner::Nobody {
            owned.push((*gfn, owner)).map_err(|_| DiscoveryError::TooManyCandidates)?;
        }
    }
    if let Some(by_pointer) = areas.and_then(|areas| pointed_blocks(pages, areas, &owned)) {
        return Ok(by_pointer);
    }
    let mut blocks = Vec::new();
    for (vcpu, _) in online(evidence.registers) {
        let mut certain =
            owned.iter().filter(|(_, owner)| *owner == Owner::Certain(vcpu)).map(|(gfn, _)| *gfn);
        let (first, others) = (certain.next(), certain.count());
        let gfn = match (first, others) {
            (Some(gfn), 0) => gfn,
            (None, _) => return Err(DiscoveryError::control_block(vcpu, 0)),
            (Some(_), others) => {
                return Err(DiscoveryError::control_block(vcpu, others + 1));
            }
        };
        blocks.push(gfn).map_err(|_| DiscoveryError::VcpuCount)?;
    }
    Ok(blocks)
}

/// The blocks that Linux's per-CPU pointers name, when they name each vCPU's at one offset only.
fn pointed_blocks(
    pages: &impl GuestPages,
    areas: &Areas,
    owned: &[(u64, Owner)],
) -> Option<Vec<u64, VCPU_COUNT_MAX>> {
    let accept = |position: usize, address: u64| {
        let vcpu = areas[position].vcpu;
        owned.iter().any(|(gfn, owner)| {
            gfn * PAGE_SIZE as u64 == address
                && (*owner == Owner::Certain(vcpu) || *owner == Owner::Likely(vcpu))
        })
    };
    match per_cpu::pointers(pages, areas, accept) {
        Pointers::One(addresses) => {
            Some(addresses.iter().map(|address| address / PAGE_SIZE as u64).collect())
        }
        Pointers::None | Pointers::Several => None,
    }
}

type Clocks = Vec<(u64, u64), VCPU_INFO_CANDIDATE_COUNT_MAX>;

/// The vcpu_info of each vCPU that is up, in order.
fn vcpu_infos(
    pages: &impl GuestPages,
    survey: &Survey,
    evidence: &Evidence<'_>,
    areas: Option<&Areas>,
) -> Result<Vec<u64, VCPU_COUNT_MAX>, DiscoveryError> {
    let tsc = online(evidence.registers).map(|(_, registers)| registers.tsc).max().unwrap_or(0);
    let mut clocks = Clocks::new();
    for address in survey.vcpu_infos() {
        if address / PAGE_SIZE as u64 == evidence.shared_info_gfn {
            continue;
        }
        let clock = vcpu_info::clock_at(pages, *address, evidence.khz);
        if let Some(time_ns) = clock.and_then(|clock| clock.time_at_ns(tsc)) {
            clocks.push((*address, time_ns)).map_err(|_| DiscoveryError::TooManyCandidates)?;
        }
    }
    if clocks.is_empty() {
        return never_registered(pages, evidence, tsc);
    }
    match areas {
        Some(areas) => in_areas(pages, areas, &clocks),
        None => by_strides(evidence.registers, &clocks),
    }
}

/// A guest that registered none: each vCPU's is in shared_info, and its clock goes.
fn never_registered(
    pages: &impl GuestPages,
    evidence: &Evidence<'_>,
    tsc: u64,
) -> Result<Vec<u64, VCPU_COUNT_MAX>, DiscoveryError> {
    let mut infos = Vec::new();
    let mut clocks = Clocks::new();
    for (vcpu, _) in online(evidence.registers) {
        let address =
            evidence.shared_info_gfn * PAGE_SIZE as u64 + u64::from(vcpu) * VCPU_INFO_SIZE;
        let time_ns = vcpu_info::clock_at(pages, address, evidence.khz)
            .and_then(|clock| clock.time_at_ns(tsc))
            .filter(|_| u64::from(vcpu) < SHARED_VCPU_INFO_COUNT)
            .ok_or(DiscoveryError::VcpuInfo { found: 0 })?;
        clocks.push((address, time_ns)).map_err(|_| DiscoveryError::TooManyCandidates)?;
        infos.push(address).map_err(|_| DiscoveryError::VcpuCount)?;
    }
    if agree(&clocks, &infos) { Ok(infos) } else { Err(DiscoveryError::VcpuInfo { found: 0 }) }
}

/// Linux: vcpu_info lies in the per-CPU area, at one offset, and a per-CPU pointer names it.
fn in_areas(
    pages: &impl GuestPages,
    areas: &Areas,
    clocks: &Clocks,
) -> Result<Vec<u64, VCPU_COUNT_MAX>, DiscoveryError> {
    let Some(first) = areas.first() else { return Err(DiscoveryError::VcpuInfo { found: 0 }) };
    let mut answer = None;
    let mut found = 0;
    for (address, _) in clocks {
        let offset = address.wrapping_sub(first.physical_base);
        let infos: Vec<u64, VCPU_COUNT_MAX> =
            areas.iter().map(|area| area.physical_base.wrapping_add(offset)).collect();
        if offset < crate::limits::PER_CPU_AREA_SIZE_MAX
            && agree(clocks, &infos)
            && per_cpu::pointers(pages, areas, |position, address| infos[position] == address)
                != Pointers::None
        {
            found += 1;
            answer = Some(infos);
        }
    }
    answer.filter(|_| found == 1).ok_or(DiscoveryError::VcpuInfo { found })
}

/// Any guest: vcpu_infos are as far apart as the GS bases; with one vCPU there is just one place.
fn by_strides(
    registers: &Registers,
    clocks: &Clocks,
) -> Result<Vec<u64, VCPU_COUNT_MAX>, DiscoveryError> {
    let mut bases: Vec<u64, VCPU_COUNT_MAX> = Vec::new();
    for (vcpu, registers) in online(registers) {
        let base = registers.kernel_gs_base().ok_or_else(|| DiscoveryError::gs_base(vcpu))?;
        bases.push(base).map_err(|_| DiscoveryError::VcpuCount)?;
    }
    let Some(first) = bases.first() else { return Err(DiscoveryError::VcpuInfo { found: 0 }) };
    let mut answer = None;
    let mut found = 0;
    for (address, _) in clocks {
        let infos: Vec<u64, VCPU_COUNT_MAX> =
            bases.iter().map(|base| address.wrapping_add(base.wrapping_sub(*first))).collect();
        if agree(clocks, &infos) {
            found += 1;
            answer = Some(infos);
        }
    }
    answer.filter(|_| found == 1).ok_or(DiscoveryError::VcpuInfo { found })
}

/// Whether each of `infos` has a clock, and the clocks tell one time.
fn agree(clocks: &Clocks, infos: &[u64]) -> bool {
    let time_of = |info: &u64| clocks.iter().find(|(address, _)| address == info);
    let Some(first) = infos.first().and_then(time_of) else { return false };
    infos.iter().all(|info| {
        time_of(info).is_some_and(|(_, time_ns)| time_ns.abs_diff(first.1) < CLOCK_TOLERANCE_NS)
    })
}
