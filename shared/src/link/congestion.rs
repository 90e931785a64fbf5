//! How much may be under way, and how long to wait for an acknowledgement.
//!
//! The path is one switch at most; what overflows is the receiver's socket buffer. So the window
//! grows as TCP's does in slow start and shrinks by a quarter when frames are lost, at most once
//! per round trip.

use crate::limits::LINK_WINDOW_FRAMES;

const WINDOW_START: u64 = 64;
const WINDOW_MIN: u64 = 16;
const WINDOW_MAX: u64 = LINK_WINDOW_FRAMES as u64;

/// Waiting time for an acknowledgement while no round trip was measured.
const PROBE_START_US: u64 = 20_000;
/// Never shorter: the peer may share its core.
const PROBE_MIN_US: u64 = 2_000;

/// The round-trip estimate of RFC 6298, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrip {
    smoothed_us: u64,
    variation_us: u64,
}

impl RoundTrip {
    pub fn note(&mut self, sample_us: u64) {
        if self.smoothed_us == 0 {
            (self.smoothed_us, self.variation_us) = (sample_us.max(1), sample_us / 2);
            return;
        }
        let deviation = self.smoothed_us.abs_diff(sample_us);
        self.variation_us = (3 * self.variation_us + deviation) / 4;
        self.smoothed_us = ((7 * self.smoothed_us + sample_us) / 8).max(1);
    }

    pub fn smoothed_us(self) -> u64 {
        self.smoothed_us
    }

    /// How long after a frame one can still hope for its acknowledgement.
    pub fn probe_us(self) -> u64 {
        match self.smoothed_us {
            0 => PROBE_START_US,
            smoothed_us => (smoothed_us + 4 * self.variation_us).max(PROBE_MIN_US),
        }
    }

    /// A frame that was sent before an acknowledged one is lost when it is as old as this.
    pub fn loss_us(self) -> u64 {
        (self.smoothed_us + self.smoothed_us / 4).max(PROBE_MIN_US / 2)
    }
}

/// Data frames that may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Congestion {
    window: u64,
    threshold: u64,
    /// Frames acknowledged since the window last grew by one.
    acked: u64,
    /// Losses of packets before this one were already answered for.
    recovery_end: u64,
}

impl Default for Congestion {
    fn default() -> Self {
        Self { window: WINDOW_START, threshold: WINDOW_MAX, acked: 0, recovery_end: 0 }
    }
}

impl Congestion {
    pub fn window(&self) -> u64 {
        self.window
    }

    pub fn note_acked(&mut self, count: u64) {
        if self.window < self.threshold {
            self.window += count;
        } else {
            self.acked += count;
            let grown = self.acked / self.window;
            self.acked -= grown * self.window;
            self.window += grown;
        }
        self.window = self.window.min(WINDOW_MAX);
    }

    /// `lost_packet` was lost; `next_packet` is the next one to be sent.
    pub fn note_lost(&mut self, lost_packet: u64, next_packet: u64) {
        if lost_packet >= self.recovery_end {
            self.window = (self.window - self.window / 4).max(WINDOW_MIN);
            (self.threshold, self.acked) = (self.window, 0);
            self.recovery_end = next_packet;
        }
    }

    /// Nothing was acknowledged for several waiting times.
    pub fn note_outage(&mut self) {
        self.threshold = (self.window / 2).max(WINDOW_MIN);
        (self.window, self.acked) = (WINDOW_MIN, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_follows_the_samples() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.probe_us(), PROBE_START_US);
        (0..100).for_each(|_| round_trip.note(8_000));
        assert_eq!(round_trip.smoothed_us(), 8_000);
        assert!((8_000..9_000).contains(&round_trip.probe_us()));
        (0..100).for_each(|_| round_trip.note(0));
        assert_eq!(round_trip.probe_us(), PROBE_MIN_US);
    }

    #[test]
    fn the_window_has_both_bounds_and_shrinks_once_per_round_trip() {
        let mut congestion = Congestion::default();
        (0..100).for_each(|_| congestion.note_acked(64));
        assert_eq!(congestion.window(), WINDOW_MAX);
        (0..500).for_each(|packet| congestion.note_lost(packet, 500));
        assert_eq!(congestion.window(), WINDOW_MAX * 3 / 4);
        (500..600).for_each(|packet| congestion.note_lost(packet, packet + 1));
        assert_eq!(congestion.window(), WINDOW_MIN);
        congestion.note_acked(WINDOW_MIN - 1);
        assert_eq!(congestion.window(), WINDOW_MIN);
        congestion.note_acked(1);
        assert_eq!(congestion.window(), WINDOW_MIN + 1);
    }
}
