//! Pages that others write without log-dirty seeing it: which they are, checkpoint by checkpoint.
//!
//! Xen writes vcpu_info, control blocks, event array and shared_info itself; xenstored and the
//! console daemon write their rings; backends write pages whose grants they have mapped. All of
//! these are copied at every checkpoint. Backends go on while the guest is paused, so rings come
//! first, and what was copied as a ring is not copied again after the dirty bitmap was read: a
//! completion that the image shows then always has its data in the image.

use heapless::Vec;

use super::discovery::Structures;
use super::error::CaptureError;
use super::scan;
use crate::limits::{PAGE_SIZE, SHARED_PAGE_COUNT_MAX};
use crate::xen::GuestMemory;
use crate::xen::grant_table::grant_entries_v1;

/// First and last gfn of a PVH or HVM guest's special pages: xenstore and console rings among
/// them (tools/libs/guest/xg_dom_x86.c, X86_HVM_END_SPECIAL_REGION, Xen 4.17).
const SPECIAL_GFNS: core::ops::RangeInclusive<u64> = 0xfeff8..=0xfefff;

/// The shared pages of this checkpoint and of the one before.
#[derive(Clone, Debug, Default)]
pub struct SharedPages {
    now: Vec<u64, SHARED_PAGE_COUNT_MAX>,
    before: Vec<u64, SHARED_PAGE_COUNT_MAX>,
}

/// What is always shared, whatever the guest grants.
#[derive(Clone, Copy, Debug)]
pub struct FixedPages<'a> {
    /// Where the guest mapped shared_info.
    pub shared_info_gfn: u64,
    /// Where it mapped its grant table.
    pub grant_frames: &'a [u64],
    /// Its event structures.
    pub structures: &'a Structures,
}

impl SharedPages {
    /// Forgets both lists: the next copy is a full one.
    pub fn forget(&mut self) {
        self.now.clear();
        self.before.clear();
    }

    /// Collects the pages of this checkpoint, rings first. The guest is paused.
    ///
    /// # Errors
    /// [`CaptureError::TooManySharedPages`].
    pub fn collect(
        &mut self,
        memory: &GuestMemory,
        fixed: &FixedPages<'_>,
    ) -> Result<&[u64], CaptureError> {
        core::mem::swap(&mut self.now, &mut self.before);
        self.now.clear();
        for frame in fixed.grant_frames.iter().filter_map(|gfn| memory.page(*gfn)) {
            for entry in grant_entries_v1(frame).filter(|entry| entry.is_mapped_writable()) {
                self.add(memory, u64::from(entry.frame))?;
            }
        }
        for gfn in SPECIAL_GFNS {
            self.add(memory, gfn)?;
        }
        self.add(memory, fixed.shared_info_gfn)?;
        self.add(memory, fixed.structures.event_array_gfn)?;
        for vcpu in fixed.structures.vcpus.iter().flatten() {
            self.add(memory, vcpu.control_block_gfn)?;
            let gfn = vcpu.vcpu_info / PAGE_SIZE as u64;
            if self.now.last() != Some(&gfn) {
                self.add(memory, gfn)?;
            }
        }
        for gfn in fixed.grant_frames {
            self.add(memory, *gfn)?;
        }
        Ok(&self.now)
    }

    fn add(&mut self, memory: &GuestMemory, gfn: u64) -> Result<(), CaptureError> {
        if memory.is_present(gfn) {
            self.now.push(gfn).map_err(|_| CaptureError::TooManySharedPages)?;
        }
        Ok(())
    }

    /// Corrects the dirty bitmap: this checkpoint's pages are copied already, and the last one's
    /// are copied once more, since a backend may have written to them and unmapped them between
    /// copy and bitmap.
    pub fn correct(&self, bitmap: &mut [u64]) {
        for gfn in &self.before {
            scan::set(bitmap, *gfn);
        }
        for gfn in &self.now {
            scan::clear(bitmap, *gfn);
        }
    }
}
