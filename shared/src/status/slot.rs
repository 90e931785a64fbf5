//! How a record lies in its slot.

use core::fmt;

use blake2::{Blake2s256, Digest};

use super::lines::{NUMBER_COUNT, WATCHDOG, WRITTEN_US, numbers};
use super::record::{Role, State, StatusRecord};
use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::text::FixedText;

/// Bytes of a slot: magic, checksum, the record's numbers, little-endian, and the domain's name with
/// zeros behind it. It is written at once and never crosses a page, so a reader seldom sees half of
/// one, and the checksum tells when it does.
pub const RECORD_SIZE: usize = 512;

/// The first bytes of a slot; the last one counts the versions of the record.
const MAGIC: [u8; 8] = *b"pollux\0\x08";
const CHECKSUM_SIZE: usize = 8;
const PAYLOAD_OFFSET: usize = MAGIC.len() + CHECKSUM_SIZE;
const NUMBER_SIZE: usize = size_of::<u64>();
/// The words before the numbers: role, state, domid, process.
const HEAD_COUNT: usize = 4;
const WORD_COUNT: usize = HEAD_COUNT + NUMBER_COUNT;
const NAME_OFFSET: usize = PAYLOAD_OFFSET + WORD_COUNT * NUMBER_SIZE;

const _: () = assert!(NAME_OFFSET + DOMAIN_NAME_SIZE_MAX <= RECORD_SIZE, "the largest record fits");

/// What is in a slot is not a whole record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError;

impl fmt::Display for RecordError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a status record of this version")
    }
}

impl core::error::Error for RecordError {}

/// A record that was read from a slot, of another process as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedRecord {
    /// Who wrote it.
    pub role: Role,
    /// Where protection stood.
    pub state: State,
    /// The domain's number on this host; 0 while there was none.
    pub domid: u16,
    /// The process that drove it.
    pub pid: i32,
    /// The domain's name; empty while the backup knew none.
    pub domain: FixedText<DOMAIN_NAME_SIZE_MAX>,
    /// All else, as `lines` orders it.
    pub(super) numbers: [u64; NUMBER_COUNT],
}

impl SavedRecord {
    /// When it was written, see [`StatusRecord::written_us`].
    #[must_use]
    pub const fn written_us(&self) -> u64 {
        self.numbers[WRITTEN_US]
    }

    /// Sets when it is written.
    pub const fn set_written_us(&mut self, written_us: u64) {
        self.numbers[WRITTEN_US] = written_us;
    }

    /// Xen's number of the watchdog that was armed when it was written; 0 for none.
    #[must_use]
    pub fn watchdog(&self) -> u32 {
        u32::try_from(self.numbers[WATCHDOG]).unwrap_or(0)
    }

    /// Names another watchdog, or with 0 none.
    pub fn set_watchdog(&mut self, watchdog: u32) {
        self.numbers[WATCHDOG] = watchdog.into();
    }
}

impl From<&StatusRecord> for SavedRecord {
    fn from(record: &StatusRecord) -> Self {
        Self {
            role: record.role,
            state: record.state,
            domid: record.domid,
            pid: record.pid,
            domain: record.domain,
            numbers: numbers(record),
        }
    }
}

/// Writes a record into a slot.
pub fn encode_record(record: &SavedRecord) -> [u8; RECORD_SIZE] {
    let pid = record.pid.cast_unsigned();
    let head = [record.role as u64, record.state as u64, record.domid.into(), pid.into()];
    let mut slot = [0; RECORD_SIZE];
    slot[..MAGIC.len()].copy_from_slice(&MAGIC);
    let (words, _) = slot[PAYLOAD_OFFSET..].as_chunks_mut();
    for (target, word) in words.iter_mut().zip(head.iter().chain(&record.numbers)) {
        *target = word.to_le_bytes();
    }
    let name = record.domain.as_str();
    slot[NAME_OFFSET..NAME_OFFSET + name.len()].copy_from_slice(name.as_bytes());
    let checksum = checksum(&slot);
    slot[MAGIC.len()..PAYLOAD_OFFSET].copy_from_slice(&checksum);
    slot
}

/// Reads the record in a slot.
///
/// # Errors
/// [`RecordError`] for anything but a whole record.
pub fn decode_record(slot: &[u8]) -> Result<SavedRecord, RecordError> {
    decode(slot).ok_or(RecordError)
}

fn decode(slot: &[u8]) -> Option<SavedRecord> {
    let slot: &[u8; RECORD_SIZE] = slot.try_into().ok()?;
    let is_whole =
        slot[..MAGIC.len()] == MAGIC && slot[MAGIC.len()..PAYLOAD_OFFSET] == checksum(slot);
    if !is_whole {
        return None;
    }
    let (words, _) = slot[PAYLOAD_OFFSET..].as_chunks();
    let mut words = words.iter().copied().map(u64::from_le_bytes);
    let mut next = || words.next().unwrap_or_default();
    let [role, state, domid, pid] = core::array::from_fn(|_| next());
    let name = &slot[NAME_OFFSET..NAME_OFFSET + DOMAIN_NAME_SIZE_MAX];
    let name = core::str::from_utf8(name).ok()?.trim_end_matches('\0');
    Some(SavedRecord {
        role: *Role::ALL.get(usize::try_from(role).ok()?)?,
        state: *State::ALL.get(usize::try_from(state).ok()?)?,
        domid: u16::try_from(domid).ok()?,
        pid: u32::try_from(pid).ok()?.cast_signed(),
        domain: FixedText::new(name),
        numbers: core::array::from_fn(|_| next()),
    })
}

