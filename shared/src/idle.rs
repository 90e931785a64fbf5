//! How long a process that shares its core rests when there is nothing to do.
//!
//! The rest grows with the time for which nothing came, so that it adds a small part to whatever
//! is waited for, and a host that is quiet is hardly disturbed. With a core of one's own nothing
//! rests, and nobody asks here.

/// Idle time in which the core is only offered to others.
const YIELDING_US: u64 = 50;
/// A rest is this part of the idle time so far,
const REST_PART: u64 = 32;
/// but at least so long, since going to sleep and waking cost as much,
const REST_US_MIN: u64 = 50;
/// and at most so long: what it may add to a checkpoint's way.
const REST_US_MAX: u64 = 1_000;

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

    /// There was nothing to do at `now_us`: how long to rest, in microseconds; 0 means that others
    /// should be let run if there are any, but no more.
    pub fn rest_us(&mut self, now_us: u64) -> u64 {
        let since_us = *self.since_us.get_or_insert(now_us);
        let idle_us = now_us.saturating_sub(since_us);
        if idle_us < YIELDING_US {
            return 0;
        }
        (idle_us / REST_PART).clamp(REST_US_MIN, REST_US_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_with_the_idle_time_and_have_an_end() {
        let mut idle = Idle::default();
        let rests = [1_000, 1_049, 1_050, 5_000, 17_000, 900_000].map(|now| idle.rest_us(now));
        assert_eq!(rests, [0, 0, REST_US_MIN, 125, 500, REST_US_MAX]);
        idle.interrupt();
        assert_eq!(idle.rest_us(900_100), 0);
    }
}
