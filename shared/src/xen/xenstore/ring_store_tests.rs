//! Tests of a domain's own ring: against a daemon that runs only when it is told to, and takes and gives
//! as many bytes at a time as it likes; and against one that breaks the protocol.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::client::{Transaction, Xenstore};
use super::message::{HEADER_SIZE, Header, MessageKind};
use super::{RingHost, RingStore, RingTransport, XenstoreError};
use crate::xen::GuestPage;
use crate::xen::xenbus::DeviceStore;

const ANSWER_US_MAX: u64 = 1_000_000;
const WAIT_US: u64 = 1000;

/// xenstored, as far as a guest's ring shows it.
struct Daemon {
    page: GuestPage<'static>,
    /// Bytes that it moves at a time.
    step: usize,
    now_us: u64,
    wait_count: u32,
    is_told: bool,
    is_silent: bool,
    request_consumer: u32,
    response_producer: u32,
    incoming: Vec<u8>,
    outgoing: VecDeque<u8>,
    nodes: BTreeMap<String, Vec<u8>>,
    watches: Vec<(String, String)>,
    /// Sends an event whenever it can, in place of answers.
    floods: bool,
}

impl Daemon {
    fn new(step: usize, index: u32) -> Rc<RefCell<Self>> {
        let words: &'static [AtomicU64; 512] =
            Box::leak(Box::new(core::array::from_fn(|_| AtomicU64::new(0))));
        let page = GuestPage::from_words(words);
        for offset in [2048, 2052, 2056, 2060] {
            page.word32(offset).store(index, Ordering::Relaxed);
        }
        Rc::new(RefCell::new(Self {
            page,
            step,
            now_us: 0,
            wait_count: 0,
            is_told: false,
            is_silent: false,
            request_consumer: index,
            response_producer: index,
            incoming: Vec::new(),
            outgoing: VecDeque::new(),
            nodes: BTreeMap::new(),
            watches: Vec::new(),
            floods: false,
        }))
    }

    /// Moves bytes, as long as it can; whether it could.
    fn run(&mut self) -> bool {
        let produced = self.page.read_u32(2052);
        let count = (produced.wrapping_sub(self.request_consumer) as usize).min(self.step);
        for _ in 0..count {
            let offset = self.request_consumer as usize % 1024;
            self.incoming.push(self.page.byte(offset).load(Ordering::Relaxed));
            self.request_consumer = self.request_consumer.wrapping_add(1);
        }
        self.page.word32(2048).store(self.request_consumer, Ordering::Release);
        self.serve();
        let used = self.response_producer.wrapping_sub(self.page.read_u32(2056)) as usize;
        let given = self.outgoing.len().min(1024_usize.saturating_sub(used)).min(self.step);
        for byte in self.outgoing.drain(..given) {
            let offset = 1024 + self.response_producer as usize % 1024;
            self.page.byte(offset).store(byte, Ordering::Relaxed);
            self.response_producer = self.response_producer.wrapping_add(1);
        }
        self.page.word32(2060).store(self.response_producer, Ordering::Release);
        count + given > 0
    }

    fn serve(&mut self) {
        if self.floods && self.outgoing.is_empty() {
            self.send(MessageKind::WatchEvent, 0, b"flood\0flood\0");
        }
        let Some(header) = self.incoming.first_chunk().map(Header::from_bytes) else { return };
        let size = HEADER_SIZE + header.length as usize;
        if self.incoming.len() < size || self.floods {
            return;
        }
        let message: Vec<u8> = self.incoming.drain(..size).collect();
        self.answer(header, &message[HEADER_SIZE..]);
    }

    fn answer(&mut self, header: Header, payload: &[u8]) {
        let kinds = [
            MessageKind::Directory,
            MessageKind::Read,
            MessageKind::Watch,
            MessageKind::Unwatch,
            MessageKind::TransactionStart,
            MessageKind::TransactionEnd,
            MessageKind::Write,
        ];
        let Some(kind) = kinds.into_iter().find(|kind| kind.code() == header.kind) else { return };
        let mut texts = payload.splitn(2, |byte| *byte == 0);
        let path = String::from_utf8_lossy(texts.next().unwrap()).into_owned();
        let rest = texts.next().unwrap_or_default().to_vec();
        let reply = match kind {
            MessageKind::Read => self.nodes.get(&path).cloned(),
            MessageKind::Directory => {
                let names = self.nodes.keys().filter_map(|node| node.strip_prefix(&path));
                Some(names.flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect())
            }
            MessageKind::TransactionStart => Some(b"42\0".to_vec()),
            _ => Some(b"OK\0".to_vec()),
        };
        match reply {
            Some(reply) => self.send(kind, header.request_id, &reply),
            None => self.send(MessageKind::Error, header.request_id, b"ENOENT\0"),
        }
        match kind {
            MessageKind::Write => {
                self.nodes.insert(path.clone(), rest);
                self.tell(&path);
            }
            MessageKind::Watch => {
                let token = String::from_utf8(rest[..rest.len() - 1].to_vec()).unwrap();
                self.watches.push((path.clone(), token));
                self.tell(&path);
            }
            MessageKind::Unwatch => self.watches.retain(|(watched, _)| *watched != path),
            _ => {}
        }
    }

