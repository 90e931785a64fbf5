//! Command lines of both programs. Arguments are the input's lines.

#![no_main]

use fuzz::seeds::Seeds;
use pollux::options::{BackupRequest, PrimaryRequest, parse_backup, parse_primary};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match parse_primary(text.lines()) {
        Ok(PrimaryRequest::Protect(options)) => {
            let replication = options.replication;
            assert!((5..=10_000).contains(&replication.interval.shortest_ms()));
            assert!((50..=60_000).contains(&replication.timeout_ms));
            assert!(replication.capture_core.is_none_or(|core| core < 1024));
            assert!(replication.links.iter().all(|it| (1..=15).contains(&it.interface.len())));
        }
        Ok(_) => {}
        Err(error) => one_line(&error.to_string(), text),
    }
    match parse_backup(text.lines()) {
        Ok(BackupRequest::StandBy(options)) => {
            assert!((50..=60_000).contains(&options.timeout_ms));
            assert!(options.links.iter().all(|it| it.peer_mac[0] & 1 == 0));
        }
        Ok(_) => {}
        Err(error) => one_line(&error.to_string(), text),
    }
}

/// A mistake is one line, unless the operator's own word has control characters.
fn one_line(message: &str, text: &str) {
    let own = text.lines().any(|line| line.contains(char::is_control));
    assert!(own || !message.contains(char::is_control), "{message:?}");
}

fn seeds() -> Seeds {
    let lines = |text: &str| text.replace(' ', "\n").into_bytes();
    Seeds::from([
        (
            "protect",
            lines(
                "protect --domain web --config w.cfg --link eth1=52:54:00:12:34:56 --key-file k \
                 --interval-ms auto --pause-target-us 400 --timeout-ms=700 --gate none --ring 128M \
                 --delta-cache 0 --capture-core 2 --ship-core 3 --state-dir /run/x",
            ),
        ),
        (
            "rehearse",
            lines(
                "rehearse --link eth1=52:54:00:12:34:56 --key-file k --memory 1G --dirty-pages 9 \
                 --hot-percent 80 --change-bytes 8 --trace t --seconds 3 --epochs 40 --ring 16M",
            ),
        ),
        ("status", lines("status --domain web --state-dir=/run/x")),
        (
            "stand-by",
            lines(
                "stand-by --link eth1=52:54:00:12:34:56 --key-file k --twin-config t --timeout-ms \
                 600 --rehearse-only --receive-core 1 --commit-core 0 --state-dir /run/x",
            ),
        ),
        ("help", lines("protect --help")),
    ])
}
