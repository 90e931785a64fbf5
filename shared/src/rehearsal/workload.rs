//! What an invented guest writes, and when: so many pages in each interval, evenly spread in time.
//!
//! A share of them is the same working set in every interval, each page of it once; the others are
//! anywhere. Of each page some bytes change, in a row at a random place, to new random content.

use super::random::Random;
use crate::limits::PAGE_SIZE;

/// How the guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadOptions {
    /// Pages of the guest.
    pub gfn_count: u64,
    /// Pages that it writes in an interval: at least 1, at most all of them.
    pub dirty_page_count: u64,
    /// Percent of them that are the working set.
    pub hot_percent: u32,
    /// Bytes that change in each, 1 to 4096.
    pub change_size: usize,
    /// The interval in microseconds.
    pub interval_us: u64,
}

/// A row of bytes in a page that gets new content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The page.
    pub gfn: u64,
    /// The first byte.
    pub offset: usize,
    /// How many.
    pub size: usize,
    /// The content's seed.
    pub seed: u64,
}

/// The writes, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    options: WorkloadOptions,
    hot_count: u64,
    /// Writes made so far.
    number: u64,
    random: Random,
}

impl Workload {
    /// The workload with these options, always the same one.
    #[must_use]
    pub fn new(options: WorkloadOptions) -> Self {
        let is_possible = (1..=options.gfn_count).contains(&options.dirty_page_count)
            && (1..=PAGE_SIZE).contains(&options.change_size)
            && options.hot_percent <= 100;
        assert!(is_possible, "a possible load");
        let hot_count = options.dirty_page_count * u64::from(options.hot_percent) / 100;
        Self { options, hot_count, number: 0, random: Random::new(1) }
    }

    /// When the next write is due, in microseconds since the first.
    #[must_use]
    pub const fn due_us(&self) -> u64 {
        let WorkloadOptions { dirty_page_count, interval_us, .. } = self.options;
        let whole_us = self.number / dirty_page_count * interval_us;
        whole_us + self.number % dirty_page_count * interval_us / dirty_page_count
    }

    /// The next write.
    pub fn next_change(&mut self) -> Change {
        let WorkloadOptions { gfn_count, dirty_page_count, change_size, .. } = self.options;
        let place = self.number % dirty_page_count;
        self.number += 1;
        // So many of the working set's pages have been written before and after this one.
        let before = place * self.hot_count / dirty_page_count;
        let after = (place + 1) * self.hot_count / dirty_page_count;
        let gfn = if after > before {
            before * gfn_count / self.hot_count
        } else {
            self.random.below(gfn_count)
        };
        let room = (PAGE_SIZE - change_size) as u64 + 1;
        let offset = usize::try_from(self.random.below(room)).unwrap_or(0);
        Change { gfn, offset, size: change_size, seed: self.random.next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn each_interval_has_its_pages_and_the_working_set_returns(
            gfn_count in 1u64..5_000, dirty in 1u64..500, hot_percent in 0u32..=100,
            change_size in 1usize..=PAGE_SIZE, interval_us in 1_000u64..100_000,
        ) {
            let dirty_page_count = dirty.min(gfn_count);
            let options = WorkloadOptions { gfn_count, dirty_page_count, hot_percent, change_size, interval_us };
            let mut workload = Workload::new(options);
            let hot_count = dirty_page_count * u64::from(hot_percent) / 100;
            let mut common: Option<BTreeSet<u64>> = None;
            for interval in 0..4 {
                let mut written = BTreeSet::new();
                for number in 0..dirty_page_count {
                    let due_us = workload.due_us();
                    prop_assert!((interval * interval_us..(interval + 1) * interval_us).contains(&due_us));
                    prop_assert!(number > 0 || due_us == interval * interval_us);
                    let change = workload.next_change();
                    prop_assert!(change.gfn < gfn_count && change.offset + change.size <= PAGE_SIZE);
                    prop_assert_eq!(change.size, change_size);
                    written.insert(change.gfn);
                }
                common = Some(match common {
                    None => written,
                    Some(common) => common.intersection(&written).copied().collect(),
                });
            }
            prop_assert!(common.unwrap().len() as u64 >= hot_count);
        }
    }
}
