//! The numbers of a record, and the lines that show them.

use super::record::StatusRecord;

/// How a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As it is.
    Number,
    /// As it is, by a primary helper; a backup has none.
    OfPrimary,
    /// It is a moment: as the milliseconds that have passed since, or not at all if it never came.
    Age,
    /// It is a set of links, a bit for each: as their numbers, or not at all if it is empty.
    Links,
}

/// Declares each number once: the field of the record that it is in, the name of its line, and how
/// that shows it. A slot has the numbers, and a report the lines, in this order.
macro_rules! numbers {
    ($($($field:ident).+ = $name:literal $shown:ident,)*) => {
        /// Name of each number's line, and how it shows the number.
        pub(super) const LINES: [(&str, Shown); NUMBER_COUNT] = [$(($name, Shown::$shown)),*];

        /// How many numbers a record has.
        pub(super) const NUMBER_COUNT: usize = [$($name),*].len();

        /// The numbers of a record.
        pub(super) const fn numbers(record: &StatusRecord) -> [u64; NUMBER_COUNT] {
            [$(record.$($field).+),*]
        }
    };
}

/// Where the numbers begin that are asked for by name.
pub(super) const WRITTEN_US: usize = 0;
pub(super) const WATCHDOG: usize = 1;

numbers! {
    written_us = "record_age_ms" Age,
    watchdog = "watchdog" OfPrimary,
    term = "term" Number,
    epoch = "epoch" Number,
    acknowledged = "acknowledged" Number,
    acknowledged_us = "acknowledged_age_ms" Age,
    interval_us = "interval_us" OfPrimary,
    pause.p50_us = "pause_us_p50" OfPrimary,
    pause.p99_us = "pause_us_p99" OfPrimary,
    pause.max_us = "pause_us_max" OfPrimary,
    gate_frames_held = "gate_frames_held" OfPrimary,
    gate_frames_dropped = "gate_frames_dropped" OfPrimary,
    pages_raw = "pages_raw" OfPrimary,
    pages_zero = "pages_zero" OfPrimary,
    pages_unchanged = "pages_unchanged" OfPrimary,
    pages_delta = "pages_delta" OfPrimary,
    pages_lz4 = "pages_lz4" OfPrimary,
    page_bytes_stored = "page_bytes_stored" OfPrimary,
    dirty_pages_last = "dirty_pages" Number,
    dirty_pages_mean = "dirty_pages_mean" Number,
    session = "session" Number,
    links_heard = "links_heard" Links,
    links_heard_by_peer = "links_heard_by_peer" Links,
    links_data = "links_data" Links,
    bytes_sent = "bytes_sent" Number,
    bytes_received = "bytes_received" Number,
    frames_retransmitted = "frames_retransmitted" Number,
    round_trip_us = "round_trip_us" Number,
    silence_us_max = "silence_us_max" Number,
    silence_limit_us = "silence_limit_us" Number,
    stall_us_max = "stall_us_max" Number,
}
