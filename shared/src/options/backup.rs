//! The command line of `backup-helper`.

use super::StatusOptions;
use super::disk_arbiter::{DiskArbiterOptions, parse_disk_arbiter};
use super::error::UsageError;
use super::given::{ARBITER, STATE_DIRECTORY, take_options};
use super::links::Links;
use super::values::{ArbiterKind, LinkHalfPlace};
use crate::text::FixedText;

/// What the operator asks of `backup-helper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupRequest<'a> {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Keep a twin.
    StandBy(StandByOptions<'a>),
    /// Print how it goes.
    Status(StatusOptions<'a>),
    /// Ask a shared disk who lives.
    DiskArbiter(DiskArbiterOptions<'a>),
}

/// Options of `stand-by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandByOptions<'a> {
    /// The replication links.
    pub links: Links<'a>,
    /// Path of the key file.
    pub key_file: &'a str,
    /// Path of an xl configuration for the twin, in place of the primary's.
    pub twin_config: Option<&'a str>,
    /// Who decides which host lives.
    pub arbiter: ArbiterKind<'a>,
    /// Xen is not needed, and no domain is taken.
    pub rehearses_only: bool,
    /// Silence after which the primary counts as lost, in milliseconds.
    pub timeout_ms: u32,
    /// Core for receive, then polled without pause.
    pub receive_core: Option<u16>,
    /// Core for commit, then polled without pause.
    pub commit_core: Option<u16>,
    /// Where receive runs.
    pub receive: LinkHalfPlace<'a>,
    /// Folder of the status record and of the twin's configuration.
    pub state_directory: &'a str,
}

const STAND_BY: &str = "--link=* --key-file= --twin-config= --rehearse-only --timeout-ms= --receive-core= --commit-core= --receive= ";

/// An option of the process that receives, and what a stub domain has in place of it.
const PROCESS_ONLY: [(&str, &str); 1] =
    [("--receive-core", "cpus= in the stub domain's own configuration instead")];

/// Reads the arguments of `backup-helper`, without the program's own name.
///
/// # Errors
/// [`UsageError`] for the first mistake found.
pub fn parse_backup<'a>(
    mut arguments: impl Iterator<Item = &'a str>,
) -> Result<BackupRequest<'a>, UsageError> {
    match arguments.next() {
        None => Err(UsageError::CommandMissing),
        Some("--help" | "-h" | "help") => Ok(BackupRequest::Help),
        Some("--version" | "-V") => Ok(BackupRequest::Version),
        Some("stand-by") => parse_stand_by(arguments),
        Some("status") => parse_status(arguments),
        Some("disk-arbiter") => parse_disk_arbiter(arguments).map(BackupRequest::DiskArbiter),
        Some(other) => Err(UsageError::CommandUnknown(FixedText::new(other))),
    }
}

fn parse_stand_by<'a>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<BackupRequest<'a>, UsageError> {
    let Some(mut given) = take_options(arguments, &[STAND_BY, ARBITER, STATE_DIRECTORY])? else {
        return Ok(BackupRequest::Help);
    };
    let rehearses_only = given.has("--rehearse-only");
    let receive = given.place("--receive", &PROCESS_ONLY);
    let options = StandByOptions {
        links: Links::read(&mut given, receive),
        key_file: given.required("--key-file"),
        twin_config: given.text("--twin-config"),
        // A rehearsal is nobody who could live.
        arbiter: if rehearses_only { ArbiterKind::None } else { given.arbiter() },
        rehearses_only,
        timeout_ms: given.timeout_ms(),
        receive_core: given.core("--receive-core"),
        commit_core: given.core("--commit-core"),
        receive,
        state_directory: given.state_directory(),
    };
    given.finish(BackupRequest::StandBy(options))
}

fn parse_status<'a>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<BackupRequest<'a>, UsageError> {
    let Some(given) = take_options(arguments, &[STATE_DIRECTORY])? else {
        return Ok(BackupRequest::Help);
    };
    let state_directory = given.state_directory();
    Ok(BackupRequest::Status(StatusOptions { domain: None, state_directory }))
}

