//! The rehearsed guest at work: writes when writes are due, page by page, unless it is paused.

use core::sync::atomic::Ordering;

use super::digest::Digest;
use super::random::Random;
use super::region::GuestRegion;
use super::trace::TracePlayer;
use super::workload::{Change, Workload};
use crate::limits::PAGE_SIZE;

/// Microseconds between two looks of a guest that is paused.
const PAUSED_REST_US: u64 = 100;
/// A guest that was kept from writing makes up for so much time at most.
const BEHIND_US_MAX: u64 = 25_000;
/// Writes between two looks at everything else.
const WRITE_COUNT_MAX: u32 = 256;

/// Where the writes come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'t> {
    /// They are invented.
    Workload(Workload),
    /// They were recorded.
    Trace(TracePlayer<'t>),
}

impl Source<'_> {
    const fn due_us(&self) -> u64 {
        match self {
            Self::Workload(workload) => workload.due_us(),
            Self::Trace(player) => player.due_us(),
        }
    }
}

/// The guest.
#[derive(Debug)]
pub struct Player<'t> {
    region: GuestRegion,
    source: Source<'t>,
    digest: Digest,
    /// When the source's time began; none before the first write.
    began_us: Option<u64>,
}

impl<'t> Player<'t> {
    /// A guest whose memory is all zeros.
    #[must_use]
    pub const fn new(region: GuestRegion, source: Source<'t>) -> Self {
        Self { region, source, digest: Digest::ZEROS, began_us: None }
    }

    /// Fills memory as it shall be when the guest is first seen: with random content, or with the
    /// image of the trace, `image`. Says when that is done.
    pub fn fill<'p>(&mut self, image: impl Iterator<Item = (u64, &'p [u8; PAGE_SIZE])>) {
        match self.source {
            Source::Workload(_) => {
                let mut random = Random::new(2);
                for gfn in 0..self.region.gfn_count() {
                    for index in 0..PAGE_SIZE / 8 {
                        self.store(gfn, index, random.next());
                    }
                }
            }
            Source::Trace(_) => image.for_each(|(gfn, page)| self.store_page(gfn, page)),
        }
        self.region.note_digest(self.digest);
        self.region.set_ready();
    }

    /// Makes the writes that are due at `now_us`, a bounded number, and tells when to ask again.
    pub fn play(&mut self, now_us: u64) -> u64 {
        let mut began_us = *self.began_us.get_or_insert(now_us);
        for _ in 0..WRITE_COUNT_MAX {
            let due_us = began_us + self.source.due_us();
            if due_us > now_us {
                return due_us;
            }
            if now_us - due_us > BEHIND_US_MAX {
                began_us += now_us - due_us - BEHIND_US_MAX;
                self.began_us = Some(began_us);
            }
            if !self.region.begin_write() {
                return now_us + PAUSED_REST_US;
            }
            let gfn = self.write_next();
            self.region.end_write(gfn, self.digest);
        }
        now_us
    }

    fn write_next(&mut self) -> u64 {
        match &mut self.source {
            Source::Workload(workload) => {
                let change = workload.next_change();
                self.make(&change);
                change.gfn
            }
            Source::Trace(player) => {
                let (gfn, page) = player.next_page();
                self.store_page(gfn, page);
                gfn
            }
        }
    }

    fn make(&mut self, change: &Change) {
        let mut random = Random::new(change.seed);
        let end = change.offset + change.size;
        for index in change.offset / 8..end.div_ceil(8) {
            // The bytes of this word that change.
            let first = change.offset.saturating_sub(index * 8);
            let behind = (end - index * 8).min(8);
            let mask = u64::MAX >> (64 - (behind - first) * 8) << (first * 8);
            let old = self.region.page(change.gfn)[index].load(Ordering::Relaxed);
            self.store(change.gfn, index, old & !mask | random.next() & mask);
        }
    }

    fn store_page(&mut self, gfn: u64, page: &[u8; PAGE_SIZE]) {
        for (index, bytes) in page.as_chunks().0.iter().enumerate() {
            self.store(gfn, index, u64::from_le_bytes(*bytes));
        }
    }

    fn store(&mut self, gfn: u64, index: usize, new: u64) {
        let word = &self.region.page(gfn)[index];
        let old = word.load(Ordering::Relaxed);
        if old != new {
            word.store(new, Ordering::Relaxed);
            self.digest.change(gfn, index as u64, old, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::WorkloadOptions;
    use super::*;
    use proptest::prelude::*;

    fn digest_of(region: &GuestRegion) -> Digest {
        let mut digest = Digest::ZEROS;
        for gfn in 0..region.gfn_count() {
            for (index, word) in (0..).zip(region.page(gfn)) {
                digest.change(gfn, index, 0, word.load(Ordering::Relaxed));
            }
        }
        digest
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn the_digest_is_that_of_memory_and_only_what_changes_is_logged(change_size in 1usize..=4096) {
            let options = WorkloadOptions {
                gfn_count: 32, dirty_page_count: 8, hot_percent: 50, change_size, interval_us: 8000,
            };
            let region = GuestRegion::create(32).unwrap();
            let seen = region.again().unwrap();
            let mut player = Player::new(region, Source::Workload(Workload::new(options)));
            player.fill(core::iter::empty());
            prop_assert!(seen.is_ready());
            prop_assert_eq!(seen.digest(), digest_of(&seen));
            let before: Vec<Vec<u64>> = (0..32).map(|gfn| words(&seen, gfn)).collect();
            prop_assert_eq!(player.play(500_000), 501_000);
            prop_assert_eq!(player.play(507_999), 508_000);
            prop_assert_eq!(seen.digest(), digest_of(&seen));
            let logged = seen.log()[0].load(Ordering::Relaxed);
            prop_assert_eq!(seen.distinct_count(), u64::from(logged.count_ones()));
            for gfn in 0..32 {
                let now = words(&seen, gfn);
                let changed = now.iter().zip(&before[usize::try_from(gfn).unwrap()]).filter(|(a, b)| a != b);
                let changed = changed.count();
                prop_assert!(changed == 0 || logged & 1 << gfn != 0);
                prop_assert!(changed <= 8 * (change_size / 8 + 2));
            }
        }
    }

    fn words(region: &GuestRegion, gfn: u64) -> Vec<u64> {
        region.page(gfn).iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn a_paused_guest_writes_nothing() {
        let options = WorkloadOptions {
            gfn_count: 8,
            dirty_page_count: 8,
            hot_percent: 100,
            change_size: 8,
            interval_us: 8,
        };
        let region = GuestRegion::create(8).unwrap();
        let seen = region.again().unwrap();
        let mut player = Player::new(region, Source::Workload(Workload::new(options)));
        player.play(0);
        assert!(seen.pause(|| panic!("nobody writes")));
        let digest = seen.digest();
        assert_eq!(player.play(100), 100 + PAUSED_REST_US);
        assert_eq!(seen.digest(), digest);
        seen.resume_in(1);
        player.play(100);
        assert_ne!(seen.digest(), digest);
        // One that never ends its write is not waited for.
        assert!(seen.begin_write());
        assert!(!seen.pause(|| false));
    }
}
