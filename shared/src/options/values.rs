//! Values that options can have.

use crate::limits::INTERVAL_MS_MIN;

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
