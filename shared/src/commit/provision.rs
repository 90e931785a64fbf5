//! Provision: what is complete can be applied, so every page has its place, and changes their last
//! version, before an epoch may be acknowledged.
//!
//! Where Xen's frames lie in an epoch is said by its state, which comes last. Pages are looked at as they
//! come with the state of the epoch before, and once more in the rare case that the frames have moved.

use super::aside::AsidePages;
use super::staging_fault::StagingFault;
use super::twin_memory::{NoMemoryAt, TwinMemory};
use crate::codec::CheckpointState;
use crate::ring::Entry;

/// What was seen of the epoch on its way.
#[derive(Debug, Default)]
pub(super) struct Provision {
    /// A whole version of shared_info came; what follows it changes that one.
    has_shared_info: bool,
}

impl Provision {
    /// Sees to one page's place, by the state that says where Xen's frames lie.
    pub fn provide(
        &mut self,
        state: Option<&CheckpointState>,
        aside: &AsidePages,
        memory: &mut impl TwinMemory,
        entry: &Entry,
    ) -> Result<(), StagingFault> {
        let (gfn, is_relative) = (entry.address, entry.encoding.is_relative());
        if aside.keeps(state, gfn) {
            let is_shared_info = state.is_some_and(|state| state.shared_info_gfn == gfn);
            let known = self.has_shared_info || aside.shared_info.lies_at(gfn);
            if is_shared_info && is_relative && !known && !memory.has_page(gfn) {
                return Err(StagingFault::Base(gfn));
            }
            self.has_shared_info |= is_shared_info && !is_relative;
            return Ok(());
        }
        if is_relative {
            return if memory.has_page(gfn) { Ok(()) } else { Err(StagingFault::Base(gfn)) };
        }
        memory.provide_page(gfn).map_err(|NoMemoryAt(gfn)| StagingFault::Gfn(gfn))
    }
}

/// Whether Xen's frames lie in one state where they lie in the other.
pub(super) fn has_same_frames(one: &CheckpointState, other: &CheckpointState) -> bool {
    (one.shared_info_gfn, &one.grant_frame_gfns) == (other.shared_info_gfn, &other.grant_frame_gfns)
}

#[cfg(test)]
#[path = "provision_tests.rs"]
mod tests;
