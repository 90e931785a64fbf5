//! Dirties a set number of memory pages per interval, so that a checkpoint has a known amount of work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Size of a page, in bytes.
const PAGE_BYTES: usize = 4096;
/// Pages that are taken in turn at most: 16 MiB, several intervals' worth at the default rate.
pub const POOL_PAGES_MAX: u64 = 4096;
/// Pages dirtied per interval unless told otherwise.
pub const DEFAULT_PAGES: u64 = 1000;
/// Milliseconds of an interval unless told otherwise.
pub const DEFAULT_INTERVAL_MS: u64 = 100;

/// The rate, adjustable while the dirtier runs.
#[derive(Debug)]
pub struct Dirtier {
    pages: AtomicU64,
    interval_ms: AtomicU64,
    pool_pages: AtomicU64,
    rounds: AtomicU64,
}

impl Dirtier {
    /// Starts the dirtier's thread at the default rate.
    #[must_use]
    pub fn start() -> Arc<Self> {
        let dirtier = Arc::new(Self {
            pages: AtomicU64::new(DEFAULT_PAGES),
            interval_ms: AtomicU64::new(DEFAULT_INTERVAL_MS),
            pool_pages: AtomicU64::new(POOL_PAGES_MAX),
            rounds: AtomicU64::new(0),
        });
        let worker = Arc::clone(&dirtier);
        thread::spawn(move || worker.run());
        dirtier
    }

    /// Sets pages per interval, and among how many they are taken in turn; 0 pages rests.
    pub fn set(&self, pages: u64, interval_ms: u64, pool_pages: u64) {
        self.pages.store(pages, Ordering::Relaxed);
        self.pool_pages.store(pool_pages.clamp(1, POOL_PAGES_MAX), Ordering::Relaxed);
        self.interval_ms.store(interval_ms.max(1), Ordering::Relaxed);
    }

    /// Pages per interval, the interval in milliseconds, and rounds done so far.
    #[must_use]
    pub fn state(&self) -> (u64, u64, u64) {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        (load(&self.pages), load(&self.interval_ms), load(&self.rounds))
    }

    fn run(&self) {
        let pages_max = usize::try_from(POOL_PAGES_MAX).unwrap_or(1);
        let mut pool = vec![0_u8; PAGE_BYTES * pages_max];
        let mut position = 0;
        let mut due = Instant::now();
        loop {
            let (pages, interval_ms, round) = self.state();
            let pool_pages = usize::try_from(self.pool_pages.load(Ordering::Relaxed)).unwrap_or(1);
            for _ in 0..pages {
                position = (position + 1) % pool_pages;
                let start = position * PAGE_BYTES;
                dirty(&mut pool[start..start + PAGE_BYTES], round);
            }
            self.rounds.store(round + 1, Ordering::Relaxed);
            due += Duration::from_millis(interval_ms);
            match due.checked_duration_since(Instant::now()) {
                Some(rest) => thread::sleep(rest),
                // Late by more than the interval: take up the pace again rather than catch up.
                None => due = Instant::now(),
            }
        }
    }
}

/// Changes an eighth of a page, at a place that moves: compressible as a change, never the same twice.
fn dirty(page: &mut [u8], round: u64) {
    let offset = usize::try_from(round % 8).unwrap_or(0) * (PAGE_BYTES / 8);
    for (index, chunk) in (0_u64..).zip(page[offset..offset + PAGE_BYTES / 8].chunks_mut(8)) {
        let word = round.wrapping_mul(0x9e37_79b9).wrapping_add(index / 4);
        chunk.copy_from_slice(&word.to_le_bytes());
    }
}
