//! Whether a checkpoint cleans the log or only reads it.
//!
//! After the log was cleaned, each page that the guest touches costs it a fault: Xen takes the
//! domain's p2m lock, changes an entry and flushes TLBs. A log that is kept names more pages than
//! were written in this epoch, and each of those is copied for nothing. Both are costs, and which
//! is smaller depends on the guest: one that writes the same pages in every epoch is best never
//! cleaned, one that never returns to a page is best cleaned always.
//!
//! The rule is that of renting skis: keep the log until what was copied for nothing has cost as
//! much as cleaning will. So the two together are at most twice what hindsight would have paid.

use super::logged_guest::Reading;
use crate::limits::{LOG_KEPT_EPOCH_COUNT_MAX, REFAULT_COST_PAGE_COUNT};

/// Times in a row that a guest which did not return to its pages is cleaned before keeping is
/// tried again, at most.
const CLEANINGS_MAX: u32 = 16;

/// What is known of a guest's way of writing.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogPolicy {
    /// Pages that it writes in an epoch, as of the last epoch that began with an empty log.
    written_count: u64,
    /// Pages that the log named at the last decision; 0 when it was cleaned since.
    known_count: u64,
    /// Epochs since the log was cleaned.
    kept_epoch_count: u32,
    /// Pages copied for nothing since then.
    wasted_count: u64,
    /// Cleanings without trying to keep that are still to come, and how many come the next time.
    cleanings: u32,
    cleanings_next: u32,
}

impl LogPolicy {
    /// Decides for a checkpoint; the log names `logged_count` pages now, in the last quarter of the
    /// interval before it as a rule: two decisions are about an epoch apart.
    pub fn decide(&mut self, logged_count: u64) -> Reading {
        if self.kept_epoch_count == 0 {
            self.written_count = logged_count;
        }
        let new_count = logged_count.saturating_sub(self.known_count);
        let returned_count = self.written_count.saturating_sub(new_count);
        self.wasted_count += logged_count.saturating_sub(self.written_count);
        self.kept_epoch_count += 1;
        self.known_count = logged_count;
        let is_first = self.kept_epoch_count == 1;
        if is_first && self.cleanings > 0 {
            self.cleanings -= 1;
            return self.clean();
        }
        let is_vain = self.wasted_count > returned_count * REFAULT_COST_PAGE_COUNT;
        if is_vain && self.kept_epoch_count == 2 {
            // It hardly returned to what it had written before.
            self.cleanings = self.cleanings_next.max(1);
            self.cleanings_next = (self.cleanings * 2).min(CLEANINGS_MAX);
        } else if !is_first {
            self.cleanings_next = 0;
        }
        // What it writes in an epoch can only be seen after a cleaning, and may be less by now.
        if is_vain || self.kept_epoch_count >= LOG_KEPT_EPOCH_COUNT_MAX {
            return self.clean();
        }
        Reading::Keep
    }

    /// Notes that the log was cleaned.
    pub fn note_cleaned(&mut self) {
        (self.known_count, self.kept_epoch_count, self.wasted_count) = (0, 0, 0);
    }

    fn clean(&mut self) -> Reading {
        self.note_cleaned();
        Reading::Clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What a guest pays: pages copied, and faults in units of page copies.
    struct Cost {
        copied: u64,
        faults: u64,
        cleanings: u64,
    }

    /// Runs a guest that writes the given pages in each epoch.
    fn run(policy: &mut dyn FnMut(u64) -> Reading, epochs: impl Iterator<Item = Vec<u64>>) -> Cost {
        let mut log = BTreeSet::new();
        let mut cost = Cost { copied: 0, faults: 0, cleanings: 0 };
        for written in epochs {
            for page in written {
                cost.faults += u64::from(log.insert(page)) * REFAULT_COST_PAGE_COUNT;
            }
            cost.copied += log.len() as u64;
            if policy(log.len() as u64) == Reading::Clean {
                log.clear();
                cost.cleanings += 1;
            }
        }
        cost
    }

    fn costs(epochs: &dyn Fn() -> Box<dyn Iterator<Item = Vec<u64>>>) -> [Cost; 2] {
        let mut policy = LogPolicy::default();
        [run(&mut |count| policy.decide(count), epochs()), run(&mut |_| Reading::Clean, epochs())]
    }

    #[test]
    fn a_guest_that_writes_the_same_pages_hardly_faults() {
        let [ours, always] = costs(&|| Box::new((0..1000).map(|_| (0..1000).collect())));
        assert!(ours.faults * 50 < always.faults);
        assert_eq!(ours.copied, always.copied);
    }

    #[test]
    fn a_guest_that_never_returns_is_cleaned_nearly_always() {
        let fresh = |epoch: u64| (epoch * 1000..(epoch + 1) * 1000).collect();
        let [ours, always] = costs(&|| Box::new((0..1000).map(fresh)));
        assert_eq!(ours.faults, always.faults);
        assert!(ours.copied * 10 < always.copied * 11, "{} {}", ours.copied, always.copied);
    }

    #[test]
    fn a_guest_that_falls_asleep_is_found_out() {
        let epochs = |epoch| if epoch < 100 { (0..1000).collect() } else { vec![1, 2, 3] };
        let [ours, _] = costs(&|| Box::new((0..2000).map(epochs)));
        let sleeping_copies = ours.copied - 100 * 1000;
        assert!(sleeping_copies < 70 * 1000 + 2000 * 40, "{sleeping_copies}");
    }

    proptest! {
        /// Hot pages, some others, at any size: never much dearer than cleaning always, which is
        /// what every other checkpointer does.
        #[test]
        fn no_guest_pays_much_more_than_for_cleaning_always(
            hot in 0u64..200, cold in 0u64..200, spread in 1u64..100_000, seed: u64,
        ) {
            let written = move |epoch: u64| {
                let cold_page = move |number: u64| {
                    let mixed = ((epoch * 200 + number) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    10_000 + (mixed >> 20) % spread
                };
                (0..hot).chain((0..cold).map(cold_page)).collect::<Vec<_>>()
            };
            let [ours, always] = costs(&|| Box::new((0..200).map(written)));
            let total = |cost: &Cost| cost.copied + cost.faults;
            prop_assert!(total(&ours) * 4 <= total(&always) * 5, "{} {}", total(&ours), total(&always));
            prop_assert!(ours.cleanings <= 200);
        }
    }
}
