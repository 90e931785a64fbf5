//! Tests of `silence`.

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
        let mut silence = Silence::new(TIMEOUT_US, HEARTBEAT_US, 1_000);
        silence.learn(Silence::MEMORY_US_FIRST, None);
        Self { silence, now_us: 1_000 }
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

    /// Another session begins.
    fn begin_again(&mut self) {
        let last = core::mem::replace(
            &mut self.silence,
            Silence::new(TIMEOUT_US, HEARTBEAT_US, self.now_us),
        );
        self.silence.learn(Silence::MEMORY_US_FIRST, Some(&last));
    }

    /// How often the peer is lost that stalls so many times, once in so many seconds.
    fn alarms(&mut self, stall_count: u64, pause_seconds: u64) -> u64 {
        let mut alarms = 0;
        for _ in 0..stall_count {
            self.punctual(pause_seconds);
            self.listen(300_000);
            if self.is_lost() {
                alarms += 1;
                self.silence.note_lost();
                self.begin_again();
            }
            self.silence.note_heard(self.now_us);
        }
        alarms
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
fn a_session_goes_on_with_what_the_last_one_has_learnt() {
    let mut run = Run::settled();
    run.begin_again();
    assert_eq!(run.silence.limit_us(), LEAST_US);
    run.heard_after(HEARTBEAT_US + 20_000);
    run.begin_again();
    assert_eq!(run.silence.limit_us(), LEAST_US + 120_000);
}

#[test]
fn rare_stalls_cost_few_sessions() {
    assert_eq!(Run::settled().alarms(12, 300), 1);
    // However rare: the memory grows.
    assert!(Run::settled().alarms(12, 3_000) <= 3);
    assert!(Run::settled().alarms(12, 20_000) <= 6);
}

#[test]
fn a_silence_that_ended_a_session_is_remembered() {
    let mut run = Run::settled();
    run.listen(20 * TIMEOUT_US);
    run.silence.note_lost();
    run.begin_again();
    run.punctual(590);
    assert_eq!(run.silence.limit_us(), TIMEOUT_US);
    run.punctual(620);
    assert_eq!(run.silence.limit_us(), LEAST_US);
}

#[test]
fn without_an_arbiter_nothing_is_learnt() {
    let mut run = Run::new();
    run.silence = Silence::new(TIMEOUT_US, HEARTBEAT_US, run.now_us);
    for _ in 0..3 {
        run.punctual(1_300);
        assert_eq!(run.silence.limit_us(), TIMEOUT_US);
        run.silence.note_lost();
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
