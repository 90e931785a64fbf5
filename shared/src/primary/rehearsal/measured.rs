//! What a rehearsal measures, and from when to when.

use crate::limits::{EPOCH_REVIVABLE_FIRST, PAGE_SIZE, REHEARSAL_WARM_UP_EPOCH_COUNT};
use crate::primary::epochs::Acknowledged;
use crate::ring::{LinkCounters, ProcessFigures, RehearsalFigures};
use crate::status::Histogram;

/// Frames that leave the guest in an epoch, as far as their latency is told: spread evenly.
const MOMENT_COUNT: u64 = 32;
/// The epoch with whose acknowledgement measuring begins.
const WARM_EPOCH: u64 = EPOCH_REVIVABLE_FIRST + REHEARSAL_WARM_UP_EPOCH_COUNT;

/// All counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    pub at_us: u64,
    pub capture: ProcessFigures,
    pub link: LinkCounters,
    pub backup: RehearsalFigures,
    /// Pages that the guest has written, each counted once in every epoch.
    pub distinct_page_count: u64,
}

/// What the epochs came to.
#[derive(Debug)]
pub struct Measured {
    duration_us: u64,
    epoch_count_max: u64,
    first: Option<Reading>,
    last: Option<Reading>,
    /// When the last pause ended, in nanoseconds.
    resumed_ns: u64,
    pub pause_us: Histogram,
    pub commit_us: Histogram,
    pub output_latency_us: Histogram,
    pub interval_us: Histogram,
    pub stretched_count: u64,
    pub copied_page_count: u64,
    pub tail_page_count: u64,
    pub pass_count: u64,
    /// Epochs that the backup has verified, from the session's first one on.
    pub verified_count: u64,
}

impl Measured {
    /// Nothing is measured yet; `duration_us` shall be, or `epoch_count`.
    pub fn new(duration_us: u64, epoch_count: Option<u32>) -> Self {
        Self {
            duration_us,
            epoch_count_max: epoch_count.map_or(u64::MAX, u64::from),
            first: None,
            last: None,
            resumed_ns: 0,
            pause_us: Histogram::new(),
            commit_us: Histogram::new(),
            output_latency_us: Histogram::new(),
            interval_us: Histogram::new(),
            stretched_count: 0,
            copied_page_count: 0,
            tail_page_count: 0,
            pass_count: 0,
            verified_count: 0,
        }
    }

    /// Whether there is anything to report.
    pub const fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    /// Whether the time is over, or there are epochs enough.
    pub fn is_over(&self, now_us: u64) -> bool {
        let is_late = self.first.is_some_and(|first| now_us >= first.at_us + self.duration_us);
        is_late || self.pause_us.count() >= self.epoch_count_max
    }

    /// The readings at the beginning and at the end.
    pub fn readings(&self) -> Option<(Reading, Reading)> {
        self.first.zip(self.last)
    }

    /// Notes the reading at the end, once.
    pub fn end(&mut self, reading: impl FnOnce() -> Reading) {
        if self.first.is_some() && self.last.is_none() {
            self.last = Some(reading());
        }
    }

    /// Adds an epoch, or begins measuring after it.
    pub fn add(&mut self, acknowledged: &Acknowledged, reading: impl FnOnce() -> Reading) {
        let Acknowledged { report, at_us, is_stretched } = acknowledged;
        let ended_ns = report.pause_start_ns + report.pause_ns;
        let resumed_ns = core::mem::replace(&mut self.resumed_ns, ended_ns);
        if self.first.is_none() {
            if report.epoch >= WARM_EPOCH {
                self.first = Some(reading());
            }
            return;
        }
        if self.last.is_some() {
            return;
        }
        self.pause_us.add(report.pause_ns.div_ceil(1000));
        self.commit_us.add(at_us.saturating_sub(ended_ns / 1000));
        let ran_ns = report.pause_start_ns.saturating_sub(resumed_ns);
        for moment in 0..MOMENT_COUNT {
            // The middle of each part of the epoch.
            let left_ns = resumed_ns + ran_ns * (2 * moment + 1) / (2 * MOMENT_COUNT);
            self.output_latency_us.add(at_us.saturating_sub(left_ns / 1000));
        }
        self.interval_us.add((ran_ns + report.pause_ns) / 1000);
        self.stretched_count += u64::from(*is_stretched);
        self.copied_page_count += report.dirty_page_count + report.early.page_count;
        self.tail_page_count += report.dirty_page_count;
        self.pass_count += u64::from(report.early.pass_count);
    }
}

impl Reading {
    /// Bytes of pages that were written since `earlier`.
    pub const fn dirty_size_since(&self, earlier: &Self) -> u64 {
        (self.distinct_page_count - earlier.distinct_page_count) * PAGE_SIZE as u64
    }
}
