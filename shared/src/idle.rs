//! How long a process that shares its core rests when there is nothing to do.
//!
//! The rest grows with the time for which nothing came, so that it adds a small part to whatever
//! is waited for, and a host that is quiet is hardly disturbed. It is also long against what a look
//! costs, so that looking takes a small part of a core that is slow, or that others want. With a
//! core of one's own nothing rests, and nobody asks here.

/// Idle time in which the core is only offered to others.
const YIELDING_US: u64 = 50;
/// A rest is this part of the idle time so far,
const REST_PART: u64 = 32;
/// but at least so long, since going to sleep and waking cost as much,
const REST_US_MIN: u64 = 50;
/// and at most so long: what it may add to a checkpoint's way.
const REST_US_MAX: u64 = 1_000;
/// A rest is at least so many times what the look before it took,
const RESTS_PER_LOOK: u64 = 8;
/// though never longer than this for that reason.
const LOOK_REST_US_MAX: u64 = 5_000;

/// Since when there has been nothing to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    since_us: Option<u64>,
}

impl Idle {
    /// Something was done.
    pub const fn interrupt(&mut self) {
        self.since_us = None;
    }

    /// A look from `began_us` to `now_us` found nothing to do: how long to rest, in microseconds;
    /// 0 means that others should be let run if there are any, but no more.
    pub fn rest_us(&mut self, began_us: u64, now_us: u64) -> u64 {
        let since_us = *self.since_us.get_or_insert(now_us);
        let idle_us = now_us.saturating_sub(since_us);
        if idle_us < YIELDING_US {
            return 0;
        }
        let look_us = now_us.saturating_sub(began_us);
        let fair_us = (look_us * RESTS_PER_LOOK).min(LOOK_REST_US_MAX);
        (idle_us / REST_PART).clamp(REST_US_MIN, REST_US_MAX).max(fair_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_with_the_idle_time_and_have_an_end() {
        let mut idle = Idle::default();
        let rests = [1_000, 1_049, 1_050, 5_000, 17_000, 900_000].map(|now| idle.rest_us(now, now));
        assert_eq!(rests, [0, 0, REST_US_MIN, 125, 500, REST_US_MAX]);
        idle.interrupt();
        assert_eq!(idle.rest_us(900_100, 900_100), 0);
    }

    #[test]
    fn looking_takes_a_small_part_of_the_time() {
        let mut idle = Idle::default();
        assert_eq!(idle.rest_us(0, 400), 0);
        assert_eq!(idle.rest_us(400, 800), 400 * RESTS_PER_LOOK);
        assert_eq!(idle.rest_us(4_000, 4_003), 3_600 / REST_PART);
        assert_eq!(idle.rest_us(5_000, 90_000), LOOK_REST_US_MAX);
    }
}
