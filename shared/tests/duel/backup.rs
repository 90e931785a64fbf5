//! The backup's host: stand-by, which can be killed and started again, and the guest if it comes to live
//! there.

use pollux::arbiter::{Claim, Next, Settling};
use pollux::limits::EPOCH_REVIVABLE_FIRST;
use pollux::link::Activity;
use pollux::link::receive::Receive;
use pollux::ring::{GoodbyeReason, Producer, Ring};

use crate::arbiter::{Arbiter, Question, host_id};
use crate::mutation::Mutation;
use crate::primary::term_of;
use crate::support::halves::Commit;
use crate::support::world::BACKUP;
use crate::{Context, PAGES_MAX, options};

/// Entries of the ring.
const RING_ENTRIES: u64 = 128;
/// Entries that commit takes in a step at most.
const PACE: u64 = 16;

/// Where stand-by stands.
#[derive(Clone, Copy, Debug)]
pub enum StandBy {
    /// It waits for a primary, or receives.
    Works,
    /// Its primary is lost, with this epoch complete.
    Settles(Settling, u64),
    /// The operator ends it: the primary is told, and the twin destroyed.
    Stops,
    /// The guest lives here.
    Lives,
    /// It is not there.
    Ended,
}

pub struct Backup {
    pub stand_by: StandBy,
    pub commit: Commit,
    ring: Producer,
    receive: Option<Box<Receive>>,
    question: Option<Question>,
    incarnation: u64,
    seed: u64,
}

fn halves(seed: u64, incarnation: u64, now_us: u64) -> (Commit, Producer, Box<Receive>) {
    let (ring, consumer) = Ring::create(RING_ENTRIES).unwrap().into_both().unwrap();
    let mut commit = Commit::new(consumer, seed, PAGES_MAX, RING_ENTRIES);
    commit.waits_to_leave = true;
    (commit, ring, Box::new(Receive::new(options(BACKUP, seed ^ incarnation << 8), now_us)))
}

impl Backup {
    pub fn new(seed: u64, now_us: u64) -> Self {
        let (commit, ring, receive) = halves(seed, 1, now_us);
        let (stand_by, receive, incarnation) = (StandBy::Works, Some(receive), 1);
        Self { stand_by, commit, ring, receive, question: None, incarnation, seed }
    }

    /// stand-by is killed, and with it the twin.
    pub fn kill(&mut self) {
        if !matches!(self.stand_by, StandBy::Lives) {
            (self.stand_by, self.receive, self.question) = (StandBy::Ended, None, None);
        }
    }

    /// The receiving half is killed: commit destroys the twin and ends.
    pub fn kill_receive(&mut self) {
        if matches!(self.stand_by, StandBy::Works) {
            self.kill();
        }
    }

    pub fn stop(&mut self) {
        if matches!(self.stand_by, StandBy::Works | StandBy::Settles(..)) {
            self.commit.ring.control().set_stop(GoodbyeReason::Ended);
            (self.stand_by, self.question) = (StandBy::Stops, None);
        }
    }

    pub fn start(&mut self, now_us: u64) {
        if matches!(self.stand_by, StandBy::Ended) {
            self.incarnation += 1;
            let (commit, ring, receive) = halves(self.seed, self.incarnation, now_us);
            (self.commit, self.ring, self.receive) = (commit, ring, Some(receive));
            self.stand_by = StandBy::Works;
        }
    }

    pub fn step(&mut self, context: &mut Context<'_>) {
        if let Some(receive) = &mut self.receive {
            let port = &mut context.network.ports[BACKUP];
            let activity = receive.turn(context.now_us, port, &mut self.ring).unwrap();
            if matches!(activity, Activity::Ended(_)) {
                self.receive = None;
            }
        }
        match self.stand_by {
            StandBy::Works => self.work(context),
            StandBy::Settles(settling, epoch) => self.settle(settling, epoch, context),
            StandBy::Stops if self.receive.is_none() => self.kill(),
            StandBy::Stops | StandBy::Lives | StandBy::Ended => {}
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        let complete = self.commit.complete_epoch;
        self.commit.step(PACE);
        let first = if self.commit.complete_epoch < complete { 1 } else { complete + 1 };
        for epoch in first..=self.commit.complete_epoch {
            let tag = self.commit.tag.expect("a complete epoch has a session");
            context.checker.note_complete((tag, epoch));
        }
        if !self.commit.is_over {
            return;
        }
        let (goodbye, epoch) = *self.commit.losses.back().expect("it is over");
        let is_revivable = epoch >= EPOCH_REVIVABLE_FIRST;
        let has_farewell = goodbye.is_some_and(|reason| reason != GoodbyeReason::HandOver);
        let settling = Settling::begin(self.term(), host_id(BACKUP), is_revivable, has_farewell);
        match settling {
            Some(_) if context.mutation == Some(Mutation::BackupIgnoresArbiter) => {
                self.live(epoch, context);
            }
            Some(settling) => self.stand_by = StandBy::Settles(settling, epoch),
            None => self.commit.leave(),
        }
    }

    fn settle(&mut self, mut settling: Settling, epoch: u64, context: &mut Context<'_>) {
        let now_us = context.now_us;
        let next = match self.question {
            Some(_) => Next::Ask(Claim { term: self.term(), own: host_id(BACKUP) }),
            None => settling.next(now_us, false),
        };
        match next {
            Next::Ask(claim) => {
                let question = self
                    .question
                    .get_or_insert_with(|| Arbiter::ask(context.random, now_us, Some(claim)));
                let Some(record) = context.arbiter.poll(BACKUP, now_us, question) else { return };
                self.question = None;
                settling.note(now_us, record);
                self.stand_by = StandBy::Settles(settling, epoch);
            }
            Next::Wait { .. } => {}
            Next::Live { .. } => self.live(epoch, context),
            Next::Yield { .. } => {
                self.commit.leave();
                self.stand_by = StandBy::Works;
            }
        }
    }

    fn term(&self) -> u64 {
        self.commit.tag.map_or(0, term_of)
    }

    fn live(&mut self, epoch: u64, context: &mut Context<'_>) {
        let tag = self.commit.tag.expect("a complete epoch has a session");
        let epoch = match context.mutation {
            Some(Mutation::RevivesTornEpoch) => epoch + 1,
            Some(Mutation::RevivesOldEpoch) => epoch - 1,
            _ => epoch,
        };
        context.checker.note_revived((tag, epoch));
        self.stand_by = StandBy::Lives;
        self.receive = None;
    }
}
