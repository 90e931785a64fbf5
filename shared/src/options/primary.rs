//! The command line of `primary-helper`.

use super::StatusOptions;
use super::error::UsageError;
use super::given::{ARBITER, STATE_DIRECTORY, take_options};
use super::rehearse::{RehearseOptions, parse_rehearse};
use super::replication::{REPLICATION, ReplicationOptions};
use super::values::{ArbiterKind, GateKind};
use crate::limits::{WATCHDOG_S_MAX, WATCHDOG_S_MIN};
use crate::text::FixedText;

/// What the operator asks of `primary-helper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrimaryRequest<'a> {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Protect a domain.
    Protect(ProtectOptions<'a>),
    /// Rehearse without a domain.
    Rehearse(RehearseOptions<'a>),
    /// Print how protection goes.
    Status(StatusOptions<'a>),
    /// Hand a guest over to its backup.
    SwitchOver(StatusOptions<'a>),
}

/// Options of `protect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectOptions<'a> {
    /// Name or domid of the domain.
    pub domain: &'a str,
    /// Path of its xl configuration.
    pub config: &'a str,
    /// Who decides which host lives.
    pub arbiter: ArbiterKind<'a>,
    /// How output is held back.
    pub gate: GateKind,
    /// How epochs are made and sent.
    pub replication: ReplicationOptions<'a>,
    /// Seconds after which Xen resets this host when protection stands still; 0 for never.
    pub watchdog_s: u32,
    /// Folder of the status record.
    pub state_directory: &'a str,
}

const PROTECT: &str = "--domain= --config= --gate= --watchdog= --ship= ";

/// Reads the arguments of `primary-helper`, without the program's own name.
///
/// # Errors
/// [`UsageError`] for the first mistake found.
pub fn parse_primary<'a>(
    mut arguments: impl Iterator<Item = &'a str>,
) -> Result<PrimaryRequest<'a>, UsageError> {
    match arguments.next() {
        None => Err(UsageError::CommandMissing),
        Some("--help" | "-h" | "help") => Ok(PrimaryRequest::Help),
        Some("--version" | "-V") => Ok(PrimaryRequest::Version),
        Some("protect") => parse_protect(arguments),
        Some("status") => {
            Ok(parse_status(arguments)?.map_or(PrimaryRequest::Help, PrimaryRequest::Status))
        }
        Some("switch-over") => parse_switch_over(arguments),
        Some("rehearse") => parse_rehearse(arguments)
            .map(|options| options.map_or(PrimaryRequest::Help, PrimaryRequest::Rehearse)),
        Some(other) => Err(UsageError::CommandUnknown(FixedText::new(other))),
    }
}

fn parse_protect<'a>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<PrimaryRequest<'a>, UsageError> {
    let known = [PROTECT, ARBITER, STATE_DIRECTORY, REPLICATION];
    let Some(mut given) = take_options(arguments, &known)? else {
        return Ok(PrimaryRequest::Help);
    };
    let watchdog_bounds = (WATCHDOG_S_MIN, WATCHDOG_S_MAX);
    let options = ProtectOptions {
        domain: given.required("--domain"),
        config: given.required("--config"),
        arbiter: given.arbiter(),
        gate: given.gate(),
        replication: ReplicationOptions::read(&mut given),
        watchdog_s: given.number("--watchdog", watchdog_bounds, 0, "10 to 600 seconds"),
        state_directory: given.state_directory(),
    };
    given.finish(PrimaryRequest::Protect(options))
}

/// A guest that is moved is named.
fn parse_switch_over<'a>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<PrimaryRequest<'a>, UsageError> {
    match parse_status(arguments)? {
        None => Ok(PrimaryRequest::Help),
        Some(StatusOptions { domain: None, .. }) => Err(UsageError::OptionMissing("--domain")),
        Some(options) => Ok(PrimaryRequest::SwitchOver(options)),
    }
}

/// None when the help is wanted.
fn parse_status<'a>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<Option<StatusOptions<'a>>, UsageError> {
    let Some(given) = take_options(arguments, &["--domain= ", STATE_DIRECTORY])? else {
        return Ok(None);
    };
    let (domain, state_directory) = (given.text("--domain"), given.state_directory());
    Ok(Some(StatusOptions { domain, state_directory }))
}

#[cfg(test)]
mod tests {
    use super::super::{Interval, LinkHalfPlace, WithStubDomains};
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    const PROTECT: &str = "protect --domain web --config w.cfg --link eth1=52:54:00:12:34:56 --key-file k --no-arbiter";

