//! The clock of one host: it began at another time than the other's, and may go wrong.

use crate::support::Random;

/// How much a clock gains or loses at most, parts in a million; a real one some hundreds.
const ERROR_PPM_MAX: u64 = 60_000;
const OFFSET_US_MAX: u64 = 1_000_000_000;

/// A host's monotonic clock, made from the true time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_us: u64,
    /// Microseconds that it counts in a true second.
    rate: u64,
}

impl Clock {
    pub fn new(random: &mut Random, is_wrong: bool) -> Self {
        let error = if is_wrong { random.below(2 * ERROR_PPM_MAX) } else { ERROR_PPM_MAX };
        let rate = 1_000_000 + error - ERROR_PPM_MAX;
        Self { offset_us: random.below(OFFSET_US_MAX), rate }
    }

    pub fn now_us(&self, true_us: u64) -> u64 {
        self.offset_us + true_us * self.rate / 1_000_000
    }
}
