//! The backup's end of the link in the hands of a primary that holds the key, see the target
//! `backup_session`.

use crate::hostile::HostileHalf;
use crate::input::Input;
use crate::peer::{Heard, Peer, Side, options};
use pollux::limits::FRAME_SIZE_MAX;
use pollux::link::{BackupLink, Ending, LinkProcess, PROTOCOL_VERSION};
use pollux::ring::{
    Consumer, Encoding, Entry, EntryKind, GoodbyeReason, Phase, Producer, RehearsalFigures, Ring,
};
use pollux::wire::{
    Ack, Confirm, DATA_HEADER_SIZE, DataHeader, FRAGMENT_HEADER_SIZE, Figures, Fragment, FrameType,
    Goodbye, Hello, HelloReply, Nonce, PublicKey, Refuse, ReplyStatus,
};

const ENTRY_COUNT: u64 = 96;
const PRIMARY_NONCE: Nonce = [3; 32];
/// Steps of the clock, in microseconds.
const STEPS_US: [u64; 8] = [0, 60, 300, 1_100, 4_100, 25_000, 110_000, 2_500_000];
/// Answers in one moment: to the Hellos that may wait, a notice, an acknowledgement, figures.
const BURST_MAX: usize = 10;

/// The backup's end, its ring, and everybody around it.
#[derive(Debug)]
pub struct Backup {
    link: Box<BackupLink>,
    ring: Producer,
    commit: Consumer,
    hostile: HostileHalf,
    is_tampered_with: bool,
    peer: Peer,
    now_us: u64,
    /// The backup's nonce, once a reply told it.
    backup_nonce: Option<(Nonce, PublicKey)>,
    /// The session that commit is in.
    session: u64,
    /// The one that it left last; no half joins a session twice.
    left_session: u64,
    released: u64,
    published: u64,
    complete_epoch: u64,
    /// What the primary would send next if it were honest.
    sequence: u64,
    index: u64,
    told: Option<Ack>,
    replay: Vec<u8>,
}

impl Backup {
    /// A link in no session; `choice` is how large its frames are, and the like.
    pub fn new(choice: u8) -> Self {
        let (mut ring, mut commit) =
            Ring::create(ENTRY_COUNT).expect("address space").into_both().expect("address space");
        ring.reset(64);
        commit.begin().expect("a possible capacity");
        let hostile = HostileHalf::of(&mut ring);
        let mtu = [1500, 9000, 576, 20_000][usize::from(choice >> 1 & 3)];
        let now_us = 1_000_000;
        Self {
            link: Box::new(BackupLink::new(options(Side::Backup, mtu), now_us)),
            ring,
            commit,
            hostile,
            is_tampered_with: false,
            peer: Peer::new(Side::Primary),
            now_us,
            backup_nonce: None,
            session: 0,
            left_session: 0,
            released: 0,
            published: 0,
            complete_epoch: 0,
            sequence: 0,
            index: 0,
            told: None,
            replay: Vec::new(),
        }
    }

    /// An honest primary up to the session, and commit in it.
    pub fn meet(&mut self) {
        self.pass_time(1_000);
        self.ask(PROTOCOL_VERSION, 576);
        self.transmit();
        self.confirm(576, 500);
        self.join();
        assert!(self.session != 0, "an honest primary is met");
    }

    /// Something that the peer, the other half or the clock does.
    pub fn step(&mut self, input: &mut Input<'_>) {
        match input.below(18) {
            0 => self.pass_time(STEPS_US[usize::from(input.below(8))]),
            1..=3 => self.send_next(input.u8()),
            4 | 5 => self.send_data(input),
            6 => self.say_any(input),
            7 => self.say_notice(input.u8(), input.u8()),
            8 => {
                let protocol = input.near(PROTOCOL_VERSION.into()) & 0xffff;
                self.ask(u16::try_from(protocol).unwrap_or(0), usize::from(input.u16()));
            }
            9 => self.confirm(input.u16(), input.u32()),
            10 => self.peer.next_packet = input.near(self.peer.next_packet),
            11 => self.hear(&self.replay.clone()),
            12 => self.consume(input.u8()),
            13 => self.work(input),
            14 => self.join(),
            15 => self.leave(),
            16 if input.u8() > 250 => self.commit.control().set_stop(GoodbyeReason::Ended),
            17 if input.u8() > 200 => {
                (self.is_tampered_with, self.peer.may_be_left) = (true, true);
                self.hostile.write_chosen(input.u16(), input.near(0));
            }
            17 if input.u8() > 250 => {
                self.link.fail(self.now_us, Ending::OtherHalfGone, &mut self.ring);
            }
            _ => self.link.prepare(&mut self.ring),
        }
    }

    fn pass_time(&mut self, step_us: u64) {
        self.now_us += step_us;
        self.link.poll_timers(self.now_us, &mut self.ring);
    }

    /// The link hears a frame.
    fn hear(&mut self, frame: &[u8]) {
        let mut bytes = frame.to_vec();
        self.link.handle_frame(self.now_us, 0, &mut bytes, &mut self.ring);
        self.replay = frame.to_vec();
    }

