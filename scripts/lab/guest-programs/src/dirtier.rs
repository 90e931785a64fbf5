//! Dirties a set number of memory pages per interval, so that a checkpoint has a known amount of work, and
//! tells whether they hold what was written: a guest that was brought back from a wrong image is found out.
//!
//! The pages of an interval are written at its begin; while the gaps in the guest's time are measured, which is
//! done here between the pages, they are spread over the interval and the rest of it is spent looking.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::gaps::{Meter, Report};

/// Size of a page, in bytes.
const PAGE_BYTES: usize = 4096;
/// Pages that are taken in turn at most: 16 MiB, several intervals' worth at the default rate.
pub const POOL_PAGES_MAX: u64 = 4096;
/// Pages dirtied per interval unless told otherwise.
pub const DEFAULT_PAGES: u64 = 1000;
/// Milliseconds of an interval unless told otherwise.
pub const DEFAULT_INTERVAL_MS: u64 = 100;

/// Parts of a page, of which each round changes one.
const PARTS_PER_PAGE: usize = 8;
/// Bytes of a part.
const PART_BYTES: usize = PAGE_BYTES / PARTS_PER_PAGE;

/// The rate, adjustable while the dirtier runs.
#[derive(Debug)]
pub struct Dirtier {
    pages: AtomicU64,
    interval_ms: AtomicU64,
    pool_pages: AtomicU64,
    rounds: AtomicU64,
    requests: Mutex<Sender<Request>>,
}

/// What is asked of the dirtier's thread.
#[derive(Debug)]
enum Request {
    Inspect(Sender<Inspection>),
    StartMeter { threshold_us: u64 },
    StopMeter(Sender<Option<Report>>),
}

/// What a look at the whole pool found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Inspection {
    /// Parts of pages that were written since the dirtier started.
    pub written: usize,
    /// Parts that do not hold what was written to them last.
    pub wrong: usize,
}

/// The pages, and beside them the round in which each part was written last.
struct Pool {
    bytes: Vec<u8>,
    /// The round plus one; 0 is a part that was never written.
    rounds: Vec<u64>,
    /// The page that was written last.
    position: usize,
}

impl Dirtier {
    /// Starts the dirtier's thread at the default rate.
    #[must_use]
    pub fn start() -> Arc<Self> {
        let (requests, asked) = mpsc::channel();
        let dirtier = Arc::new(Self {
            pages: AtomicU64::new(DEFAULT_PAGES),
            interval_ms: AtomicU64::new(DEFAULT_INTERVAL_MS),
            pool_pages: AtomicU64::new(POOL_PAGES_MAX),
            rounds: AtomicU64::new(0),
            requests: Mutex::new(requests),
        });
        let worker = Arc::clone(&dirtier);
        thread::spawn(move || worker.run(&asked));
        dirtier
    }

    /// Has every part of the pool compared with what was written to it; `None` if the thread has ended.
    #[must_use]
    pub fn inspect(&self) -> Option<Inspection> {
        let (answer, answered) = mpsc::channel();
        self.request(Request::Inspect(answer));
        answered.recv().ok()
    }

    /// Measures gaps in the guest's time from now on.
    pub fn start_meter(&self, threshold_us: u64) {
        self.request(Request::StartMeter { threshold_us });
    }

    /// Ends a measurement; `None` if there is none, or the thread has ended.
    #[must_use]
    pub fn stop_meter(&self) -> Option<Report> {
        let (answer, answered) = mpsc::channel();
        self.request(Request::StopMeter(answer));
        answered.recv().ok()?
    }

