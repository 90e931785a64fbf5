//! Values that options can have.

use crate::limits::INTERVAL_MS_MIN;
use crate::text;

/// Time between checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Always the same, in milliseconds.
    Fixed(u32),
    /// As short as the costs allow, see `primary::schedule`.
    Auto,
}

impl Interval {
    /// The shortest time that it comes to, in milliseconds.
    #[must_use]
    pub const fn shortest_ms(self) -> u32 {
        match self {
            Self::Fixed(interval_ms) => interval_ms,
            Self::Auto => INTERVAL_MS_MIN,
        }
    }
}

/// How the guest's output is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GateKind {
    /// By the kernel's sch_plug, until the backup has acknowledged.
    #[default]
    Plug,
    /// Not at all: output can outrun the backup's state.
    None,
}

/// Who decides which host may live when they have lost each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArbiterKind<'a> {
    /// The program at this path.
    Exec(&'a str),
    /// A disk that both hosts share, at this path.
    Disk(&'a str),
    /// Nobody: both hosts may live.
    None,
}

/// A size in bytes: digits, and K, M or G for the powers of 1024.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let with_unit = |(unit, shift)| Some((text.strip_suffix(unit)?, shift));
    let (digits, shift) = units.into_iter().find_map(with_unit).unwrap_or((text, 0));
    text::parse_number::<u64>(digits)?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_have_a_unit_or_none() {
        for (text, size) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("64K", Some(64 << 10)),
            ("64M", Some(64 << 20)),
            ("1G", Some(1 << 30)),
            ("17179869183G", Some(17_179_869_183 << 30)),
            ("17179869184G", None),
            ("", None),
            ("M", None),
            ("1m", None),
            ("1MB", None),
            ("+1M", None),
            ("-1", None),
            ("1.5G", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }
}
