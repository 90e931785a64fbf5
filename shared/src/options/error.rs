//! What can be wrong with a command line.

use core::fmt;

use crate::text::FixedText;

/// Bytes of an argument that an error repeats.
const SHOWN_SIZE_MAX: usize = 60;

/// A mistake on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No command was given.
    CommandMissing,
    /// The command is not one of this program's.
    CommandUnknown(FixedText<SHOWN_SIZE_MAX>),
    /// The command has no such option.
    OptionUnknown(FixedText<SHOWN_SIZE_MAX>),
    /// An option was given more often than it may be.
    OptionRepeated(&'static str),
    /// An option stands without its value.
    ValueMissing(&'static str),
    /// An option that stands alone was given a value.
    ValueUnwanted(&'static str),
    /// An option that the command needs was not given.
    OptionMissing(&'static str),
    /// Neither an arbiter nor that there is none was told, or both.
    ArbiterUnclear,
    /// What `disk-arbiter` is to do cannot be read.
    DiskArbiter,
    /// A value is not what the option takes.
    ValueWrong {
        /// The option.
        option: &'static str,
        /// The value as given.
        value: FixedText<SHOWN_SIZE_MAX>,
        /// What would be right.
        expected: &'static str,
    },
    /// A word that belongs to no option.
    ArgumentUnexpected(FixedText<SHOWN_SIZE_MAX>),
}

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandMissing => write!(formatter, "a command is missing: see --help"),
            Self::CommandUnknown(word) => {
                write!(formatter, "there is no command {word}: see --help")
            }
            Self::OptionUnknown(option) => {
                write!(formatter, "there is no option {option} here: see --help")
            }
            Self::OptionRepeated(option) => {
                write!(formatter, "{option} is given too often: see --help")
            }
            Self::ValueMissing(option) => write!(formatter, "{option} needs a value: see --help"),
            Self::ValueUnwanted(option) => write!(formatter, "{option} takes no value: see --help"),
            Self::OptionMissing(option) => write!(formatter, "{option} is missing: see --help"),
            Self::ArbiterUnclear => formatter.write_str(
                "give --arbiter exec:PATH or disk:DEVICE, which decides who lives when the link is cut, or \
                 --no-arbiter, with which both hosts may live then: see --help",
            ),
            Self::DiskArbiter => formatter.write_str(
                "disk-arbiter takes DEVICE HOST_MAC PEER_MAC, and get DOMAIN or claim DOMAIN TERM MAC",
            ),
            Self::ValueWrong { option, value, expected } => {
                write!(formatter, "{option} {value}: give {expected}")
            }
            Self::ArgumentUnexpected(word) => {
                write!(formatter, "{word} belongs to no option: see --help")
            }
        }
    }
}

impl core::error::Error for UsageError {}