    fn tell(&mut self, path: &str) {
        for (watched, token) in self.watches.clone() {
            if path.starts_with(&watched) {
                let event = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"].concat();
                self.send(MessageKind::WatchEvent, 0, &event);
            }
        }
    }

    fn send(&mut self, kind: MessageKind, request_id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap();
        let header = Header { kind: kind.code(), request_id, transaction_id: 0, length };
        self.outgoing.extend(header.to_bytes());
        self.outgoing.extend(payload);
    }
}

#[derive(Clone)]
struct Host(Rc<RefCell<Daemon>>);

impl RingHost for Host {
    fn now_us(&mut self) -> u64 {
        self.0.borrow().now_us
    }

    fn notify(&mut self) {
        self.0.borrow_mut().is_told = true;
    }

    /// The daemon runs on while it has something to do, and then only when it is told.
    fn wait(&mut self, duration_us: u64) {
        let daemon = &mut *self.0.borrow_mut();
        daemon.wait_count += 1;
        daemon.now_us += duration_us.min(WAIT_US);
        if daemon.is_told && !daemon.is_silent {
            daemon.is_told = daemon.run();
        }
    }
}

type Client = Xenstore<RingTransport<'static, Host>>;

fn transport(daemon: &Rc<RefCell<Daemon>>) -> RingTransport<'static, Host> {
    RingTransport::new(daemon.borrow().page, Host(daemon.clone()), ANSWER_US_MAX)
}

/// A daemon of this kind, and a client whose answers may take as long as slow steps do.
fn pair(step: usize, index: u32) -> (Rc<RefCell<Daemon>>, Client) {
    let daemon = Daemon::new(step, index);
    let page = daemon.borrow().page;
    let client = Xenstore::new(RingTransport::new(page, Host(daemon.clone()), 10_000_000));
    (daemon, client)
}

fn converse(step: usize, index: u32, value: &[u8]) {
    let (daemon, mut client) = pair(step, index);
    client.watch("a", "token").unwrap();
    client.write(Transaction::NONE, "a/b", value).unwrap();
    assert_eq!(client.read(Transaction::NONE, "a/b"), Ok(value));
    assert!(client.read(Transaction::NONE, "c").unwrap_err().is_not_found());
    let transaction = client.transaction_start().unwrap();
    client.write(transaction, "a/c", b"").unwrap();
    assert_eq!(client.transaction_end(transaction, true), Ok(true));
    let names: Vec<String> =
        client.directory(Transaction::NONE, "a/").unwrap().map(String::from).collect();
    assert_eq!(names, ["b", "c"]);
    let mut events = Vec::new();
    for _ in 0..100 {
        while let Some(event) = client.poll_event().unwrap() {
            assert_eq!(event.token(), "token");
            events.push(event.path().to_string());
        }
        daemon.borrow_mut().run();
    }
    assert_eq!(events, ["a", "a/b", "a/c"]);
}

#[test]
fn a_conversation_may_be_cut_at_every_byte() {
    for step in 1..80 {
        converse(step, 0, &[b'x'; 300]);
    }
}

#[test]
fn the_daemon_is_asked_again_after_it_was_silent() {
    let (daemon, mut client) = pair(7, 0);
    daemon.borrow_mut().is_silent = true;
    assert_eq!(client.read(Transaction::NONE, "a"), Err(XenstoreError::Silent));
    daemon.borrow_mut().is_silent = false;
    daemon.borrow_mut().nodes.insert("b".to_string(), b"2".to_vec());
    // The answer to the first request comes first, and is not taken for the second's.
    assert_eq!(client.read_number(Transaction::NONE, "b"), Ok(2));

    daemon.borrow_mut().is_silent = true;
    assert_eq!(client.read(Transaction::NONE, "a"), Err(XenstoreError::Silent));
    daemon.borrow_mut().is_silent = false;
    while daemon.borrow_mut().run() {}
    // Or it comes when nobody waits, and is dropped.
    assert_eq!(client.poll_event(), Ok(None));
    assert_eq!(client.read_number(Transaction::NONE, "b"), Ok(2));
}

#[test]
fn a_look_for_events_never_waits() {
    let (daemon, mut client) = pair(1, 0);
    client.watch("a", "token").unwrap();
    let wait_count = daemon.borrow().wait_count;
    daemon.borrow_mut().tell("a");
    let mut looks = 0;
    while client.poll_event().unwrap().is_none() {
        daemon.borrow_mut().run();
        looks += 1;
    }
    assert!(looks > 10);
    assert_eq!(daemon.borrow().wait_count, wait_count);
}

