//! The walk over a command's options, and the values that were given.

use core::ops::RangeInclusive;

use heapless::Vec;

use super::STATE_DIRECTORY_DEFAULT;
use super::error::UsageError;
use super::values::{ArbiterKind, GateKind, Interval, LinkHalfPlace, WithStubDomains};
use crate::limits::{
    CORE_COUNT_MAX, DOMAIN_NAME_SIZE_MAX, INTERVAL_MS_MAX, INTERVAL_MS_MIN, LINK_COUNT_MAX,
    TIMEOUT_MS_MAX, TIMEOUT_MS_MIN,
};
use crate::text::{self, FixedText};

/// Options that one command line can have, repeated ones included.
const GIVEN_COUNT_MAX: usize = 24;

/// Who decides which host lives.
pub(super) const ARBITER: &str = "--arbiter= --no-arbiter ";
/// Where the status records are.
pub(super) const STATE_DIRECTORY: &str = "--state-dir= ";

/// The options of a command line. Each is read by its name; the first mistake that is met then is kept,
/// and told by [`Given::finish`].
#[derive(Debug)]
pub(super) struct Given<'a> {
    pairs: Vec<(&'static str, &'a str), GIVEN_COUNT_MAX>,
    mistake: Option<UsageError>,
}

// Called, not copied to each option: `inline(never)`.
impl<'a> Given<'a> {
    /// What was made of the options, unless a mistake was met.
    pub fn finish<T>(self, options: T) -> Result<T, UsageError> {
        self.mistake.map_or(Ok(options), Err)
    }

    fn note(&mut self, mistake: UsageError) {
        self.mistake.get_or_insert(mistake);
    }

    #[cold]
    #[inline(never)]
    pub fn note_wrong(&mut self, name: &'static str, value: &str, expected: &'static str) {
        self.note(UsageError::ValueWrong { option: name, value: FixedText::new(value), expected });
    }

    /// All values of an option, in order.
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |pair| pair.0 == name).map(|pair| pair.1)
    }

    /// The value of an option that is given at most once.
    #[inline(never)]
    pub fn text(&self, name: &'static str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Whether an option was given.
    pub fn has(&self, name: &'static str) -> bool {
        self.text(name).is_some()
    }

    /// The value of an option that must be given.
    #[inline(never)]
    pub fn required(&mut self, name: &'static str) -> &'a str {
        self.text(name).unwrap_or_else(|| {
            self.note(UsageError::OptionMissing(name));
            ""
        })
    }

    /// A number between the bounds, or the default when the option was not given.
    #[inline(never)]
    pub fn number(
        &mut self,
        name: &'static str,
        (minimum, maximum): (u32, u32),
        default: u32,
        expected: &'static str,
    ) -> u32 {
        let Some(value) = self.text(name) else { return default };
        match text::parse_number(value) {
            Some(number) if (minimum..=maximum).contains(&number) => number,
            _ => {
                self.note_wrong(name, value, expected);
                default
            }
        }
    }

    /// Time between checkpoints; 25 ms when the option was not given.
    pub fn interval(&mut self) -> Interval {
        let name = "--interval-ms";
        if self.text(name) == Some("auto") {
            return Interval::Auto;
        }
        let bounds = (INTERVAL_MS_MIN, INTERVAL_MS_MAX);
        Interval::Fixed(self.number(name, bounds, 25, "5 to 10000 milliseconds, or auto"))
    }

    /// A core's number, if the option was given.
    pub fn core(&mut self, name: &'static str) -> Option<u16> {
        let bounds = (0, u32::from(CORE_COUNT_MAX) - 1);
        let core = self.number(name, bounds, u32::MAX, "a core's number, 0 to 1023");
        u16::try_from(core).ok()
    }

    /// A size in bytes: digits, and K, M or G for the powers of 1024; or the default when the
    /// option was not given.
    #[inline(never)]
    pub fn size(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
        default: u64,
        expected: &'static str,
    ) -> u64 {
        let Some(value) = self.text(name) else { return default };
        match text::parse_size(value) {
            Some(size) if bounds.contains(&size) => size,
            _ => {
                self.note_wrong(name, value, expected);
                default
            }
        }
    }

    /// Silence after which the peer counts as lost, in milliseconds.
    pub fn timeout_ms(&mut self) -> u32 {
        let bounds = (TIMEOUT_MS_MIN, TIMEOUT_MS_MAX);
        self.number("--timeout-ms", bounds, 500, "50 to 60000 milliseconds")
    }

    /// `exec:PATH` or `disk:DEVICE`, one of which must be given unless it is said that there is none.
    #[inline(never)]
    pub fn arbiter(&mut self) -> ArbiterKind<'a> {
        let name = "--arbiter";
        let value = match (self.text(name), self.has("--no-arbiter")) {
            (Some(value), false) => value,
            (given, is_none) => {
                if given.is_some() || !is_none {
                    self.note(UsageError::ArbiterUnclear);
                }
                return ArbiterKind::None;
            }
        };
        match text::split_at_first(value, b':') {
            Some(("exec", path)) if path.starts_with("/") => ArbiterKind::Exec(path),
            Some(("disk", path)) if path.starts_with("/") => ArbiterKind::Disk(path),
            _ => {
                self.note_wrong(name, value, "exec:/PATH/OF/PROGRAM or disk:/DEVICE");
                ArbiterKind::None
            }
        }
    }

    /// `plug` or `none`; plug when the option was not given.
    pub fn gate(&mut self) -> GateKind {
        match self.text("--gate") {
            None | Some("plug") => GateKind::Plug,
            Some("none") => GateKind::None,
            Some(other) => {
                self.note_wrong("--gate", other, "plug or none");
                GateKind::None
            }
        }
    }

    /// `stub:NAME`; a process when the option was not given. The options of `process_only` would say nothing
    /// to a stub domain, whose configuration has such of its own.
    pub fn place(
        &mut self,
        name: &'static str,
        process_only: &[(&'static str, &'static str)],
    ) -> LinkHalfPlace<'a> {
        let Some(value) = self.text(name) else { return LinkHalfPlace::Process };
        let Some(with) = WithStubDomains::BUILT else {
            self.note_wrong(name, value, "it to a helper built with the feature stub-domain");
            return LinkHalfPlace::Process;
        };
        for (option, instead) in process_only {
            if let Some(value) = self.text(option) {
                self.note_wrong(option, value, instead);
            }
        }
        match text::split_at_first(value, b':') {
            Some(("stub", domain)) if (1..=DOMAIN_NAME_SIZE_MAX).contains(&domain.len()) => {
                LinkHalfPlace::StubDomain(with, domain)
            }
            _ => {
                self.note_wrong(name, value, "stub:NAME, with the name of a stub domain");
                LinkHalfPlace::Process
            }
        }
    }

    /// Folder of the status records.
    pub fn state_directory(&self) -> &'a str {
        self.text("--state-dir").unwrap_or(STATE_DIRECTORY_DEFAULT)
    }
}

