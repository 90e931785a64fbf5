//! The backup's end: what goes out.

use super::{BackupLink, State};
use crate::link::acknowledging::Standing;
use crate::link::process::{Ending, LinkProcess};
use crate::ring::{Phase, Producer, RehearsalFigures, RingError};
use crate::wire::{Ack, Figures, FrameType, Goodbye, Refuse};

/// Time between two reports of how a rehearsal goes.
const FIGURES_INTERVAL_US: u64 = 10_000;

impl BackupLink {
    pub(super) fn transmit_notice(&mut self, now_us: u64, out: &mut [u8]) -> Option<usize> {
        let channel = self.channel.as_mut()?;
        if core::mem::take(&mut self.farewell_due) {
            return Some(self.endpoint.finish(channel, now_us, FrameType::Farewell, 0, out));
        }
        let State::Leaving(leaving) = &mut self.state else { return None };
        if !leaving.take_due(now_us) {
            return None;
        }
        Goodbye { reason: leaving.reason }.emit(self.endpoint.body(channel, out));
        Some(self.endpoint.finish(channel, now_us, FrameType::Goodbye, Goodbye::SIZE, out))
    }

    pub(super) fn transmit_reply(&mut self, out: &mut [u8]) -> Option<usize> {
        let (reply, size) = self.replies.pop_front()?;
        let emit = |body: &mut [u8]| reply.emit(body);
        Some(self.endpoint.emit_handshake(FrameType::HelloReply, size, out, emit))
    }

    /// An acknowledgement, if one is due; before it the refusal's text, if commit refuses.
    pub(super) fn transmit_acknowledgement(
        &mut self,
        now_us: u64,
        ring: &mut Producer,
        out: &mut [u8],
    ) -> Option<usize> {
        if !matches!(self.state, State::Up) {
            return None;
        }
        let standing = match self.standing(ring) {
            Ok(standing) => standing,
            Err(error) => {
                self.fail(now_us, Ending::RingBroken(error), ring);
                return None;
            }
        };
        if !self.acknowledging.is_due(now_us, &standing) {
            return None;
        }
        let channel = self.channel.as_mut().expect("a session has a channel");
        self.refuse_due = standing.phase == Phase::Refused && !self.refuse_due;
        if self.refuse_due {
            let text = ring.control().refusal();
            let size = Refuse { text: &text }.emit(self.endpoint.body(channel, out));
            return Some(self.endpoint.finish(channel, now_us, FrameType::Refuse, size, out));
        }
        let ack = Ack {
            sequence: self.assembly.sequence(),
            credit: standing.credit,
            complete_epoch: standing.complete_epoch,
            phase: standing.phase,
            paths: self.paths.heard(),
            packet_end: self.acknowledging.packet_end(),
            delay_us: self.acknowledging.delay_us(now_us),
            bitmap: self.assembly.bitmap(),
        };
        self.acknowledging.note_told(now_us, standing, channel.heartbeat_us);
        let size = ack.emit(self.endpoint.body(channel, out));
        Some(self.endpoint.finish(channel, now_us, FrameType::Ack, size, out))
    }

    /// How a rehearsal goes, every few milliseconds: later figures stand in for lost ones.
    pub(super) fn transmit_figures(
        &mut self,
        now_us: u64,
        ring: &Producer,
        out: &mut [u8],
    ) -> Option<usize> {
        let control = ring.control();
        let is_due = matches!(self.state, State::Up) && now_us >= self.figures_due_us;
        if !is_due || control.domain_session() != self.session_number {
            return None;
        }
        let figures = control.rehearsal_figures()?;
        self.figures_due_us = now_us + FIGURES_INTERVAL_US;
        let receive = self.counters.usage;
        let channel = self.channel.as_mut().expect("a session has a channel");
        let figures = Figures(RehearsalFigures { receive, ..figures });
        figures.emit(self.endpoint.body(channel, out));
        Some(self.endpoint.finish(channel, now_us, FrameType::Figures, Figures::SIZE, out))
    }

    fn standing(&self, ring: &mut Producer) -> Result<Standing, RingError> {
        let window = ring.window()?;
        let control = ring.control();
        let (credit, room) = (window.end, window.end - window.start);
        if control.domain_session() != self.session_number {
            return Ok(Standing { credit, room, ..Standing::default() });
        }
        let (complete_epoch, phase) = (control.complete_epoch(), control.phase());
        Ok(Standing { credit, room, complete_epoch, phase })
    }
}