#[test]
fn a_flood_of_events_takes_no_more_time_than_silence() {
    let (daemon, mut client) = pair(1024, 0);
    daemon.borrow_mut().floods = true;
    assert_eq!(client.read(Transaction::NONE, "a"), Err(XenstoreError::Silent));
    assert!(client.take_events_lost());
    daemon.borrow_mut().floods = false;
    assert!(client.read(Transaction::NONE, "a").unwrap_err().is_not_found());
}

#[test]
fn events_go_to_those_who_watch() {
    let daemon = Daemon::new(1024, u32::MAX - 20);
    let store = RefCell::new(RingStore::new(transport(&daemon)));
    let (mut first, mut second) = (&store, &store);
    first.watch("a", "first").unwrap();
    second.watch("b", "second").unwrap();
    for _ in 0..2 {
        while daemon.borrow_mut().run() {}
        assert_eq!(
            (first.take_changed("first"), second.take_changed("second")),
            (Ok(true), Ok(true))
        );
        assert_eq!(first.take_changed("first"), Ok(false));
        first.write("b/1", "x").unwrap();
        while daemon.borrow_mut().run() {}
        assert_eq!(
            (first.take_changed("first"), second.take_changed("second")),
            (Ok(false), Ok(true))
        );
        // More than are kept: everyone looks again.
        (0..100).for_each(|_| daemon.borrow_mut().tell("b"));
        for _ in 0..20 {
            while daemon.borrow_mut().run() {}
            let _ = store.borrow_mut().client().poll_event();
        }
    }
    assert_eq!(second.read("b/1").unwrap().as_deref(), Some("x"));
    assert_eq!(second.read("b/2"), Ok(None));
    daemon.borrow_mut().nodes.insert("long".to_string(), [b'x'; 129].to_vec());
    daemon.borrow_mut().nodes.insert("bytes".to_string(), [0xff].to_vec());
    assert_eq!(second.read("long"), Ok(None));
    second.unwatch("b", "second").unwrap();
    assert_eq!(daemon.borrow().watches.len(), 1);
    assert_eq!(second.take_changed("unknown"), Ok(false));
}

#[test]
fn a_daemon_that_breaks_the_protocol_is_not_spoken_to_again() {
    let broken = |offset: usize, value: u32| {
        let (daemon, mut client) = pair(1024, 100);
        let page = daemon.borrow().page;
        page.word32(offset).store(value, Ordering::Relaxed);
        assert_eq!(
            client.poll_event().err().or_else(|| { client.read(Transaction::NONE, "a").err() }),
            Some(XenstoreError::Disconnected)
        );
        page.word32(offset).store(if offset == 2072 { 0 } else { 100 }, Ordering::Relaxed);
        assert_eq!(client.read(Transaction::NONE, "a"), Err(XenstoreError::Disconnected));
    };
    broken(2060, 100 + 1025);
    broken(2060, 99);
    broken(2048, 101);
    broken(2048, 99);
    broken(2072, 1);
}

#[test]
fn a_message_longer_than_the_protocol_s_breaks_the_connection() {
    let (daemon, mut client) = pair(1024, 0);
    let header = Header { kind: 15, request_id: 0, transaction_id: 0, length: 4097 };
    daemon.borrow_mut().outgoing.extend(header.to_bytes());
    daemon.borrow_mut().run();
    assert_eq!(client.poll_event(), Err(XenstoreError::Disconnected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_conversation_passes_wherever_the_indexes_stand(
        step in prop_oneof![1usize..40, 1usize..1100],
        index in prop_oneof![any::<u32>(), Just(u32::MAX - 50)],
        size in 0usize..=4000,
    ) {
        converse(step.max(size / 400), index, &std::vec![b'v'; size]);
    }

    /// Each request and each look ends, whatever the daemon writes.
    #[test]
    fn any_bytes_of_the_daemon_end_in_a_result(
        turns in proptest::collection::vec((0u8..3, noise()), 1..20),
    ) {
        let daemon = Daemon::new(1024, 0);
        let mut client = Xenstore::new(transport(&daemon));
        for (action, noise) in turns {
            for (offset, value) in noise {
                daemon.borrow().page.word32(offset * 4).store(value, Ordering::Relaxed);
            }
            let _ = match action {
                0 => client.poll_event().map(|_| ()),
                1 => client.read(Transaction::NONE, "a").map(|_| ()),
                _ => client.write(Transaction::NONE, "a", &[b'x'; 3000]),
            };
        }
        prop_assert!(daemon.borrow().wait_count < 20 * 3 * 1001);
    }
}

fn noise() -> impl Strategy<Value = Vec<(usize, u32)>> {
    let offset = prop_oneof![512usize..520, 256usize..272, 0usize..1024];
    let value = prop_oneof![0u32..40, 0u32..1100, any::<u32>()];
    proptest::collection::vec((offset, value), 0..8)
}
