//! The primary's end: what comes in.

use super::{PrimaryLink, State};
use crate::link::calling::Heard;
use crate::link::event::LinkEvent;
use crate::ring::{Consumer, GoodbyeReason, Parting, Phase, RefusalText};
use crate::wire::{
    Ack, Figures, Frame, FrameType, Goodbye, HelloReply, Malformed, OVERHEAD_SIZE, Refuse,
};

impl PrimaryLink {
    pub(super) fn handle_reply(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        let reply = HelloReply::parse(frame.body)?;
        let State::Calling(calling) = &mut self.state else {
            self.counters.frames_unexpected += 1;
            return Ok(());
        };
        match calling.hear(&reply, frame.body.len() + OVERHEAD_SIZE) {
            Heard::Fits => {}
            Heard::Stale => self.counters.frames_unexpected += 1,
            Heard::Version(peer) => self.events.report_once(LinkEvent::Version { peer }),
        }
        Ok(())
    }

    pub(super) fn handle_sealed(
        &mut self,
        now_us: u64,
        path: usize,
        mut frame: Frame<'_>,
        ring: &mut Consumer,
    ) -> Result<(), Malformed> {
        let Some(channel) = &mut self.channel else {
            self.counters.frames_unexpected += 1;
            return Ok(());
        };
        if !channel.open(now_us, path, &mut frame, &mut self.paths, &mut self.counters) {
            return Ok(());
        }
        let goodbye = frame.header.frame_type == FrameType::Goodbye;
        if !self.is_in_session() {
            // The last session's. Its peer may have missed our Farewell.
            self.farewell_due |= goodbye;
            self.counters.frames_unexpected += u64::from(!goodbye);
            return Ok(());
        }
        if let State::Confirming { offer, .. } = self.state {
            self.establish(now_us, &offer, ring);
        }
        ring.control().set_last_heard_us(now_us);
        match frame.header.frame_type {
            FrameType::Ack if matches!(self.state, State::Up) => {
                self.handle_ack(now_us, &frame, ring)
            }
            FrameType::Refuse => self.handle_refusal(&frame, ring),
            FrameType::Figures => {
                let Figures(figures) = Figures::parse(frame.body)?;
                // One that was overtaken on its way says nothing new.
                if figures.verified_epoch >= ring.control().peer_figures().verified_epoch {
                    ring.control().set_peer_figures(&figures);
                }
                Ok(())
            }
            FrameType::Goodbye => {
                let Goodbye { reason } = Goodbye::parse(frame.body)?;
                self.farewell_due = true;
                self.events.report(LinkEvent::Goodbye(reason));
                self.lose(reason, ring);
                Ok(())
            }
            FrameType::Farewell => {
                if let State::Leaving(leaving) = self.state {
                    let parting = match leaving.reason {
                        GoodbyeReason::HandOver => Parting::HandedOver,
                        _ => Parting::RevivesNothing,
                    };
                    ring.control().note_parting(self.session_number, parting);
                    self.left(leaving.then, ring);
                }
                Ok(())
            }
            _ => {
                self.counters.frames_unexpected += 1;
                Ok(())
            }
        }
    }

    fn handle_ack(
        &mut self,
        now_us: u64,
        frame: &Frame<'_>,
        ring: &mut Consumer,
    ) -> Result<(), Malformed> {
        let ack = Ack::parse(frame.body)?;
        let channel = self.channel.as_ref().expect("a frame of it was opened");
        self.flight.note_ack(now_us, &ack, channel)?;
        self.counters.round_trip_us = self.flight.round_trip_us();
        ring.release(self.flight.come_index());
        self.credit = self.credit.max(ack.credit);
        let control = ring.control();
        if ack.complete_epoch > control.acked_epoch() {
            control.set_acked_epoch(ack.complete_epoch);
        }
        let newest = self.newest_ack.is_none_or(|newest| frame.header.packet_number > newest);
        let without_text = ack.phase == Phase::Refused && self.refusal.is_none();
        if newest && !without_text {
            self.newest_ack = Some(frame.header.packet_number);
            control.set_peer_phase(ack.phase);
            self.paths.note_heard_by_peer(ack.paths);
        }
        Ok(())
    }

    fn handle_refusal(&mut self, frame: &Frame<'_>, ring: &Consumer) -> Result<(), Malformed> {
        let Refuse { text } = Refuse::parse(frame.body)?;
        let text = RefusalText::try_from(text).map_err(|_| Malformed)?;
        if self.refusal.as_ref() != Some(&text) {
            ring.control().set_peer_refusal(&text);
            self.refusal = Some(text);
        }
        Ok(())
    }
}
