//! Conversations with xenstored: any bytes may be its answers.
//!
//! First a count of calls, then which ones; the rest is what comes over the socket.

#![no_main]

use core::convert::Infallible;

use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::xen::xenstore::domains::{DeviceKind, devices, domid_of_name, name_of_domid};
use pollux::xen::xenstore::{
    Header, MessageKind, RefusalReason, Transaction, Xenstore, XenstoreError, split_watch_event,
};

fuzz::target!(seeds, try_bytes);

/// Xenstored's side of the socket.
#[derive(Debug)]
struct Answers<'a>(&'a [u8]);

impl embedded_io::ErrorType for Answers<'_> {
    type Error = Infallible;
}

impl embedded_io::Read for Answers<'_> {
    fn read(&mut self, target: &mut [u8]) -> Result<usize, Infallible> {
        let (taken, rest) = self.0.split_at(target.len().min(self.0.len()));
        target[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
        Ok(taken.len())
    }
}

impl embedded_io::Write for Answers<'_> {
    fn write(&mut self, source: &[u8]) -> Result<usize, Infallible> {
        Ok(source.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn try_bytes(data: &[u8]) {
    let _ = (split_watch_event(data), RefusalReason::from_payload(data));
    let mut input = Input::new(data);
    let count = usize::from(input.below(16));
    let calls = input.bytes(count);
    let mut store = Xenstore::new(Answers(input.rest()));
    for kind in calls {
        if call(&mut store, *kind).is_err_and(|error| error == XenstoreError::Disconnected) {
            break;
        }
        while let Some(event) = store.take_event() {
            assert!(event.path().len() + event.token().len() + 2 <= 256);
        }
        let _ = store.take_events_lost();
    }
}

fn call(store: &mut Xenstore<Answers<'_>>, kind: u8) -> Result<(), XenstoreError> {
    let none = Transaction::NONE;
    match kind % 14 {
        0 => store.read_number(none, "domid").map(|_| ()),
        1 => store.read_text(none, "name").map(|text| assert!(text.len() <= 4096)),
        2 => store.directory(none, "/local/domain").map(|names| assert!(names.count() <= 4096)),
        3 => store.watch("@releaseDomain", "token"),
        4 => {
            let transaction = store.transaction_start()?;
            store.write(transaction, "a/b", b"value")?;
            store.transaction_end(transaction, true).map(|_| ())
        }
        5 => name_of_domid(store, 17).map(|_| ()),
        6 => domid_of_name(store, "web").map(|_| ()),
        7 => devices(store, 17, DeviceKind::Vif).map(|found| assert!(found.len() <= 16)),
        8 => store.is_introduced(17).map(|_| ()),
        9 => store.get_domain_path(17).map(|path| assert!(path.len() <= 4096)),
        10 => store.next_event().map(|_| ()),
        11 => store.receive_event(),
        12 => store.introduce(17, 0xfeffc, 1),
        _ => store.resume(17),
    }
}

fn seeds() -> Seeds {
    let vif: [(MessageKind, &[u8]); 4] = [
        (MessageKind::Directory, b"0\0"),
        (MessageKind::Read, b"/local/domain/0/backend/vif/17/0"),
        (MessageKind::Read, b"4"),
        (MessageKind::Read, b"4"),
    ];
    let transaction: [(MessageKind, &[u8]); 3] = [
        (MessageKind::TransactionStart, b"5\0"),
        (MessageKind::Write, b"OK\0"),
        (MessageKind::Error, b"EAGAIN\0"),
    ];
    let events: [(MessageKind, &[u8]); 3] = [
        (MessageKind::WatchEvent, b"@releaseDomain\0token\0"),
        (MessageKind::Read, b"17"),
        (MessageKind::WatchEvent, b"@releaseDomain\0token\0"),
    ];
    let domains: [(MessageKind, &[u8]); 4] = [
        (MessageKind::Directory, b"0\x0017\0"),
        (MessageKind::Read, b"Domain-0"),
        (MessageKind::Read, b"web"),
        (MessageKind::IsDomainIntroduced, b"T\0"),
    ];
    Seeds::from([
        ("devices", conversation(&[7], &vif)),
        ("transaction", conversation(&[4], &transaction)),
        ("events", conversation(&[0, 10], &events)),
        ("domains", conversation(&[6, 8], &domains)),
    ])
}

fn conversation(calls: &[u8], answers: &[(MessageKind, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(calls.len()).expect("few calls")];
    bytes.extend(calls);
    let mut request_id = 0;
    for (kind, payload) in answers {
        let is_event = *kind == MessageKind::WatchEvent;
        request_id += u32::from(!is_event);
        let header = Header {
            kind: kind.code(),
            request_id: if is_event { 0 } else { request_id },
            transaction_id: 0,
            length: u32::try_from(payload.len()).expect("short answers"),
        };
        bytes.extend(header.to_bytes());
        bytes.extend(*payload);
    }
    bytes
}
