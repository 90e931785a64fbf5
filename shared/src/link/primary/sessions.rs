//! The primary's end: how sessions begin and end.

use super::{PrimaryLink, State};
use crate::limits::EPOCH_REVIVABLE_FIRST;
use crate::link::calling::{Calling, Offer};
use crate::link::channel::{Channel, Side, patience};
use crate::link::endpoint::frame_size;
use crate::link::event::LinkEvent;
use crate::link::leaving::{Leaving, Then};
use crate::link::process::Ending;
use crate::ring::{Consumer, GoodbyeReason, Parting, Phase};
use crate::wire::{Confirm, SessionParts};

/// Data that has not passed for so many timeouts, while the peer is heard, does not pass.
const STALL_TIMEOUTS: u64 = 4;
/// A waiting time is at most this part of the timeout, so that several fit into it.
const PROBES_PER_TIMEOUT: u64 = 8;

impl PrimaryLink {
    pub(super) fn call_when_free(&mut self, now_us: u64, ring: &mut Consumer) {
        if ring.control().domain_session() != 0 {
            return;
        }
        ring.reset(ring.entry_count_max());
        let attempt = self.endpoint.begin_attempt();
        self.state = State::Calling(Calling::new(attempt, self.endpoint.options.mtu, now_us));
    }

    pub(super) fn confirm(&mut self, now_us: u64, calling: &Calling, offer: Offer) {
        let options = &self.endpoint.options;
        let frame_size = frame_size(offer.frame_size);
        let confirm = Confirm {
            frame_size,
            timeout_ms: options.timeout_ms,
            primary_nonce: calling.attempt.nonce,
            backup_nonce: offer.backup_nonce,
            primary_public: calling.attempt.public_key,
        };
        let parts = SessionParts {
            primary: options.own_address,
            backup: options.peer_address,
            primary_nonce: confirm.primary_nonce,
            backup_nonce: confirm.backup_nonce,
            primary_public: confirm.primary_public,
            backup_public: offer.backup_public,
        };
        let timeouts_ms = (options.timeout_ms, offer.peer_timeout_ms);
        let Some(keys) = self.endpoint.session_keys(&parts, &offer.backup_public) else {
            self.events.report_once(LinkEvent::NoSecret);
            self.state = State::Waiting;
            return;
        };
        let mut channel = Channel::new(Side::Primary, keys, offer.frame_size, timeouts_ms, now_us);
        self.paths.start_session(now_us, channel.heartbeat_us);
        channel.learn(self.endpoint.options.silence_memory_us, self.channel.as_ref());
        self.channel = Some(channel);
        self.farewell_due = false;
        let until_us = now_us + self.timeout_us();
        self.state = State::Confirming { confirm, offer, next_us: now_us, until_us };
    }

    pub(super) fn establish(&mut self, now_us: u64, offer: &Offer, ring: &mut Consumer) {
        if ring.control().domain_session() != 0 {
            // capture is about to leave a session that was lost while it joined.
            self.state = State::Waiting;
            return;
        }
        self.flight.reset(now_us);
        self.encoder.start_session();
        self.encoded_index = 0;
        self.is_joined = false;
        (self.credit, self.refusal, self.newest_ack) = (0, None, None);
        self.session_number += 1;
        self.counters.sessions += 1;
        self.counters.frame_size = offer.frame_size as u64;
        ring.control().announce_session(self.session_number);
        self.state = State::Up;
        self.events.report(LinkEvent::Up { frame_size: offer.frame_size });
        let own_mtu = self.endpoint.options.mtu;
        if offer.frame_size < own_mtu.max(offer.peer_mtu) {
            let (frame_size, peer_mtu) = (offer.frame_size, offer.peer_mtu);
            self.events.report_once(LinkEvent::FrameSizeLimited { frame_size, own_mtu, peer_mtu });
        }
    }

    /// The peer has ended the session.
    pub(super) fn lose(&mut self, goodbye: GoodbyeReason, ring: &Consumer) {
        self.counters.frame_size = 0;
        ring.control().note_parting(self.session_number, Parting::RevivesNothing);
        ring.control().drop_session(Some(goodbye));
        match self.state {
            State::Leaving(leaving) => self.left(leaving.then, ring),
            _ => self.state = State::Waiting,
        }
    }

