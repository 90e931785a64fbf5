//! How protect begins, how a session ends, and who lives afterwards.

use pollux::arbiter::{Claim, Next, Record, Settling, Verdict};
use pollux::ring::Parting;

use super::{Primary, Protect, tag_base};
use crate::Context;
use crate::arbiter::host_id;
use crate::mutation::Mutation;
use crate::support::world::PRIMARY;

impl Primary {
    pub(super) fn begin(&mut self, claim: Option<Claim>, context: &mut Context<'_>) {
        if context.mutation == Some(Mutation::StartsWithoutArbiter) {
            self.guest.resume();
            self.pass_through(context);
        }
        let Some(answer) = self.ask(claim, context) else { return };
        let Some(record) = answer else {
            self.protect = Protect::Ended;
            return;
        };
        let own = host_id(PRIMARY);
        match claim {
            None if record.holder.is_some_and(|holder| holder != own) => {
                self.protect = Protect::Ended;
            }
            None if context.mutation == Some(Mutation::KeepsOldTerm) && record.term > 0 => {
                self.work_from(record.term, context);
            }
            None => self.protect = Protect::Begins(Some(Claim { term: record.term, own })),
            Some(claim) => match claim.judge(record) {
                Verdict::Granted { term } => self.work_from(term, context),
                _ => self.protect = Protect::Ended,
            },
        }
    }

    fn work_from(&mut self, term: u64, context: &mut Context<'_>) {
        self.term = term;
        self.renew_halves(context.now_us);
        self.capture.tag_base = tag_base(self.incarnation, term);
        (self.protect, self.ends_after_settling) = (Protect::Works, false);
        // Allowed by now, whatever an earlier protect has left.
        self.is_undecided = false;
        self.guest.resume();
        self.pass_through(context);
    }

    fn ask(&mut self, claim: Option<Claim>, context: &mut Context<'_>) -> Option<Option<Record>> {
        let now_us = context.now_us;
        let ticket = *self
            .question
            .get_or_insert_with(|| context.arbiter.ask(context.random, now_us, PRIMARY, claim));
        let answer = context.arbiter.answer(now_us, ticket)?;
        self.question = None;
        Some(answer)
    }

    fn pass_through(&mut self, context: &mut Context<'_>) {
        self.has_revivable_epoch = false;
        self.guest.pass_through(context.checker);
    }

    /// The session is over: who lives must be settled before anything leaves.
    pub(super) fn end_session(&mut self, is_end: bool, context: &mut Context<'_>) {
        self.abandon_pause();
        self.ends_after_settling = is_end;
        let has_farewell =
            self.parting().is_some() || context.mutation == Some(Mutation::PrimaryIgnoresArbiter);
        let own = host_id(PRIMARY);
        match Settling::begin(self.term, own, self.has_revivable_epoch, has_farewell) {
            Some(settling) => {
                context.checker.met.settled += 1;
                self.is_undecided = true;
                self.guest.pause();
                self.protect = Protect::Settles(settling);
            }
            None => self.live(self.term, context),
        }
    }

    fn parting(&self) -> Option<Parting> {
        self.capture.ring.control().parting(self.session)
    }

    pub(super) fn finish_hand_over(&mut self, context: &mut Context<'_>) {
        match self.parting() {
            Some(Parting::HandedOver) => self.kill_protect(),
            _ => self.end_session(true, context),
        }
    }

    /// Output that passes before the backup knows could be followed by a takeover.
    pub(super) fn finish_giving_up(&mut self, context: &mut Context<'_>) {
        let control = self.capture.ring.control();
        if self.ship.is_none() {
            self.end_session(true, context);
        } else if control.link_session() != self.session && !control.is_leaving() {
            self.end_session(false, context);
        }
    }

    pub(super) fn settle(&mut self, mut settling: Settling, context: &mut Context<'_>) {
        let now_us = self.clock.now_us(context.now_us);
        let next = match self.question {
            Some(_) => Next::Ask(Claim { term: self.term, own: host_id(PRIMARY) }),
            None => settling.next(now_us, self.parting().is_some()),
        };
        match next {
            Next::Ask(claim) => {
                let Some(record) = self.ask(Some(claim), context) else { return };
                settling.note(now_us, record);
                self.protect = Protect::Settles(settling);
            }
            Next::Wait { .. } => {}
            Next::Live { term: Some(term) } => self.live(term, context),
            // A claim may have passed: the next session must not begin in the old term.
            Next::Live { term: None } => {
                self.live(self.term, context);
                self.kill_protect();
                self.start_protect();
            }
            Next::Yield { .. } => self.kill_protect(),
        }
    }

    pub(super) fn live(&mut self, term: u64, context: &mut Context<'_>) {
        (self.term, self.is_undecided) = (term, false);
        self.guest.resume();
        self.pass_through(context);
        if self.capture.is_up() {
            self.capture.leave();
        }
        self.capture.tag_base = tag_base(self.incarnation, term);
        (self.capture.produced_epoch, self.capture.acked_epoch) = (0, 0);
        match self.ends_after_settling {
            true => self.kill_protect(),
            false => self.protect = Protect::Works,
        }
    }
}
