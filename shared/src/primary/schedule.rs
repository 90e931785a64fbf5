//! When the next checkpoint is due.
//!
//! Checkpoints follow a beat, so that the mean period is the interval that was asked for and not
//! the interval plus what a checkpoint costs. When a checkpoint comes late (the backup was slow),
//! the beat is taken up again from there: epochs are stretched, never bunched.
//!
//! With `--interval-ms auto` the beat follows the costs. What a client feels is half an interval,
//! the pause and the way to the backup and back, so the interval is as short as these allow: pauses
//! take at most one part in [`AUTO_PAUSE_PART`] of the guest's time, and the way to the backup is
//! never longer than four fifths of the interval. It grows at once and shrinks slowly.

use crate::limits::{AUTO_INTERVAL_MS_MAX, INTERVAL_MS_MIN};
use crate::options::Interval;

/// Pauses take at most one part in so many of the guest's time, while the interval is not at its
/// upper bound.
const AUTO_PAUSE_PART: u64 = 20;
/// The interval shrinks by one part in so many an epoch.
const AUTO_SHRINKING: u64 = 16;

/// The beat of checkpoints.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval_us: u64,
    is_auto: bool,
    due_us: u64,
    first_us: u64,
    last_us: u64,
    started_count: u64,
}

impl Schedule {
    /// The first checkpoint is due at once.
    #[must_use]
    pub fn new(interval: Interval, now_us: u64) -> Self {
        let (interval_ms, is_auto) = match interval {
            Interval::Fixed(interval_ms) => (interval_ms, false),
            Interval::Auto => (INTERVAL_MS_MIN, true),
        };
        assert!(interval_ms > 0, "an interval of zero has no beat");
        Self {
            interval_us: u64::from(interval_ms) * 1000,
            is_auto,
            due_us: now_us,
            first_us: now_us,
            last_us: now_us,
            started_count: 0,
        }
    }

    /// When the next checkpoint is due, in microseconds.
    #[must_use]
    pub const fn due_us(&self) -> u64 {
        self.due_us
    }

    /// The time between two checkpoints as it is now, in microseconds.
    #[must_use]
    pub const fn interval_us(&self) -> u64 {
        self.interval_us
    }

    /// Notes that a checkpoint starts now and sets the next one's due time.
    pub fn started(&mut self, now_us: u64) {
        if self.started_count == 0 {
            self.first_us = now_us;
        }
        self.last_us = now_us;
        self.started_count += 1;
        let next_us = self.due_us + self.interval_us;
        // Less than a beat late: the next one comes on the beat. Later than that: a new beat.
        self.due_us = if next_us > now_us { next_us } else { now_us + self.interval_us };
    }

    /// Notes what the checkpoint that was started last has cost: its pause, and the time from its
    /// start to its acknowledgement.
    pub fn acknowledged(&mut self, pause_us: u64, way_us: u64) {
        if !self.is_auto {
            return;
        }
        let wanted_us = (pause_us * AUTO_PAUSE_PART).max(way_us * 5 / 4);
        let shrunk_us = self.interval_us - self.interval_us / AUTO_SHRINKING;
        let bounds_us = (INTERVAL_MS_MIN, AUTO_INTERVAL_MS_MAX);
        self.interval_us = wanted_us
            .max(shrunk_us)
            .clamp(u64::from(bounds_us.0) * 1000, u64::from(bounds_us.1) * 1000);
        self.due_us = self.due_us.max(self.last_us + self.interval_us);
    }

    /// Mean time between the starts of checkpoints so far, in microseconds; 0 before the second.
    #[must_use]
    pub fn period_mean_us(&self) -> u64 {
        match self.started_count {
            0 | 1 => 0,
            count => (self.last_us - self.first_us) / (count - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes `count` checkpoints, each at the earliest at its due time, that cost `cost_us` until they
    /// are acknowledged. Tells when each started.
    fn run(schedule: &mut Schedule, costs_us: impl Iterator<Item = (u64, u64)>) -> Vec<u64> {
        let mut now_us = schedule.due_us();
        let mut starts = Vec::new();
        for (pause_us, way_us) in costs_us {
            now_us = now_us.max(schedule.due_us());
            schedule.started(now_us);
            starts.push(now_us);
            now_us += way_us;
            schedule.acknowledged(pause_us, way_us);
        }
        starts
    }

    #[test]
    fn costs_do_not_stretch_the_period() {
        let mut schedule = Schedule::new(Interval::Fixed(25), 1_000_000);
        run(&mut schedule, (0..1000).map(|_| (300, 9_000)));
        assert_eq!(schedule.period_mean_us(), 25_000);
    }

    #[test]
    fn auto_is_short_while_epochs_are_cheap_and_long_while_they_are_not() {
        let mut schedule = Schedule::new(Interval::Auto, 0);
        let last_period = |schedule: &mut Schedule, pause_us, way_us| {
            let starts = run(schedule, (0..200).map(|_| (pause_us, way_us)));
            starts[199] - starts[198]
        };
        assert_eq!(last_period(&mut schedule, 100, 1_000), 5_000);
        assert_eq!(last_period(&mut schedule, 800, 2_000), 16_000);
        assert_eq!(last_period(&mut schedule, 800, 40_000), 50_000);
        assert_eq!(last_period(&mut schedule, 100, 1_000), 5_000);
        let longest_us = u64::from(AUTO_INTERVAL_MS_MAX) * 1000;
        assert_eq!(last_period(&mut schedule, 90_000, 100_000), longest_us);
    }

    proptest! {
        #[test]
        fn epochs_are_never_bunched(costs_us in proptest::collection::vec(0u64..100_000, 3..100)) {
            let mut schedule = Schedule::new(Interval::Fixed(25), 0);
            let starts = run(&mut schedule, costs_us.into_iter().map(|cost_us| (0, cost_us)));
            // However late single checkpoints come, two in a row never fall into one beat together
            // with a third.
            for three in starts.windows(3) {
                prop_assert!(three[2] - three[0] >= 25_000);
            }
        }

        #[test]
        fn auto_keeps_its_bounds(costs_us in proptest::collection::vec((0u64..1 << 30, 0u64..1 << 30), 2..100)) {
            let mut schedule = Schedule::new(Interval::Auto, 0);
            let starts = run(&mut schedule, costs_us.iter().copied());
            for (two, cost_us) in starts.windows(2).zip(costs_us) {
                let longest_us = u64::from(AUTO_INTERVAL_MS_MAX) * 1000;
                prop_assert!((5_000..=longest_us.max(cost_us.1)).contains(&(two[1] - two[0])));
            }
        }
    }
}
