//! An established session's keys, packet numbers and times, the same at both ends.

use super::event::LinkEvent;
use super::paths::Paths;
use super::silence::Silence;
use crate::ring::{LinkCounters, Phase};
use crate::wire::{Frame, ReplayWindow, Sealer, Sealing, SessionKeys, TAG_SIZE};

/// Packets of which the time of sending is remembered, for measuring the round trip.
const SENT_COUNT: usize = 4096;

/// Heartbeats are sent so many times within the shorter of both timeouts.
pub const HEARTBEATS_PER_TIMEOUT: u64 = 10;

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
    /// Longest silence that the peer is allowed, by our own timeout.
    pub timeout_us: u64,
    /// Silence after which each end has lost the other, by the longer of both timeouts. An end that has
    /// learnt to wait for less has only lost it sooner.
    pub leave_us: u64,
    /// Silence after which we send something, by the shorter of both timeouts.
    pub heartbeat_us: u64,
    silence: Silence,
    heartbeat_sent_us: u64,
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
        let timeout_us = u64::from(own_ms) * 1000;
        let heartbeat_us = u64::from(own_ms.min(peer_ms).max(1)) * 1000 / HEARTBEATS_PER_TIMEOUT;
        Self {
            session: keys.session,
            outgoing,
            incoming,
            replay: ReplayWindow::default(),
            next_packet: 0,
            sent_us: [0; SENT_COUNT],
            frame_size,
            timeout_us,
            leave_us: u64::from(own_ms.max(peer_ms)) * 1000,
            heartbeat_us,
            silence: Silence::new(timeout_us, heartbeat_us, now_us),
            heartbeat_sent_us: now_us,
            stall_us: 0,
        }
    }

    /// Learns how long a silence is borne: see [`Silence::learn`].
    pub fn learn(&mut self, memory_us: u64, last: Option<&Self>) {
        self.silence.learn(memory_us, last.map(|last| &last.silence));
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

    /// A body that is sealed while it is written to `out`.
    pub fn sealing<'a>(
        &self,
        packet_number: u64,
        associated: &[u8],
        out: &'a mut [u8],
    ) -> Sealing<'a> {
        self.outgoing.sealing(packet_number, associated, out)
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
            self.silence.note_late(now_us);
            return false;
        }
        self.replay.note(packet_number);
        counters.frames_received += 1;
        counters.bytes_received += Frame::size(frame.body.len()) as u64;
        self.silence.note_heard(now_us);
        self.stall_us = 0;
        true
    }

    /// When the peer was heard last.
    pub fn last_heard_us(&self) -> u64 {
        self.silence.heard_us()
    }

    /// Judges the peer's silence; to be called every turn. The peer is lost when nothing came on any link
    /// for too long: that is the event returned.
    pub fn judge_silence(
        &mut self,
        now_us: u64,
        phase: Phase,
        counters: &mut LinkCounters,
    ) -> Option<LinkEvent> {
        let turn_us = self.silence.note_turn(now_us);
        self.stall_us = self.stall_us.max(turn_us);
        if phase == Phase::Protected {
            counters.silence_us_max = counters.silence_us_max.max(self.silence.silence_us());
            counters.stall_us_max = counters.stall_us_max.max(turn_us);
            counters.silence_limit_us = self.silence.limit_us();
        }
        self.silence.is_lost(now_us, patience(phase)).then(|| {
            self.silence.note_lost();
            LinkEvent::Silent {
                silent_ms: now_us.saturating_sub(self.last_heard_us()) / 1000,
                stall_ms: self.stall_us / 1000,
            }
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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::wire::{
        ETHERNET_HEADER_SIZE, EphemeralSecret, EthernetAddress, FrameHeader, FrameType, SecretKey,
        SessionParts,
    };

    const TIMEOUT_MS: u32 = 500;
    const HEARTBEAT_US: u64 = 50_000;
    const TURN_US: u64 = 10_000;
    const SETTLED_US: u64 = 100_000_000;

    fn channel(side: Side) -> Channel {
        let [own, peer] = [4, 5].map(|byte| EphemeralSecret::new([byte; 32]));
        let parts = SessionParts {
            primary: EthernetAddress([2, 0, 0, 0, 0, 1]),
            backup: EthernetAddress([2, 0, 0, 0, 0, 2]),
            primary_nonce: [1; 32],
            backup_nonce: [2; 32],
            primary_public: own.public_key(),
            backup_public: peer.public_key(),
        };
        let agreed = own.agree(&peer.public_key()).unwrap();
        let keys = SessionKeys::derive(&SecretKey::new([3; 32]), &parts, &agreed);
        let mut channel = Channel::new(side, keys, 9000, (TIMEOUT_MS, TIMEOUT_MS), 0);
        channel.learn(Silence::MEMORY_US_FIRST, None);
        channel
    }

    /// A backup that hears a primary's heartbeats on two links.
    struct Run {
        primary: Channel,
        backup: Channel,
        paths: Paths,
        counters: LinkCounters,
        now_us: u64,
        /// What each link adds to a frame's way; none comes while it is cut.
        delays_us: [Option<u64>; 2],
        under_way: Vec<(u64, usize, Vec<u8>)>,
    }

    impl Run {
        fn new(delays_us: [Option<u64>; 2]) -> Self {
            let mut paths = Paths::new(2);
            paths.start_session(0, HEARTBEAT_US);
            Self {
                primary: channel(Side::Primary),
                backup: channel(Side::Backup),
                paths,
                counters: LinkCounters::default(),
                now_us: 0,
                delays_us,
                under_way: Vec::new(),
            }
        }

        fn heartbeat(&mut self) -> Vec<u8> {
            let packet_number = self.primary.take_packet_number(self.now_us);
            let session = self.primary.session();
            let frame_type = FrameType::Heartbeat;
            let header = FrameHeader { frame_type, body_size: 0, session, packet_number };
            let mut bytes = std::vec![0; Frame::size(0)];
            header.emit(&mut bytes[ETHERNET_HEADER_SIZE..]);
            let (associated, tag) = bytes.split_at_mut(Frame::size(0) - TAG_SIZE);
            tag.copy_from_slice(&self.primary.seal(packet_number, associated, &mut []));
            bytes
        }

        /// One turn of both; whether the primary is lost.
        fn turn(&mut self, phase: Phase) -> bool {
            self.now_us += TURN_US;
            if self.primary.take_heartbeat_due(self.now_us) {
                let frame = self.heartbeat();
                for (path, delay_us) in self.delays_us.into_iter().enumerate() {
                    let due_us = delay_us.map(|delay_us| self.now_us + delay_us);
                    self.under_way.extend(due_us.map(|due_us| (due_us, path, frame.clone())));
                }
            }
            for (_, path, mut bytes) in self.under_way.extract_if(.., |it| it.0 <= self.now_us) {
                let mut frame = Frame::parse(&mut bytes).unwrap();
                let (paths, counters) = (&mut self.paths, &mut self.counters);
                self.backup.open(self.now_us, path, &mut frame, paths, counters);
            }
            self.backup.judge_silence(self.now_us, phase, &mut self.counters).is_some()
        }

        fn assert_lives(&mut self, duration_us: u64) {
            for _ in 0..duration_us / TURN_US {
                assert!(!self.turn(Phase::Protected), "lost at {} us", self.now_us);
            }
        }

        /// For how long nothing was heard when the primary is lost.
        fn lost_after_us(&mut self, phase: Phase) -> u64 {
            while !self.turn(phase) {}
            self.now_us - self.backup.last_heard_us()
        }
    }

    #[test]
    fn a_peer_that_is_never_late_is_lost_sooner_than_after_the_timeout() {
        for settled in [false, true] {
            let mut run = Run::new([Some(0); 2]);
            run.assert_lives(if settled { SETTLED_US } else { 1_000_000 });
            run.delays_us = [None; 2];
            let limit_us = if settled { 150_000 } else { 500_000 };
            assert_eq!(run.lost_after_us(Phase::Protected), limit_us + TURN_US);
        }
    }

    #[test]
    fn before_protection_nothing_learnt_counts() {
        let mut run = Run::new([Some(0); 2]);
        run.assert_lives(SETTLED_US);
        run.delays_us = [None; 2];
        assert_eq!(run.lost_after_us(Phase::Receiving), 20 * 500_000 + TURN_US);
    }

    #[test]
    fn both_links_must_be_silent_and_a_slow_one_is_not() {
        // All that the slow one brings are copies, until it is the only one.
        for slow_us in [0, 2 * HEARTBEAT_US, 7 * HEARTBEAT_US + TURN_US] {
            for bad in [0, 1] {
                let mut delays_us = [Some(slow_us); 2];
                delays_us[bad] = Some(0);
                let mut run = Run::new(delays_us);
                run.assert_lives(SETTLED_US);
                run.delays_us[bad] = None;
                run.assert_lives(10_000_000);
                run.delays_us = [None; 2];
                assert!(run.lost_after_us(Phase::Protected) <= 500_000 + TURN_US);
            }
        }
    }
}
