//! The domain halves, reduced to what the link sees of them: capture produces a stream, commit
//! checks it byte by byte and acknowledges complete epochs.

use std::collections::{HashMap, VecDeque};

use pollux::codec::page::PageUpdate;
use pollux::limits::PAGE_SIZE;
use pollux::ring::{Consumer, Encoding, Entry, EntryKind, GoodbyeReason, Phase, Producer};

use super::stream::Stream;

/// The producing half on the primary.
#[derive(Debug)]
pub struct Capture {
    pub ring: Producer,
    seed: u64,
    pages_max: u64,
    session: u64,
    /// The session that was given up; it is not joined again.
    left_session: u64,
    stream: Stream,
    /// The newest epoch that was produced, and the newest that was acknowledged.
    pub produced_epoch: u64,
    pub acked_epoch: u64,
    /// No epoch is begun beyond this one.
    pub epoch_max: u64,
    /// How many epochs may be unacknowledged.
    pub ahead_max: u64,
    /// All sessions' ends, with the goodbye that came.
    pub losses: Vec<Option<GoodbyeReason>>,
    pub sessions: u64,
    /// Added to a session's number, to tell those of several rings apart.
    pub tag_base: u64,
    /// Stays in a session that is over until told to [`leave`](Self::leave) it.
    pub waits_to_leave: bool,
    pub is_over: bool,
    /// Ends an epoch only when told to: `may_end` is for one.
    pub waits_to_end: bool,
    pub may_end: bool,
}

impl Capture {
    pub fn new(ring: Producer, seed: u64, pages_max: u64) -> Self {
        Self {
            ring,
            seed,
            pages_max,
            session: 0,
            left_session: 0,
            stream: Stream::new(seed, 0, pages_max),
            produced_epoch: 0,
            acked_epoch: 0,
            epoch_max: u64::MAX,
            ahead_max: 1,
            losses: Vec::new(),
            sessions: 0,
            tag_base: 0,
            waits_to_leave: false,
            is_over: false,
            waits_to_end: false,
            may_end: false,
        }
    }

    /// Whether the epoch's end is all that is missing, and waits to be allowed.
    pub fn is_at_end(&self) -> bool {
        self.is_up() && self.stream.is_at_end() && !self.may_end
    }

    /// What the session is known by at both ends.
    pub fn tag(&self) -> u64 {
        self.tag_base + self.session
    }

    /// Leaves a session that is over.
    pub fn leave(&mut self) {
        self.ring.control().leave_session();
        (self.session, self.is_over) = (0, false);
    }

    pub fn is_up(&self) -> bool {
        self.session != 0
    }

    /// Leaves a session that is up, as a capture does that gets no further with its backup.
    pub fn give_up(&mut self) {
        self.ring.control().leave_session();
        self.left_session = core::mem::take(&mut self.session);
    }

    /// Joins, leaves, or produces at most `entry_count` entries.
    pub fn step(&mut self, entry_count: u64) {
        let control = self.ring.control();
        if self.session == 0 {
            if self.left_session != 0 && control.link_session() == self.left_session {
                return;
            }
            let Some(session) = control.join_session() else { return };
            self.session = session;
            self.sessions += 1;
            self.ring.begin().unwrap();
            self.stream = Stream::new(self.seed, self.tag(), self.pages_max);
            self.may_end = false;
            (self.produced_epoch, self.acked_epoch) = (0, 0);
            return;
        }
        if control.link_session() != self.session {
            if !self.is_over {
                self.losses.push(control.goodbye());
            }
            self.is_over = true;
            if !self.waits_to_leave {
                self.leave();
            }
            return;
        }
        let acked = control.acked_epoch();
        assert!(acked >= self.acked_epoch && acked <= self.produced_epoch, "acked {acked}");
        self.acked_epoch = acked;
        for _ in 0..entry_count.min(self.ring.free_entries().unwrap()) {
            let begun = self.produced_epoch + 1;
            if begun > self.epoch_max || begun > self.acked_epoch + self.ahead_max {
                break;
            }
            if self.waits_to_end && self.is_at_end() {
                break;
            }
            let entry = self.stream.next(self.ring.slot_mut());
            self.ring.push(&entry);
            if entry.kind == EntryKind::EpochEnd {
                (self.produced_epoch, self.may_end) = (entry.epoch, false);
            }
        }
        self.ring.publish();
    }
}

/// The consuming half on the backup.
#[derive(Debug)]
pub struct Commit {
    pub ring: Consumer,
    seed: u64,
    pages_max: u64,
    capacity: u64,
    session: u64,
    stream: Option<Stream>,
    next: u64,
    made: u64,
    /// Every page that came in the session, as its entries made it.
    twin: HashMap<u64, Box<[u8; PAGE_SIZE]>>,
    /// Room for what comes, what is expected, and what is made of it.
    rooms: Option<Box<[[u8; PAGE_SIZE]; 3]>>,
    pub complete_epoch: u64,
    /// Epochs checked in all sessions.
    pub epochs: u64,
    /// All sessions' ends, with the goodbye that came and the epoch that was complete.
    pub losses: VecDeque<(Option<GoodbyeReason>, u64)>,
    /// Refuses every session with this text.
    pub refusal: Option<String>,
    /// Has refused this session, and takes nothing more of it.
    pub is_refusing: bool,
    /// Does nothing at all.
    pub asleep: bool,
    /// What the session is known by at both ends, once that has come.
    pub tag: Option<u64>,
    /// Stays in a session that is over until told to [`leave`](Self::leave) it.
    pub waits_to_leave: bool,
    pub is_over: bool,
}

