//! protect while a session is up: the beat, the pause of a checkpoint, the acknowledgement.

use pollux::limits::EPOCH_REVIVABLE_FIRST;
use pollux::ring::{GoodbyeReason, Phase};

use super::{Primary, Protect};
use crate::mutation::Mutation;
use crate::{Context, TIMEOUT_MS};

/// Entries that capture makes in a step at most.
const PACE: u64 = 8;
/// How long a pause takes, in microseconds.
const PAUSE_US: std::ops::Range<u64> = 100..3_000;
/// Of a thousand pauses, those after which the guest was not found still, and those that fail.
const NOT_STILL: u64 = 50;
const FAILED: u64 = 1;
/// Time after which a guest that was not found still is paused again.
const AGAIN_US: u64 = 300;
/// A backup that is heard is given up when nothing has moved for so long. protect has more patience, and
/// the runs would have to be as much longer.
const PATIENCE_US: u64 = 6 * TIMEOUT_MS as u64 * 1000;

impl Primary {
    pub(super) fn work(&mut self, context: &mut Context<'_>) {
        if self.ship.is_none() {
            // Nobody else can say it.
            self.capture.ring.control().drop_session(None);
            self.ends_after_settling = true;
        }
        if self.take_wish() {
            return;
        }
        self.take_acknowledgement(context);
        let (was_up, ended) = (self.capture.is_up(), self.capture.produced_epoch);
        self.capture.step(PACE);
        if self.capture.is_up() && !was_up {
            self.session = self.capture.tag() & 0xff_ffff;
            (self.released_epoch, self.due_us) = (0, context.now_us);
            self.guest.begin_session();
        }
        let produced = self.capture.produced_epoch;
        if produced != ended && context.mutation == Some(Mutation::ReleasesBeforeAcknowledgement) {
            self.guest.release_early(produced, context.checker);
        }
        if self.capture.is_over || (self.ends_after_settling && !self.capture.is_up()) {
            self.end_session(self.ends_after_settling, context);
        } else if self.capture.is_up() {
            self.go_on(context);
        }
    }

    fn go_on(&mut self, context: &mut Context<'_>) {
        if self.capture.ring.control().peer_phase() == Phase::Refused {
            context.checker.met.refused += 1;
            self.stop(GoodbyeReason::Failed);
            return;
        }
        self.checkpoint(context);
        let free_entry_count = self.capture.ring.free_entries().unwrap();
        let has_moved = free_entry_count != self.free_entry_count
            || self.pause_until_us.is_some()
            || context.now_us < self.due_us;
        self.free_entry_count = free_entry_count;
        if has_moved {
            self.moved_us = context.now_us;
        } else if context.now_us > self.moved_us + PATIENCE_US
            && self.capture.produced_epoch >= EPOCH_REVIVABLE_FIRST
        {
            context.checker.met.given_up += 1;
            self.give_up();
        }
    }

    /// The operator's wish has its turn; a hand-over not in a pause, and only when there is something to
    /// hand over.
    fn take_wish(&mut self) -> bool {
        let Some(reason) = self.wish else { return false };
        let is_hand_over = reason == GoodbyeReason::HandOver;
        if is_hand_over && self.pause_until_us.is_some() {
            return false;
        }
        self.wish = None;
        let is_protected = self.capture.is_up() && self.released_epoch >= EPOCH_REVIVABLE_FIRST;
        if is_hand_over && !is_protected {
            return false;
        }
        self.stop(reason);
        true
    }

    /// Ends protection: ship tells the backup why.
    pub(super) fn stop(&mut self, reason: GoodbyeReason) {
        self.abandon_pause();
        self.capture.ring.control().set_stop(reason);
        self.protect = match reason {
            GoodbyeReason::HandOver => {
                self.guest.pause();
                Protect::HandsOver
            }
            _ => Protect::Stops,
        };
    }

    fn take_acknowledgement(&mut self, context: &mut Context<'_>) {
        let control = self.capture.ring.control();
        let is_up = self.capture.is_up() && control.link_session() != 0;
        let acknowledged = if is_up { control.acked_epoch() } else { 0 };
        self.acknowledged_ever = self.acknowledged_ever.max(acknowledged);
        let replayed = context.mutation == Some(Mutation::BelievesReplay);
        let believed = if replayed { self.acknowledged_ever } else { acknowledged };
        let ended = self.capture.produced_epoch;
        if self.released_epoch == ended || believed < ended {
            return;
        }
        self.released_epoch = ended;
        if ended >= EPOCH_REVIVABLE_FIRST {
            context.checker.note_acknowledged((self.capture.tag(), ended));
            self.guest.acknowledge(ended, context.checker);
        }
    }

    fn checkpoint(&mut self, context: &mut Context<'_>) {
        let now_us = context.now_us;
        match self.pause_until_us {
            None => {
                let is_acknowledged = self.released_epoch == self.capture.produced_epoch;
                if is_acknowledged && now_us >= self.due_us && self.capture.is_at_end() {
                    self.begin_pause(context);
                }
            }
            Some(until_us) if now_us < until_us => {}
            Some(_) => self.end_pause(context),
        }
    }

    fn begin_pause(&mut self, context: &mut Context<'_>) {
        if context.random.chance(FAILED) {
            self.stop(GoodbyeReason::Failed);
            return;
        }
        self.due_us = context.now_us + self.interval_us;
        let length_us = PAUSE_US.start + context.random.below(PAUSE_US.end - PAUSE_US.start);
        self.pause_until_us = Some(context.now_us + length_us);
        self.output_before = self.guest.output;
        if context.mutation != Some(Mutation::RunsInPause) {
            self.guest.pause();
            self.end_gate_epoch();
        }
    }

    fn end_gate_epoch(&mut self) {
        let epoch = self.capture.produced_epoch + 1;
        if epoch >= EPOCH_REVIVABLE_FIRST {
            self.has_revivable_epoch = true;
            self.guest.end_epoch(epoch);
        }
    }

    fn end_pause(&mut self, context: &mut Context<'_>) {
        let mut contained = self.guest.output;
        if context.mutation == Some(Mutation::RunsInPause) {
            contained = self.output_before;
            self.end_gate_epoch();
        }
        self.abandon_pause();
        if context.random.chance(NOT_STILL) {
            self.due_us = context.now_us + AGAIN_US;
            return;
        }
        let epoch = self.capture.produced_epoch + 1;
        context.checker.note_checkpoint((self.capture.tag(), epoch), contained);
        self.capture.may_end = true;
    }

    /// Whatever ends a pause lets the guest run.
    pub(super) fn abandon_pause(&mut self) {
        if self.pause_until_us.take().is_some() {
            self.guest.resume();
        }
    }

    fn give_up(&mut self) {
        self.capture.give_up();
        self.protect = Protect::GivesUp;
    }
}
