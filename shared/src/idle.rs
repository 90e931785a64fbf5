//! How long a process that shares its core rests when there is nothing to do.
//!
//! The rest grows with the time for which nothing came, so that it adds a small part to whatever
//! is waited for, and a host that is quiet is hardly disturbed. Where a look costs much, as it
//! does in an emulated host or one whose clock is behind a system call, it grows further, so that
//! looking takes a small part of the core. With a core of one's own nothing rests, and nobody asks
//! here.

/// Idle time in which the core is only offered to others.
const YIELDING_US: u64 = 50;
/// A rest is this part of the idle time so far,
const REST_PART: u64 = 32;
/// but at least so long, since going to sleep and waking cost as much,
const REST_US_MIN: u64 = 50;
/// and at most so long: what it may add to a checkpoint's way.
const REST_US_MAX: u64 = 1_000;
/// Where looking is dear, a rest may be longer: so many times what the look before it cost,
const RESTS_PER_LOOK: u64 = 8;
/// but at most this part of the idle time so far,
const DEAR_REST_PART: u64 = 8;
/// and at most so long.
const DEAR_REST_US_MAX: u64 = 10_000;

/// Since when there has been nothing to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    since_us: Option<u64>,
    /// Processor time when the last look ended.
    looked_at_us: u64,
}

impl Idle {
    /// Something was done.
    pub const fn interrupt(&mut self) {
        self.since_us = None;
    }

    /// A look found nothing to do at `now_us`, when this process had used `processor_us` of its core:
    /// how long to rest, in microseconds; 0 means that others should be let run if there are any, but
    /// no more.
    pub fn rest_us(&mut self, now_us: u64, processor_us: u64) -> u64 {
        let look_us = processor_us.saturating_sub(self.looked_at_us);
        self.looked_at_us = processor_us;
        let Some(since_us) = self.since_us else {
            self.since_us = Some(now_us);
            return 0;
        };
        let idle_us = now_us.saturating_sub(since_us);
        if idle_us < YIELDING_US {
            return 0;
        }
        let dear_us =
            (look_us * RESTS_PER_LOOK).min(idle_us / DEAR_REST_PART).min(DEAR_REST_US_MAX);
        (idle_us / REST_PART).clamp(REST_US_MIN, REST_US_MAX).max(dear_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_with_the_idle_time_and_have_an_end() {
        let mut idle = Idle::default();
        let rests = [1_000, 1_049, 1_050, 5_000, 17_000, 900_000].map(|now| idle.rest_us(now, 0));
        assert_eq!(rests, [0, 0, REST_US_MIN, 125, 500, REST_US_MAX]);
        idle.interrupt();
        assert_eq!(idle.rest_us(900_100, 0), 0);
    }

    #[test]
    fn looking_takes_a_small_part_of_the_core() {
        let mut idle = Idle::default();
        assert_eq!(idle.rest_us(0, 400), 0);
        assert_eq!(idle.rest_us(4_000, 800), 4_000 / DEAR_REST_PART);
        assert_eq!(idle.rest_us(80_000, 1_200), 400 * RESTS_PER_LOOK);
        assert_eq!(idle.rest_us(90_000, 1_203), REST_US_MAX);
        assert_eq!(idle.rest_us(900_000, 9_000), DEAR_REST_US_MAX);
    }
}