fn checksum(slot: &[u8; RECORD_SIZE]) -> [u8; CHECKSUM_SIZE] {
    let hash = Blake2s256::digest(&slot[PAYLOAD_OFFSET..]);
    *hash.first_chunk().expect("a hash is longer than a checksum")
}

#[cfg(test)]
mod tests {
    use super::super::PauseSummary;
    use super::{
        FixedText, NUMBER_COUNT, RECORD_SIZE, RecordError, Role, SavedRecord, State, StatusRecord,
        decode_record, encode_record, numbers,
    };
    use proptest::prelude::{any, prop_assert_eq, proptest};

    /// A record with these numbers, in the order of its fields.
    fn record(role: Role, state: State, domain: &str, fields: [u64; 31]) -> StatusRecord {
        let mut fields = fields.into_iter();
        let mut next = || fields.next().unwrap();
        StatusRecord {
            domain: FixedText::new(domain),
            domid: u16::MAX,
            written_us: next(),
            watchdog: next(),
            term: next(),
            epoch: next(),
            acknowledged: next(),
            acknowledged_us: next(),
            interval_us: next(),
            pause: PauseSummary { p50_us: next(), p99_us: next(), max_us: next() },
            dirty_pages_last: next(),
            dirty_pages_mean: next(),
            bytes_sent: next(),
            bytes_received: next(),
            frames_retransmitted: next(),
            round_trip_us: next(),
            silence_us_max: next(),
            silence_limit_us: next(),
            stall_us_max: next(),
            pages_raw: next(),
            pages_zero: next(),
            pages_unchanged: next(),
            pages_delta: next(),
            pages_lz4: next(),
            page_bytes_stored: next(),
            session: next(),
            links_heard: next(),
            links_heard_by_peer: next(),
            links_data: next(),
            gate_frames_held: next(),
            gate_frames_dropped: next(),
            ..StatusRecord::new(role, state, i32::MIN)
        }
    }

    fn largest() -> StatusRecord {
        record(Role::Backup, State::Running, &"x".repeat(310), [u64::MAX; 31])
    }

    #[test]
    fn the_largest_and_the_smallest_record_come_back() {
        for record in [largest(), StatusRecord::new(Role::Primary, State::Connecting, 1)] {
            let record = SavedRecord::from(&record);
            assert_eq!(decode_record(&encode_record(&record)), Ok(record));
        }
    }

    #[test]
    fn every_state_and_role_has_its_number() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
        for (number, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role as usize, number);
        }
    }

    #[test]
    fn a_watchdog_that_was_armed_is_found_again() {
        let armed = |watchdog| {
            let record = StatusRecord {
                written_us: 77,
                watchdog,
                ..StatusRecord::new(Role::Primary, State::Protected, 1)
            };
            let saved = decode_record(&encode_record(&(&record).into())).unwrap();
            assert_eq!(saved.written_us(), 77);
            let (mut changed, mut expected) = (saved, record);
            changed.set_watchdog(3);
            changed.set_written_us(78);
            (expected.watchdog, expected.written_us) = (3, 78);
            assert_eq!(changed, SavedRecord::from(&expected));
            saved.watchdog()
        };
        assert_eq!([armed(2), armed(0)], [2, 0]);
    }

    #[test]
    fn no_number_is_left_out() {
        let fields: [u64; 31] = std::array::from_fn(|place| place as u64);
        let mut kept = numbers(&record(Role::Primary, State::Protected, "web", fields));
        kept.sort_unstable();
        assert_eq!((kept.as_slice(), NUMBER_COUNT), (fields.as_slice(), 31));
    }

    proptest! {
        #[test]
        fn any_record_comes_back(
            state in 0..State::ALL.len(),
            domain in "[^\0]{0,80}",
            fields in any::<[u64; 31]>(),
        ) {
            let record = record(Role::Primary, State::ALL[state], &domain, fields);
            let back = decode_record(&encode_record(&(&record).into())).unwrap();
            prop_assert_eq!(back, SavedRecord::from(&record));
            prop_assert_eq!(back.numbers, numbers(&record));
        }

        #[test]
        fn a_damaged_slot_is_refused(position in 0..RECORD_SIZE, flip in 1_u8..) {
            let mut slot = encode_record(&(&largest()).into());
            slot[position] ^= flip;
            prop_assert_eq!(decode_record(&slot), Err(RecordError));
        }

        #[test]
        fn anything_else_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(decode_record(&bytes), Err(RecordError));
        }
    }
}
