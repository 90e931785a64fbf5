//! Tests of a domain's own ring: however its bytes are cut, and against a daemon that breaks the protocol.

use core::cell::RefCell;
use core::sync::atomic::Ordering;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::client::{Transaction, Xenstore};
use super::message::Header;
use super::model_daemon::{Daemon, Host};
use super::{RingStore, RingTransport, XenstoreError};
use crate::xen::xenbus::DeviceStore;

const ANSWER_US_MAX: u64 = 1_000_000;

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
