//! The primary's end of the link in the hands of a backup that holds the key, see the target
//! `primary_session`.

use std::collections::{HashMap, HashSet};

use crate::hostile::HostileHalf;
use crate::input::Input;
use crate::peer::{Heard, Peer, Side, options};
use pollux::codec::page::{Level, PageEncoder, ShadowCache};
use pollux::limits::{FRAME_SIZE_MAX, LINK_WINDOW_FRAMES};
use pollux::link::{Ending, LinkProcess, PROTOCOL_VERSION, PrimaryLink};
use pollux::ring::{
    Consumer, Entry, EntryKind, GoodbyeReason, Phase, Producer, RehearsalFigures, Ring,
};
use pollux::wire::{
    ACK_BITMAP_WORD_COUNT, Ack, Confirm, Figures, Fragments, FrameType, Hello, HelloReply, Nonce,
    ReplyStatus,
};

const ENTRY_COUNT: u64 = 64;
const BACKUP_NONCE: Nonce = [9; 32];
/// Steps of the clock, in microseconds.
const STEPS_US: [u64; 8] = [0, 60, 300, 1_100, 4_100, 25_000, 110_000, 2_500_000];
/// Frames that may go out in one moment: all that may be under way, and a few that say something else.
const BURST_MAX: usize = LINK_WINDOW_FRAMES + 8;

/// The primary's end, its ring, and everybody around it.
#[derive(Debug)]
pub struct Primary {
    link: Box<PrimaryLink>,
    ring: Consumer,
    capture: Producer,
    hostile: HostileHalf,
    is_tampered_with: bool,
    peer: Peer,
    now_us: u64,
    /// The session that capture is in, as capture knows it.
    session: u64,
    /// The one that it left last; no half joins a session twice.
    left_session: u64,
    pushed: u64,
    epoch: u64,
    /// What was seen of the link's session: acknowledged epochs, data frames, and the newest packet.
    acked: (u64, u64),
    data: HashMap<u64, Vec<u8>>,
    credit: u64,
    packet_end: u64,
    hello: Option<(Nonce, usize)>,
    replay: Vec<u8>,
}

impl Primary {
    /// A link in no session; `choice` is how large its frames are, and the like.
    pub fn new(choice: u8) -> Self {
        let (mut capture, mut ring) =
            Ring::create(ENTRY_COUNT).expect("address space").into_both().expect("address space");
        ring.reset(ENTRY_COUNT);
        capture.begin().expect("a possible capacity");
        let hostile = HostileHalf::of(&mut capture);
        let mtu = [1500, 9000, 576, 20_000][usize::from(choice >> 1 & 3)];
        let levels =
            if choice & 8 == 0 { Level::Raw..=Level::Raw } else { Level::Raw..=Level::Lz4 };
        let encoder = PageEncoder::with_levels(ShadowCache::off(), levels, 8);
        let now_us = 1_000_000;
        Self {
            link: Box::new(PrimaryLink::new(options(Side::Primary, mtu), encoder, now_us)),
            ring,
            capture,
            hostile,
            is_tampered_with: false,
            peer: Peer::new(Side::Backup),
            now_us,
            session: 0,
            left_session: 0,
            pushed: 0,
            epoch: 1,
            acked: (0, 0),
            data: HashMap::new(),
            credit: 0,
            packet_end: 0,
            hello: None,
            replay: Vec::new(),
        }
    }

    /// An honest backup up to the first acknowledgement, and capture in the session.
    pub fn meet(&mut self) {
        for _ in 0..40 {
            self.pass_time(4_100);
            self.transmit();
            if let Some((_, size)) = self.hello {
                self.reply(PROTOCOL_VERSION, 9000, 500, ReplyStatus::Ready, size, size);
            }
            if self.peer.has_session() {
                break;
            }
        }
        self.acknowledge_all();
        self.join();
        assert!(self.session != 0, "an honest backup is met");
    }

    /// Something that the peer, the other half or the clock does.
    pub fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0 => self.pass_time(STEPS_US[usize::from(input.below(8))]),
            1 => self.acknowledge_all(),
            2 | 3 => self.acknowledge(input),
            4 => self.say_any(input),
            5 => self.say_notice(input),
            6 => self.reply_any(input),
            7 => self.peer.next_packet = input.near(self.peer.next_packet),
            8 => self.hear(&self.replay.clone()),
            9 | 10 => self.push(input.u8(), input.u8()),
            11 => self.join(),
            12 => self.leave(),
            13 if input.u8() > 250 => self.capture.control().set_stop(GoodbyeReason::Ended),
            14 if input.u8() > 200 => {
                (self.is_tampered_with, self.peer.may_be_left) = (true, true);
                self.hostile.write_chosen(input.u16(), input.near(0));
            }
            15 if input.u8() > 250 => {
                self.link.fail(self.now_us, Ending::OtherHalfGone, &mut self.ring);
            }
            _ => self.pass_time(60),
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

