//! How a stub domain parts its memory: the region that dom0 maps first, then what ship remembers for deltas.

use core::fmt;

use crate::limits::{
    PAGE_SIZE, RING_ENTRY_COUNT_INITIAL, RING_ENTRY_COUNT_MAX, STUB_DOMAIN_DELTA_CACHE_SIZE,
};
use crate::platform::memory::HUGE_PAGE_SIZE;
use crate::ring::hand_over::{Program, region_size};

/// How large the ring shall be, as the command line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RingSize {
    /// As large as fits.
    #[default]
    Fitting,
    /// So many entries.
    Entries(u64),
}

/// The ring does not fit the domain's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingTooLarge {
    entry_count: u64,
    left: usize,
}

impl fmt::Display for RingTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [needed_mib, left_mib] =
            [region_size(self.entry_count), self.left].map(|size| size.div_ceil(1024 * 1024));
        write!(
            f,
            "a ring of {} entries takes {needed_mib} MiB, {left_mib} MiB are left: raise memory= in the \
             stub domain's configuration, or ask for a smaller ring",
            self.entry_count
        )
    }
}

/// Entries of the ring in `left` bytes of memory. Of a fitting one ship's third is the delta cache's,
/// [`STUB_DOMAIN_DELTA_CACHE_SIZE`] at most.
///
/// # Errors
/// [`RingTooLarge`].
pub fn entry_count(program: Program, asked: RingSize, left: usize) -> Result<u64, RingTooLarge> {
    // The region may have to begin with a huge page.
    let usable = left.saturating_sub(HUGE_PAGE_SIZE);
    let kept = match program {
        Program::PrimaryHelper => STUB_DOMAIN_DELTA_CACHE_SIZE.min(usable / 3),
        Program::BackupHelper => 0,
    };
    let entry_count = match asked {
        RingSize::Entries(entry_count) => entry_count,
        RingSize::Fitting => fitting(usable - kept).max(RING_ENTRY_COUNT_INITIAL),
    };
    if region_size(entry_count) <= usable {
        Ok(entry_count)
    } else {
        Err(RingTooLarge { entry_count, left })
    }
}

/// Entries of the largest ring in a region of `size` bytes; 0 if there is none.
fn fitting(size: usize) -> u64 {
    let (mut low, mut high) = (0, (size / PAGE_SIZE).min(RING_ENTRY_COUNT_MAX) as u64);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if region_size(middle) <= size { low = middle } else { high = middle - 1 }
    }
    low
}

/// Bytes of shadow pages for a delta cache of `wanted` bytes in `left` bytes of memory, in which its tags have to be as
/// well.
#[must_use]
pub fn delta_cache_size(wanted: u64, left: usize) -> usize {
    let usable = left.saturating_sub(HUGE_PAGE_SIZE + PAGE_SIZE);
    usize::try_from(wanted).unwrap_or(usize::MAX).min(usable - usable / 256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::page::ShadowCache;
    use proptest::prelude::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_fitting_ring_is_the_largest_one() {
        for left in [8 * MIB, 90 * MIB, 400 * MIB, 4000 * MIB] {
            let entry_count = entry_count(Program::BackupHelper, RingSize::Fitting, left).unwrap();
            assert!(region_size(entry_count) <= left - 2 * MIB);
            assert!(region_size(entry_count + 1) > left - 2 * MIB);
            let ship = super::entry_count(Program::PrimaryHelper, RingSize::Fitting, left).unwrap();
            let kept = left - 2 * MIB - region_size(ship);
            assert!(kept >= (64 * MIB).min(left / 4) && kept <= 67 * MIB, "{left} {kept}");
        }
        assert_eq!(fitting(0), 0);
        assert_eq!(fitting(usize::MAX), RING_ENTRY_COUNT_MAX as u64);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let asked = RingSize::Entries(16 * 1024);
        assert_eq!(entry_count(Program::PrimaryHelper, asked, 70 * MIB), Ok(16 * 1024));
        let error = entry_count(Program::PrimaryHelper, asked, 66 * MIB).unwrap_err();
        assert!(error.to_string().contains("takes 67 MiB, 66 MiB are left"), "{error}");
        assert!(entry_count(Program::BackupHelper, RingSize::Fitting, 0).is_err());
    }

    proptest! {
        #[test]
        fn a_cache_and_its_tags_fit(wanted: u64, left in 0_usize..1 << 32) {
            let size = delta_cache_size(wanted, left);
            let sets = size / ShadowCache::SIZE_LEAST;
            let tags = (sets * 64).next_multiple_of(PAGE_SIZE);
            prop_assert!(size == 0 || size + tags + HUGE_PAGE_SIZE <= left);
            prop_assert!(size as u64 <= wanted);
        }
    }
}
