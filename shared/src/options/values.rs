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

/// Where the half at the network runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkHalfPlace<'a> {
    /// A process of dom0, beside the other half.
    #[default]
    Process,
    /// The stub domain of this name.
    StubDomain(WithStubDomains, &'a str),
}

/// Shows that this program was built with the feature `stub-domain`. Without it there is no such value, so the
/// compiler leaves out everything that needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(any(test, feature = "stub-domain"))]
pub struct WithStubDomains(());

/// Shows that this program was built with the feature `stub-domain`. Without it, as here, there is no such value,
/// so the compiler leaves out everything that needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(not(any(test, feature = "stub-domain")))]
pub enum WithStubDomains {}

impl WithStubDomains {
    /// The value, if there is one.
    #[cfg(any(test, feature = "stub-domain"))]
    pub const BUILT: Option<Self> = Some(Self(()));
    /// The value, if there is one.
    #[cfg(not(any(test, feature = "stub-domain")))]
    pub const BUILT: Option<Self> = None;
}