/// Reads a command's options; none if `--help` was among them. `known` has the options that the command
/// takes, a space behind each: `--ring=` one with a value, `--no-arbiter` one that stands alone, and
/// `--link=*` one that is given for each link.
pub(super) fn take_options<'a>(
    mut arguments: impl Iterator<Item = &'a str>,
    known: &[&'static str],
) -> Result<Option<Given<'a>>, UsageError> {
    let mut given = Given { pairs: Vec::new(), mistake: None };
    while let Some(word) = arguments.next() {
        let (option, attached) = match text::split_at_first(word, b'=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        match option {
            "--help" | "-h" => return Ok(None),
            // No option is behind it, and words that are none belong nowhere.
            "--" if attached.is_none() => {
                return arguments.next().map_or(Ok(Some(given)), |word| Err(unexpected(word)));
            }
            "-" => return Err(unexpected(word)),
            _ if !option.starts_with("-") => return Err(unexpected(word)),
            _ => {}
        }
        let Some((name, kind)) = find(known, option) else {
            return Err(UsageError::OptionUnknown(FixedText::new(option)));
        };
        let value = match (kind.is_empty(), attached) {
            (true, Some(_)) => return Err(UsageError::ValueUnwanted(name)),
            (true, None) => "",
            (false, Some(value)) => value,
            (false, None) => arguments.next().ok_or(UsageError::ValueMissing(name))?,
        };
        let count_max = if kind == "=*" { LINK_COUNT_MAX } else { 1 };
        let is_room = given.all(name).count() < count_max;
        if !is_room || given.pairs.push((name, value)).is_err() {
            return Err(UsageError::OptionRepeated(name));
        }
    }
    Ok(Some(given))
}

/// The name of an option and what is behind it, of those that are known.
fn find(known: &[&'static str], option: &str) -> Option<(&'static str, &'static str)> {
    for mut rest in known.iter().copied() {
        while let Some((word, behind)) = text::split_at_first(rest, b' ') {
            for kind in ["=*", "=", ""] {
                match word.strip_suffix(kind) {
                    Some(name) if name == option => return Some((name, kind)),
                    _ => {}
                }
            }
            rest = behind;
        }
    }
    None
}

fn unexpected(word: &str) -> UsageError {
    UsageError::ArgumentUnexpected(FixedText::new(word))
}

#[cfg(test)]
mod tests {
    use super::{UsageError, take_options};

    const KNOWN: [&str; 2] = ["--name= ", "--bare --link=* "];

    /// What `--name` and the flag `--bare` were given.
    fn taken(words: &[&'static str]) -> Result<(Option<&'static str>, bool), String> {
        match take_options(words.iter().copied(), &KNOWN) {
            Ok(None) => Err("help".to_owned()),
            Ok(Some(given)) => Ok((given.text("--name"), given.has("--bare"))),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn an_option_is_given_once_and_a_link_four_times() {
        let repeated = |option: &'static str, count| {
            let words = std::iter::repeat_n([option, "x"], count).flatten();
            take_options(words, &KNOWN).map(|given| given.unwrap().all(option).count())
        };
        assert_eq!(repeated("--name", 1), Ok(1));
        assert_eq!(repeated("--name", 2), Err(UsageError::OptionRepeated("--name")));
        assert_eq!(repeated("--link", 4), Ok(4));
        assert_eq!(repeated("--link", 5), Err(UsageError::OptionRepeated("--link")));
    }

    #[test]
    fn the_first_mistake_is_told() {
        let words = ["--name", "7"];
        let mut given = take_options(words.into_iter(), &KNOWN).unwrap().unwrap();
        assert_eq!(given.number("--name", (1, 6), 3, "1 to 6"), 3);
        assert_eq!(given.required("--else"), "");
        let told = given.finish(()).unwrap_err().to_string();
        assert_eq!(told, "--name 7: give 1 to 6");
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
}
