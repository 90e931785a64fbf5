//! Values of options, and the walk over a command's options.

use core::ops::RangeInclusive;

use super::error::UsageError;
use crate::limits::{
    CORE_COUNT_MAX, DELTA_CACHE_SIZE_DEFAULT, DELTA_CACHE_SIZE_MAX, INTERVAL_MS_MAX,
    INTERVAL_MS_MIN, PAGE_SIZE, PAUSE_TARGET_US_MAX, PAUSE_TARGET_US_MIN, RING_ENTRY_COUNT_PRIMARY,
    RING_ENTRY_COUNT_PRIMARY_MAX, RING_ENTRY_COUNT_PRIMARY_MIN, TIMEOUT_MS_MAX, TIMEOUT_MS_MIN,
    WATCHDOG_S_MAX, WATCHDOG_S_MIN,
};
use crate::text::{self, FixedText};

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
    /// Nobody: both hosts may live.
    None,
}

/// One option with its value, taken at most once. One that may be given several times has several.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) name: &'static str,
    value: Option<&'a str>,
    is_flag: bool,
}

impl<'a> Value<'a> {
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: None, is_flag: false }
    }

    /// An option that stands alone.
    pub const fn flag(name: &'static str) -> Self {
        Self { name, value: None, is_flag: true }
    }

    /// Whether the option was given.
    pub const fn is_given(&self) -> bool {
        self.value.is_some()
    }

    /// The value as text, if the option was given.
    pub fn text(&self) -> Option<&'a str> {
        self.value
    }

    /// The value of an option that must be given.
    pub fn required(&self) -> Result<&'a str, UsageError> {
        self.value.ok_or(UsageError::OptionMissing(self.name))
    }

    /// A number between the bounds, or the default when the option was not given.
    pub fn number(
        &self,
        minimum: u32,
        maximum: u32,
        default: u32,
        expected: &'static str,
    ) -> Result<u32, UsageError> {
        let Some(value) = self.value else { return Ok(default) };
        match text::parse_number(value) {
            Some(number) if (minimum..=maximum).contains(&number) => Ok(number),
            _ => Err(UsageError::wrong(self.name, value, expected)),
        }
    }

    /// Time between checkpoints; 25 ms when the option was not given.
    pub fn interval(&self) -> Result<Interval, UsageError> {
        if self.value == Some("auto") {
            return Ok(Interval::Auto);
        }
        let expected = "5 to 10000 milliseconds, or auto";
        self.number(INTERVAL_MS_MIN, INTERVAL_MS_MAX, 25, expected).map(Interval::Fixed)
    }

    /// Longest pause that is wanted, in microseconds.
    pub fn pause_target_us(&self) -> Result<u32, UsageError> {
        let expected = "50 to 1000000 microseconds";
        self.number(PAUSE_TARGET_US_MIN, PAUSE_TARGET_US_MAX, 500, expected)
    }

    /// A core's number, if the option was given.
    pub fn core(&self) -> Result<Option<u16>, UsageError> {
        let Some(value) = self.value else { return Ok(None) };
        match text::parse_number(value) {
            Some(core) if core < CORE_COUNT_MAX => Ok(Some(core)),
            _ => Err(UsageError::wrong(self.name, value, "a core's number, 0 to 1023")),
        }
    }

    /// A size in bytes: digits, and K, M or G for the powers of 1024; or the default when the
    /// option was not given.
    pub fn size(
        &self,
        bounds: RangeInclusive<u64>,
        default: u64,
        expected: &'static str,
    ) -> Result<u64, UsageError> {
        let Some(value) = self.value else { return Ok(default) };
        match parse_size(value) {
            Some(size) if bounds.contains(&size) => Ok(size),
            _ => Err(UsageError::wrong(self.name, value, expected)),
        }
    }

    /// Entries of the page ring, given as their bytes.
    pub fn ring_entry_count(&self) -> Result<u64, UsageError> {
        let page_size = PAGE_SIZE as u64;
        let bounds =
            RING_ENTRY_COUNT_PRIMARY_MIN * page_size..=RING_ENTRY_COUNT_PRIMARY_MAX * page_size;
        let default = RING_ENTRY_COUNT_PRIMARY * page_size;
        Ok(self.size(bounds, default, "a size from 16M to 4G, as in 64M")? / page_size)
    }

    /// Bytes of shadow pages for deltas; 0 for none.
    pub fn delta_cache_size(&self) -> Result<u64, UsageError> {
        let expected = "a size of at most 16G, as in 64M, or 0 for none";
        self.size(0..=DELTA_CACHE_SIZE_MAX, DELTA_CACHE_SIZE_DEFAULT, expected)
    }

    /// Silence after which the peer counts as lost, in milliseconds.
    pub fn timeout_ms(&self) -> Result<u32, UsageError> {
        self.number(TIMEOUT_MS_MIN, TIMEOUT_MS_MAX, 500, "50 to 60000 milliseconds")
    }

    /// Seconds until the watchdog bites; 0 when the option was not given.
    pub fn watchdog_s(&self) -> Result<u32, UsageError> {
        self.number(WATCHDOG_S_MIN, WATCHDOG_S_MAX, 0, "10 to 600 seconds")
    }

    /// `exec:PATH`, which must be given unless the flag `without` is.
    pub fn arbiter(&self, without: &Self) -> Result<ArbiterKind<'a>, UsageError> {
        match (self.value, without.is_given()) {
            (None, true) => Ok(ArbiterKind::None),
            (Some(value), false) => match value.strip_prefix("exec:") {
                Some(path) if path.starts_with("/") => Ok(ArbiterKind::Exec(path)),
                _ => Err(UsageError::wrong(self.name, value, "exec:/PATH/OF/PROGRAM")),
            },
            _ => Err(UsageError::ArbiterUnclear),
        }
    }

    /// `plug` or `none`; plug when the option was not given.
    pub fn gate(&self) -> Result<GateKind, UsageError> {
        match self.value {
            None | Some("plug") => Ok(GateKind::Plug),
            Some("none") => Ok(GateKind::None),
            Some(other) => Err(UsageError::wrong(self.name, other, "plug or none")),
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let with_unit = |(unit, shift)| Some((text.strip_suffix(unit)?, shift));
    let (digits, shift) = units.into_iter().find_map(with_unit).unwrap_or((text, 0));
    text::parse_number::<u64>(digits)?.checked_mul(1 << shift)
}

/// Fills the values of all groups from a command's arguments. Tells whether `--help` was among them.
pub(super) fn take_options<'a>(
    mut arguments: impl Iterator<Item = &'a str>,
    groups: &mut [&mut [&mut Value<'a>]],
) -> Result<bool, UsageError> {
    while let Some(word) = arguments.next() {
        let (option, attached) = match text::split_at_first(word, b'=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        match option {
            "--help" | "-h" => return Ok(true),
            // No option is behind it, and words that are none belong nowhere.
            "--" if attached.is_none() => {
                return arguments.next().map_or(Ok(false), |word| Err(unexpected(word)));
            }
            "-" => return Err(unexpected(word)),
            _ if !option.starts_with("-") => return Err(unexpected(word)),
            _ => {}
        }
        let mut slots = groups.iter_mut().flat_map(|group| group.iter_mut());
        let mut full = None;
        let slot = slots.find(|slot| {
            let is_named = slot.name == option;
            full = if is_named { Some(slot.name) } else { full };
            is_named && !slot.is_given()
        });
        let Some(slot) = slot else {
            return Err(match full {
                Some(name) => UsageError::OptionRepeated(name),
                None => UsageError::OptionUnknown(FixedText::new(option)),
            });
        };
        let value = match (slot.is_flag, attached) {
            (true, Some(_)) => return Err(UsageError::ValueUnwanted(slot.name)),
            (true, None) => "",
            (false, Some(value)) => value,
            (false, None) => arguments.next().ok_or(UsageError::ValueMissing(slot.name))?,
        };
        slot.value = Some(value);
    }
    Ok(false)
}

fn unexpected(word: &str) -> UsageError {
    UsageError::ArgumentUnexpected(FixedText::new(word))
}

#[cfg(test)]
mod tests {
    use super::{Value, parse_size, take_options};

    /// What `--name` and the flag `--bare` were given.
    fn taken(words: &[&'static str]) -> Result<(Option<&'static str>, bool), String> {
        let (mut name, mut bare) = (Value::new("--name"), Value::flag("--bare"));
        match take_options(words.iter().copied(), &mut [&mut [&mut name], &mut [&mut bare]]) {
            Ok(true) => Err("help".to_owned()),
            Ok(false) => Ok((name.text(), bare.is_given())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn values_are_the_next_word_or_attached() {
        assert_eq!(taken(&[]), Ok((None, false)));
        assert_eq!(taken(&["--bare", "--name", "--bare"]), Ok((Some("--bare"), true)));
        assert_eq!(taken(&["--name=a=b", "--"]), Ok((Some("a=b"), false)));
        assert_eq!(taken(&["--name="]), Ok((Some(""), false)));
        for help in ["--help", "-h"] {
            assert_eq!(taken(&["--name", "x", help, "--what"]).unwrap_err(), "help");
        }
        for (words, line) in [
            (&["--nam=x"][..], "there is no option --nam here: see --help"),
            (&["-n", "x"], "there is no option -n here: see --help"),
            (&["name", "x"], "name belongs to no option: see --help"),
            (&["a=b"], "a=b belongs to no option: see --help"),
            (&["-"], "- belongs to no option: see --help"),
            (&["--", "--bare"], "--bare belongs to no option: see --help"),
            (&["--bare=yes"], "--bare takes no value: see --help"),
            (&["--name"], "--name needs a value: see --help"),
        ] {
            assert_eq!(taken(words).unwrap_err(), line);
        }
    }

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
