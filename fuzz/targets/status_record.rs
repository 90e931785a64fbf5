//! Status records, with the checksum that they came with and with the right one.

#![no_main]

use blake2::{Blake2s256, Digest};
use fuzz::seeds::Seeds;
use pollux::status::{
    Role, SavedRecord, State, StatusRecord, StatusReport, decode_record, encode_record,
};
use pollux::text::FixedText;

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let _ = decode_record(data);
    let mut slot = [0; 512];
    let size = data.len().min(slot.len());
    slot[..size].copy_from_slice(&data[..size]);
    slot[..8].copy_from_slice(&encode_record(&record())[..8]);
    let checksum = Blake2s256::digest(&slot[16..]);
    slot[8..16].copy_from_slice(&checksum[..8]);
    if let Ok(record) = decode_record(&slot) {
        let report = StatusReport { record: &record, now_us: u64::MAX, is_running: false };
        assert!(report.to_string().contains("state="));
    }
}

fn record() -> SavedRecord {
    SavedRecord::from(&StatusRecord {
        domain: FixedText::new("web"),
        domid: 17,
        written_us: 123_456_789,
        epoch: 300,
        session: 2,
        ..StatusRecord::new(Role::Primary, State::Protected, 4242)
    })
}

fn seeds() -> Seeds {
    Seeds::from([("protected", encode_record(&record()).to_vec())])
}
