//! The page that a guest shares with xenstored, written by a guest that is an enemy.

#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};

use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::capture::xenstore_traffic::{Indexes, Traffic, XenstoreTraffic, watch_token};
use pollux::xen::GuestPage;
use pollux::xen::xenstore::ring::{RING_SIZE, XenstoreRing};
use pollux::xen::xenstore::{Header, MessageKind};

fuzz::target!(seeds, try_bytes);

/// Where the four indexes lie: consumer and producer of requests, then of responses.
const INDEXES: usize = 2048;

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let words = [const { AtomicU64::new(0) }; 512];
    let page = GuestPage::from_words(&words);
    let start = input.u32();
    (0..4).for_each(|index| set_index(page, index, start));
    let mut traffic = XenstoreTraffic::default();
    let indexes = Indexes::read(&words);
    assert!(indexes.are_empty());
    traffic.found_quiet(&indexes);
    while !input.is_empty() {
        step(page, &mut input);
        let indexes = Indexes::read(&words);
        match traffic.observe(&words) {
            Traffic::Quiet => assert!(indexes.are_empty()),
            Traffic::Busy => {}
            Traffic::Lost if indexes.are_empty() => traffic.found_quiet(&indexes),
            Traffic::Lost => {}
        }
        if let Some(token) = watch_token(&words, start, "control/shutdown") {
            assert!(token.len() <= 64);
        }
    }
}

fn step(page: GuestPage<'_>, input: &mut Input<'_>) {
    let ring = XenstoreRing::new(page);
    let mut target = [0; RING_SIZE];
    match input.below(8) {
        // A whole message of the guest, and one of xenstored.
        0 => {
            let _ = ring.push_request(input.counted(RING_SIZE));
        }
        1 => respond(page, input.counted(RING_SIZE)),
        2 => {
            let index = usize::from(input.below(4));
            let current = page.read_u32(INDEXES + 4 * index);
            set_index(page, index, current.wrapping_add(input.u16().into()));
        }
        3 => set_index(page, input.below(4).into(), input.u32()),
        4 => page.byte(usize::from(input.u16()) % 2048).store(input.u8(), Ordering::Relaxed),
        5 => {
            let _ = ring.consume_responses(input.u16().into());
        }
        6 => {
            // Xenstored takes all requests.
            set_index(page, 0, ring.indexes().request_producer);
            set_index(page, 2, ring.indexes().response_producer);
            assert!(ring.is_quiescent());
        }
        _ => {
            let indexes = ring.indexes();
            let waiting = indexes.request_producer.wrapping_sub(indexes.request_consumer);
            if let Ok(requests) = ring.requests(&mut target) {
                assert_eq!(requests.len(), waiting as usize);
            }
            let _ = ring.responses(&mut target);
        }
    }
}

fn respond(page: GuestPage<'_>, message: &[u8]) {
    let producer = page.read_u32(INDEXES + 12);
    for (index, byte) in (producer as usize..).zip(message) {
        page.byte(RING_SIZE + index % RING_SIZE).store(*byte, Ordering::Relaxed);
    }
    let length = u32::try_from(message.len()).expect("a ring at most");
    set_index(page, 3, producer.wrapping_add(length));
}

fn set_index(page: GuestPage<'_>, index: usize, value: u32) {
    page.word32(INDEXES + 4 * index).store(value, Ordering::Relaxed);
}

fn seeds() -> Seeds {
    let mut bytes = 0xffff_ff00u32.to_le_bytes().to_vec();
    let mut say = |step: u8, kind: MessageKind, request_id, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("short");
        let header = Header { kind: kind.code(), request_id, transaction_id: 0, length };
        bytes.push(step);
        bytes.extend((16 + u16::try_from(length).expect("short")).to_le_bytes());
        bytes.extend(header.to_bytes());
        bytes.extend(payload);
        bytes.push(6);
    };
    say(0, MessageKind::Watch, 1, b"control/shutdown\0FFFFFFFF82A51F80\0");
    say(1, MessageKind::Watch, 1, b"OK\0");
    say(1, MessageKind::WatchEvent, 0, b"control/shutdown\0FFFFFFFF82A51F80\0");
    say(0, MessageKind::Read, 2, b"control/shutdown\0");
    say(1, MessageKind::Error, 2, b"ENOENT\0");
    Seeds::from([("watch", bytes)])
}
