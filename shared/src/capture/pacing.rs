//! How many pages may be left to the pause, and how early to begin with the others.
//!
//! A pause costs something fixed (hypercalls, the pages that are always copied, the HVM context)
//! and something for each page that the log names. Both are measured at every checkpoint. What the
//! operator's target leaves after the fixed part is the budget; a target that the fixed part alone
//! exceeds cannot be met by copying less, and then the pages may cost as much as the fixed part.

use crate::limits::TAIL_PAGE_COUNT_MAX;

/// Weight of the newest measurement: one part in so many.
const SMOOTHING: u64 = 8;
/// A page's cost is kept in units of 1/16 ns.
const PAGE_NS_UNIT: u64 = 16;
/// Nanoseconds that a page costs before any was measured: 4 KiB at 4 GB/s.
const PAGE_NS_START: u64 = 1000;
/// Copies of fewer pages say little of what one page costs.
const MEASURED_PAGE_COUNT_MIN: u64 = 32;
/// After the log was cleaned the guest is given so many pauses' fixed cost to touch again what it always
/// touches: both are the price of entering the hypervisor, on whatever machine. A pause right after it
/// would find the guest among those faults, and make one gap of both.
const SETTLING_PAUSES: u64 = 3;
/// While pages that were copied early are sent, before the pause, the guest may write one part in so many of what
/// the pause may copy.
const EARLY_PARTS: u64 = 4;
/// What a page may need to the backup: 4 KiB at 1 Gbit/s, as it is.
const PAGE_SENDING_US: u64 = 33;
/// The budget is never smaller: that few pages are not worth a reading of the log.
const BUDGET_PAGE_COUNT_MIN: u64 = 64;

/// What pauses cost, measured.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    target_ns: u64,
    fixed_ns: u64,
    page_ns_units: u64,
}

impl Pacing {
    /// Nothing is measured yet. `target_us` is the longest pause that the operator wants.
    #[must_use]
    pub const fn new(target_us: u32) -> Self {
        Self {
            target_ns: target_us as u64 * 1000,
            fixed_ns: 0,
            page_ns_units: PAGE_NS_START * PAGE_NS_UNIT,
        }
    }

    /// Notes that copying `page_count` pages took `elapsed_ns`.
    pub fn note_copied(&mut self, page_count: u64, elapsed_ns: u64) {
        if page_count >= MEASURED_PAGE_COUNT_MIN {
            let units = elapsed_ns * PAGE_NS_UNIT / page_count;
            self.page_ns_units = smoothed(self.page_ns_units, units).max(1);
        }
    }

    /// Notes a pause of `pause_ns`, of which copying what the log named took `copying_ns`.
    pub fn note_pause(&mut self, pause_ns: u64, copying_ns: u64) {
        let fixed_ns = pause_ns.saturating_sub(copying_ns);
        self.fixed_ns =
            if self.fixed_ns == 0 { fixed_ns } else { smoothed(self.fixed_ns, fixed_ns) };
    }

    /// Pages of the log that the pause may copy.
    #[must_use]
    pub fn tail_page_count_max(&self) -> u64 {
        // A tenth is left for what is written until the pause begins.
        let left_ns = (self.target_ns * 9 / 10).saturating_sub(self.fixed_ns).max(self.fixed_ns);
        let pages = left_ns * PAGE_NS_UNIT / self.page_ns_units;
        pages.clamp(BUDGET_PAGE_COUNT_MIN, TAIL_PAGE_COUNT_MAX)
    }

    /// Microseconds that a guest is given after its log was cleaned, before it is paused.
    #[must_use]
    pub fn settling_us(&self, interval_us: u64) -> u64 {
        (self.fixed_ns * SETTLING_PAUSES / 1000).min(interval_us / 2)
    }

    /// Microseconds before the checkpoint at which copying `page_count` pages early must begin, of a
    /// guest that writes so many in `interval_us`; half the interval at most. When all of them may be left to the pause it
    /// is 0, unless the log `is_cleaned_early`, before which the guest has to settle.
    ///
    /// The later, the less is written to them again. The earlier, the more of them are on the backup when the
    /// pause begins: the guest's output waits for whatever is not. So they are given what the link may need, as far as the
    /// guest writes no more meanwhile than a part of what the pause may copy; but always what copying them takes.
    #[must_use]
    pub fn lead_us(&self, page_count: u64, interval_us: u64, is_cleaned_early: bool) -> u64 {
        let tail_count = self.tail_page_count_max();
        let fits = page_count <= tail_count;
        if fits && !is_cleaned_early {
            return 0;
        }
        let settling_us = if fits { self.settling_us(interval_us) } else { 0 };
        // What is written meanwhile takes a second, shorter pass.
        let copying_us =
            page_count.saturating_mul(self.page_ns_units * 5 / 4) / PAGE_NS_UNIT / 1000;
        let spare_us = interval_us.saturating_mul(tail_count.min(page_count)) / page_count.max(1);
        let sending_us = page_count.saturating_mul(PAGE_SENDING_US).min(spare_us / EARLY_PARTS);
        (copying_us + settling_us).max(sending_us).min(interval_us / 2)
    }
}

