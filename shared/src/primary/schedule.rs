//! When the next checkpoint is due.
//!
//! Checkpoints follow a fixed beat, so that the mean period is the interval that was asked for and
//! not the interval plus what a checkpoint costs. When a checkpoint comes late (the backup was
//! slow), the beat is taken up again from there: epochs are stretched, never bunched.

/// A fixed beat of checkpoints.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval_us: u64,
    due_us: u64,
    first_us: u64,
    last_us: u64,
    started_count: u64,
}

impl Schedule {
    /// The first checkpoint is due at once; the beat is `interval_ms`, which is not zero.
    pub fn new(interval_ms: u32, now_us: u64) -> Self {
        assert!(interval_ms > 0, "an interval of zero has no beat");
        Self {
            interval_us: u64::from(interval_ms) * 1000,
            due_us: now_us,
            first_us: now_us,
            last_us: now_us,
            started_count: 0,
        }
    }

    /// Time until the next checkpoint, in microseconds; 0 when it is due.
    pub fn wait_us(&self, now_us: u64) -> u64 {
        self.due_us.saturating_sub(now_us)
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

    /// Mean time between the starts of checkpoints so far, in microseconds; 0 before the second.
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

    #[test]
    fn costs_do_not_stretch_the_period() {
        let mut now_us = 1_000_000;
        let mut schedule = Schedule::new(25, now_us);
        for _ in 0..1000 {
            now_us += schedule.wait_us(now_us);
            schedule.started(now_us);
            now_us += 9_000;
        }
        assert_eq!(schedule.period_mean_us(), 25_000);
    }

    proptest! {
        #[test]
        fn epochs_are_never_bunched(costs_us in proptest::collection::vec(0u64..100_000, 2..100)) {
            let mut now_us = 0;
            let mut schedule = Schedule::new(25, now_us);
            let mut starts = std::vec::Vec::new();
            for cost_us in costs_us {
                now_us += schedule.wait_us(now_us);
                schedule.started(now_us);
                starts.push(now_us);
                now_us += cost_us;
            }
            // However late single checkpoints come, two in a row never fall into one beat together
            // with a third.
            for three in starts.windows(3) {
                prop_assert!(three[2] - three[0] >= 25_000);
            }
        }
    }
}
