//! The backup's end: what comes in.

use super::{BackupLink, State};
use crate::link::PROTOCOL_VERSION;
use crate::link::assembly::Accepted;
use crate::link::event::LinkEvent;
use crate::link::leaving::Then;
use crate::link::process::{Ending, LinkProcess};
use crate::ring::{GoodbyeReason, Phase, Producer};
use crate::wire::{
    Confirm, Frame, FrameType, Goodbye, Hello, HelloReply, Malformed, OVERHEAD_SIZE, ReplyStatus,
};

impl BackupLink {
    pub(super) fn handle_hello(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        let hello = Hello::parse(frame.body)?;
        let (status, backup_nonce, backup_public) = match self.state {
            _ if hello.protocol != PROTOCOL_VERSION => {
                self.events.report_once(LinkEvent::Version { peer: hello.protocol });
                (ReplyStatus::Version, [0; 32], [0; 32])
            }
            State::Listening(own) => (ReplyStatus::Ready, own.nonce, own.public_key),
            State::Waiting => (ReplyStatus::Busy, [0; 32], [0; 32]),
            _ => {
                // Recorded long ago, or from a primary that started anew: silence will tell.
                self.counters.frames_unexpected += 1;
                return Ok(());
            }
        };
        // The reply is as large as the Hello, so that it proves the way back.
        let size = frame.body.len() + OVERHEAD_SIZE;
        let reply = HelloReply {
            protocol: PROTOCOL_VERSION,
            mtu: self.endpoint.mtu(),
            timeout_ms: self.endpoint.options.timeout_ms,
            status,
            hello_size: u16::try_from(size).map_err(|_| Malformed)?,
            primary_nonce: hello.nonce,
            backup_nonce,
            backup_public,
        };
        let fits = frame.body.len() >= HelloReply::SIZE && size <= self.endpoint.options.mtu;
        if !fits {
            return Err(Malformed);
        }
        // The same Hello comes on every link, and the answer goes out on all of them.
        let is_copy = self.replies.iter().any(|it| *it == (reply, size));
        if !is_copy && self.replies.push_back((reply, size)).is_err() {
            self.counters.frames_unexpected += 1;
        }
        Ok(())
    }

    pub(super) fn handle_confirm(
        &mut self,
        now_us: u64,
        frame: &Frame<'_>,
        ring: &mut Producer,
    ) -> Result<(), Malformed> {
        let confirm = Confirm::parse(frame.body)?;
        match self.state {
            State::Listening(own) if own.nonce == confirm.backup_nonce => {
                self.establish(now_us, &confirm, &own, ring)
            }
            _ => {
                // Sent twice, or recorded in another session.
                self.counters.frames_unexpected += 1;
                Ok(())
            }
        }
    }

    pub(super) fn handle_sealed(
        &mut self,
        now_us: u64,
        path: usize,
        mut frame: Frame<'_>,
        ring: &mut Producer,
    ) -> Result<(), Malformed> {
        let Some(channel) = &mut self.channel else {
            self.counters.frames_unexpected += 1;
            return Ok(());
        };
        if !channel.open(now_us, path, &mut frame, &mut self.paths, &mut self.counters) {
            return Ok(());
        }
        if !self.is_in_session() {
            // The last session's. Its peer may have missed our Farewell.
            if frame.header.frame_type == FrameType::Goodbye {
                let Goodbye { reason } = Goodbye::parse(frame.body)?;
                self.farewell_due |= self.has_done(reason);
            } else {
                self.counters.frames_unexpected += 1;
            }
            return Ok(());
        }
        ring.control().set_last_heard_us(now_us);
        self.acknowledging.note_packet(frame.header.packet_number, now_us);
        match (frame.header.frame_type, self.state) {
            (FrameType::Data, State::Up) => {
                self.paths.note_data(path);
                self.handle_data(now_us, &frame, ring)
            }
            (FrameType::Heartbeat, _) => Ok(()),
            (FrameType::Goodbye, state) => {
                let Goodbye { reason } = Goodbye::parse(frame.body)?;
                let is_taken =
                    matches!(state, State::Up) && ring.control().phase() == Phase::Protected;
                if reason == GoodbyeReason::HandOver && !is_taken {
                    // There is no twin, or none any more, that could live: that is not answered.
                    self.counters.frames_unexpected += 1;
                    return Ok(());
                }
                self.farewell_due = true;
                self.events.report(LinkEvent::Goodbye(reason));
                self.lose(Some(reason), ring);
                Ok(())
            }
            (FrameType::Farewell, State::Leaving(leaving)) => {
                self.left(leaving.then);
                Ok(())
            }
            _ => {
                self.counters.frames_unexpected += 1;
                Ok(())
            }
        }
    }

    /// Whether the last session ended as this goodbye wants it to: the twin is gone, or it was handed the
    /// guest.
    fn has_done(&self, reason: GoodbyeReason) -> bool {
        self.ended_by.is_some_and(|by| {
            (by == GoodbyeReason::HandOver) == (reason == GoodbyeReason::HandOver)
        })
    }

    fn handle_data(
        &mut self,
        now_us: u64,
        frame: &Frame<'_>,
        ring: &mut Producer,
    ) -> Result<(), Malformed> {
        // Also a duplicate asks for an acknowledgement: the last one may be lost.
        self.acknowledging.note_data(now_us);
        match self.assembly.accept(frame.body, ring) {
            Ok(Accepted::New) => {}
            Ok(Accepted::Duplicate) => self.counters.frames_duplicate += 1,
            Ok(Accepted::Refused) => return Err(Malformed),
            Ok(Accepted::Contradiction) => {
                self.events.report(LinkEvent::Contradiction);
                self.take_leave(now_us, GoodbyeReason::Failed, Then::Again, ring);
            }
            Err(error) => self.fail(now_us, Ending::RingBroken(error), ring),
        }
        Ok(())
    }
}
