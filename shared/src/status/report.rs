//! The record as people, and scripts, read it.

use super::lines::{LINES, Shown};
use super::record::Role;
use super::slot::SavedRecord;
use crate::limits::LINK_COUNT_MAX;
use core::fmt;

/// Shows a record with its age: one `name=value` a line, names end in their unit.
#[derive(Clone, Copy, Debug)]
pub struct StatusReport<'record> {
    /// What was written.
    pub record: &'record SavedRecord,
    /// CLOCK_MONOTONIC of this host now, in microseconds.
    pub now_us: u64,
    /// Whether the process that wrote it still runs.
    pub is_running: bool,
}

impl fmt::Display for StatusReport<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record;
        let role = match record.role {
            Role::Primary => "primary",
            Role::Backup => "backup",
        };
        writeln!(formatter, "role={role}")?;
        writeln!(formatter, "domain={}", record.domain)?;
        writeln!(formatter, "domid={}", record.domid)?;
        // A process that is gone without a word: what it last said is history.
        let before = if self.is_running { "" } else { "dead\nstate_before=" };
        writeln!(formatter, "state={before}{}", record.state)?;
        writeln!(formatter, "pid={}", record.pid)?;
        for ((name, shown), number) in LINES.iter().zip(record.numbers) {
            let value = match shown {
                Shown::Number => number,
                Shown::OfPrimary if record.role == Role::Primary => number,
                Shown::Age if number != 0 => self.now_us.saturating_sub(number) / 1000,
                Shown::Links if number != 0 => digits_of(number),
                Shown::OfPrimary | Shown::Age | Shown::Links => continue,
            };
            writeln!(formatter, "{name}={value}")?;
        }
        Ok(())
    }
}

/// The numbers of the links in a set, from 1 on in the order in which they were given, as the digits of one
/// number.
fn digits_of(set: u64) -> u64 {
    let numbers = (1..=LINK_COUNT_MAX as u64).filter(|number| set >> (number - 1) & 1 != 0);
    numbers.fold(0, |digits, number| 10 * digits + number)
}

const _: () = assert!(LINK_COUNT_MAX < 10);

#[cfg(test)]
mod tests {
    use super::super::{PauseSummary, State, StatusRecord};
    use super::{Role, SavedRecord, StatusReport};
    use crate::text::FixedText;

    fn report(record: &StatusRecord, now_us: u64, is_running: bool) -> String {
        StatusReport { record: &SavedRecord::from(record), now_us, is_running }.to_string()
    }

    #[test]
    fn every_number_has_its_line() {
        let record = StatusRecord {
            domain: FixedText::new("web"),
            domid: 7,
            written_us: 5_000_000,
            watchdog: 1,
            term: 22,
            epoch: 101,
            acknowledged: 100,
            acknowledged_us: 4_990_000,
            interval_us: 25_000,
            pause: PauseSummary { p50_us: 1, p99_us: 2, max_us: 3 },
            dirty_pages_last: 4,
            dirty_pages_mean: 5,
            bytes_sent: 6,
            bytes_received: 8,
            frames_retransmitted: 9,
            round_trip_us: 10,
            silence_us_max: 11,
            silence_limit_us: 22,
            stall_us_max: 12,
            pages_raw: 13,
            pages_zero: 14,
            pages_unchanged: 15,
            pages_delta: 16,
            pages_lz4: 17,
            page_bytes_stored: 18,
            session: 19,
            links_heard: 0b1011,
            links_heard_by_peer: 1,
            links_data: 0b10,
            gate_frames_held: 20,
            gate_frames_dropped: 21,
            ..StatusRecord::new(Role::Primary, State::Protected, 42)
        };
        let lines = [
            "role=primary domain=web domid=7 state=protected pid=42 record_age_ms=400",
            "watchdog=1 term=22 epoch=101 acknowledged=100 acknowledged_age_ms=410 interval_us=25000",
            "pause_us_p50=1 pause_us_p99=2 pause_us_max=3 gate_frames_held=20",
            "gate_frames_dropped=21 pages_raw=13 pages_zero=14 pages_unchanged=15",
            "pages_delta=16 pages_lz4=17 page_bytes_stored=18 dirty_pages=4 dirty_pages_mean=5",
            "session=19 links_heard=124 links_heard_by_peer=1 links_data=2 bytes_sent=6 bytes_received=8 frames_retransmitted=9 round_trip_us=10",
            "silence_us_max=11 silence_limit_us=22 stall_us_max=12",
        ];
        let expected = lines.join(" ").replace(' ', "\n") + "\n";
        assert_eq!(report(&record, 5_400_000, true), expected);
    }

    #[test]
    fn a_dead_helper_is_not_shown_as_protecting() {
        let text = report(&StatusRecord::new(Role::Backup, State::StandBy, 42), 0, false);
        assert!(text.contains("\nstate=dead\nstate_before=stand-by\n"));
        assert!(!text.contains("links_"));
        assert!(!text.contains("pause_us") && !text.contains("acknowledged_age_ms"));
    }
}
