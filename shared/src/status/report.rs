//! The record as people, and scripts, read it.

use super::record::{Role, StatusRecord};
use core::fmt;

/// Shows a record with its age: one `name=value` a line, names end in their unit.
#[derive(Clone, Copy, Debug)]
pub struct StatusReport<'record> {
    /// What was written.
    pub record: &'record StatusRecord,
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
        let age_ms = |moment_us: u64| self.now_us.saturating_sub(moment_us) / 1000;
        writeln!(formatter, "role={role}")?;
        writeln!(formatter, "domain={}", record.domain)?;
        writeln!(formatter, "domid={}", record.domid)?;
        if self.is_running {
            writeln!(formatter, "state={}", record.state)?;
        } else {
            // The process is gone without a word: what it last said is history.
            writeln!(formatter, "state=dead")?;
            writeln!(formatter, "state_before={}", record.state)?;
        }
        writeln!(formatter, "pid={}", record.pid)?;
        writeln!(formatter, "record_age_ms={}", age_ms(record.written_us))?;
        writeln!(formatter, "epoch={}", record.epoch)?;
        writeln!(formatter, "acknowledged={}", record.acknowledged)?;
        if record.acknowledged_us != 0 {
            writeln!(formatter, "acknowledged_age_ms={}", age_ms(record.acknowledged_us))?;
        }
        if record.role == Role::Primary {
            writeln!(formatter, "interval_us={}", record.interval_us)?;
            writeln!(formatter, "pause_us_p50={}", record.pause.p50_us)?;
            writeln!(formatter, "pause_us_p99={}", record.pause.p99_us)?;
            writeln!(formatter, "pause_us_max={}", record.pause.max_us)?;
            writeln!(formatter, "gate_frames_held={}", record.gate_frames_held)?;
            writeln!(formatter, "gate_frames_dropped={}", record.gate_frames_dropped)?;
            writeln!(formatter, "pages_raw={}", record.pages_raw)?;
            writeln!(formatter, "pages_zero={}", record.pages_zero)?;
            writeln!(formatter, "pages_unchanged={}", record.pages_unchanged)?;
            writeln!(formatter, "pages_delta={}", record.pages_delta)?;
            writeln!(formatter, "pages_lz4={}", record.pages_lz4)?;
            writeln!(formatter, "page_bytes_stored={}", record.page_bytes_stored)?;
        }
        writeln!(formatter, "dirty_pages={}", record.dirty_pages_last)?;
        writeln!(formatter, "dirty_pages_mean={}", record.dirty_pages_mean)?;
        writeln!(formatter, "session={}", record.session)?;
        writeln!(formatter, "bytes_sent={}", record.bytes_sent)?;
        writeln!(formatter, "bytes_received={}", record.bytes_received)?;
        writeln!(formatter, "frames_retransmitted={}", record.frames_retransmitted)?;
        writeln!(formatter, "round_trip_us={}", record.round_trip_us)?;
        writeln!(formatter, "silence_us_max={}", record.silence_us_max)?;
        writeln!(formatter, "stall_us_max={}", record.stall_us_max)
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::{Role, StatusRecord, StatusReport};
    use crate::text::FixedText;

    #[test]
    fn every_line_is_a_name_and_a_value() {
        let record = StatusRecord {
            domain: FixedText::new("web"),
            written_us: 5_000_000,
            acknowledged_us: 4_990_000,
            ..StatusRecord::new(Role::Primary, State::Protected, 42)
        };
        let report = StatusReport { record: &record, now_us: 5_400_000, is_running: true };
        let text = report.to_string();
        assert!(text.lines().all(|line| line.split_once('=').is_some()));
        for line in ["domain=web", "state=protected", "record_age_ms=400", "pause_us_p99=0"] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert!(text.contains("\nacknowledged_age_ms=410\n"));
    }

    #[test]
    fn a_dead_helper_is_not_shown_as_protecting() {
        let record = StatusRecord::new(Role::Backup, State::StandBy, 42);
        let report = StatusReport { record: &record, now_us: 0, is_running: false };
        let text = report.to_string();
        assert!(text.contains("\nstate=dead\nstate_before=stand-by\n"));
        assert!(!text.contains("pause_us"));
    }
}
