//! The record, and how it lies in its slot.

use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::ring::LinkCounters;
use crate::text::FixedText;
use blake2::{Blake2s256, Digest};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Bytes of a slot: magic, checksum, and the record with zeros behind it. It is written at once and
/// never crosses a page, so a reader seldom sees half of one, and the checksum tells when it does.
pub const RECORD_SIZE: usize = 512;

/// The first bytes of a slot; the last one counts the versions of the record.
const MAGIC: [u8; 8] = *b"pollux\0\x04";
const CHECKSUM_SIZE: usize = 8;
const PAYLOAD_OFFSET: usize = MAGIC.len() + CHECKSUM_SIZE;

/// Which program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// `primary-helper protect`.
    Primary,
    /// `backup-helper stand-by`.
    Backup,
}

/// Where protection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Longest time without a frame from the peer while protected, in microseconds.
    pub silence_us_max: u64,
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
            stall_us_max: 0,
            pages_raw: 0,
            pages_zero: 0,
            pages_unchanged: 0,
            pages_delta: 0,
            pages_lz4: 0,
            page_bytes_stored: 0,
            session: 0,
            gate_frames_held: 0,
            gate_frames_dropped: 0,
        }
    }

    /// The record with what the link counts.
    #[must_use]
    pub fn with_link(self, link: &LinkCounters) -> Self {
        Self {
            bytes_sent: link.bytes_sent,
            bytes_received: link.bytes_received,
            frames_retransmitted: link.frames_retransmitted,
            round_trip_us: link.round_trip_us,
            silence_us_max: link.silence_us_max,
            stall_us_max: link.stall_us_max,
            pages_raw: link.pages_raw,
            pages_zero: link.pages_zero,
            pages_unchanged: link.pages_unchanged,
            pages_delta: link.pages_delta,
            pages_lz4: link.pages_lz4,
            page_bytes_stored: link.page_bytes_stored,
            session: link.sessions,
            ..self
        }
    }
}

/// What is in a slot is not a whole record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError;

impl fmt::Display for RecordError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a status record of this version")
    }
}

impl core::error::Error for RecordError {}

/// Writes a record into a slot.
pub fn encode_record(record: &StatusRecord) -> [u8; RECORD_SIZE] {
    let mut slot = [0; RECORD_SIZE];
    slot[..MAGIC.len()].copy_from_slice(&MAGIC);
    let written = postcard::to_slice(record, &mut slot[PAYLOAD_OFFSET..]);
    assert!(written.is_ok(), "the largest record fits: a test says so");
    let checksum = checksum(&slot);
    slot[MAGIC.len()..PAYLOAD_OFFSET].copy_from_slice(&checksum);
    slot
}

/// Reads the record in a slot.
///
/// # Errors
/// [`RecordError`] for anything but a whole record.
pub fn decode_record(slot: &[u8]) -> Result<StatusRecord, RecordError> {
    let slot: &[u8; RECORD_SIZE] = slot.try_into().map_err(|_| RecordError)?;
    let is_whole =
        slot[..MAGIC.len()] == MAGIC && slot[MAGIC.len()..PAYLOAD_OFFSET] == checksum(slot);
    if !is_whole {
        return Err(RecordError);
    }
    let (record, _) =
        postcard::take_from_bytes(&slot[PAYLOAD_OFFSET..]).map_err(|_| RecordError)?;
    Ok(record)
}

fn checksum(slot: &[u8; RECORD_SIZE]) -> [u8; CHECKSUM_SIZE] {
    let hash = Blake2s256::digest(&slot[PAYLOAD_OFFSET..]);
    *hash.first_chunk().expect("a hash is longer than a checksum")
}

#[cfg(test)]
mod tests {
    use super::{
        FixedText, PauseSummary, RECORD_SIZE, RecordError, Role, State, StatusRecord,
        decode_record, encode_record,
    };
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn largest() -> StatusRecord {
        let most = u64::MAX;
        StatusRecord {
            domain: FixedText::new(&"x".repeat(300)),
            domid: u16::MAX,
            written_us: most,
            epoch: most,
            acknowledged: most,
            acknowledged_us: most,
            interval_us: most,
            pause: PauseSummary { p50_us: most, p99_us: most, max_us: most },
            dirty_pages_last: most,
            dirty_pages_mean: most,
            bytes_sent: most,
            bytes_received: most,
            frames_retransmitted: most,
            round_trip_us: most,
            silence_us_max: most,
            stall_us_max: most,
            pages_raw: most,
            pages_zero: most,
            pages_unchanged: most,
            pages_delta: most,
            pages_lz4: most,
            page_bytes_stored: most,
            session: most,
            gate_frames_held: most,
            gate_frames_dropped: most,
            ..StatusRecord::new(Role::Backup, State::Running, i32::MIN)
        }
    }

    #[test]
    fn the_largest_record_fits_and_comes_back() {
        let record = largest();
        assert_eq!(decode_record(&encode_record(&record)), Ok(record));
        let record = StatusRecord::new(Role::Primary, State::Connecting, 1);
        assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }

    proptest! {
        #[test]
        fn a_damaged_slot_is_refused(position in 0..RECORD_SIZE, flip in 1_u8..) {
            let mut slot = encode_record(&largest());
            slot[position] ^= flip;
            prop_assert_eq!(decode_record(&slot), Err(RecordError));
        }

        #[test]
        fn anything_else_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(decode_record(&bytes), Err(RecordError));
        }
    }
}
