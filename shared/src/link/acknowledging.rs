//! When the backup says what: at once when something changed, again soon after since a frame may
//! be lost, and ever more rarely until it is a mere heartbeat. That data has come is told for many
//! frames together: nobody waits for it but the ring's slots.

use crate::ring::Phase;

/// Time to the first repetition; it doubles up to the heartbeat's interval.
const REPEAT_US_MIN: u64 = 1_000;
/// A small rise of the credit alone is told so long after the last acknowledgement.
const CREDIT_DELAY_US: u64 = 500;
/// Data frames that are acknowledged together at most.
const DATA_COUNT_MAX: u32 = 32;
/// Data is acknowledged so long after its first frame at the latest.
const DATA_DELAY_US: u64 = 100;
/// A rise of the credit by this part of itself's distance is told at once.
const CREDIT_PARTS: u64 = 8;

/// What an acknowledgement says beside which frames have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Ring entries before this index may come.
    pub credit: u64,
    /// Entries that may come before more credit is given.
    pub room: u64,
    pub complete_epoch: u64,
    pub phase: Phase,
}

/// What was told, and when something is to be told.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledging {
    told: Option<Standing>,
    /// Data frames that have come since the last acknowledgement, and when the first of them did.
    data_count: u32,
    data_us: u64,
    told_us: u64,
    repeat_us: u64,
    /// One more than the highest packet number that has come, and when that packet came.
    packet_end: u64,
    packet_us: u64,
}

impl Acknowledging {
    pub fn new(now_us: u64) -> Self {
        Self {
            told: None,
            data_count: 0,
            data_us: now_us,
            told_us: now_us,
            repeat_us: REPEAT_US_MIN,
            packet_end: 0,
            packet_us: now_us,
        }
    }

    pub fn note_packet(&mut self, packet_number: u64, now_us: u64) {
        if packet_number >= self.packet_end {
            (self.packet_end, self.packet_us) = (packet_number + 1, now_us);
        }
    }

    pub fn note_data(&mut self, now_us: u64) {
        if self.data_count == 0 {
            self.data_us = now_us;
        }
        self.data_count = self.data_count.saturating_add(1);
    }

    fn is_data_due(&self, now_us: u64) -> bool {
        let since_us = now_us.saturating_sub(self.data_us);
        self.data_count >= DATA_COUNT_MAX || self.data_count > 0 && since_us >= DATA_DELAY_US
    }

    pub fn is_due(&self, now_us: u64, standing: &Standing) -> bool {
        let Some(told) = self.told else { return true };
        let since_us = now_us.saturating_sub(self.told_us);
        let risen = standing.credit.saturating_sub(told.credit);
        let credit =
            risen > 0 && (risen >= standing.room / CREDIT_PARTS || since_us >= CREDIT_DELAY_US);
        let changed =
            told.complete_epoch != standing.complete_epoch || told.phase != standing.phase;
        self.is_data_due(now_us) || changed || credit || since_us >= self.repeat_us
    }

    pub fn note_told(&mut self, now_us: u64, standing: Standing, heartbeat_us: u64) {
        let news = self.data_count > 0 || self.told != Some(standing);
        let repeat_us = if news { REPEAT_US_MIN } else { self.repeat_us * 2 };
        self.repeat_us = repeat_us.min(heartbeat_us);
        (self.told, self.told_us, self.data_count) = (Some(standing), now_us, 0);
    }

    pub fn packet_end(&self) -> u64 {
        self.packet_end
    }

    pub fn delay_us(&self, now_us: u64) -> u32 {
        u32::try_from(now_us.saturating_sub(self.packet_us)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_go_out_at_once_and_are_repeated_ever_more_rarely() {
        let mut acknowledging = Acknowledging::new(0);
        let mut standing = Standing { credit: 100, room: 100, ..Standing::default() };
        assert!(acknowledging.is_due(0, &standing));
        let mut told_at = Vec::new();
        for now_us in 0..500_000 {
            if now_us == 400_000 {
                standing.complete_epoch = 1;
            }
            if acknowledging.is_due(now_us, &standing) {
                acknowledging.note_told(now_us, standing, 100_000);
                told_at.push(now_us / 1000);
            }
        }
        let expected = [0, 1, 3, 7, 15, 31, 63, 127, 227, 327, 400, 401, 403, 407, 415, 431, 463];
        assert_eq!(told_at, expected);
        standing.credit += 1;
        assert!(!acknowledging.is_due(463_400, &standing));
        assert!(acknowledging.is_due(463_500, &standing));
        standing.credit += 30;
        assert!(acknowledging.is_due(463_001, &standing));
        acknowledging.note_told(463_001, standing, 100_000);
    }

    #[test]
    fn data_is_acknowledged_for_many_frames_together_or_soon() {
        let mut acknowledging = Acknowledging::new(0);
        let standing = Standing { credit: 100, room: 100, ..Standing::default() };
        acknowledging.note_told(0, standing, 100_000);
        for _ in 1..DATA_COUNT_MAX {
            acknowledging.note_data(10);
            assert!(!acknowledging.is_due(10, &standing));
        }
        assert!(acknowledging.is_due(10 + DATA_DELAY_US, &standing));
        acknowledging.note_data(20);
        assert!(acknowledging.is_due(20, &standing));
        acknowledging.note_told(20, standing, 100_000);
        assert!(!acknowledging.is_due(20 + DATA_DELAY_US, &standing));
        acknowledging.note_data(200);
        assert!(!acknowledging.is_due(200, &standing));
    }
}