    fn request(&self, request: Request) {
        // A thread that has ended drops the request, and with it whoever waits for its answer.
        let _ = self.requests.lock().unwrap_or_else(PoisonError::into_inner).send(request);
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

    fn run(&self, asked: &Receiver<Request>) {
        let mut pool = Pool::new(usize::try_from(POOL_PAGES_MAX).unwrap_or(1));
        let mut meter = None;
        let mut due = Instant::now();
        loop {
            due = self.round(&mut pool, meter.as_mut(), due);
            while let Ok(request) = asked.try_recv() {
                // Whoever asked may have gone; then nobody misses the answer.
                match request {
                    Request::Inspect(answer) => drop(answer.send(pool.inspect())),
                    Request::StartMeter { threshold_us } => {
                        meter = Some(Meter::start(threshold_us))
                    }
                    Request::StopMeter(answer) => {
                        drop(answer.send(meter.take().map(Meter::finish)));
                    }
                }
            }
        }
    }

    /// Writes the pages of one interval, which begins at `due`; tells when the next one does.
    fn round(&self, pool: &mut Pool, mut meter: Option<&mut Meter>, due: Instant) -> Instant {
        let (pages, interval_ms, round) = self.state();
        let pool_pages = usize::try_from(self.pool_pages.load(Ordering::Relaxed)).unwrap_or(1);
        let interval = Duration::from_millis(interval_ms);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        for page in 0..pages {
            if let Some(meter) = meter.as_mut() {
                let page_due = due + interval * page / pages;
                while meter.look() < page_due {}
            }
            pool.dirty_next(pool_pages, round);
            if let Some(meter) = meter.as_mut() {
                meter.note_page();
            }
        }
        self.rounds.store(round + 1, Ordering::Relaxed);
        let next_due = due + interval;
        match meter {
            Some(meter) => while meter.look() < next_due {},
            None => thread::sleep(next_due.saturating_duration_since(Instant::now())),
        }
        // When late, take up the pace again rather than catch up.
        next_due.max(Instant::now())
    }
}

impl Pool {
    fn new(pages: usize) -> Self {
        Self {
            bytes: vec![0; PAGE_BYTES * pages],
            rounds: vec![0; PARTS_PER_PAGE * pages],
            position: 0,
        }
    }

    /// Writes to the next page of the first `page_count`, taken in turn.
    fn dirty_next(&mut self, page_count: usize, round: u64) {
        self.position = (self.position + 1) % page_count;
        self.dirty(self.position, round);
    }

    /// Changes an eighth of a page, at a place that moves: compressible as a change, never the same twice.
    fn dirty(&mut self, page: usize, round: u64) {
        let part = page * PARTS_PER_PAGE + usize::try_from(round).unwrap_or(0) % PARTS_PER_PAGE;
        for (index, chunk) in (0_u64..).zip(self.part_mut(part).chunks_mut(8)) {
            chunk.copy_from_slice(&word(round, index).to_le_bytes());
        }
        self.rounds[part] = round + 1;
    }

    fn part_mut(&mut self, part: usize) -> &mut [u8] {
        &mut self.bytes[part * PART_BYTES..(part + 1) * PART_BYTES]
    }

    fn inspect(&self) -> Inspection {
        let mut found = Inspection::default();
        for (part, round) in self.bytes.chunks(PART_BYTES).zip(&self.rounds) {
            let right = match round.checked_sub(1) {
                Some(round) => (0_u64..)
                    .zip(part.chunks(8))
                    .all(|(index, chunk)| chunk == word(round, index).to_le_bytes()),
                None => part.iter().all(|byte| *byte == 0),
            };
            found.written += usize::from(*round != 0);
            found.wrong += usize::from(!right);
        }
        found
    }
}

/// The word at an index of a part that was written in a round.
fn word(round: u64, index: u64) -> u64 {
    round.wrapping_mul(0x9e37_79b9).wrapping_add(index / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_older_than_its_round_is_wrong() {
        let mut pool = Pool::new(4);
        (0..40).for_each(|round| pool.dirty(usize::try_from(round % 3).unwrap(), round));
        assert_eq!(
            pool.inspect(),
            Inspection { written: 24, wrong: 0 },
            "three pages, the fourth never"
        );

        let earlier = pool.part_mut(9).to_vec();
        pool.dirty(1, 41);
        pool.part_mut(9).copy_from_slice(&earlier);
        assert_eq!(pool.inspect().wrong, 1, "an older image of a part");
        pool.bytes[PAGE_BYTES * 3] = 1;
        assert_eq!(pool.inspect().wrong, 2, "a page that was never written");
    }
}
