//! Options: the command lines of both programs.
//!
//! Parsing judges form and range; whether a file, domain or interface exists is found out by the
//! rooms that use it. Each mistake is one [`UsageError`], one line for people.

mod backup;
mod disk_arbiter;
mod error;
mod given;
mod links;
mod primary;
mod rehearse;
mod replication;
mod values;

pub use backup::{BackupRequest, StandByOptions, parse_backup};
pub use disk_arbiter::{DiskArbiterOptions, DiskQuestion};
pub use error::UsageError;
pub use links::{Link, Links};
pub use primary::{PrimaryRequest, ProtectOptions, parse_primary};
pub use rehearse::RehearseOptions;
pub use replication::ReplicationOptions;
pub use values::{ArbiterKind, GateKind, Interval, LinkHalfPlace, WithStubDomains};

/// Where the programs keep their status records when `--state-dir` does not say otherwise.
pub const STATE_DIRECTORY_DEFAULT: &str = "/run/pollux";

/// Options of `status`, the same for both programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusOptions<'a> {
    /// Only this domain; all when none is named.
    pub domain: Option<&'a str>,
    /// Folder of the status records.
    pub state_directory: &'a str,
}

/// Text of `primary-helper --help`.
pub const PRIMARY_HELP: &str = "\
primary-helper: protects a running Xen guest, so that it survives the loss of this host

  primary-helper protect --domain NAME|ID --config XL.CFG --link IFACE=PEER_MAC --key-file FILE
    --arbiter exec:PATH|disk:DEVICE | --no-arbiter [--interval-ms 25|auto] [--pause-target-us 500]
    [--timeout-ms 500] [--gate plug|none] [--ring 64M] [--delta-cache 64M] [--watchdog S]
    [--capture-core N] [--ship-core N] [--ship stub:NAME] [--state-dir /run/pollux]
  primary-helper rehearse --link IFACE=PEER_MAC --key-file FILE [--memory 1G] [--dirty-pages 1000]
    [--hot-percent 90] [--change-bytes 256] [--trace FILE] [--seconds 10] [--epochs N]
    [--interval-ms] [--pause-target-us] [--timeout-ms] [--ring] [--delta-cache] [--*-core]
  primary-helper status [--domain NAME] [--state-dir /run/pollux]
  primary-helper switch-over --domain NAME [--state-dir /run/pollux]

  --domain       the running guest, by name or domid
  --config       its xl configuration; the backup builds the twin from it
  --link         replication interface, and the backup's MAC address there; up to 4 times, the
                 fastest first, in the same order on both hosts
  --key-file     64 hexadecimal digits, the same on both hosts, readable by the owner alone;
                 SIGUSR2: read it again for the next session
  --arbiter      program or shared disk that decides who lives when the link is cut: docs/arbiter.md
  --no-arbiter   there is none: a cut link then leaves the guest alive on both hosts
  --interval-ms  time between checkpoints, 5 to 10000; auto: as short as the costs allow
  --pause-target-us  longest pause wanted; pages that would not fit into it are copied before
  --timeout-ms   longest silence of the backup, 50 to 60000
  --gate         plug holds the guest's output until the backup has its state; none does not
  --ring         memory, locked, for pages on their way; an epoch's should fit
  --delta-cache  memory, locked, for pages as they were sent last; 1/512 more for its table
  --watchdog     10 to 600 seconds until Xen resets this host if protect hangs or is killed
  --capture-core  core that copies the guest, polled without pause (also --ship-core: sending)
  --ship         a stub domain sends, by its own vif0=PEER_MAC; if built with it: docs/stub-domain.md

switch-over has the running protect hand its guest over to the backup.

rehearse sends an invented guest to `backup-helper stand-by` and prints what it measured, without Xen:
  --memory       1M to 12G; the backup needs twice as much, and up to 1G more
  --dirty-pages  pages written in an interval (with auto: in 25 ms)
  --hot-percent  share of them that is the same in every interval
  --change-bytes  bytes that change in each, 1 to 4096
  --trace        replay a recorded guest instead
  --seconds      how long to measure; for a trace, once through it
  --epochs       measure so many, if they are over before that time

Exit status: 0 ended as asked, 1 failed, 2 usage.
";

/// Text of `backup-helper --help`.
pub const BACKUP_HELP: &str = "\
backup-helper: keeps the twin of a protected Xen guest, and brings it to life when its host is lost

    backup-helper stand-by --link IFACE=PEER_MAC --key-file FILE
                           --arbiter exec:PATH|disk:DEVICE | --no-arbiter | --rehearse-only
                           [--twin-config XL.CFG] [--timeout-ms 500] [--receive-core N]
                           [--commit-core N] [--receive stub:NAME] [--state-dir /run/pollux]
    backup-helper status   [--state-dir /run/pollux]
    backup-helper disk-arbiter DEVICE HOST_MAC PEER_MAC get DOMAIN | claim DOMAIN TERM MAC

    --link          interface of the replication network, and the primary's MAC address there; up to 4
                    times for redundant links, the fastest first, in the same order on both hosts
    --key-file      64 hexadecimal digits, the same on both hosts, readable by the owner alone
                    SIGUSR2: read it again for the next session
    --arbiter       program, or disk that both hosts share, which decides who lives when the link
                    is cut (docs/arbiter.md)
    --no-arbiter    there is none: a cut link then leaves the guest alive on both hosts
    --twin-config   xl configuration for the twin, in place of the one that the primary sends
    --rehearse-only  take rehearsals and no domains; needs no Xen
    --timeout-ms    longest silence of the primary, 50 to 60000
    --receive-core  core that receives, polled without pause (also --commit-core: applying)
    --receive       a stub domain receives, by its own vif0=PEER_MAC; if built with it:
                    docs/stub-domain.md

Exit status: 0 ended as asked, 1 failed, 2 usage.
";
