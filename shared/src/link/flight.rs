//! The primary's data frames under way: which ring bytes each carries, and what became of it.
//!
//! Only places are kept; the bytes stay in the ring until the frame is acknowledged. A frame is
//! taken for lost when packets sent well after it have come (RFC 9002), or when nothing at all was
//! acknowledged for the waiting time.

use super::channel::Channel;
use super::congestion::{Congestion, RoundTrip};
use super::framing::Cursor;
use crate::limits::LINK_WINDOW_FRAMES;
use crate::wire::{Ack, Malformed};

/// A packet is lost when one sent so many later has come.
const REORDERING_PACKETS: u64 = 8;
/// After so many waiting times without an acknowledgement, everything is taken for lost.
const PROBES_BEFORE_OUTAGE: u32 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    UnderWay,
    Lost,
    Come,
}

#[derive(Clone, Copy, Debug, Default)]
struct SentFrame {
    start: Cursor,
    end: Cursor,
    packet_number: u64,
    sent_us: u64,
    fate: Fate,
    /// It was sent more than once: the packet number is the last one.
    is_again: bool,
}

/// A frame to be built again.
#[derive(Clone, Copy, Debug)]
pub struct LostFrame {
    pub sequence: u64,
    pub start: Cursor,
    pub end: Cursor,
}

/// All data frames that are not yet acknowledged.
#[derive(Debug)]
pub struct Flight {
    frames: [SentFrame; LINK_WINDOW_FRAMES],
    /// The oldest frame that has not come, and one more than the newest one.
    oldest: u64,
    next: u64,
    /// Where the next new frame starts.
    position: Cursor,
    under_way: u64,
    lost: u64,
    /// No frame before this one is lost.
    lost_from: u64,
    /// One more than the highest packet number that is known to have come.
    packet_end: u64,
    round_trip: RoundTrip,
    congestion: Congestion,
    /// When `oldest` last moved, or there was nothing to wait for.
    progress_us: u64,
    /// When frames began to take the present path, or it was last doubted.
    path_us: u64,
    probe_from_us: u64,
    probes: u32,
    /// Frames that may be sent beyond the congestion window, to learn what has come.
    probe_credit: u64,
}

impl Flight {
    pub fn new(now_us: u64) -> Self {
        Self {
            frames: [SentFrame::default(); LINK_WINDOW_FRAMES],
            oldest: 0,
            next: 0,
            position: Cursor::default(),
            under_way: 0,
            lost: 0,
            lost_from: 0,
            packet_end: 0,
            round_trip: RoundTrip::default(),
            congestion: Congestion::default(),
            progress_us: now_us,
            path_us: now_us,
            probe_from_us: now_us,
            probes: 0,
            probe_credit: 0,
        }
    }

    /// Forgets a session's frames, but not what was learnt of the path.
    pub fn reset(&mut self, now_us: u64) {
        (self.oldest, self.next, self.position) = (0, 0, Cursor::default());
        (self.under_way, self.lost, self.probes, self.probe_credit) = (0, 0, 0, 0);
        (self.progress_us, self.probe_from_us, self.packet_end) = (now_us, now_us, 0);
        (self.path_us, self.congestion) = (now_us, Congestion::default());
    }

    pub fn round_trip_us(&self) -> u64 {
        self.round_trip.smoothed_us()
    }

    /// Sequence and start of the next new frame, if one may be sent.
    pub fn next_new(&self) -> Option<(u64, Cursor)> {
        let room = self.next - self.oldest < LINK_WINDOW_FRAMES as u64;
        (room && self.may_send()).then_some((self.next, self.position))
    }

    /// The oldest lost frame, if it may be sent now.
    pub fn next_lost(&self) -> Option<LostFrame> {
        if self.lost == 0 || !self.may_send() {
            return None;
        }
        let mut unacked = self.oldest.max(self.lost_from)..self.next;
        let sequence = unacked.find(|&sequence| self.frame(sequence).fate == Fate::Lost)?;
        let frame = self.frame(sequence);
        Some(LostFrame { sequence, start: frame.start, end: frame.end })
    }

    fn may_send(&self) -> bool {
        self.under_way < self.congestion.window() || self.probe_credit > 0
    }

    pub fn note_sent_new(&mut self, end: Cursor, packet_number: u64, now_us: u64) {
        let fits = end > self.position && self.next - self.oldest < LINK_WINDOW_FRAMES as u64;
        assert!(fits, "next_new said so");
        if self.oldest == self.next {
            self.progress_us = now_us;
        }
        let start = self.position;
        let fate = Fate::UnderWay;
        *self.frame_mut(self.next) =
            SentFrame { start, end, packet_number, sent_us: now_us, fate, is_again: false };
        self.next += 1;
        self.position = end;
        self.note_sent(now_us);
    }

    /// Notes that the frame that [`next_lost`](Self::next_lost) told was sent again.
    pub fn note_sent_again(&mut self, sequence: u64, packet_number: u64, now_us: u64) {
        let frame = self.frame_mut(sequence);
        assert!(frame.fate == Fate::Lost);
        (frame.packet_number, frame.sent_us) = (packet_number, now_us);
        (frame.fate, frame.is_again) = (Fate::UnderWay, true);
        self.lost -= 1;
        self.lost_from = sequence + 1;
        self.note_sent(now_us);
    }

    fn note_sent(&mut self, now_us: u64) {
        self.under_way += 1;
        self.probe_credit = self.probe_credit.saturating_sub(1);
        self.probe_from_us = now_us;
    }

