//! A xenstored for tests, which runs only when it is told to, and takes and gives as many bytes at a time
//! as it likes.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use super::RingHost;
use super::message::{HEADER_SIZE, Header, MessageKind};
use crate::xen::GuestPage;

const WAIT_US: u64 = 1000;

/// xenstored, as far as a guest's ring shows it.
pub struct Daemon {
    pub page: GuestPage<'static>,
    /// Bytes that it moves at a time.
    step: usize,
    now_us: u64,
    pub wait_count: u32,
    is_told: bool,
    pub is_silent: bool,
    request_consumer: u32,
    response_producer: u32,
    incoming: Vec<u8>,
    pub outgoing: VecDeque<u8>,
    pub nodes: BTreeMap<String, Vec<u8>>,
    pub watches: Vec<(String, String)>,
    /// Sends an event whenever it can, in place of answers.
    pub floods: bool,
}

impl Daemon {
    pub fn new(step: usize, index: u32) -> Rc<RefCell<Self>> {
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
    pub fn run(&mut self) -> bool {
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

    pub fn tell(&mut self, path: &str) {
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

/// The daemon as the client's surroundings.
#[derive(Clone)]
pub struct Host(pub Rc<RefCell<Daemon>>);

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