    pub(super) fn left(&mut self, then: Then, ring: &Consumer) {
        ring.control().set_leaving(false);
        self.state = match then {
            Then::Again => State::Waiting,
            Then::End(ending) => State::Ended(ending),
        };
    }

    pub(super) fn take_leave(
        &mut self,
        now_us: u64,
        reason: GoodbyeReason,
        then: Then,
        ring: &Consumer,
    ) {
        self.counters.frame_size = 0;
        let is_in_session = self.is_in_session();
        // Before the session is dropped: capture may wait for the end of both.
        ring.control().set_leaving(is_in_session);
        ring.control().drop_session(None);
        if is_in_session {
            let leave_us = self.channel.as_ref().expect("a session has a channel").leave_us;
            // The peer may act on what it was told first, so nothing else is said any more.
            let reason = match self.state {
                State::Leaving(leaving) => leaving.reason,
                _ => reason,
            };
            self.state = State::Leaving(Leaving::new(reason, then, now_us, leave_us));
        } else {
            self.left(then, ring);
        }
    }

    pub(super) fn poll_session(&mut self, now_us: u64, ring: &mut Consumer) {
        let is_joined = ring.control().domain_session() == self.session_number;
        if self.is_joined && !is_joined {
            // capture has given the backup up; or it ends, and has said so just before.
            let (reason, then) = match ring.control().stop() {
                Some(reason) => (reason, Then::End(Ending::Asked)),
                None => (GoodbyeReason::Failed, Then::Again),
            };
            self.take_leave(now_us, reason, then, ring);
            return;
        }
        self.is_joined = is_joined;
        let channel = self.channel.as_mut().expect("a session has a channel");
        let phase = phase_at(ring.control().acked_epoch(), ring.control().peer_phase());
        if let Some(silent) = channel.judge_silence(now_us, phase, &mut self.counters) {
            self.events.report(silent);
            // It may hear us although we do not hear it: then it must not take over.
            self.take_leave(now_us, GoodbyeReason::Failed, Then::Again, ring);
        } else if self
            .flight
            .is_stalled(now_us, STALL_TIMEOUTS * channel.timeout_us * patience(phase))
        {
            self.events.report(LinkEvent::Stalled);
            self.take_leave(now_us, GoodbyeReason::Failed, Then::Again, ring);
        } else {
            let (heard_us, heartbeat_us) = (channel.last_heard_us(), channel.heartbeat_us);
            let probe_us_max = channel.timeout_us / PROBES_PER_TIMEOUT;
            self.poll_paths(now_us, heard_us, heartbeat_us);
            self.flight.poll_probe(now_us, probe_us_max);
            // What cannot be in the ring is met, and judged, when it is to be sent.
            if let Ok(available) = ring.available() {
                let come = self.flight.come_index();
                self.encoder.note_progress(now_us, self.encoded_index, come, available.end);
            }
        }
    }
    /// Judges the links, and lets data take another one when it does not arrive on this one for a
    /// heartbeat's interval, while the peer is heard.
    fn poll_paths(&mut self, now_us: u64, heard_us: u64, doubt_us: u64) {
        self.paths.judge(&mut self.events);
        if self.paths.are_several() && self.flight.take_doubt(now_us, heard_us, doubt_us) {
            self.paths.avoid_data_path(now_us);
        }
        if self.paths.choose(now_us, &mut self.events) {
            self.flight.change_path(now_us);
        }
    }
}

/// By which phase the backup's silence is judged.
///
/// Output is held from the end of the first epoch that can be revived on, which is before the backup
/// can say that it has it: from there on silence is not borne for long. The backup may name any epoch.
fn phase_at(acked_epoch: u64, peer_phase: Phase) -> Phase {
    if acked_epoch >= EPOCH_REVIVABLE_FIRST - 1 { Phase::Protected } else { peer_phase }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_by_what_was_acknowledged() {
        for (acked_epoch, protected) in [(0, false), (1, false), (2, true), (u64::MAX, true)] {
            let phase = if protected { Phase::Protected } else { Phase::Receiving };
            assert_eq!(phase_at(acked_epoch, Phase::Receiving), phase, "{acked_epoch}");
        }
    }
}