fn smoothed(mean: u64, sample: u64) -> u64 {
    (mean * (SMOOTHING - 1) + sample) / SMOOTHING
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A machine that copies a page in `page_ns`, with pauses that cost `fixed_ns` besides.
    fn measured(target_us: u32, fixed_ns: u64, page_ns: u64) -> Pacing {
        let mut pacing = Pacing::new(target_us);
        for _ in 0..100 {
            pacing.note_copied(1000, 1000 * page_ns);
            pacing.note_pause(fixed_ns + 1000 * page_ns, 1000 * page_ns);
        }
        pacing
    }

    #[test]
    fn the_budget_is_what_the_target_leaves() {
        let pacing = measured(500, 100_000, 400);
        assert!((860..=880).contains(&pacing.tail_page_count_max()));
        assert_eq!(pacing.lead_us(800, 25_000, false), 0);
        assert!((4900..=5100).contains(&pacing.lead_us(10_000, 25_000, false)));
    }

    #[test]
    fn a_guest_settles_for_half_an_interval_at_most() {
        let pacing = measured(500, 2_000_000, 400);
        assert!((5900..=6000).contains(&pacing.settling_us(25_000)));
        assert_eq!(pacing.settling_us(5_000), 2_500);
        // The copies of 100 pages and a quarter again, and a moment in which the guest settles.
        assert!((5950..=6050).contains(&pacing.lead_us(100, 25_000, true)));
        assert_eq!(pacing.lead_us(100, 5_000, true), 2_500);
    }

    #[test]
    fn pages_are_copied_early_enough_to_be_sent_as_far_as_what_follows_costs_the_pause_little() {
        let pacing = measured(500, 100_000, 400);
        // What they may take on the link, however long the interval is.
        assert_eq!(pacing.lead_us(100, 25_000, true), 3_300);
        assert_eq!(pacing.lead_us(100, 10_000_000, true), 3_300);
        // A quarter of the interval, in which a quarter of them is written again.
        assert_eq!(pacing.lead_us(800, 25_000, true), 6_250);
        // So long that a quarter of what fits is written meanwhile.
        let lead_us = pacing.lead_us(1500, 25_000, false);
        let written_count = 1500 * lead_us / 25_000;
        assert!(written_count.abs_diff(pacing.tail_page_count_max() / 4) <= 1, "{written_count}");
    }

    #[test]
    fn copying_begins_half_an_interval_before_the_pause_at_the_earliest() {
        assert_eq!(measured(500, 100_000, 400).lead_us(100_000, 25_000, false), 12_500);
    }

    #[test]
    fn a_target_that_cannot_be_met_is_not_chased() {
        let pacing = measured(500, 2_000_000, 2_000);
        assert!((990..=1010).contains(&pacing.tail_page_count_max()));
    }

    proptest! {
        #[test]
        fn a_pause_within_the_budget_is_within_the_target(
            target_us in 100u32..10_000, fixed_ns in 0u64..50_000, page_ns in 50u64..5_000,
        ) {
            let pacing = measured(target_us, fixed_ns, page_ns);
            let pages = pacing.tail_page_count_max();
            let pause_ns = fixed_ns + pages * page_ns;
            prop_assert!(pages == BUDGET_PAGE_COUNT_MIN || pause_ns <= u64::from(target_us) * 1000);
        }

        #[test]
        fn nothing_overflows(target_us: u32, samples in proptest::collection::vec((0u64..1 << 24, 0u64..1 << 40), 0..20)) {
            let mut pacing = Pacing::new(target_us);
            for (pages, ns) in samples {
                pacing.note_copied(pages, ns);
                pacing.note_pause(ns, ns / 2);
                prop_assert!(pacing.tail_page_count_max() <= TAIL_PAGE_COUNT_MAX);
                let _ = pacing.lead_us(pages, ns, true);
            }
        }
    }
}