    fn reply(
        &mut self,
        protocol: u16,
        mtu: u16,
        timeout_ms: u32,
        status: ReplyStatus,
        told: usize,
        size: usize,
    ) {
        let Some((primary_nonce, _)) = self.hello else { return };
        let hello_size = u16::try_from(told).unwrap_or(u16::MAX);
        let backup_nonce = BACKUP_NONCE;
        let reply = HelloReply {
            protocol,
            mtu,
            timeout_ms,
            status,
            hello_size,
            primary_nonce,
            backup_nonce,
            backup_public: self.peer.public_key(),
        };
        let mut body = vec![0; size.clamp(HelloReply::SIZE + 40, FRAME_SIZE_MAX) - 40];
        reply.emit(&mut body);
        let frame = self.peer.signed(FrameType::HelloReply, &body);
        self.hear(&frame);
    }

    fn reply_any(&mut self, input: &mut Input<'_>) {
        let size = self.hello.map_or(576, |(_, size)| size);
        let status = [ReplyStatus::Ready, ReplyStatus::Busy, ReplyStatus::Version];
        let status = status[usize::from(input.below(8)) / 3];
        let (protocol, mtu) = (input.near(PROTOCOL_VERSION.into()), input.near(1500));
        let told = usize::from(input.u16());
        let told = if told < 0x8000 { size } else { told };
        let [protocol, mtu] = [protocol, mtu].map(|it| u16::try_from(it & 0xffff).unwrap_or(0));
        self.reply(protocol, mtu, input.u32(), status, told, size);
    }

    /// Says that everything has come that was sent, and that the rest may.
    fn acknowledge_all(&mut self) {
        let end = (0..).find(|sequence| !self.data.contains_key(sequence)).unwrap_or(0);
        let complete_epoch = self.epoch - 1;
        self.acknowledge_with(Ack {
            sequence: end,
            credit: self.pushed + ENTRY_COUNT,
            complete_epoch,
            phase: Phase::Protected,
            paths: 1,
            packet_end: self.packet_end,
            delay_us: 10,
            bitmap: [0; ACK_BITMAP_WORD_COUNT],
        });
    }

    fn acknowledge(&mut self, input: &mut Input<'_>) {
        let mut bitmap = [0; ACK_BITMAP_WORD_COUNT];
        for _ in 0..input.below(4) {
            bitmap[usize::from(input.below(32))] = input.u64();
        }
        bitmap[0] &= !1;
        let ack = Ack {
            sequence: input.near(self.data.len() as u64),
            credit: input.near(self.pushed),
            complete_epoch: input.near(self.epoch),
            phase: Phase::from_number(input.below(5)).unwrap_or_default(),
            paths: input.below(16),
            packet_end: input.near(self.packet_end),
            delay_us: input.u32(),
            bitmap,
        };
        self.acknowledge_with(ack);
    }

    fn acknowledge_with(&mut self, ack: Ack) {
        let mut body = [0; Ack::SIZE_MAX];
        let size = ack.emit(&mut body);
        self.credit = self.credit.max(ack.credit);
        self.say(FrameType::Ack, &body[..size]);
    }

    fn say_any(&mut self, input: &mut Input<'_>) {
        if let Some(frame_type) = FrameType::from_number(4 + input.below(7)) {
            // An acknowledgement in it may give any credit.
            self.credit = u64::MAX;
            self.say(frame_type, input.counted(600));
        }
    }

    fn say_notice(&mut self, input: &mut Input<'_>) {
        match input.below(8) {
            0 => self.say(FrameType::Refuse, b"the twin has no memory"),
            1 => self.say(FrameType::Refuse, input.counted(220)),
            2 | 3 => {
                let mut body = [0; Figures::SIZE];
                let figures = RehearsalFigures::from_words([1, 2, 3, 4, input.near(3)]);
                Figures(figures).emit(&mut body);
                self.say(FrameType::Figures, &body);
            }
            4 => self.say(FrameType::Goodbye, &[input.below(7)]),
            5 => self.say(FrameType::Farewell, &[]),
            _ => self.say(FrameType::Heartbeat, &[]),
        }
    }

    /// capture fills entries of its session.
    fn push(&mut self, count: u8, kind: u8) {
        if self.session == 0 || self.capture.control().domain_session() != self.session {
            return;
        }
        let free = self.capture.free_entries();
        assert!(free.is_ok() || self.is_tampered_with, "the link broke the ring's rules");
        for number in 0..u64::from(count).min(free.unwrap_or(0)) {
            let slot = self.capture.slot_mut();
            slot.fill(kind);
            slot[..8].copy_from_slice(&self.pushed.to_le_bytes());
            let entry = match (kind % 4, number % 4) {
                (0, _) | (_, 1..) => Entry::raw(EntryKind::Page, self.epoch, self.pushed % 8, 4096),
                (1, _) => Entry::raw(EntryKind::State, self.epoch, 0, u16::from(kind)),
                _ => Entry::raw(EntryKind::EpochEnd, self.epoch, 1, 0),
            };
            self.epoch += u64::from(entry.kind == EntryKind::EpochEnd);
            self.capture.push(&entry);
            self.pushed += 1;
        }
        self.capture.publish();
    }

