//! Taking leave: a Goodbye is repeated until the peer's Farewell comes, or it is too late.

use super::process::Ending;
use crate::ring::GoodbyeReason;

/// Time between two Goodbyes at first; it doubles.
const INTERVAL_US: u64 = 4_000;
/// Time between two Goodbyes at most: a link that comes back is to carry one soon.
const INTERVAL_US_MAX: u64 = 100_000;

/// What comes after the leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another session.
    Again,
    /// The end of the process.
    End(Ending),
}

/// A leave that is being taken.
#[derive(Clone, Copy, Debug)]
pub struct Leaving {
    pub reason: GoodbyeReason,
    pub then: Then,
    until_us: u64,
    next_us: u64,
    interval_us: u64,
}

impl Leaving {
    /// A leave of at most `patience_us`: after that the peer has lost us by itself.
    pub fn new(reason: GoodbyeReason, then: Then, now_us: u64, patience_us: u64) -> Self {
        let until_us = now_us + patience_us;
        Self { reason, then, until_us, next_us: now_us, interval_us: INTERVAL_US }
    }

    pub fn is_over(&self, now_us: u64) -> bool {
        now_us >= self.until_us
    }

    /// Whether a Goodbye is to be sent now.
    pub fn take_due(&mut self, now_us: u64) -> bool {
        if now_us < self.next_us {
            return false;
        }
        self.next_us = now_us + self.interval_us;
        self.interval_us = (self.interval_us * 2).min(INTERVAL_US_MAX);
        true
    }
}