    fn say(&mut self, frame_type: FrameType, body: &[u8]) {
        if let Some(frame) = self.peer.sealed(frame_type, body) {
            self.hear(&frame);
        }
    }

    fn ask(&mut self, protocol: u16, size: usize) {
        let hello = Hello { protocol, mtu: 9000, timeout_ms: 500, nonce: PRIMARY_NONCE };
        let mut body = vec![0; size.clamp(Hello::SIZE + 40, FRAME_SIZE_MAX) - 40];
        hello.emit(&mut body);
        let frame = self.peer.signed(FrameType::Hello, &body);
        self.hear(&frame);
    }

    /// Asks for a session with the nonce that was told last; the link takes it up or not.
    fn confirm(&mut self, frame_size: u16, timeout_ms: u32) {
        let (backup_nonce, backup_public) = self.backup_nonce.unwrap_or_default();
        let confirm = Confirm {
            frame_size,
            timeout_ms,
            primary_nonce: PRIMARY_NONCE,
            backup_nonce,
            primary_public: self.peer.public_key(),
        };
        let mut body = [0; Confirm::SIZE];
        confirm.emit(&mut body);
        let before = self.link.counters().sessions;
        let frame = self.peer.signed(FrameType::Confirm, &body);
        self.hear(&frame);
        if self.link.counters().sessions > before {
            self.peer.begin(PRIMARY_NONCE, backup_nonce, backup_public);
            (self.sequence, self.index, self.told) = (0, 0, None);
            assert!(576 <= frame_size && usize::from(frame_size) <= FRAME_SIZE_MAX);
        }
    }

    /// The next data frame of an honest primary: some small entries.
    fn send_next(&mut self, count: u8) {
        let mut body = vec![0; DATA_HEADER_SIZE];
        DataHeader { sequence: self.sequence, first_index: self.index }.emit(&mut body);
        let count = u64::from(count % 16) + 1;
        for number in 0..count {
            let page = Entry::raw(EntryKind::Page, 1, self.index.wrapping_add(number), 4096);
            let (entry, size) = match number % 3 {
                0 => (page.encoded(Encoding::Delta, 17), 17),
                1 => (page.encoded(Encoding::Zero, 0), 0),
                _ => (Entry::raw(EntryKind::State, 1, 0, 9), 9),
            };
            append(&mut body, &entry, 0, size);
        }
        let sequence = self.link_sequence();
        self.say(FrameType::Data, &body);
        // It may be beyond the credit.
        if self.link_sequence() > sequence || self.is_tampered_with {
            self.sequence = self.sequence.wrapping_add(1);
            self.index = self.index.wrapping_add(count);
        }
    }

    /// Entries that the link has published, which say how far it has come.
    fn link_sequence(&mut self) -> u64 {
        self.commit.available().map_or(0, |available| available.end)
    }

    /// Fragments of any kind, near where they belong.
    fn send_data(&mut self, input: &mut Input<'_>) {
        let mut body = vec![0; DATA_HEADER_SIZE];
        let header =
            DataHeader { sequence: input.near(self.sequence), first_index: input.near(self.index) };
        header.emit(&mut body);
        for _ in 0..=input.below(6) {
            let kind = EntryKind::from_number(1 + input.below(8)).unwrap_or(EntryKind::Page);
            let encoding = Encoding::from_number(input.below(6)).unwrap_or(Encoding::Raw);
            let (length, stored_size) = (input.u16() % 4097, input.u16() % 4097);
            let raw = Entry::raw(kind, input.near(1), input.near(0), length);
            let mut entry = raw.encoded(encoding, stored_size);
            if !entry.is_consistent() {
                entry = Entry::raw(EntryKind::Page, 1, 5, 4096)
                    .encoded(Encoding::Lz4, 1 + length % 4095);
            }
            let offset = if input.u8() < 128 { 0 } else { input.u16() % (entry.stored_size + 1) };
            let rest = entry.stored_size - offset;
            let size = if input.u8() < 128 { rest } else { input.u16() % (rest + 1) };
            append(&mut body, &entry, offset, size);
        }
        body.truncate(FRAME_SIZE_MAX - 40);
        self.say(FrameType::Data, &body);
        if input.u8() & 1 == 1 {
            (self.sequence, self.index) = (header.sequence.wrapping_add(1), header.first_index);
        }
    }

    fn say_any(&mut self, input: &mut Input<'_>) {
        if let Some(frame_type) = FrameType::from_number(4 + input.below(7)) {
            self.say(frame_type, input.counted(600));
        }
    }

    fn say_notice(&mut self, kind: u8, reason: u8) {
        match kind % 4 {
            0 => self.say(FrameType::Goodbye, &[reason % 7]),
            1 => self.say(FrameType::Farewell, &[]),
            _ => self.say(FrameType::Heartbeat, &[]),
        }
    }

    fn is_in_session(&self) -> bool {
        self.session != 0 && self.commit.control().domain_session() == self.session
    }

