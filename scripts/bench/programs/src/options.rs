//! Options of the programs: `--name value` pairs, each given at most once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::guest::Load;

/// The given options that nobody has taken yet.
#[derive(Debug)]
pub struct Options(BTreeMap<String, String>);

/// What is wrong with the command line: one line for a person.
#[derive(Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl Options {
    /// Reads the pairs.
    ///
    /// # Errors
    /// When a word is no option, an option has no value or comes twice.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self, UsageError> {
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                return Err(UsageError(format!("{word} is no option: they are --NAME VALUE")));
            };
            let Some(value) = words.next() else {
                return Err(UsageError(format!("--{name} has no value")));
            };
            if options.insert(name.to_owned(), value).is_some() {
                return Err(UsageError(format!("--{name} is given twice")));
            }
        }
        Ok(Self(options))
    }

    /// Takes an option's value, if it was given.
    ///
    /// # Errors
    /// When the value is not of this type.
    pub fn take<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, UsageError> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        let wrong = || UsageError(format!("--{name} cannot be {value}"));
        value.parse().map(Some).map_err(|_| wrong())
    }

    /// Takes the options of [`Load`], with the defaults of `primary-helper rehearse`.
    ///
    /// # Errors
    /// When a value is malformed, or the guest is too small for what it shall dirty.
    pub fn take_load(&mut self) -> Result<Load, UsageError> {
        let memory = self.take::<Size>("memory")?.map_or(1 << 30, |size| size.0);
        let load = Load {
            gfn_count: memory / pollux::limits::PAGE_SIZE as u64,
            dirty_pages: self.take("dirty-pages")?.unwrap_or(1000),
            hot_percent: self.take("hot-percent")?.unwrap_or(90),
            change_bytes: self.take("change-bytes")?.unwrap_or(256),
            interval: Duration::from_millis(self.take("interval-ms")?.unwrap_or(25)),
            length: Duration::from_secs(self.take("seconds")?.unwrap_or(10)),
            core: self.take("capture-core")?,
        };
        load.check().map_err(UsageError)?;
        Ok(load)
    }

    /// Makes sure that nothing was given that nobody took.
    ///
    /// # Errors
    /// Names an option that is left.
    pub fn finish(self) -> Result<(), UsageError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(UsageError(format!("--{name} is not known here"))),
        }
    }
}

/// A size such as `512M` or `1G`.
#[derive(Debug, PartialEq, Eq)]
struct Size(u64);

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'M') => (&text[..text.len() - 1], 20),
            Some(b'G') => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        let number: u64 = digits.parse().map_err(|_| ())?;
        number.checked_mul(1 << shift).map(Size).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Size};

    fn options(text: &str) -> Options {
        Options::read(text.split_whitespace().map(str::to_owned)).unwrap()
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!("128M".parse(), Ok(Size(128 << 20)));
        assert_eq!("8G".parse(), Ok(Size(8 << 30)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
        assert_eq!("".parse::<Size>(), Err(()));
        assert_eq!("-1G".parse::<Size>(), Err(()));
        assert_eq!("99999999999G".parse::<Size>(), Err(()));
    }

    #[test]
    fn a_load_is_read_and_checked() {
        let mut given = options("--memory 128M --dirty-pages 10 --seconds 1");
        let load = given.take_load().unwrap();
        assert_eq!((load.gfn_count, load.dirty_pages, load.hot_percent), (32768, 10, 90));
        given.finish().unwrap();
        assert!(options("--memory 1M --dirty-pages 1000").take_load().is_err());
        assert!(options("--hot-percent 101").take_load().is_err());
        assert!(options("--change-bytes 4097").take_load().is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let read = |text: &str| Options::read(text.split_whitespace().map(str::to_owned));
        assert!(read("--a").unwrap_err().to_string().contains("no value"));
        assert!(read("--a 1 --a 2").unwrap_err().to_string().contains("twice"));
        assert!(read("a 1").unwrap_err().to_string().contains("no option"));
        assert!(options("--unheard 1").finish().unwrap_err().to_string().contains("--unheard"));
    }
}
