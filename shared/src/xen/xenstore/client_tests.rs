//! Tests of the client against recorded conversations.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::client::{Permission, Transaction, Xenstore};
use super::error::XenstoreError;
use super::message::{Header, MessageKind, RefusalReason};

/// A stream that answers with prepared bytes and keeps what was sent.
#[derive(Debug, Default)]
struct Conversation {
    incoming: Vec<u8>,
    offset: usize,
    outgoing: Vec<u8>,
}

impl Conversation {
    fn with(messages: &[(u32, u32, &[u8])]) -> Conversation {
        let mut incoming = Vec::new();
        for (kind, request_id, payload) in messages {
            let length = u32::try_from(payload.len()).unwrap();
            let header = Header { kind: *kind, request_id: *request_id, transaction_id: 0, length };
            incoming.extend(header.to_bytes());
            incoming.extend_from_slice(payload);
        }
        Conversation { incoming, ..Conversation::default() }
    }
}

impl embedded_io::ErrorType for Conversation {
    type Error = core::convert::Infallible;
}

impl embedded_io::Read for Conversation {
    fn read(&mut self, target: &mut [u8]) -> Result<usize, Self::Error> {
        // Short reads, as sockets give them.
        let length = target.len().min(self.incoming.len() - self.offset).min(7);
        target[..length].copy_from_slice(&self.incoming[self.offset..self.offset + length]);
        self.offset += length;
        Ok(length)
    }
}

impl embedded_io::Write for Conversation {
    fn write(&mut self, source: &[u8]) -> Result<usize, Self::Error> {
        self.outgoing.extend_from_slice(source);
        Ok(source.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

const EVENT: u32 = MessageKind::WatchEvent as u32;
const ERROR: u32 = MessageKind::Error as u32;

#[test]
fn a_read_sends_the_path_and_returns_the_value() {
    let mut store = Xenstore::new(Conversation::with(&[(2, 1, b"guest")]));
    assert_eq!(store.read_text(Transaction::NONE, "/local/domain/1/name"), Ok("guest"));
    let sent = &store.transport().outgoing;
    assert_eq!(sent[..16], [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0]);
    assert_eq!(&sent[16..], b"/local/domain/1/name\0");
}

#[test]
fn events_between_are_kept_for_later() {
    let messages: [(u32, u32, &[u8]); 3] =
        [(EVENT, 0, b"@releaseDomain\0t1\0"), (2, 1, b"42"), (EVENT, 0, b"x\0t2\0")];
    let mut store = Xenstore::new(Conversation::with(&messages));
    assert_eq!(store.read_number(Transaction::NONE, "n"), Ok(42));
    assert_eq!(store.take_event().unwrap().path(), "@releaseDomain");
    assert_eq!(store.take_event(), None);
    assert_eq!(store.next_event().unwrap().token(), "t2");
    assert_eq!(store.next_event(), Err(XenstoreError::Disconnected));
}

#[test]
fn refusals_and_nonsense_are_told_apart() {
    let mut store = Xenstore::new(Conversation::with(&[(ERROR, 1, b"ENOENT\0")]));
    assert!(store.read(Transaction::NONE, "n").unwrap_err().is_not_found());
    let mut store = Xenstore::new(Conversation::with(&[(2, 9, b"")]));
    assert_eq!(store.read(Transaction::NONE, "n"), Err(XenstoreError::Malformed));
    let mut store = Xenstore::new(Conversation::with(&[(11, 1, b"OK\0")]));
    assert_eq!(store.read(Transaction::NONE, "n"), Err(XenstoreError::Malformed));
    let long = String::from_utf8([b'x'; 4096].to_vec()).unwrap();
    assert_eq!(store.read(Transaction::NONE, &long), Err(XenstoreError::TooLong));
}

#[test]
fn a_transaction_that_lost_is_run_again() {
    let messages: [(u32, u32, &[u8]); 4] =
        [(6, 1, b"77\0"), (11, 2, b"OK\0"), (ERROR, 3, b"EAGAIN\0"), (7, 4, b"OK\0")];
    let mut store = Xenstore::new(Conversation::with(&messages));
    let transaction = store.transaction_start().unwrap();
    store.write(transaction, "a", b"b").unwrap();
    assert_eq!(store.transport().outgoing[17 + 8..17 + 12], [77, 0, 0, 0]);
    assert_eq!(store.transaction_end(transaction, true), Ok(false));
    assert_eq!(store.transaction_end(transaction, false), Ok(true));
}

#[test]
fn lists_are_split_and_written_with_nul() {
    let messages: [(u32, u32, &[u8]); 3] = [(1, 1, b"0\x001\0"), (14, 2, b"OK\0"), (8, 3, b"OK\0")];
    let mut store = Xenstore::new(Conversation::with(&messages));
    let names: Vec<String> =
        store.directory(Transaction::NONE, "/local/domain").unwrap().map(String::from).collect();
    assert_eq!(names, ["0", "1"]);
    store
        .set_permissions(Transaction::NONE, "a", &[Permission::None(0), Permission::Read(12)])
        .unwrap();
    assert!(store.transport().outgoing.ends_with(b"a\0n0\0r12\0"));
    store.introduce(3, 0xfeffc, 1).unwrap();
    assert!(store.transport().outgoing.ends_with(b"3\x001044476\x001\0"));
}

#[test]
fn an_oversized_answer_is_malformed() {
    let header = Header { kind: 2, request_id: 1, transaction_id: 0, length: 5000 };
    let incoming = header.to_bytes().to_vec();
    let mut store = Xenstore::new(Conversation { incoming, ..Conversation::default() });
    assert_eq!(store.read(Transaction::NONE, "n"), Err(XenstoreError::Malformed));
    let error = XenstoreError::Refused { request: MessageKind::Read, reason: RefusalReason::Busy };
    assert_eq!(error.to_string(), "xenstored refused Read: xenstored is busy: try again");
}

proptest! {
    #[test]
    fn any_answer_ends_in_a_result(incoming in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut store = Xenstore::new(Conversation { incoming, ..Conversation::default() });
        let _ = store.read_text(Transaction::NONE, "n");
        let _ = store.next_event();
        let _ = store.is_introduced(1);
    }
}
