//! The twin's xl configuration: from where it comes, and what name it gives.

use super::twin::TwinFault;
use crate::codec::DomainDescription;
use crate::limits::{DOMAIN_NAME_SIZE_MAX, XL_CONFIG_SIZE_MAX};
use crate::platform::linux::file::{read_small, write_atomically};
use crate::text::FixedText;

/// Longest path of a configuration file.
type Path = FixedText<255>;
/// A domain's name, in errors.
pub type Name = FixedText<DOMAIN_NAME_SIZE_MAX>;

/// Where the twin's configuration comes from.
#[derive(Clone, Copy, Debug)]
pub enum TwinConfig<'a> {
    /// The text that the primary sent; it is kept in this directory.
    Sent(&'a [u8], &'a str),
    /// A file that the operator named.
    File(&'a str),
}

/// Where the configuration lies for xl, and the name in it.
pub fn keep_config(
    description: &DomainDescription,
    config: TwinConfig<'_>,
) -> Result<(Path, Name), TwinFault> {
    let mut buffer = [0; XL_CONFIG_SIZE_MAX];
    let (path, text) = match config {
        TwinConfig::Sent(text, directory) => {
            let path = Path::format(format_args!("{directory}/{}.cfg", description.name));
            write_atomically(path.as_str(), text).map_err(TwinFault::File)?;
            (path, text)
        }
        TwinConfig::File(path) => {
            let text = read_small(path, &mut buffer).map_err(TwinFault::File)?;
            (Path::format(format_args!("{path}")), text)
        }
    };
    let name = config_name(text).ok_or(TwinFault::NoName)?;
    Ok((path, Name::format(format_args!("{name}"))))
}

/// The name in an xl configuration: the value of the last line `name = "..."`.
fn config_name(text: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(text).ok()?;
    let named = |line: &'_ str| {
        let value = line.trim_start().strip_prefix("name")?.trim_start().strip_prefix('=')?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|first| ['"', '\''].contains(first))?;
        let start = line.len() - value.len() + 1;
        let length = value[1..].find(quote)?;
        Some((start, length))
    };
    let mut named =
        text.lines().filter_map(|line| named(line).map(|(at, size)| &line[at..at + size]));
    named.next_back().filter(|name| !name.is_empty() && name.len() <= DOMAIN_NAME_SIZE_MAX)
}

#[cfg(test)]
mod tests {
    use super::config_name;

    #[test]
    fn names_are_found_as_xl_finds_them() {
        assert_eq!(config_name(b"name='web'\nmemory=128\n"), Some("web"));
        assert_eq!(config_name(b"# name='no'\n  name = \"web-1\" # here\n"), Some("web-1"));
        assert_eq!(config_name(b"name='a'\nname='b'"), Some("b"));
        assert_eq!(config_name(b"rename='a'\nname_x='b'\n"), None);
        assert_eq!(config_name(b"name=web\n"), None);
        assert_eq!(config_name(b"name=''\n"), None);
        assert_eq!(config_name(b"name='web\n"), None);
        assert_eq!(config_name(b"\xff\n"), None);
    }
}