impl Commit {
    pub fn new(ring: Consumer, seed: u64, pages_max: u64, capacity: u64) -> Self {
        Self {
            ring,
            seed,
            pages_max,
            capacity,
            session: 0,
            stream: None,
            next: 0,
            made: 0,
            twin: HashMap::new(),
            rooms: Some(Box::new([[0; PAGE_SIZE]; 3])),
            complete_epoch: 0,
            epochs: 0,
            losses: VecDeque::new(),
            refusal: None,
            is_refusing: false,
            asleep: false,
            tag: None,
            waits_to_leave: false,
            is_over: false,
        }
    }

    /// Leaves a session that is over.
    pub fn leave(&mut self) {
        self.ring.control().leave_session();
        (self.session, self.is_over) = (0, false);
    }

    pub fn is_up(&self) -> bool {
        self.session != 0
    }

    /// Joins, leaves, or checks at most `entry_count` entries.
    pub fn step(&mut self, entry_count: u64) {
        if self.asleep || self.is_over {
            return;
        }
        if self.session == 0 {
            self.join();
            return;
        }
        let lost = self.ring.control().link_session() != self.session;
        // What was published before the loss is still there.
        let available = self.ring.available().unwrap();
        assert!(available.end <= self.next.max(available.start) + self.ring.capacity());
        let count = if lost { u64::MAX } else { entry_count };
        let end = available.end.min(self.next.saturating_add(count));
        while self.next < end && !self.is_refusing {
            self.check(self.next);
            self.next += 1;
        }
        if self.next > 1 {
            self.ring.release(self.next);
        }
        if lost {
            let goodbye = self.ring.control().goodbye();
            self.losses.push_back((goodbye, self.complete_epoch));
            self.is_over = true;
            if !self.waits_to_leave {
                self.leave();
            }
        }
    }

    fn join(&mut self) {
        let Some(session) = self.ring.control().join_session() else { return };
        self.session = session;
        self.ring.begin().unwrap();
        (self.stream, self.next, self.made, self.complete_epoch) = (None, 0, 0, 0);
        self.tag = None;
        self.twin.clear();
        self.is_refusing = false;
        if let Some(text) = self.refusal.clone() {
            self.refuse(&text);
        }
    }

    /// Refuses the session that it is in.
    pub fn refuse(&mut self, text: &str) {
        self.ring.control().set_refusal(text);
        self.ring.control().set_phase(Phase::Refused);
        self.is_refusing = true;
    }

    fn check(&mut self, index: u64) {
        let mut rooms = self.rooms.take().expect("it is put back");
        let [bytes, expected_bytes, room] = &mut *rooms;
        if index == 0 {
            self.ring.copy_out(0, 0, &mut bytes[..8]);
            let tag = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            self.tag = Some(tag);
            self.stream = Some(Stream::new(self.seed, tag, self.pages_max));
            self.ring.raise_capacity(self.capacity);
            self.ring.control().set_phase(Phase::Receiving);
        }
        let stream = self.stream.as_mut().expect("the description came first");
        let expected = stream.next(expected_bytes);
        let entry = self.ring.entry(index).unwrap();
        let size = usize::from(expected.length);
        let (encoding, stored_size) = (entry.encoding, entry.stored_size);
        assert_eq!(entry, expected.encoded(encoding, stored_size), "entry {index}");
        let came = if entry.kind == EntryKind::Page {
            let stored = &mut bytes[..usize::from(stored_size)];
            self.ring.copy_out(index, 0, stored);
            updated(&mut self.twin, &entry, stored, room)
        } else {
            self.ring.copy_out(index, 0, &mut bytes[..size]);
            bytes
        };
        assert!(came[..size] == expected_bytes[..size], "bytes of entry {index}: {entry:?}");
        self.rooms = Some(rooms);
        self.made += u64::from(index > 1);
        if entry.kind == EntryKind::EpochEnd {
            assert_eq!((entry.epoch, entry.address), (self.complete_epoch + 1, self.made));
            (self.complete_epoch, self.made) = (entry.epoch, 0);
            self.epochs += 1;
            self.ring.control().set_complete_epoch(entry.epoch);
            self.ring.control().set_phase(Phase::Protected);
        }
    }
}

/// The page that an entry makes of the one before it.
fn updated<'t>(
    twin: &'t mut HashMap<u64, Box<[u8; PAGE_SIZE]>>,
    entry: &Entry,
    stored: &[u8],
    room: &mut [u8; PAGE_SIZE],
) -> &'t [u8; PAGE_SIZE] {
    let zeros_travelled = entry.encoding == Encoding::Raw && stored.iter().all(|&byte| byte == 0);
    assert!(!zeros_travelled, "zeros have an encoding of their own");
    let update = PageUpdate::read(entry.encoding, stored, room).expect("an encoding");
    let known = twin.contains_key(&entry.address);
    assert!(known || !update.is_relative(), "changes of a page that never came: {entry:?}");
    let page = twin.entry(entry.address).or_insert_with(|| Box::new([0xdd; PAGE_SIZE]));
    update.apply(page);
    page
}
