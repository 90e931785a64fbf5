//! The primary's end: what goes out.

use super::{PrimaryLink, State};
use crate::limits::PAGE_SIZE;
use crate::link::PROTOCOL_VERSION;
use crate::link::framing::{Cursor, measure, write};
use crate::ring::{Consumer, RingError};
use crate::wire::{Confirm, DATA_HEADER_SIZE, FrameType, Goodbye, Hello, OVERHEAD_SIZE};

/// Time between two Confirms.
const CONFIRM_INTERVAL_US: u64 = 4_000;

impl PrimaryLink {
    pub(super) fn transmit_hello(&mut self, now_us: u64, out: &mut [u8]) -> Option<usize> {
        let State::Calling(calling) = &mut self.state else { return None };
        let size = calling.take_due(now_us)?;
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            mtu: self.endpoint.mtu(),
            timeout_ms: self.endpoint.options.timeout_ms,
            nonce: calling.attempt.nonce,
        };
        Some(self.endpoint.emit_handshake(FrameType::Hello, size, out, |body| hello.emit(body)))
    }

    pub(super) fn transmit_confirm(&mut self, now_us: u64, out: &mut [u8]) -> Option<usize> {
        let State::Confirming { confirm, next_us, .. } = &mut self.state else { return None };
        if now_us < *next_us {
            return None;
        }
        *next_us = now_us + CONFIRM_INTERVAL_US;
        let size = Confirm::SIZE + OVERHEAD_SIZE;
        Some(self.endpoint.emit_handshake(FrameType::Confirm, size, out, |body| confirm.emit(body)))
    }

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

    /// A heartbeat, a lost frame, or a new one.
    pub(super) fn transmit_data(
        &mut self,
        now_us: u64,
        ring: &mut Consumer,
        out: &mut [u8],
    ) -> Result<Option<usize>, RingError> {
        let channel = self.channel.as_mut().expect("a session has a channel");
        if channel.take_heartbeat_due(now_us) {
            return Ok(Some(self.endpoint.finish(channel, now_us, FrameType::Heartbeat, 0, out)));
        }
        let body_size_max = self.endpoint.body_size_max(channel);
        if let Some(lost) = self.flight.next_lost() {
            let (reached, size) = measure(ring, lost.start, lost.end, body_size_max)?;
            if reached != lost.end {
                return Err(RingError::Entry);
            }
            self.counters.frames_retransmitted += 1;
            self.flight.note_sent_again(lost.sequence, channel.next_packet_number(), now_us);
            let places = (lost.start, lost.end);
            return self.emit_data(now_us, ring, lost.sequence, places, size, out).map(Some);
        }
        if let Some((sequence, start)) = self.flight.next_new() {
            let end = Cursor::at(ring.available()?.end.min(self.credit));
            if start < end {
                let room = body_size_max - DATA_HEADER_SIZE;
                self.encode_for_frame(ring, start, end.index, room)?;
                // Nothing goes out unencoded, whatever a broken producer makes of the entries meanwhile.
                let end = end.min(Cursor::at(self.encoded_index));
                let (reached, size) = measure(ring, start, end, body_size_max)?;
                let channel = self.channel.as_ref().expect("a session has a channel");
                self.flight.note_sent_new(reached, channel.next_packet_number(), now_us);
                let places = (start, reached);
                return self.emit_data(now_us, ring, sequence, places, size, out).map(Some);
            }
        }
        Ok(None)
    }

    fn emit_data(
        &mut self,
        now_us: u64,
        ring: &Consumer,
        sequence: u64,
        places: (Cursor, Cursor),
        size: usize,
        out: &mut [u8],
    ) -> Result<usize, RingError> {
        let channel = self.channel.as_mut().expect("a session has a channel");
        let next = places.1.index;
        ring.prefetch_heads(next..next.saturating_add(size.div_ceil(PAGE_SIZE) as u64));
        self.endpoint.seal(channel, now_us, FrameType::Data, size, out, |sealing| {
            write(ring, sequence, places, size, |bytes| sealing.put(bytes))
        })
    }
}
