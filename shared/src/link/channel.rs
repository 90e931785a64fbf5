//! An established session's keys, packet numbers and times, the same at both ends.

use super::event::LinkEvent;
use super::paths::Paths;
use crate::ring::{LinkCounters, Phase};
use crate::wire::{Frame, ReplayWindow, Sealer, SessionKeys, TAG_SIZE};

/// Packets of which the time of sending is remembered, for measuring the round trip.
const SENT_COUNT: usize = 4096;

/// Heartbeats are sent so many times within the shorter of both timeouts.
const HEARTBEATS_PER_TIMEOUT: u64 = 5;

/// Which of a session's two ends this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Primary,
    Backup,
}

/// One session, from the handshake to the next one.
#[derive(Debug)]
pub struct Channel {
    session: u64,
    outgoing: Sealer,
    incoming: Sealer,
    replay: ReplayWindow,
    next_packet: u64,
    sent_us: [u64; SENT_COUNT],
    /// Largest Ethernet payload, in bytes.
    pub frame_size: usize,
    /// Silence after which the peer is lost, by our own timeout.
    pub timeout_us: u64,
    /// Silence after which each end has lost the other, by the longer of both timeouts.
    pub leave_us: u64,
    /// Silence after which we send something, by the shorter of both timeouts.
    pub heartbeat_us: u64,
    last_heard_us: u64,
    heartbeat_sent_us: u64,
    last_turn_us: u64,
    /// Longest time between two turns since the peer was heard.
    stall_us: u64,
}

impl Channel {
    pub fn new(
        side: Side,
        keys: SessionKeys,
        frame_size: usize,
        timeouts_ms: (u32, u32),
        now_us: u64,
    ) -> Self {
        let (outgoing, incoming) = match side {
            Side::Primary => (keys.to_backup, keys.to_primary),
            Side::Backup => (keys.to_primary, keys.to_backup),
        };
        let (own_ms, peer_ms) = timeouts_ms;
        Self {
            session: keys.session,
            outgoing,
            incoming,
            replay: ReplayWindow::default(),
            next_packet: 0,
            sent_us: [0; SENT_COUNT],
            frame_size,
            timeout_us: u64::from(own_ms) * 1000,
            leave_us: u64::from(own_ms.max(peer_ms)) * 1000,
            heartbeat_us: u64::from(own_ms.min(peer_ms).max(1)) * 1000 / HEARTBEATS_PER_TIMEOUT,
            last_heard_us: now_us,
            heartbeat_sent_us: now_us,
            last_turn_us: now_us,
            stall_us: 0,
        }
    }

    pub fn session(&self) -> u64 {
        self.session
    }

    pub fn take_packet_number(&mut self, now_us: u64) -> u64 {
        let number = self.next_packet;
        assert!(number < u64::MAX, "no packet number is used twice");
        self.next_packet += 1;
        self.sent_us[place(number)] = now_us;
        number
    }

    /// When this packet was sent: none if it was not, or too long ago.
    pub fn sent_us(&self, packet_number: u64) -> Option<u64> {
        let remembered = packet_number < self.next_packet
            && self.next_packet - packet_number <= SENT_COUNT as u64;
        remembered.then(|| self.sent_us[place(packet_number)])
    }

    pub fn next_packet_number(&self) -> u64 {
        self.next_packet
    }

    pub fn seal(&self, packet_number: u64, associated: &[u8], body: &mut [u8]) -> [u8; TAG_SIZE] {
        self.outgoing.seal(packet_number, associated, body)
    }

    /// Authenticates and decrypts a sealed frame that came on this path, notes its packet number and
    /// counts it. Says whether the body may be used.
    ///
    /// A copy of a frame that came on another path is opened only to know that this path works. It is no
    /// sign of life: else one who has recorded frames could hide for a while that the peer is dead.
    pub fn open(
        &mut self,
        now_us: u64,
        path: usize,
        frame: &mut Frame<'_>,
        paths: &mut Paths,
        counters: &mut LinkCounters,
    ) -> bool {
        if frame.header.session != self.session {
            counters.frames_unexpected += 1;
            return false;
        }
        let packet_number = frame.header.packet_number;
        let is_new = self.replay.is_new(packet_number);
        if !is_new && !paths.may_be_copy(path, packet_number) {
            counters.frames_replayed += 1;
            return false;
        }
        if !self.incoming.open(frame) {
            counters.frames_unauthentic += 1;
            return false;
        }
        paths.note_heard(path, packet_number, now_us);
        if !is_new {
            counters.frames_copied += 1;
            return false;
        }
        self.replay.note(packet_number);
        counters.frames_received += 1;
        counters.bytes_received += Frame::size(frame.body.len()) as u64;
        (self.last_heard_us, self.stall_us) = (now_us, 0);
        true
    }

    /// When the peer was heard last.
    pub fn last_heard_us(&self) -> u64 {
        self.last_heard_us
    }

    /// Judges the peer's silence; to be called every turn. The peer is lost when nothing came for
    /// the timeout: that is the event returned.
    pub fn judge_silence(
        &mut self,
        now_us: u64,
        phase: Phase,
        counters: &mut LinkCounters,
    ) -> Option<LinkEvent> {
        let turn_us = now_us.saturating_sub(self.last_turn_us);
        let silence_us = now_us.saturating_sub(self.last_heard_us);
        self.last_turn_us = now_us;
        self.stall_us = self.stall_us.max(turn_us);
        if phase == Phase::Protected {
            counters.silence_us_max = counters.silence_us_max.max(silence_us);
            counters.stall_us_max = counters.stall_us_max.max(turn_us);
        }
        (silence_us > self.timeout_us * patience(phase)).then_some(LinkEvent::Silent {
            silent_ms: silence_us / 1000,
            stall_ms: self.stall_us / 1000,
        })
    }

    /// Whether a heartbeat is to be sent now. Other frames do not stand in for it: they may be too
    /// large for the path.
    pub fn take_heartbeat_due(&mut self, now_us: u64) -> bool {
        let due = now_us.saturating_sub(self.heartbeat_sent_us) >= self.heartbeat_us;
        if due {
            self.heartbeat_sent_us = now_us;
        }
        due
    }
}

fn place(packet_number: u64) -> usize {
    usize::try_from(packet_number % SENT_COUNT as u64).expect("smaller than the table")
}

/// How many timeouts of silence are borne. Until the first epoch is complete nothing hangs on the
/// peer's life, and both hosts are busy with work that takes a small dom0 seconds: building the
/// twin, mapping its memory.
pub const fn patience(phase: Phase) -> u64 {
    match phase {
        Phase::Protected => 1,
        Phase::Idle | Phase::CreatingTwin | Phase::Receiving | Phase::Refused => 20,
    }
}
