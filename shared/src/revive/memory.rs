//! The paused twin's memory, from what the toolstack and commit left to what the guest knows.

use super::check::{TwinPlaces, hvm_param};
use super::error::{ReviveError, While};
use super::events::{clear_control_block, clear_event_words, used_priorities};
use super::plan::FreshPriorities;
use super::shared_info::{self, WallClock};
use crate::codec::{CheckpointState, GFN_NONE};
use crate::commit::aside::AsidePages;
use crate::limits::PAGE_SIZE;
use crate::xen::hvm::params;
use crate::xen::{Access, Domid, FrameMapping, GuestMemory, GuestPage, Xen};

/// Xen's page of shared_info, mapped here, and the wall clocks that it had and has.
#[derive(Debug)]
pub struct SharedInfo {
    mapping: FrameMapping,
    /// This host's wall clock, and the guest's.
    pub clocks: (WallClock, WallClock),
}

impl SharedInfo {
    /// The page.
    #[must_use]
    pub fn page(&self) -> GuestPage<'_> {
        self.mapping.page(0)
    }
}

/// Puts shared_info, grant frames and rings where the guest has them, and sets what the domain
/// builder would have set: TSC and callback.
///
/// # Errors
/// When Xen refuses, or the twin lacks a page.
pub fn put_in_place(
    xen: &Xen,
    domid: Domid,
    memory: &GuestMemory,
    places: &TwinPlaces,
    state: &CheckpointState,
    aside: &AsidePages,
) -> Result<SharedInfo, ReviveError> {
    let shared_info = put_shared_info(xen, domid, memory, state, aside)?;
    xen.add_to_physmap_grant_frames(domid, &state.grant_frame_gfns)
        .while_doing("mapping the guest's grant table")?;
    let rings = [(places.store_gfn, &aside.store), (places.console_gfn, &aside.console)];
    for (gfn, aside) in rings {
        if let Some(bytes) = aside.bytes() {
            page(memory, gfn)?.copy_in(bytes);
        }
    }
    xen.settscinfo(domid, &state.tsc).while_doing("setting the guest's TSC")?;
    let callback = hvm_param(state, params::CALLBACK_IRQ);
    xen.hvm_set_param(domid, params::CALLBACK_IRQ, callback)
        .while_doing("setting the guest's callback")?;
    Ok(shared_info)
}

/// Clears the guest's event structures for Xen to take up, and chooses priorities that none of
/// its vCPUs has used.
///
/// # Errors
/// When the twin lacks a page, or the guest has used too many priorities.
pub fn clear_events(
    memory: &GuestMemory,
    state: &CheckpointState,
) -> Result<FreshPriorities, ReviveError> {
    for gfn in &state.event_array_gfns {
        clear_event_words(page(memory, *gfn)?);
    }
    let mut used = 0;
    for vcpu in state.vcpus.iter().filter(|vcpu| vcpu.control_block_gfn != GFN_NONE) {
        let control_block = page(memory, vcpu.control_block_gfn)?;
        used |= used_priorities(control_block);
        clear_control_block(control_block);
    }
    for channel in &state.event_channels {
        used |= 1 << channel.priority;
    }
    FreshPriorities::choose(used).ok_or(ReviveError::NoFreshPriorities)
}

/// The mapped page at `gfn`.
///
/// # Errors
/// [`ReviveError::NoMemoryAt`] when the twin has none.
pub fn page(memory: &GuestMemory, gfn: u64) -> Result<GuestPage<'_>, ReviveError> {
    memory.page(gfn).ok_or(ReviveError::NoMemoryAt(gfn))
}

fn put_shared_info(
    xen: &Xen,
    domid: Domid,
    memory: &GuestMemory,
    state: &CheckpointState,
    aside: &AsidePages,
) -> Result<SharedInfo, ReviveError> {
    let gfn = state.shared_info_gfn;
    // Whatever memory the twin has there goes away with the mapping.
    let mut image = [0; PAGE_SIZE];
    match aside.shared_info.bytes() {
        Some(bytes) => image = *bytes,
        None => page(memory, gfn)?.copy_out(&mut image),
    }
    xen.add_to_physmap_shared_info(domid, gfn).while_doing("mapping the guest's shared_info")?;
    let mapping = FrameMapping::map(xen, domid, &[gfn], Access::ReadWrite)
        .while_doing("reaching the guest's shared_info")?;
    let host = WallClock::read(mapping.page(0));
    shared_info::put(mapping.page(0), &image);
    let clocks = (host, WallClock::read(mapping.page(0)));
    Ok(SharedInfo { mapping, clocks })
}