    fn parse(line: &str) -> Result<PrimaryRequest<'_>, UsageError> {
        parse_primary(line.split_whitespace())
    }

    #[test]
    fn protect_has_the_documented_defaults() {
        let Ok(PrimaryRequest::Protect(options)) = parse(PROTECT) else { panic!() };
        assert_eq!(
            (options.replication.interval, options.replication.timeout_ms),
            (Interval::Fixed(25), 500)
        );
        assert_eq!(options.replication.pause_target_us, 500);
        assert_eq!((options.gate, options.replication.capture_core), (GateKind::Plug, None));
        assert_eq!(
            (options.state_directory, options.replication.delta_cache_size),
            ("/run/pollux", 64 << 20)
        );
        assert_eq!(options.replication.links.first.peer_mac, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    }

    #[test]
    fn each_mistake_has_its_line() {
        for (arguments, line) in [
            ("", "a command is missing: see --help"),
            ("guard", "there is no command guard: see --help"),
            ("protect --domain web", "--config is missing: see --help"),
            ("protect --domain", "--domain needs a value: see --help"),
            ("protect --speed 3", "there is no option --speed here: see --help"),
            ("protect --domain a --domain b", "--domain is given too often: see --help"),
            ("switch-over", "--domain is missing: see --help"),
            ("status web", "web belongs to no option: see --help"),
        ] {
            assert_eq!(parse(arguments).unwrap_err().to_string(), line);
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (addition, line) in [
            ("--interval-ms 4", "--interval-ms 4: give 5 to 10000 milliseconds, or auto"),
            ("--interval-ms 10001", "--interval-ms 10001: give 5 to 10000 milliseconds, or auto"),
            ("--pause-target-us 10", "--pause-target-us 10: give 50 to 1000000 microseconds"),
            ("--timeout-ms x", "--timeout-ms x: give 50 to 60000 milliseconds"),
            ("--watchdog 9", "--watchdog 9: give 10 to 600 seconds"),
            ("--watchdog 601", "--watchdog 601: give 10 to 600 seconds"),
            ("--watchdog off", "--watchdog off: give 10 to 600 seconds"),
            ("--gate open", "--gate open: give plug or none"),
            (
                "--delta-cache 17G",
                "--delta-cache 17G: give a size of at most 16G, as in 64M, or 0 for none",
            ),
            ("--ship-core -1", "--ship-core -1: give a core's number, 0 to 1023"),
        ] {
            let whole = std::format!("{PROTECT} {addition}");
            assert_eq!(parse(&whole).unwrap_err().to_string(), line);
        }
    }

    #[test]
    fn a_stub_domain_ships_with_its_own_interfaces() {
        let with = WithStubDomains::BUILT.unwrap();
        const STUB: &str = "protect --domain web --config w.cfg --key-file k --no-arbiter --ship";
        let Ok(PrimaryRequest::Protect(options)) = parse(PROTECT) else { panic!() };
        assert_eq!(options.replication.ship, LinkHalfPlace::Process);
        let line = std::format!("{STUB} stub:pollux-ship --link vif0=52:54:00:12:34:56");
        let Ok(PrimaryRequest::Protect(options)) = parse(&line) else { panic!() };
        assert_eq!(options.replication.ship, LinkHalfPlace::StubDomain(with, "pollux-ship"));
        let vif = "give the stub domain's vif0=PEER_MAC, and no other link";
        let name = "give stub:NAME, with the name of a stub domain";
        for (words, line) in [
            ("process --link a=52:54:00:12:34:56", std::format!("--ship process: {name}")),
            ("stub: --link vif0=52:54:00:12:34:56", std::format!("--ship stub:: {name}")),
            (
                "stub:s --link eth1=52:54:00:12:34:56",
                std::format!("--link eth1=52:54:00:12:34:56: {vif}"),
            ),
            (
                "stub:s --link vif1=52:54:00:12:34:56",
                std::format!("--link vif1=52:54:00:12:34:56: {vif}"),
            ),
            (
                "stub:s --link vif0=52:54:00:12:34:56 --link vif1=52:54:00:12:34:57",
                std::format!("--link vif1=52:54:00:12:34:57: {vif}"),
            ),
            (
                "stub:s --link vif0=52:54:00:12:34:56 --ring 64M",
                "--ring 64M: give ring=SIZE on the stub domain's own command line instead".into(),
            ),
            (
                "stub:s --link vif0=52:54:00:12:34:56 --ship-core 1",
                "--ship-core 1: give cpus= in the stub domain's own configuration instead".into(),
            ),
        ] {
            let whole = std::format!("{STUB} {words}");
            assert_eq!(parse(&whole).unwrap_err().to_string(), line);
        }
    }

    #[test]
    fn the_watchdog_is_off_unless_it_is_asked_for() {
        for (addition, watchdog_s) in [("", 0), ("--watchdog 10", 10), ("--watchdog=600", 600)] {
            let whole = std::format!("{PROTECT} {addition}");
            let Ok(PrimaryRequest::Protect(options)) = parse(&whole) else { panic!() };
            assert_eq!(options.watchdog_s, watchdog_s);
        }
    }

    #[test]
    fn help_is_found_anywhere() {
        assert_eq!(parse("protect --domain web --help"), Ok(PrimaryRequest::Help));
        assert_eq!(parse("--version"), Ok(PrimaryRequest::Version));
    }

    proptest! {
        #[test]
        fn any_arguments_are_read_or_refused(arguments in proptest::collection::vec(".{0,20}", 0..8)) {
            let arguments: Vec<String> = arguments;
            let _ = parse_primary(arguments.iter().map(String::as_str));
            let _ = parse_primary(["protect"].into_iter().chain(arguments.iter().map(String::as_str)));
        }
    }
}
