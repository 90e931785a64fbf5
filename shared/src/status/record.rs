//! The record.

use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::ring::LinkCounters;
use crate::text::FixedText;
use core::fmt;

/// Which program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `primary-helper protect`.
    Primary,
    /// `backup-helper stand-by`.
    Backup,
}

impl Role {
    /// Each, at the place that is its number in a slot.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Backup];
}

/// Where protection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Primary: looking for the backup.
    Connecting,
    /// Primary: copying the whole guest while it runs.
    FullCopy,
    /// Primary: the backup has an epoch, output is held.
    Protected,
    /// Primary: the backup is lost, the guest runs without protection.
    Unprotected,
    /// Either: the peer is lost, and the arbiter has not decided who lives.
    Undecided,
    /// Backup: waiting for a primary.
    Waiting,
    /// Backup: receiving the first full copy.
    Receiving,
    /// Backup: holds a complete epoch and can revive it.
    StandBy,
    /// Backup: the primary is lost, the twin is being brought to life.
    Reviving,
    /// Backup: the twin runs.
    Running,
}

impl State {
    /// Each, at the place that is its number in a slot.
    pub const ALL: [Self; 10] = [
        Self::Connecting,
        Self::FullCopy,
        Self::Protected,
        Self::Unprotected,
        Self::Undecided,
        Self::Waiting,
        Self::Receiving,
        Self::StandBy,
        Self::Reviving,
        Self::Running,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connecting => "connecting",
            Self::FullCopy => "full-copy",
            Self::Protected => "protected",
            Self::Unprotected => "unprotected",
            Self::Undecided => "undecided",
            Self::Waiting => "waiting",
            Self::Receiving => "receiving",
            Self::StandBy => "stand-by",
            Self::Reviving => "reviving",
            Self::Running => "running",
        })
    }
}

/// How long the guest was paused, over all checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseSummary {
    /// Half of the pauses were not longer, in microseconds.
    pub p50_us: u64,
    /// 99 % of the pauses were not longer, in microseconds.
    pub p99_us: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
}

impl From<&super::Histogram> for PauseSummary {
    fn from(pauses_us: &super::Histogram) -> Self {
        Self {
            p50_us: pauses_us.percentile(50),
            p99_us: pauses_us.percentile(99),
            max_us: pauses_us.maximum(),
        }
    }
}

/// What a helper tells about itself. What does not concern its role stays 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRecord {
    /// Who writes.
    pub role: Role,
    /// The domain's name; empty while the backup knows none.
    pub domain: FixedText<DOMAIN_NAME_SIZE_MAX>,
    /// The domain's number on this host; 0 while there is none.
    pub domid: u16,
    /// Where protection stands.
    pub state: State,
    /// The process that drives it.
    pub pid: i32,
    /// When this was written: CLOCK_MONOTONIC of this host, in microseconds.
    pub written_us: u64,
    /// Primary: Xen's number of the watchdog that is armed; 0 while none is.
    pub watchdog: u64,
    /// The arbiter's term; 0 without an arbiter, or while the backup knows none.
    pub term: u64,
    /// Primary: the last epoch that ended. Backup: the last that was received whole.
    pub epoch: u64,
    /// The last epoch whose acknowledgement came (primary) or was sent (backup).
    pub acknowledged: u64,
    /// When that was, as `written_us`; 0 if never.
    pub acknowledged_us: u64,
    /// Mean time between checkpoints lately, in microseconds.
    pub interval_us: u64,
    /// The guest's pauses.
    pub pause: PauseSummary,
    /// Pages that changed in the last epoch.
    pub dirty_pages_last: u64,
    /// Pages that changed in an epoch, on average.
    pub dirty_pages_mean: u64,
    /// Bytes sent on the link.
    pub bytes_sent: u64,
    /// Bytes received on the link.
    pub bytes_received: u64,
    /// Data frames sent again.
    pub frames_retransmitted: u64,
    /// The link's smoothed round trip, in microseconds.
    pub round_trip_us: u64,
    /// Longest time for which the link process listened to the peer in vain while protected, in
    /// microseconds.
    pub silence_us_max: u64,
    /// The silence after which the peer is lost at present, in microseconds.
    pub silence_limit_us: u64,
    /// Longest time that the link process was kept waiting while protected, in microseconds.
    pub stall_us_max: u64,
    /// Primary: pages sent as they are.
    pub pages_raw: u64,
    /// Primary: pages of zeros.
    pub pages_zero: u64,
    /// Primary: pages that were as they had been sent last.
    pub pages_unchanged: u64,
    /// Primary: pages sent as their changes, with LZ4 or without.
    pub pages_delta: u64,
    /// Primary: pages sent as LZ4 blocks of the whole page.
    pub pages_lz4: u64,
    /// Primary: bytes of all these pages after encoding.
    pub page_bytes_stored: u64,
    /// Which session of the link this is, from 1; 0 while there is none.
    pub session: u64,
    /// Where there are several links, the set of those on which the peer is heard: a bit for each.
    pub links_heard: u64,
    /// Primary: the set of those on which the peer hears this host.
    pub links_heard_by_peer: u64,
    /// The one that data goes over, as such a set.
    pub links_data: u64,
    /// Frames that the gate holds.
    pub gate_frames_held: u64,
    /// Frames that the gate has dropped because it held too much.
    pub gate_frames_dropped: u64,
}

impl StatusRecord {
    /// A record that knows only who writes it.
    pub fn new(role: Role, state: State, pid: i32) -> Self {
        Self {
            role,
            domain: FixedText::new(""),
            domid: 0,
            state,
            pid,
            written_us: 0,
            watchdog: 0,
            term: 0,
            epoch: 0,
            acknowledged: 0,
            acknowledged_us: 0,
            interval_us: 0,
            pause: PauseSummary::default(),
            dirty_pages_last: 0,
            dirty_pages_mean: 0,
            bytes_sent: 0,
            bytes_received: 0,
            frames_retransmitted: 0,
            round_trip_us: 0,
            silence_us_max: 0,
            silence_limit_us: 0,
            stall_us_max: 0,
            pages_raw: 0,
            pages_zero: 0,
            pages_unchanged: 0,
            pages_delta: 0,
            pages_lz4: 0,
            page_bytes_stored: 0,
            session: 0,
            links_heard: 0,
            links_heard_by_peer: 0,
            links_data: 0,
            gate_frames_held: 0,
            gate_frames_dropped: 0,
        }
    }

    /// The record with what the link counts.
    #[must_use]
    pub fn with_link(self, link: &LinkCounters) -> Self {
        let [heard, by_peer, data, ..] = link.links.to_le_bytes();
        Self {
            bytes_sent: link.bytes_sent,
            bytes_received: link.bytes_received,
            frames_retransmitted: link.frames_retransmitted,
            round_trip_us: link.round_trip_us,
            silence_us_max: link.silence_us_max,
            silence_limit_us: link.silence_limit_us,
            stall_us_max: link.stall_us_max,
            pages_raw: link.pages_raw,
            pages_zero: link.pages_zero,
            pages_unchanged: link.pages_unchanged,
            pages_delta: link.pages_delta,
            pages_lz4: link.pages_lz4,
            page_bytes_stored: link.page_bytes_stored,
            session: link.sessions,
            links_heard: heard.into(),
            links_heard_by_peer: by_peer.into(),
            links_data: data.into(),
            ..self
        }
    }
}
