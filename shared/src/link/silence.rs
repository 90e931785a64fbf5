//! How long a silent peer is waited for: learnt from how late its frames come.
//!
//! A peer sends something in every heartbeat's interval, so what is between two of its frames beyond that
//! is lateness: of its host, of the way, or a frame that was lost. The limit is three tenths of the
//! timeout, which is three heartbeats at least, and six times the longest lateness of the last ten minutes
//! or so. It is never more than the timeout. Hosts and links that stall do so at all scales, and for ever
//! longer the longer one looks: hence the long memory and the large factor, both chosen by what
//! `tests/detection.rs` measures. In the first minute and a half the limit is the timeout.
//!
//! Time in which this process did not run says nothing of the peer, whose frames may wait unseen: a turn
//! counts for one heartbeat at most, in the silence and in what is learnt from it.
//!
//! Nothing is safe because of this limit, or of any other. Who suspects a peer that lives asks the
//! arbiter, as does the peer, and output is held until it is acknowledged, whoever suspects whom and when.
//! Only without an arbiter does a time count: an end that leaves says so for the longer timeout, after
//! which the other one is thought to have lost it. This limit makes that sooner. An end that stood still
//! itself is late by that, as any judgement is, and by the heartbeat for which it listens before it judges.

use crate::limits::TIMEOUT_MS_MIN;

/// The limit of a peer that is never late is this part of the timeout, in tenths,
const LIMIT_TENTHS: u64 = 3;
/// but at least so long: that a peer is lost sooner is never asked for.
const LIMIT_US_MIN: u64 = TIMEOUT_MS_MIN as u64 * 1000;
/// How much longer than ever lately a frame may take.
const LATENESS_FACTOR: u64 = 6;
/// Lateness is remembered for one to two intervals. The first is so long,
const MEMORY_US_FIRST: u64 = 30_000_000;
/// each is twice as long as the one before, and none longer than this.
const MEMORY_US_MAX: u64 = 600_000_000;
/// After the timeout has passed the peer is lost once this process has listened for so many heartbeats.
const LISTENED_HEARTBEATS: u64 = 2;

/// The silence of a peer, and how much of it is borne.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    timeout_us: u64,
    heartbeat_us: u64,
    heard_us: u64,
    turn_us: u64,
    /// The silence until the last turn.
    silence_us: u64,
    /// The longest lateness in this interval and in the one before.
    lateness_us: [u64; 2],
    memory_us: u64,
    memory_until_us: u64,
}

impl Silence {
    /// A peer that is heard now, is lost after `timeout_us` at most, and sends something in every
    /// `heartbeat_us`, a tenth of that or less.
    #[must_use]
    pub const fn new(timeout_us: u64, heartbeat_us: u64, now_us: u64) -> Self {
        Self {
            timeout_us,
            heartbeat_us,
            heard_us: now_us,
            turn_us: now_us,
            silence_us: 0,
            lateness_us: [timeout_us; 2],
            memory_us: MEMORY_US_FIRST,
            memory_until_us: now_us + MEMORY_US_FIRST,
        }
    }

    /// When the peer was heard last.
    #[must_use]
    pub const fn heard_us(&self) -> u64 {
        self.heard_us
    }

    /// Something new came from the peer.
    pub fn note_heard(&mut self, now_us: u64) {
        self.note_late(now_us);
        (self.heard_us, self.silence_us) = (now_us, 0);
    }

    /// Something came at least as late as this silence is long, on whichever link. A copy of what has come
    /// on another link is no sign of life, but it tells how slow the link is that may soon be the only one.
    pub fn note_late(&mut self, now_us: u64) {
        if now_us >= self.memory_until_us {
            self.memory_us = (2 * self.memory_us).min(MEMORY_US_MAX);
            self.memory_until_us = now_us + self.memory_us;
            self.lateness_us = [0, self.lateness_us[0]];
        }
        let lateness_us = self.silence_at(now_us).saturating_sub(self.heartbeat_us);
        self.lateness_us[0] = self.lateness_us[0].max(lateness_us);
    }

    /// A turn of this process in which all that had come was taken in. Returns how long it took since the
    /// last one.
    pub fn note_turn(&mut self, now_us: u64) -> u64 {
        self.silence_us = self.silence_at(now_us);
        let turn_us = now_us.saturating_sub(self.turn_us);
        self.turn_us = now_us;
        turn_us
    }

    /// How long this process had listened in vain when it had its last turn, in microseconds.
    #[must_use]
    pub const fn silence_us(&self) -> u64 {
        self.silence_us
    }

    fn silence_at(&self, now_us: u64) -> u64 {
        let since_us = now_us.saturating_sub(self.turn_us.max(self.heard_us));
        self.silence_us + since_us.min(self.heartbeat_us)
    }

    /// The silence that is borne at present from a peer on which something hangs, in microseconds.
    #[must_use]
    pub fn limit_us(&self) -> u64 {
        let least_us = (self.timeout_us * LIMIT_TENTHS / 10).max(LIMIT_US_MIN);
        let lateness_us = self.lateness_us[0].max(self.lateness_us[1]);
        (least_us + LATENESS_FACTOR * lateness_us).min(self.timeout_us)
    }

