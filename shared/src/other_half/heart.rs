//! Whether a stub domain that is there also runs: by a word that it counts on, some hundred times a second.

use crate::limits::LINK_HALF_STILL_MS_MAX;

/// What one look at the word can count for at most, in microseconds: while this process itself did not run, as on a
/// host that stood still, nobody has seen the word stand still.
const STEP_US_MAX: u64 = 250_000;

/// The newest beat, and for how long it has been that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heart {
    beat: u64,
    looked_us: u64,
    still_us: u64,
    still_us_max: u64,
}

impl Heart {
    /// A heart that was seen to beat just now. One that stands still for less than `timeout_ms`, the operator's, is
    /// not taken for dead either: the peer bears with that.
    pub fn new(timeout_ms: u32, now_us: u64, beat: u64) -> Self {
        let still_us_max = u64::from(timeout_ms.max(LINK_HALF_STILL_MS_MAX)) * 1000;
        Self { beat, looked_us: now_us, still_us: 0, still_us_max }
    }

    /// Whether it has stood still for too long. Any other beat is one, whatever its number.
    pub fn stands_still(&mut self, now_us: u64, beat: u64) -> bool {
        let step_us = now_us.saturating_sub(self.looked_us).min(STEP_US_MAX);
        self.still_us = if beat == self.beat { self.still_us + step_us } else { 0 };
        (self.beat, self.looked_us) = (beat, now_us);
        self.still_us > self.still_us_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_US: u64 = LINK_HALF_STILL_MS_MAX as u64 * 1000;

    /// When a heart that beats no more is given up, with looks so far apart.
    fn given_up_us(timeout_ms: u32, look_us: u64) -> u64 {
        let mut heart = Heart::new(timeout_ms, 0, 7);
        (1..).map(|look| look * look_us).find(|now_us| heart.stands_still(*now_us, 7)).unwrap()
    }

    #[test]
    fn one_that_stands_still_is_given_up_after_the_longer_of_both_limits() {
        assert_eq!(given_up_us(500, 10_000), MAX_US + 10_000);
        assert_eq!(given_up_us(60_000, 10_000), 60_010_000);
    }

    #[test]
    fn time_in_which_nobody_looked_counts_little() {
        assert_eq!(given_up_us(500, 60_000_000), (MAX_US / STEP_US_MAX + 1) * 60_000_000);
    }

    #[test]
    fn one_that_beats_lives_also_when_its_number_goes_back() {
        let mut heart = Heart::new(500, 0, 7);
        for look in 1..1000_u64 {
            assert!(!heart.stands_still(look * MAX_US, u64::MAX - look % 2));
        }
        assert!(!heart.stands_still(2000 * MAX_US, 0));
    }
}
