//! Words about a session that both halves, and both hosts, have in common.

use core::fmt;

use heapless::String;

use crate::limits::REFUSAL_TEXT_SIZE_MAX;

/// The text in which the backup says why it refuses a domain.
pub type RefusalText = String<REFUSAL_TEXT_SIZE_MAX>;

/// What the backup is doing; commit says so, and the primary hears of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// No session, or none that commit has taken up.
    #[default]
    Idle = 0,
    /// The toolstack is building the twin.
    CreatingTwin = 1,
    /// The first full copy is on its way.
    Receiving = 2,
    /// At least one epoch is complete.
    Protected = 3,
    /// The domain cannot be protected; the refusal text says why.
    Refused = 4,
}

impl Phase {
    /// The phase with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Idle,
            1 => Self::CreatingTwin,
            2 => Self::Receiving,
            3 => Self::Protected,
            4 => Self::Refused,
            _ => return None,
        })
    }
}

/// How the backup has parted from a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It took leave by itself, or has answered a goodbye: it revives nothing.
    RevivesNothing,
    /// It has answered that it was handed the guest.
    HandedOver,
}

/// Why one end takes leave of the other, so that the twin is *not* revived, but for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GoodbyeReason {
    /// Protection was ended by its operator; the guest goes on unprotected.
    Ended = 1,
    /// The guest shut down.
    DomainShutDown = 2,
    /// The guest rebooted: another domain takes its place.
    DomainRebooted = 3,
    /// The domain was destroyed.
    DomainDestroyed = 4,
    /// The sender cannot go on; the guest runs unprotected.
    Failed = 5,
    /// The primary has paused its guest for good, and the backup shall revive its newest epoch: the one
    /// leave that the twin comes to life by.
    HandOver = 6,
}

impl GoodbyeReason {
    /// The reason with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Ended,
            2 => Self::DomainShutDown,
            3 => Self::DomainRebooted,
            4 => Self::DomainDestroyed,
            5 => Self::Failed,
            6 => Self::HandOver,
            _ => return None,
        })
    }
}

impl fmt::Display for GoodbyeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "protection was ended",
            Self::DomainShutDown => "the domain shut down",
            Self::DomainRebooted => "the domain rebooted",
            Self::DomainDestroyed => "the domain was destroyed",
            Self::Failed => "its helper cannot go on",
            Self::HandOver => "the guest is handed over",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pinned() {
        for number in 0..=u8::MAX {
            assert_eq!(
                Phase::from_number(number).map(|it| it as u8),
                (number <= 4).then_some(number)
            );
            let reason = GoodbyeReason::from_number(number).map(|it| it as u8);
            assert_eq!(reason, (1..=6).contains(&number).then_some(number));
        }
    }
}
