//! The backup's host: stand-by and receive, each of which can be killed, started again or kept from running
//! for a while, and the guest if it comes to live there.

use pollux::arbiter::{Claim, Next, Settling};
use pollux::limits::EPOCH_REVIVABLE_FIRST;
use pollux::link::receive::Receive;
use pollux::link::{Activity, LinkOptions};
use pollux::ring::{GoodbyeReason, Producer, Ring};

use crate::arbiter::host_id;
use crate::checker::Checkpoint;
use crate::clock::Clock;
use crate::mutation::Mutation;
use crate::primary::term_of;
use crate::support::halves::Commit;
use crate::support::world::BACKUP;
use crate::{Context, PAGES_MAX, options};

/// Entries of the ring.
const RING_ENTRIES: u64 = 16;
/// Entries that commit takes in a step at most, as a rule and when it is slow.
const PACE: [u64; 2] = [16, 1];
/// How long a revival takes at most.
const REVIVAL_US_MAX: u64 = 100_000;

/// Where stand-by stands.
#[derive(Clone, Copy, Debug)]
pub enum StandBy {
    /// It waits for a primary, or receives.
    Works,
    /// Its primary is lost, with this epoch complete.
    Settles(Settling, u64),
    /// It brings this checkpoint to life, until then.
    Revives(Checkpoint, u64),
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
    clock: Clock,
    /// stand-by and receive do not run until then.
    pub stalled_until_us: [u64; 2],
    pub is_slow: bool,
    /// There is no memory for a twin, or for what comes to one.
    pub is_out_of_memory: bool,
    /// The number of the question that the arbiter was asked.
    question: Option<u64>,
    incarnation: u64,
    seed: u64,
    path_count: usize,
}

fn commit(seed: u64) -> (Commit, Producer) {
    let (ring, consumer) = Ring::create(RING_ENTRIES).unwrap().into_both().unwrap();
    let mut commit = Commit::new(consumer, seed, PAGES_MAX, RING_ENTRIES);
    commit.waits_to_leave = true;
    (commit, ring)
}

impl Backup {
    pub fn new(seed: u64, path_count: usize, clock: Clock, now_us: u64) -> Self {
        let (commit, ring) = commit(seed);
        let mut backup = Self {
            stand_by: StandBy::Ended,
            commit,
            ring,
            receive: None,
            clock,
            stalled_until_us: [0; 2],
            is_slow: false,
            is_out_of_memory: false,
            question: None,
            incarnation: 0,
            seed,
            path_count,
        };
        backup.start(now_us);
        backup
    }

    /// stand-by is killed, and with it the twin, even one that is being revived.
    pub fn kill(&mut self) {
        if !matches!(self.stand_by, StandBy::Lives) {
            (self.stand_by, self.receive, self.question) = (StandBy::Ended, None, None);
        }
    }

    pub fn kill_receive(&mut self) {
        self.receive = None;
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
            (self.commit, self.ring) = commit(self.seed);
            let entropy = self.seed ^ self.incarnation << 8;
            let options = LinkOptions { path_count: self.path_count, ..options(BACKUP, entropy) };
            self.receive = Some(Box::new(Receive::new(options, self.clock.now_us(now_us))));
            self.stand_by = StandBy::Works;
        }
    }

    /// Says whether receive had something to do.
    pub fn step(&mut self, context: &mut Context<'_>) -> bool {
        let now_us = context.now_us;
        let [stalled, receive_stalled] = self.stalled_until_us.map(|until| now_us < until);
        let mut is_busy = false;
        if let Some(receive) = self.receive.as_mut().filter(|_| !receive_stalled) {
            let port = &mut context.links.ports[BACKUP];
            let activity = receive.turn(self.clock.now_us(now_us), port, &mut self.ring).unwrap();
            is_busy = activity == Activity::Busy;
            if matches!(activity, Activity::Ended(_)) {
                self.receive = None;
            }
        }
        if !stalled {
            self.step_stand_by(context);
        }
        is_busy
    }

    fn step_stand_by(&mut self, context: &mut Context<'_>) {
        match self.stand_by {
            StandBy::Works => self.work(context),
            StandBy::Settles(settling, epoch) => self.settle(settling, epoch, context),
            StandBy::Revives(checkpoint, until_us) if context.now_us >= until_us => {
                context.checker.note_revived(checkpoint);
                (self.stand_by, self.receive) = (StandBy::Lives, None);
            }
            StandBy::Stops if self.receive.is_none() => self.kill(),
            StandBy::Revives(..) | StandBy::Stops | StandBy::Lives | StandBy::Ended => {}
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        self.commit.refusal = self.is_out_of_memory.then(|| "no memory".into());
        if self.is_out_of_memory && self.commit.is_up() && !self.commit.is_refusing {
            self.commit.refuse("no memory");
        }
        let complete = self.commit.complete_epoch;
        self.commit.step(PACE[usize::from(self.is_slow)]);
        let first = if self.commit.complete_epoch < complete { 1 } else { complete + 1 };
        for epoch in first..=self.commit.complete_epoch {
            let tag = self.commit.tag.expect("a complete epoch has a session");
            context.checker.note_complete((tag, epoch));
        }
        if self.commit.is_over {
            self.end_session(context);
        } else if self.receive.is_none() {
            // It may have told of the session's end before its own.
            self.kill();
        }
    }

    fn end_session(&mut self, context: &mut Context<'_>) {
        let (goodbye, epoch) = *self.commit.losses.back().expect("it is over");
        let is_revivable = epoch >= EPOCH_REVIVABLE_FIRST && !self.commit.is_refusing;
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
        let now_us = self.clock.now_us(context.now_us);
        let claim = Claim { term: self.term(), own: host_id(BACKUP) };
        let next = match self.question {
            Some(_) => Next::Ask(claim),
            None => settling.next(now_us, false),
        };
        match next {
            Next::Ask(claim) => {
                let true_us = context.now_us;
                let ticket = *self.question.get_or_insert_with(|| {
                    context.arbiter.ask(context.random, true_us, BACKUP, Some(claim))
                });
                let Some(record) = context.arbiter.answer(true_us, ticket) else { return };
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
        context.checker.note_granted((tag, epoch));
        let until_us = context.now_us + context.random.below(REVIVAL_US_MAX);
        self.stand_by = StandBy::Revives((tag, epoch), until_us);
    }
}
