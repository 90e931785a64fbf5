//! A stub domain's command line: words with blanks between them.

use core::fmt;

use super::memory_plan::RingSize;
use crate::limits::{PAGE_SIZE, RING_ENTRY_COUNT_INITIAL, RING_ENTRY_COUNT_MAX};
use crate::platform::stubdom::faults::Defect;
use crate::text::{FixedText, parse_number, parse_size, split_at_first};

/// What the command line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `self-check`: end after it.
    pub is_self_check: bool,
    /// `self-check=WORD`: do this wrong instead.
    pub defect: Option<Defect>,
    /// `debug-exit=0xPORT`: end by QEMU's isa-debug-exit at this port.
    pub debug_exit_port: Option<u16>,
    /// `entry-count=N`, or `ring=SIZE` with the bytes of pages.
    pub ring_size: RingSize,
    /// `scribble`: write nonsense into the ring.
    pub scribbles: bool,
}

/// The command line cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsError {
    /// It is too long, or no text.
    Unreadable,
    /// A word of it says nothing.
    Word(FixedText<64>),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => {
                f.write_str("the command line is no text, or longer than 1023 bytes")
            }
            Self::Word(word) => write!(
                f,
                "the command line's word {word} is not known: there are entry-count=N, ring=SIZE, scribble, \
                 self-check, self-check=DEFECT and debug-exit=0xPORT (docs/stub-domain.md)"
            ),
        }
    }
}

impl core::error::Error for OptionsError {}

/// Reads the command line into `options`; none is one that could not be read. What comes before a mistake is
/// there in spite of it.
///
/// # Errors
/// [`OptionsError`] says which word is wrong.
pub fn parse(command_line: Option<&str>, options: &mut Options) -> Result<(), OptionsError> {
    let command_line = command_line.ok_or(OptionsError::Unreadable)?;
    for word in command_line.split(' ').filter(|word| !word.is_empty()) {
        let unknown = OptionsError::Word(FixedText::new(word));
        match split_at_first(word, b'=') {
            None if word == "self-check" => options.is_self_check = true,
            None if word == "scribble" => options.scribbles = true,
            Some(("self-check", name)) => options.defect = Some(defect_of(name).ok_or(unknown)?),
            Some(("debug-exit", port)) => {
                options.debug_exit_port = Some(port_of(port).ok_or(unknown)?);
            }
            Some(("entry-count", count)) => {
                options.ring_size = ring_of(parse_number(count)).ok_or(unknown)?;
            }
            Some(("ring", size)) => {
                let entry_count = parse_size(size).map(|size| size / PAGE_SIZE as u64);
                options.ring_size = ring_of(entry_count).ok_or(unknown)?;
            }
            _ => return Err(unknown),
        }
    }
    Ok(())
}

fn ring_of(entry_count: Option<u64>) -> Option<RingSize> {
    let limits = RING_ENTRY_COUNT_INITIAL..=RING_ENTRY_COUNT_MAX as u64;
    entry_count.filter(|count| limits.contains(count)).map(RingSize::Entries)
}

fn defect_of(name: &str) -> Option<Defect> {
    Some(match name {
        "exception" => Defect::Instruction,
        "write-code" => Defect::WriteCode,
        "write-constant" => Defect::WriteConstant,
        "execute-data" => Defect::ExecuteData,
        "null-pointer" => Defect::NullPointer,
        "use-up-stack" => Defect::UseUpStack,
        "panic" => Defect::Panic,
        _ => return None,
    })
}

fn port_of(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("0x")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Options, OptionsError> {
        let mut options = Options::default();
        parse(Some(text), &mut options).map(|()| options)
    }

    #[test]
    fn words_are_read_in_any_order() {
        assert_eq!(parsed(""), Ok(Options::default()));
        let options = parsed(" debug-exit=0xf4  self-check ").unwrap();
        assert!(options.is_self_check && options.defect.is_none());
        assert_eq!(options.debug_exit_port, Some(0xf4));
        let options = parsed("self-check=write-code").unwrap();
        assert_eq!((options.defect, options.debug_exit_port), (Some(Defect::WriteCode), None));
        assert!(parsed("scribble").unwrap().scribbles && !options.scribbles);
        for (word, ring_size) in [
            ("", RingSize::Fitting),
            ("entry-count=64", RingSize::Entries(64)),
            ("ring=64M", RingSize::Entries(16 * 1024)),
            ("ring=16G", RingSize::Entries(4 * 1024 * 1024)),
        ] {
            assert_eq!(parsed(word).unwrap().ring_size, ring_size);
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for word in [
            "console",
            "self-check=",
            "self-check=x",
            "debug-exit=f4",
            "debug-exit=0x10000",
            "entry-count=63",
            "entry-count=64K",
            "ring=255K",
            "ring=17G",
            "ring=",
        ] {
            let error = parsed(word).unwrap_err();
            assert!(error.to_string().contains(&format!(" {word} is not known")), "{error}");
        }
        let mut options = Options::default();
        assert_eq!(parse(None, &mut options), Err(OptionsError::Unreadable));
        assert!(parse(Some("debug-exit=0xf4 x self-check"), &mut options).is_err());
        assert_eq!((options.debug_exit_port, options.is_self_check), (Some(0xf4), false));
    }
}