    /// Takes an acknowledgement in.
    ///
    /// # Errors
    /// [`Malformed`] when it acknowledges what was never sent.
    pub fn note_ack(&mut self, now_us: u64, ack: &Ack, channel: &Channel) -> Result<(), Malformed> {
        let next_packet = channel.next_packet_number();
        if ack.sequence > self.next || ack.packet_end > next_packet {
            return Err(Malformed);
        }
        if ack.packet_end > self.packet_end {
            self.packet_end = ack.packet_end;
            if let Some(sent_us) = channel.sent_us(ack.packet_end - 1) {
                let elapsed_us = now_us.saturating_sub(sent_us);
                self.round_trip.note(elapsed_us.saturating_sub(u64::from(ack.delay_us)));
            }
        }
        let mut come = 0;
        for sequence in self.oldest..self.next {
            let frame = *self.frame(sequence);
            if frame.fate != Fate::Come && ack.has_come(sequence) {
                self.set_fate(sequence, Fate::Come);
                come += 1;
            } else if frame.fate == Fate::UnderWay && self.is_lost(&frame, ack, now_us) {
                self.set_fate(sequence, Fate::Lost);
                self.congestion.note_lost(frame.packet_number, next_packet);
            }
            if frame.packet_number >= ack.packet_end && !frame.is_again {
                // It was sent after all that this tells of, and so were the frames behind it.
                break;
            }
        }
        if come > 0 {
            self.congestion.note_acked(come);
            (self.probes, self.probe_from_us) = (0, now_us);
        }
        while self.oldest < self.next && self.frame(self.oldest).fate == Fate::Come {
            self.oldest += 1;
            self.progress_us = now_us;
        }
        Ok(())
    }

    fn is_lost(&self, frame: &SentFrame, ack: &Ack, now_us: u64) -> bool {
        let ahead = ack.packet_end.saturating_sub(frame.packet_number + 1);
        let (overtaken, far) = (ahead > 0, ahead >= REORDERING_PACKETS);
        let old = now_us.saturating_sub(frame.sent_us) >= self.round_trip.loss_us();
        overtaken && (far || old)
    }

    /// Entries before this index have come.
    pub fn come_index(&self) -> u64 {
        if self.oldest == self.next {
            return self.position.index;
        }
        self.frame(self.oldest).start.index
    }

    /// Takes frames for lost when nothing was acknowledged for the waiting time, which doubles each
    /// time up to `probe_us_max`.
    pub fn poll_probe(&mut self, now_us: u64, probe_us_max: u64) {
        let backed_off_us = self.round_trip.probe_us() << self.probes.min(16);
        let due_us = self.probe_from_us + backed_off_us.min(probe_us_max);
        if self.under_way == 0 || now_us < due_us {
            return;
        }
        self.probes += 1;
        self.probe_from_us = now_us;
        if self.probes > PROBES_BEFORE_OUTAGE {
            (self.oldest..self.next).for_each(|sequence| self.give_up(sequence));
            self.congestion.note_outage();
        } else {
            self.give_up(self.oldest);
            self.give_up(self.next - 1);
            self.probe_credit = 2;
        }
    }

    fn give_up(&mut self, sequence: u64) {
        if self.frame(sequence).fate == Fate::UnderWay {
            self.set_fate(sequence, Fate::Lost);
        }
    }

    /// Data takes another path from now on, and nothing is known of it; what is under way is lost.
    pub fn change_path(&mut self, now_us: u64) {
        (self.oldest..self.next).for_each(|sequence| self.give_up(sequence));
        self.round_trip = RoundTrip::default();
        self.congestion.note_outage();
        (self.probes, self.probe_from_us, self.path_us) = (0, now_us, now_us);
    }

    /// Whether the path seems to carry no data: the oldest frame waits for longer than `limit_us`, while
    /// the peer was heard at `heard_us`, late enough to have acknowledged it. To be asked again only
    /// after as long a time.
    pub fn take_doubt(&mut self, now_us: u64, heard_us: u64, limit_us: u64) -> bool {
        let since_us = self.progress_us.max(self.path_us);
        let is_waiting = self.oldest < self.next && now_us.saturating_sub(since_us) > limit_us;
        let is_doubtful = is_waiting && heard_us >= since_us + limit_us / 4;
        if is_doubtful {
            self.path_us = now_us;
        }
        is_doubtful
    }

    /// Whether the oldest frame has been waiting for longer than `limit_us`.
    pub fn is_stalled(&self, now_us: u64, limit_us: u64) -> bool {
        self.oldest < self.next && now_us.saturating_sub(self.progress_us) > limit_us
    }

    fn set_fate(&mut self, sequence: u64, fate: Fate) {
        if fate == Fate::Lost {
            let lost_from = if self.lost == 0 { sequence } else { self.lost_from.min(sequence) };
            self.lost_from = lost_from;
        }
        let frame = self.frame_mut(sequence);
        let before = core::mem::replace(&mut frame.fate, fate);
        for (is, count) in [(Fate::UnderWay, &mut self.under_way), (Fate::Lost, &mut self.lost)] {
            *count = *count + u64::from(fate == is) - u64::from(before == is);
        }
    }

    fn frame(&self, sequence: u64) -> &SentFrame {
        &self.frames[place(sequence)]
    }

    fn frame_mut(&mut self, sequence: u64) -> &mut SentFrame {
        &mut self.frames[place(sequence)]
    }
}

fn place(sequence: u64) -> usize {
    usize::try_from(sequence % LINK_WINDOW_FRAMES as u64).expect("smaller than the table")
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