    /// Whether the peer is lost, as of the turn that was noted. So many timeouts are borne; if it is only
    /// one, the limit.
    #[must_use]
    pub fn is_lost(&self, now_us: u64, timeouts: u64) -> bool {
        if now_us.saturating_sub(self.heard_us) > self.timeout_us * timeouts {
            self.silence_us >= LISTENED_HEARTBEATS * self.heartbeat_us
        } else {
            timeouts == 1 && self.silence_us > self.limit_us()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_US: u64 = 500_000;
    const HEARTBEAT_US: u64 = 50_000;
    const TURN_US: u64 = 5_000;
    const LEAST_US: u64 = 150_000;

    struct Run {
        silence: Silence,
        now_us: u64,
    }

    impl Run {
        fn new() -> Self {
            Self { silence: Silence::new(TIMEOUT_US, HEARTBEAT_US, 1_000), now_us: 1_000 }
        }

        /// Nothing was late, and the timeout that it began with is forgotten.
        fn settled() -> Self {
            let mut run = Self::new();
            run.punctual(95);
            assert_eq!(run.silence.limit_us(), LEAST_US);
            run
        }

        fn listen(&mut self, duration_us: u64) {
            for _ in 0..duration_us / TURN_US {
                self.now_us += TURN_US;
                self.silence.note_turn(self.now_us);
            }
        }

        fn heard_after(&mut self, duration_us: u64) {
            self.listen(duration_us);
            self.silence.note_heard(self.now_us);
        }

        fn punctual(&mut self, seconds: u64) {
            (0..seconds * 1_000_000 / HEARTBEAT_US).for_each(|_| self.heard_after(HEARTBEAT_US));
        }

        fn is_lost(&self) -> bool {
            self.silence.is_lost(self.now_us, 1)
        }

        /// The silence after which the peer is lost.
        fn lost_after_us(&mut self) -> u64 {
            let from_us = self.now_us;
            while !self.is_lost() {
                self.listen(TURN_US);
            }
            self.now_us - from_us
        }
    }

    #[test]
    fn the_limit_is_the_timeout_until_much_was_heard() {
        let mut run = Run::new();
        run.punctual(85);
        assert_eq!(run.silence.limit_us(), TIMEOUT_US);
        run.punctual(10);
        assert_eq!(run.silence.limit_us(), LEAST_US);
        assert_eq!(run.lost_after_us(), LEAST_US + TURN_US);
    }

    #[test]
    fn it_grows_at_once_and_shrinks_late() {
        let mut run = Run::settled();
        run.heard_after(HEARTBEAT_US + 20_000);
        assert_eq!(run.silence.limit_us(), LEAST_US + 120_000);
        run.punctual(110);
        assert_eq!(run.silence.limit_us(), LEAST_US + 120_000);
        run.heard_after(2 * HEARTBEAT_US + 20_000);
        assert_eq!(run.silence.limit_us(), TIMEOUT_US);
        assert_eq!(run.lost_after_us(), TIMEOUT_US + TURN_US, "the timeout bounds it");
        run.silence.note_heard(run.now_us);
        run.punctual(1_500);
        assert_eq!(run.silence.limit_us(), LEAST_US);
    }

    #[test]
    fn no_lateness_is_forgotten_within_ten_minutes() {
        let mut run = Run::settled();
        run.punctual(3_000);
        for _ in 0..20 {
            run.heard_after(HEARTBEAT_US + 20_000);
            run.punctual(590);
            assert!(run.silence.limit_us() > LEAST_US);
        }
    }

    #[test]
    fn own_stalls_neither_count_nor_teach() {
        let mut run = Run::settled();
        // The frames that came meanwhile are taken in with the next turn, or the one after.
        for is_late in [false, true] {
            run.now_us += 400_000;
            if is_late {
                run.silence.note_turn(run.now_us);
                assert!(!run.is_lost());
            }
            run.silence.note_heard(run.now_us);
            run.silence.note_turn(run.now_us);
            assert_eq!(run.silence.limit_us(), LEAST_US);
        }
        run.now_us += 400_000;
        run.silence.note_turn(run.now_us);
        assert_eq!(run.lost_after_us(), LEAST_US - HEARTBEAT_US + TURN_US);
    }

    #[test]
    fn the_timeout_ends_a_silence_of_stalls() {
        let mut run = Run::new();
        // Longer than the timeout: at least a heartbeat could have come since.
        run.now_us += 2 * TIMEOUT_US;
        run.silence.note_turn(run.now_us);
        assert_eq!(run.lost_after_us(), HEARTBEAT_US);
        // A host that does nothing but stall still ends.
        let mut run = Run::new();
        for _ in 0..5 {
            assert!(!run.is_lost());
            run.now_us += TIMEOUT_US / 4;
            run.silence.note_turn(run.now_us);
        }
        assert!(run.is_lost());
    }

    #[test]
    fn patience_bears_timeouts_whatever_was_learnt() {
        let mut run = Run::settled();
        let patient = |run: &Run| run.silence.is_lost(run.now_us, 20);
        run.listen(20 * TIMEOUT_US);
        assert!(!patient(&run) && run.is_lost());
        run.listen(TURN_US);
        assert!(patient(&run));
    }

    #[test]
    fn the_shortest_timeout_leaves_nothing_to_learn() {
        let timeout_us = u64::from(TIMEOUT_MS_MIN) * 1000;
        let mut silence = Silence::new(timeout_us, timeout_us / 10, 0);
        silence.lateness_us = [0; 2];
        assert_eq!(silence.limit_us(), timeout_us);
    }

    #[test]
    fn a_slow_link_that_is_left_over_is_waited_for() {
        let mut run = Run::settled();
        // What comes on it is late by seven heartbeats; nothing new has come on the other one since.
        for _ in 0..7 {
            run.listen(HEARTBEAT_US);
            assert!(!run.is_lost());
            run.silence.note_late(run.now_us);
        }
        run.listen(HEARTBEAT_US);
        assert!(!run.is_lost());
        run.silence.note_heard(run.now_us);
        assert!(!run.is_lost());
    }
}
