//! The command line of `primary-helper rehearse`.

use super::error::UsageError;
use super::given::take_options;
use super::replication::{REPLICATION, ReplicationOptions};
use crate::limits::{
    DOMAIN_PAGE_COUNT_MAX, PAGE_SIZE, REHEARSAL_MEMORY_SIZE_MIN, REHEARSAL_SECONDS_MAX,
};

/// Memory of a guest when none is named: 1 GiB.
const MEMORY_SIZE_DEFAULT: u64 = 1 << 30;
/// Pages that it writes in an interval when none are named.
const DIRTY_PAGE_COUNT_DEFAULT: u32 = 1000;

const KNOWN: &str =
    "--memory= --dirty-pages= --hot-percent= --change-bytes= --seconds= --epochs= --trace= ";

/// Options of `rehearse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RehearseOptions<'a> {
    /// How epochs are made and sent.
    pub replication: ReplicationOptions<'a>,
    /// Pages of the guest's memory.
    pub page_count: u64,
    /// Pages that the guest writes in an interval, or in 25 ms with `auto`.
    pub dirty_page_count: u64,
    /// Percent of them that return to the same working set in every interval.
    pub hot_percent: u32,
    /// Bytes that change in each of them.
    pub change_size: u32,
    /// How long to measure, in seconds; none: 10, or once through the trace.
    pub seconds: Option<u32>,
    /// End after so many measured epochs, if that comes first.
    pub epoch_count: Option<u32>,
    /// Path of a trace that is replayed, in place of an invented guest.
    pub trace: Option<&'a str>,
}

/// Reads the options; none when the help text is wanted.
pub(super) fn parse_rehearse<'a>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<Option<RehearseOptions<'a>>, UsageError> {
    let Some(mut given) = take_options(arguments, &[KNOWN, REPLICATION])? else { return Ok(None) };
    let memory_bounds = REHEARSAL_MEMORY_SIZE_MIN..=DOMAIN_PAGE_COUNT_MAX * PAGE_SIZE as u64;
    let memory_size = given.size("--memory", memory_bounds, MEMORY_SIZE_DEFAULT, "1M to 12G");
    let page_count = memory_size / PAGE_SIZE as u64;
    let dirty_max = u32::try_from(page_count).unwrap_or(u32::MAX);
    let dirty_default = DIRTY_PAGE_COUNT_DEFAULT.min(dirty_max);
    let dirty_expected = "1 to as many pages as --memory has";
    let dirty_page_count =
        given.number("--dirty-pages", (1, dirty_max), dirty_default, dirty_expected);
    // Not given is 0.
    let seconds = given.number("--seconds", (1, REHEARSAL_SECONDS_MAX), 0, "1 to 86400 seconds");
    let epoch_count = given.number("--epochs", (1, u32::MAX), 0, "1 or more");
    let options = RehearseOptions {
        replication: ReplicationOptions::read(&mut given),
        page_count,
        dirty_page_count: dirty_page_count.into(),
        hot_percent: given.number("--hot-percent", (0, 100), 90, "0 to 100 percent"),
        change_size: given.number("--change-bytes", (1, 4096), 256, "1 to 4096 bytes"),
        seconds: (seconds > 0).then_some(seconds),
        epoch_count: (epoch_count > 0).then_some(epoch_count),
        trace: given.text("--trace"),
    };
    given.finish(Some(options))
}

#[cfg(test)]
mod tests {
    use super::super::Interval;
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    const LINK: &str = "--link eth1=52:54:00:12:34:56 --key-file k";

    fn parse(line: &str) -> Result<RehearseOptions<'_>, UsageError> {
        parse_rehearse(line.split_whitespace()).map(Option::unwrap)
    }

    #[test]
    fn rehearse_has_the_documented_defaults() {
        let options = parse(LINK).unwrap();
        assert_eq!((options.page_count, options.dirty_page_count), (262_144, 1000));
        assert_eq!((options.hot_percent, options.change_size), (90, 256));
        assert_eq!((options.replication.interval, options.seconds), (Interval::Fixed(25), None));
        assert_eq!(
            (options.replication.pause_target_us, options.replication.timeout_ms),
            (500, 500)
        );
        assert_eq!(options.replication.delta_cache_size, 64 << 20);
        assert_eq!(options.epoch_count, None);
        assert_eq!(
            (options.trace, options.replication.capture_core, options.replication.ship_core),
            (None, None, None)
        );
        assert_eq!(parse_rehearse(["--help"].into_iter()), Ok(None));
    }

    #[test]
    fn values_are_read_and_bounded() {
        let line = std::format!("{LINK} --memory 64M --dirty-pages 16384 --seconds 3 --trace t");
        let options = parse(&line).unwrap();
        assert_eq!((options.page_count, options.dirty_page_count), (16_384, 16_384));
        assert_eq!((options.seconds, options.trace), (Some(3), Some("t")));
        let dirty_line = "--dirty-pages 257: give 1 to as many pages as --memory has";
        for (addition, line) in [
            ("--memory 64", "--memory 64: give 1M to 12G"),
            ("--memory 13G", "--memory 13G: give 1M to 12G"),
            ("--memory 1M --dirty-pages 257", dirty_line),
            ("--hot-percent 101", "--hot-percent 101: give 0 to 100 percent"),
            ("--change-bytes 0", "--change-bytes 0: give 1 to 4096 bytes"),
            ("--seconds 0", "--seconds 0: give 1 to 86400 seconds"),
            ("--epochs 0", "--epochs 0: give 1 or more"),
            ("--domain web", "there is no option --domain here: see --help"),
        ] {
            let whole = std::format!("{LINK} {addition}");
            assert_eq!(parse(&whole).unwrap_err().to_string(), line);
        }
    }

    proptest! {
        #[test]
        fn any_arguments_are_read_or_refused(arguments in proptest::collection::vec(".{0,20}", 0..8)) {
            let arguments: Vec<String> = arguments;
            let _ = parse_rehearse(arguments.iter().map(String::as_str));
        }
    }
}
