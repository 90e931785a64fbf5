//! What the loop that takes checkpoints and the pre-drain tell each other: when the next checkpoint may
//! begin, what is to be done until then, and what was done.

/// What is to be done before the next checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time, in microseconds.
    Wait {
        /// When to ask again.
        until_us: u64,
    },
    /// Some pages were copied: ask again at once.
    Working,
    /// The checkpoint can be taken.
    Ready,
}

/// When the next checkpoint may begin.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// The time now, in microseconds.
    pub now_us: u64,
    /// When the beat wants it.
    pub at_us: u64,
    /// The beat's interval.
    pub interval_us: u64,
    /// Whether the epoch before is acknowledged, without which there is none.
    pub is_acknowledged: bool,
}

/// What pre-drain did for one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreDrainReport {
    /// Passes made.
    pub pass_count: u32,
    /// Pages copied in them.
    pub page_count: u64,
}
