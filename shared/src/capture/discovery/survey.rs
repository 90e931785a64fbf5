//! The survey: one look at every page while the guest runs, to know where to look when it is paused.
//!
//! The structures do not move, so a page that is one of them resembles it at any instant. The
//! survey keeps what resembles; the pause then verifies a handful of places instead of reading
//! all memory. Nothing is decided here.

use heapless::Vec;

use super::vcpu_info::{VCPU_INFO_SIZE, VCPU_INFO_WORD_COUNT};
use super::{control_block, event_array, vcpu_info};
use crate::capture::page::{GuestPages, PAGE_WORD_COUNT, PageWords, word};
use crate::limits::{
    CONTROL_BLOCK_CANDIDATE_COUNT_MAX, EVENT_ARRAY_CANDIDATE_COUNT_MAX, PAGE_SIZE,
    VCPU_INFO_CANDIDATE_COUNT_MAX,
};

/// Places that may hold the structures.
#[derive(Clone, Debug)]
pub struct Survey {
    khz: u64,
    next_gfn: u64,
    overflowed: bool,
    event_arrays: Vec<u64, EVENT_ARRAY_CANDIDATE_COUNT_MAX>,
    control_blocks: Vec<u64, CONTROL_BLOCK_CANDIDATE_COUNT_MAX>,
    vcpu_infos: Vec<u64, VCPU_INFO_CANDIDATE_COUNT_MAX>,
}

impl Survey {
    /// A survey of a domain whose TSC runs at `khz` (gettscinfo), from gfn 0 on.
    #[must_use]
    pub const fn new(khz: u64) -> Self {
        Self {
            khz,
            next_gfn: 0,
            overflowed: false,
            event_arrays: Vec::new(),
            control_blocks: Vec::new(),
            vcpu_infos: Vec::new(),
        }
    }

    /// Looks at the next `page_count` gfns; returns whether all have been looked at.
    pub fn advance(&mut self, pages: &impl GuestPages, page_count: u64) -> bool {
        let end_gfn = pages.gfn_count().min(self.next_gfn.saturating_add(page_count));
        for gfn in self.next_gfn..end_gfn {
            if let Some(page) = pages.page(gfn) {
                self.look(gfn, page);
            }
        }
        self.next_gfn = end_gfn;
        end_gfn == pages.gfn_count()
    }

    /// Looks at one page.
    fn look(&mut self, gfn: u64, page: &PageWords) {
        if control_block::looks_alike(page) {
            self.overflowed |= self.control_blocks.push(gfn).is_err();
            return;
        }
        if event_array::looks_alike(page) {
            self.overflowed |= self.event_arrays.push(gfn).is_err();
            return;
        }
        let base = gfn * PAGE_SIZE as u64;
        for (slot, offset) in (0..PAGE_WORD_COUNT / VCPU_INFO_WORD_COUNT).zip(0u64..) {
            // The version is small and never 0, and most slots of most pages fail at it.
            let version = word(page, slot * VCPU_INFO_WORD_COUNT + 4);
            if version.wrapping_sub(1) < u64::from(u32::MAX)
                && vcpu_info::clock_in(page, slot, self.khz, false).is_some()
            {
                let address = base + offset * VCPU_INFO_SIZE;
                self.overflowed |= self.vcpu_infos.push(address).is_err();
            }
        }
    }

    /// Whether more places resembled a structure than can be kept.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// gfns that may be the event array page.
    #[must_use]
    pub fn event_arrays(&self) -> &[u64] {
        &self.event_arrays
    }

    /// gfns that may be control blocks.
    #[must_use]
    pub fn control_blocks(&self) -> &[u64] {
        &self.control_blocks
    }

    /// Guest-physical addresses that may be vcpu_info.
    #[must_use]
    pub fn vcpu_infos(&self) -> &[u64] {
        &self.vcpu_infos
    }
}

#[cfg(test)]
mod tests {
    use super::super::vcpu_info::testing::{KHZ, place};
    use super::*;
    use crate::capture::page::image::Image;

    #[test]
    fn keeps_each_kind_of_place() {
        let mut image = Image::default();
        for index in 0..512 {
            image.set(0x2000 + index * 8, 0x4000_0000_4000_0000);
        }
        image.set_half(0x3000 + 8, 5);
        place(&mut image, 0x5fc0, 1 << 40, 5);
        place(&mut image, 0x5000, 1 << 40, 5);
        image.page_mut(9);
        let mut survey = Survey::new(KHZ);
        assert!(!survey.advance(&image, 3));
        assert!(!survey.advance(&image, 3));
        assert!(survey.advance(&image, 100));
        assert_eq!(survey.event_arrays(), [2]);
        assert_eq!(survey.control_blocks(), [3]);
        assert_eq!(survey.vcpu_infos(), [0x5000, 0x5fc0]);
        assert!(!survey.overflowed());
    }

    #[test]
    fn says_when_it_could_not_keep_all() {
        let mut image = Image::default();
        for gfn in 0..=EVENT_ARRAY_CANDIDATE_COUNT_MAX as u64 {
            for index in 0..512 {
                image.set(gfn * 4096 + index * 8, 0x4000_0000_4000_0000);
            }
        }
        let mut survey = Survey::new(KHZ);
        assert!(survey.advance(&image, 1000));
        assert!(survey.overflowed());
    }
}