    /// commit looks at what is there, and gives some of it back.
    fn consume(&mut self, count: u8) {
        if !self.is_in_session() {
            return;
        }
        let Ok(available) = self.commit.available() else {
            return assert!(self.is_tampered_with, "the link broke the ring's rules");
        };
        assert!(available.end >= self.published || self.is_tampered_with);
        self.published = available.end;
        for index in available.clone() {
            let entry = self.commit.entry(index);
            assert!(entry.is_ok() || self.is_tampered_with, "entry {index}: {entry:?}");
        }
        self.released = available.end.min(available.start + u64::from(count));
        self.commit.release(self.released);
    }

    /// commit says how it goes.
    fn work(&mut self, input: &mut Input<'_>) {
        if !self.is_in_session() {
            return;
        }
        match input.below(5) {
            0 => {
                self.complete_epoch += u64::from(input.u8());
                self.commit.control().set_complete_epoch(self.complete_epoch);
            }
            1 => {
                let phase = Phase::from_number(input.below(5)).unwrap_or_default();
                self.commit.control().set_phase(phase);
            }
            2 => self.commit.control().set_refusal("the twin has no memory"),
            3 => {
                let figures = RehearsalFigures::from_words([1, 2, 3, 4, input.u64()]);
                self.commit.control().set_rehearsal_figures(&figures);
            }
            _ if self.released == 0 && self.commit.capacity() < ENTRY_COUNT => {
                self.commit.raise_capacity(ENTRY_COUNT);
            }
            _ => self.commit.control().set_populated_count(u64::from(input.u8())),
        }
    }

    fn join(&mut self) {
        if self.session != 0 || self.commit.control().link_session() == self.left_session {
            return;
        }
        let Some(session) = self.commit.control().join_session() else { return };
        let begun = self.commit.begin();
        assert!(begun.is_ok() || self.is_tampered_with);
        self.session = session;
        (self.released, self.published, self.complete_epoch) = (0, 0, 0);
    }

    fn leave(&mut self) {
        if self.session != 0 {
            self.commit.control().leave_session();
            self.left_session = std::mem::take(&mut self.session);
        }
    }

    /// Takes all that the link wants to send now.
    pub fn transmit(&mut self) {
        let mut out = [0; 14 + FRAME_SIZE_MAX];
        for _ in 0..BURST_MAX {
            let Some(size) = self.link.poll_transmit(self.now_us, &mut self.ring, &mut out) else {
                return;
            };
            let heard = self.peer.hear(&mut out[..size]);
            if self.peer.is_left {
                return;
            }
            self.note(&heard);
        }
        panic!("there is no end to what the link sends");
    }

    fn note(&mut self, heard: &Heard) {
        assert!(heard.size <= FRAME_SIZE_MAX);
        let well_formed = "its own frames are well-formed";
        match heard.frame_type {
            FrameType::HelloReply => {
                let reply = HelloReply::parse(&heard.body).expect(well_formed);
                assert_eq!(
                    (usize::from(reply.hello_size), reply.primary_nonce),
                    (heard.size, PRIMARY_NONCE)
                );
                if reply.status == ReplyStatus::Ready {
                    self.backup_nonce = Some((reply.backup_nonce, reply.backup_public));
                }
            }
            FrameType::Ack => {
                let ack = Ack::parse(&heard.body).expect(well_formed);
                self.note_ack(ack);
            }
            FrameType::Refuse => drop(Refuse::parse(&heard.body).expect(well_formed)),
            FrameType::Figures => drop(Figures::parse(&heard.body).expect(well_formed)),
            FrameType::Goodbye => drop(Goodbye::parse(&heard.body).expect(well_formed)),
            FrameType::Farewell => {}
            other => panic!("a backup sends no {other:?}"),
        }
    }

    fn note_ack(&mut self, ack: Ack) {
        if !self.is_tampered_with {
            let own_epoch = if self.is_in_session() { self.complete_epoch } else { 0 };
            assert!(ack.complete_epoch <= own_epoch, "commit has not said so");
            if let Some(told) = &self.told {
                assert!(ack.sequence >= told.sequence && ack.packet_end >= told.packet_end);
                // Once commit has left, its epochs and the ring count no more.
                let is_less = ack.complete_epoch < told.complete_epoch || ack.credit < told.credit;
                assert!(!is_less || !self.is_in_session(), "{ack:?} after {told:?}");
            }
        }
        self.told = Some(ack);
    }

    /// Whether the link's process would end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.link.ending().is_some() || self.peer.is_left
    }

    /// What holds after every step.
    pub fn check(&mut self) {
        while let Some(event) = self.link.poll_event() {
            assert!(!event.to_string().is_empty());
        }
        self.link.show_counters(&self.ring);
        self.consume(0);
    }
}

fn append(body: &mut Vec<u8>, entry: &Entry, offset: u16, size: u16) {
    let mut header = [0; FRAGMENT_HEADER_SIZE];
    Fragment::emit_header(entry, offset, size, &mut header);
    body.extend(header);
    body.resize(body.len() + usize::from(size), 0x5a);
}
