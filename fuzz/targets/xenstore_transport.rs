//! A domain's own xenstore ring: any words may stand in it when the domain looks.
//!
//! A byte says what the domain does; while it waits the next bytes are written into the page.

#![no_main]

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::xen::GuestPage;
use pollux::xen::xenbus::DeviceStore;
use pollux::xen::xenstore::{Header, MessageKind, RingHost, RingStore, RingTransport, Transaction};

fuzz::target!(seeds, try_bytes);

/// Where the four indexes lie: consumer and producer of requests, then of responses.
const INDEXES: usize = 2048;
const RING_SIZE: usize = 1024;
/// Waits that a request may take.
const WAIT_COUNT_MAX: u64 = 100;

#[derive(Debug)]
struct Daemon<'m, 'a> {
    page: GuestPage<'m>,
    input: RefCell<Input<'a>>,
    wait_count: RefCell<u64>,
}

impl RingHost for &Daemon<'_, '_> {
    fn now_us(&mut self) -> u64 {
        *self.wait_count.borrow()
    }

    fn notify(&mut self) {}

    fn wait(&mut self, _: u64) {
        *self.wait_count.borrow_mut() += 1;
        self.write();
    }
}

impl Daemon<'_, '_> {
    fn write(&self) {
        let input = &mut *self.input.borrow_mut();
        let word = |offset| self.page.word32(offset);
        match input.below(4) {
            0 => word(usize::from(input.u16()) % 1024 * 4).store(input.u32(), Ordering::Relaxed),
            // It takes every request.
            1 => word(INDEXES).store(self.page.read_u32(INDEXES + 4), Ordering::Relaxed),
            _ => {
                let producer = self.page.read_u32(INDEXES + 12);
                let message = input.counted(RING_SIZE);
                for (index, byte) in (producer as usize..).zip(message) {
                    let offset = RING_SIZE + index % RING_SIZE;
                    self.page.byte(offset).store(*byte, Ordering::Relaxed);
                }
                let length = u32::try_from(message.len()).expect("a ring at most");
                word(INDEXES + 12).store(producer.wrapping_add(length), Ordering::Relaxed);
            }
        }
    }
}

fn try_bytes(data: &[u8]) {
    let words = [const { AtomicU64::new(0) }; 512];
    let page = GuestPage::from_words(&words);
    let mut input = Input::new(data);
    let start = input.u32();
    (0..4).for_each(|index| page.word32(INDEXES + 4 * index).store(start, Ordering::Relaxed));
    let daemon = Daemon { page, input: RefCell::new(input), wait_count: RefCell::new(0) };
    let mut store = RingStore::new(RingTransport::new(page, &daemon, WAIT_COUNT_MAX));
    while !daemon.input.borrow().is_empty() {
        let (kind, before) = (daemon.input.borrow_mut().below(6), *daemon.wait_count.borrow());
        match kind {
            0 => daemon.write(),
            1 => {
                let _ = store.read("device/vif/0/state");
            }
            2 => {
                let _ = store.watch("device/vif/0/backend", "device/vif/0");
            }
            3 => {
                let _ = store.take_changed("device/vif/0");
            }
            4 => {
                let _ = store.client().write(Transaction::NONE, "a", &[b'x'; 3000]);
            }
            _ => {
                let _ = store.client().poll_event();
            }
        }
        // Time for a request's four pieces, and for its answer.
        assert!(*daemon.wait_count.borrow() - before <= 5 * WAIT_COUNT_MAX);
    }
}

fn seeds() -> Seeds {
    let mut bytes = 0xffff_ff00u32.to_le_bytes().to_vec();
    let mut say = |steps: &[u8], kind: MessageKind, request_id, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("short");
        let header = Header { kind: kind.code(), request_id, transaction_id: 0, length };
        bytes.extend(steps);
        bytes.extend((16 + u16::try_from(length).expect("short")).to_le_bytes());
        bytes.extend(header.to_bytes());
        bytes.extend(payload);
    };
    say(&[2, 1, 2], MessageKind::Watch, 1, b"OK\0");
    say(&[0, 2], MessageKind::WatchEvent, 0, b"device/vif/0/backend\0device/vif/0\0");
    say(&[3, 1, 1, 2], MessageKind::Read, 2, b"4");
    say(&[1, 1, 2], MessageKind::Error, 3, b"ENOENT\0");
    Seeds::from([("watch", bytes)])
}