    fn join(&mut self) {
        if self.session != 0 || self.capture.control().link_session() == self.left_session {
            return;
        }
        let Some(session) = self.capture.control().join_session() else { return };
        self.session = session;
        let begun = self.capture.begin();
        assert!(begun.is_ok() || self.is_tampered_with);
        (self.pushed, self.epoch) = (0, 1);
    }

    /// capture leaves its session, be it over or not.
    fn leave(&mut self) {
        if self.session != 0 {
            self.capture.control().leave_session();
            self.left_session = std::mem::take(&mut self.session);
        }
    }

    /// Takes all that the link wants to send now.
    pub fn transmit(&mut self) {
        let mut sent_again = HashSet::new();
        let mut out = [0; 14 + FRAME_SIZE_MAX];
        for _ in 0..BURST_MAX {
            let counters = *self.link.counters();
            let Some(size) = self.link.poll_transmit(self.now_us, &mut self.ring, &mut out) else {
                return;
            };
            if out[15] == FrameType::Confirm as u8 {
                self.begin(&out[38..38 + Confirm::SIZE]);
            }
            let heard = self.peer.hear(&mut out[..size]);
            if self.peer.is_left {
                return;
            }
            self.note(&heard, &mut sent_again);
            let sent = self.link.counters().frames_sent - counters.frames_sent;
            assert_eq!(sent, 1);
        }
        panic!("there is no end to what the link sends");
    }

    /// The link confirms an offer: from now on it sends under this session's keys.
    fn begin(&mut self, body: &[u8]) {
        let confirm = Confirm::parse(body).expect("its own frames are well-formed");
        let (hello_nonce, _) = self.hello.expect("it asked before");
        assert_eq!((confirm.primary_nonce, confirm.backup_nonce), (hello_nonce, BACKUP_NONCE));
        // It is repeated until it is answered.
        if self.packet_end != 0 || !self.peer.has_session() || self.hello.is_some() {
            self.peer.begin(confirm.primary_nonce, confirm.backup_nonce, confirm.primary_public);
            self.data.clear();
            (self.packet_end, self.credit) = (0, 0);
        }
    }

    fn note(&mut self, heard: &Heard, sent_again: &mut HashSet<u64>) {
        assert!(heard.size <= FRAME_SIZE_MAX);
        match heard.frame_type {
            FrameType::Hello => {
                let hello = Hello::parse(&heard.body).expect("its own frames are well-formed");
                self.hello = Some((hello.nonce, heard.size));
            }
            FrameType::Confirm => {}
            FrameType::Data => {
                self.packet_end = heard.packet_number + 1;
                self.note_data(&heard.body, sent_again);
            }
            FrameType::Heartbeat | FrameType::Goodbye | FrameType::Farewell => {
                self.packet_end = heard.packet_number + 1;
            }
            other => panic!("a primary sends no {other:?}"),
        }
    }

    fn note_data(&mut self, body: &[u8], sent_again: &mut HashSet<u64>) {
        let (header, fragments) = Fragments::parse(body).expect("its own frames are well-formed");
        assert!(sent_again.insert(header.sequence), "twice in one moment");
        assert!(header.sequence <= self.data.len() as u64, "sequence numbers have no gaps");
        for fragment in fragments {
            assert!(fragment.index < self.credit, "beyond the credit");
            assert!(fragment.index < self.pushed || self.is_tampered_with, "beyond what is there");
        }
        let before = self.data.entry(header.sequence).or_insert_with(|| body.to_vec());
        assert!(before == body || self.is_tampered_with, "other bytes under the same number");
    }

    /// Whether the link's process would end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.link.ending().is_some() || self.peer.is_left
    }

    /// What holds after every step.
    pub fn check(&mut self) {
        let control = self.capture.control();
        let (session, acked) = (control.link_session(), control.acked_epoch());
        if !self.is_tampered_with {
            assert!(session >= self.acked.0 || session == 0, "a session's number came back");
            assert!(session != self.acked.0 || acked >= self.acked.1, "an epoch was taken back");
            let free = self.capture.free_entries();
            let is_joined = self.session != 0 && session == self.session;
            assert!(free.is_ok() || !is_joined, "the link broke the ring's rules");
        }
        if session != 0 {
            self.acked = (session, acked);
        }
        while let Some(event) = self.link.poll_event() {
            assert!(!event.to_string().is_empty());
        }
        self.link.show_counters(&self.ring);
    }
}