#[cfg(test)]
mod tests {
    use super::super::WithStubDomains;
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn parse(line: &str) -> Result<BackupRequest<'_>, UsageError> {
        parse_backup(line.split_whitespace())
    }

    #[test]
    fn stand_by_is_read() {
        let line =
            "stand-by --link=eth1=52:54:00:12:34:56 --key-file k --commit-core 3 --no-arbiter";
        let Ok(BackupRequest::StandBy(options)) = parse(line) else { panic!() };
        assert_eq!((options.links.first.interface, options.commit_core), ("eth1", Some(3)));
        assert_eq!((options.twin_config, options.timeout_ms), (None, 500));
        assert!(!options.rehearses_only);
        let line = "stand-by --rehearse-only --link eth1=52:54:00:12:34:56 --key-file k";
        let Ok(BackupRequest::StandBy(options)) = parse(line) else { panic!() };
        assert!(options.rehearses_only);
    }

    #[test]
    fn a_stub_domain_receives_with_its_own_interfaces() {
        let line =
            "stand-by --link vif0=52:54:00:12:34:56 --key-file k --no-arbiter --receive stub:r";
        let Ok(BackupRequest::StandBy(options)) = parse(line) else { panic!() };
        let with = WithStubDomains::BUILT.unwrap();
        assert_eq!(options.receive, LinkHalfPlace::StubDomain(with, "r"));
        let whole = std::format!("{line} --receive-core 1");
        let told = "--receive-core 1: give cpus= in the stub domain's own configuration instead";
        assert_eq!(parse(&whole).unwrap_err().to_string(), told);
        let line = "stand-by --link eth1=52:54:00:12:34:56 --key-file k --no-arbiter";
        let Ok(BackupRequest::StandBy(options)) = parse(line) else { panic!() };
        assert_eq!(options.receive, LinkHalfPlace::Process);
    }

    #[test]
    fn links_are_read_in_their_order() {
        let line = "stand-by --rehearse-only --key-file k --link a=52:54:00:12:34:56 \
                    --link=b=52:54:00:12:34:57 --link c=52:54:00:12:34:58";
        let Ok(BackupRequest::StandBy(options)) = parse(line) else { panic!() };
        let links: Vec<_> =
            options.links.iter().map(|link| (link.interface, link.peer_mac[5])).collect();
        assert_eq!(links, [("a", 0x56), ("b", 0x57), ("c", 0x58)]);
        assert_eq!([0, 2, 9].map(|number| options.links.interface(number)), ["a", "c", "a"]);
    }

    const LINK_LINE: &str = "--link b: give IFACE=PEER_MAC, as in eth1=52:54:00:12:34:56";

    #[test]
    fn each_mistake_has_its_line() {
        for (arguments, line) in [
            ("stand-by --key-file k", "--link is missing: see --help"),
            (
                "stand-by --link eth1",
                "--link eth1: give IFACE=PEER_MAC, as in eth1=52:54:00:12:34:56",
            ),
            (
                "stand-by --link eth1=52:54:00:12:34:56 --key-file k",
                "give --arbiter exec:PATH or disk:DEVICE, which decides who lives when the link is cut, or \
                 --no-arbiter, with which both hosts may live then: see --help",
            ),
            (
                "stand-by --link eth1=52:54:00:12:34:56 --key-file k --arbiter etcd",
                "--arbiter etcd: give exec:/PATH/OF/PROGRAM or disk:/DEVICE",
            ),
            (
                "stand-by --link a=52:54:00:12:34:56 --link a=52:54:00:12:34:57",
                "--link a=52:54:00:12:34:57: give each interface once",
            ),
            (
                "stand-by --link a --link b --link c --link d --link e",
                "--link is given too often: see --help",
            ),
            ("stand-by --link a=52:54:00:12:34:56 --link b", LINK_LINE),
            ("stand-by --rehearse-only=yes", "--rehearse-only takes no value: see --help"),
            ("protect", "there is no command protect: see --help"),
        ] {
            assert_eq!(parse(arguments).unwrap_err().to_string(), line);
        }
    }

    proptest! {
        #[test]
        fn any_arguments_are_read_or_refused(arguments in proptest::collection::vec(".{0,20}", 0..8)) {
            let arguments: Vec<String> = arguments;
            let _ = parse_backup(["stand-by"].into_iter().chain(arguments.iter().map(String::as_str)));
        }
    }
}
