//! How long a silent peer is waited for: learnt from how late its frames come.
//!
//! A peer sends something in every heartbeat's interval, so what is between two of its frames beyond that
//! is lateness: of its host, of the way, or a frame that was lost. The limit is three tenths of the
//! timeout, which is three heartbeats at least, and six times the longest lateness of the last ten minutes
//! or so. It is never more than the timeout. Hosts and links that stall do so at all scales, and for ever
//! longer the longer one looks: hence the long memory and the large factor, both chosen by what
//! `tests/detection.rs` measures. In the first minute and a half the limit is the timeout.
//!
//! What was learnt outlives the session: the next one goes on with it. A peer that was lost is waited for
//! the whole timeout for ten minutes at least, twice as long each time: so stalls cost few sessions, however
//! rare they are.
//!
//! Time in which this process did not run says nothing of the peer, whose frames may wait unseen: a turn
//! counts for one heartbeat at most, in the silence and in what is learnt from it.
//!
//! Nothing is safe because of this limit, or of any other. Who suspects a peer that lives asks the
//! arbiter, as does the peer, and output is held until it is acknowledged, whoever suspects whom and when.
//! Only without an arbiter does a time count: an end that leaves says so for the longer timeout, after
//! which the other one is thought to have lost it. This limit makes that sooner. An end that stood still
//! itself is late by that, as any judgement is, and by the heartbeat for which it may listen before it judges.
//! And a wrong suspicion has a price there, two guests: so without an arbiter nothing is learnt, and the
//! limit is the timeout.

use crate::limits::TIMEOUT_MS_MIN;

/// The limit of a peer that is never late is this part of the timeout, in tenths,
const LIMIT_TENTHS: u64 = 3;
/// but at least so long: that a peer is lost sooner is never asked for.
const LIMIT_US_MIN: u64 = TIMEOUT_MS_MIN as u64 * 1000;
/// How much longer than ever lately a frame may take.
const LATENESS_FACTOR: u64 = 6;
/// Lateness is remembered for one to two intervals, each twice as long as the one before until it is this.
const MEMORY_US_MAX: u64 = 600_000_000;
/// It is twice as long each time that the peer was lost, but not longer than a day.
const MEMORY_US_LOST_MAX: u64 = 86_400_000_000;
/// After the timeout has passed the peer is lost once so many heartbeats were listened to in vain, before and
/// after this process stood still.
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
    /// When this interval ends: never, where nothing is learnt.
    memory_until_us: u64,
}

impl Silence {
    /// How long lateness is remembered first of all, in microseconds.
    pub const MEMORY_US_FIRST: u64 = 30_000_000;

    /// For how long the first silences are remembered, in microseconds: where no arbiter decides who lives, nothing is
    /// to be learnt from them.
    #[must_use]
    pub const fn memory_us(has_arbiter: bool) -> u64 {
        if has_arbiter { Self::MEMORY_US_FIRST } else { u64::MAX }
    }

    /// A peer that is heard now, is lost after `timeout_us`, and sends something in every `heartbeat_us`,
    /// a tenth of that or less.
    #[must_use]
    pub const fn new(timeout_us: u64, heartbeat_us: u64, now_us: u64) -> Self {
        Self {
            timeout_us,
            heartbeat_us,
            heard_us: now_us,
            turn_us: now_us,
            silence_us: 0,
            lateness_us: [timeout_us; 2],
            memory_us: 0,
            memory_until_us: u64::MAX,
        }
    }

    /// Goes on with what the last session has learnt; if there was none, begins with a first memory of
    /// `memory_us`. With `u64::MAX` nothing is learnt.
    pub fn learn(&mut self, memory_us: u64, last: Option<&Self>) {
        (self.memory_us, self.memory_until_us) =
            (memory_us, self.heard_us.saturating_add(memory_us));
        if let Some(last) = last {
            self.lateness_us = last.lateness_us;
            (self.memory_us, self.memory_until_us) = (last.memory_us, last.memory_until_us);
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
            self.memory_us = (2 * self.memory_us).min(MEMORY_US_MAX).max(self.memory_us);
            self.memory_until_us = now_us + self.memory_us;
            self.lateness_us = [0, self.lateness_us[0]];
        }
        let lateness_us = self.silence_at(now_us).saturating_sub(self.heartbeat_us);
        self.lateness_us[0] = self.lateness_us[0].max(lateness_us);
    }

    /// The session ends since the peer is lost. It is waited for the timeout from now on, which is
    /// remembered for longer each time.
    pub fn note_lost(&mut self) {
        self.lateness_us = [self.timeout_us; 2];
        self.memory_us = self.memory_us.saturating_mul(2).clamp(MEMORY_US_MAX, MEMORY_US_LOST_MAX);
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
#[path = "silence_tests.rs"]
mod tests;
