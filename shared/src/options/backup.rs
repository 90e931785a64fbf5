//! The command line of `backup-helper`.

use super::disk_arbiter::{DiskArbiterOptions, parse_disk_arbiter};
use super::error::UsageError;
use super::links::Links;
use super::values::{ArbiterKind, Value, take_options};
use super::{STATE_DIRECTORY_DEFAULT, StatusOptions};
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
    /// Folder of the status record and of the twin's configuration.
    pub state_directory: &'a str,
}

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
    let mut links = Links::values();
    let mut key_file = Value::new("--key-file");
    let mut twin_config = Value::new("--twin-config");
    let mut rehearse_only = Value::flag("--rehearse-only");
    let mut arbiter = Value::new("--arbiter");
    let mut no_arbiter = Value::flag("--no-arbiter");
    let mut timeout = Value::new("--timeout-ms");
    let mut receive_core = Value::new("--receive-core");
    let mut commit_core = Value::new("--commit-core");
    let mut state_directory = Value::new("--state-dir");
    let wants_help = take_options(
        arguments,
        &mut [
            links.each_mut().as_mut_slice(),
            &mut [
                &mut key_file,
                &mut twin_config,
                &mut rehearse_only,
                &mut arbiter,
                &mut no_arbiter,
                &mut timeout,
                &mut receive_core,
                &mut commit_core,
                &mut state_directory,
            ],
        ],
    )?;
    if wants_help {
        return Ok(BackupRequest::Help);
    }
    Ok(BackupRequest::StandBy(StandByOptions {
        links: Links::read(&links)?,
        key_file: key_file.required()?,
        twin_config: twin_config.text(),
        // A rehearsal is nobody who could live.
        arbiter: match rehearse_only.is_given() {
            true => ArbiterKind::None,
            false => arbiter.arbiter(&no_arbiter)?,
        },
        rehearses_only: rehearse_only.is_given(),
        timeout_ms: timeout.timeout_ms()?,
        receive_core: receive_core.core()?,
        commit_core: commit_core.core()?,
        state_directory: state_directory.text().unwrap_or(STATE_DIRECTORY_DEFAULT),
    }))
}

fn parse_status<'a>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<BackupRequest<'a>, UsageError> {
    let mut state_directory = Value::new("--state-dir");
    if take_options(arguments, &mut [&mut [&mut state_directory]])? {
        return Ok(BackupRequest::Help);
    }
    let state_directory = state_directory.text().unwrap_or(STATE_DIRECTORY_DEFAULT);
    Ok(BackupRequest::Status(StatusOptions { domain: None, state_directory }))
}

#[cfg(test)]
mod tests {
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
