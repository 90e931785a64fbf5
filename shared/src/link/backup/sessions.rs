//! The backup's end: how sessions begin and end.

use super::{BackupLink, State};
use crate::limits::{FRAME_SIZE_MIN, RING_ENTRY_COUNT_INITIAL};
use crate::link::acknowledging::Acknowledging;
use crate::link::channel::{Channel, Side};
use crate::link::endpoint::Attempt;
use crate::link::event::LinkEvent;
use crate::link::leaving::{Leaving, Then};
use crate::ring::{GoodbyeReason, Producer};
use crate::wire::{Confirm, Malformed, SessionParts};

impl BackupLink {
    pub(super) fn listen_when_free(&mut self, ring: &mut Producer) {
        if ring.control().domain_session() != 0 {
            return;
        }
        ring.reset(RING_ENTRY_COUNT_INITIAL.min(ring.entry_count_max()));
        self.state = State::Listening(self.endpoint.begin_attempt());
    }

    /// Opens the session that a signed Confirm with the right nonce asks for.
    pub(super) fn establish(
        &mut self,
        now_us: u64,
        confirm: &Confirm,
        own: &Attempt,
        ring: &mut Producer,
    ) -> Result<(), Malformed> {
        let options = &self.endpoint.options;
        let frame_size = usize::from(confirm.frame_size);
        if !(FRAME_SIZE_MIN..=options.mtu).contains(&frame_size) {
            return Err(Malformed);
        }
        if ring.control().domain_session() != 0 {
            // commit is about to leave a session that was lost while it joined.
            self.state = State::Waiting;
            return Ok(());
        }
        let parts = SessionParts {
            primary: options.peer_address,
            backup: options.own_address,
            primary_nonce: confirm.primary_nonce,
            backup_nonce: own.nonce,
            primary_public: confirm.primary_public,
            backup_public: own.public_key,
        };
        let timeouts_ms = (options.timeout_ms, confirm.timeout_ms);
        let Some(keys) = self.endpoint.session_keys(&parts, &confirm.primary_public) else {
            self.events.report_once(LinkEvent::NoSecret);
            self.state = State::Waiting;
            return Ok(());
        };
        let mut channel = Channel::new(Side::Backup, keys, frame_size, timeouts_ms, now_us);
        channel.learn(self.endpoint.options.silence_memory_us, self.channel.as_ref());
        self.paths.start_session(now_us, channel.heartbeat_us);
        self.channel = Some(channel);
        self.assembly.reset();
        self.acknowledging = Acknowledging::new(now_us);
        self.replies.clear();
        (self.farewell_due, self.refuse_due) = (false, false);
        self.session_number += 1;
        self.counters.sessions += 1;
        self.counters.frame_size = frame_size as u64;
        ring.control().announce_session(self.session_number);
        ring.control().set_last_heard_us(now_us);
        self.state = State::Up;
        self.events.report(LinkEvent::Up { frame_size });
        Ok(())
    }

    /// The session is over without our doing.
    pub(super) fn lose(&mut self, goodbye: Option<GoodbyeReason>, ring: &Producer) {
        self.counters.frame_size = 0;
        self.ended_by = goodbye;
        ring.control().drop_session(goodbye);
        match self.state {
            State::Leaving(leaving) => self.left(leaving.then),
            _ => self.state = State::Waiting,
        }
    }

    pub(super) fn left(&mut self, then: Then) {
        self.state = match then {
            Then::Again => State::Waiting,
            Then::End(ending) => State::Ended(ending),
        };
    }

    /// Ends the session of our own accord. commit hears of a failure of ours: it must not take it
    /// for the primary's death.
    pub(super) fn take_leave(
        &mut self,
        now_us: u64,
        reason: GoodbyeReason,
        then: Then,
        ring: &Producer,
    ) {
        self.counters.frame_size = 0;
        self.ended_by = Some(reason);
        ring.control().drop_session(Some(reason));
        if self.is_in_session() {
            let leave_us = self.channel.as_ref().expect("a session has a channel").leave_us;
            self.state = State::Leaving(Leaving::new(reason, then, now_us, leave_us));
        } else {
            self.left(then);
        }
    }

    pub(super) fn poll_session(&mut self, now_us: u64, ring: &Producer) {
        let channel = self.channel.as_mut().expect("a session has a channel");
        let phase = ring.control().phase();
        if let Some(silent) = channel.judge_silence(now_us, phase, &mut self.counters) {
            self.events.report(silent);
            self.lose(None, ring);
        } else {
            self.paths.judge(&mut self.events);
        }
    }
}
