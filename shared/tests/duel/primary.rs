//! The primary's host: a guest, its gate, and protect, which can be killed and started again.

use std::collections::VecDeque;

use pollux::arbiter::{Claim, Next, Record, Settling, Verdict};
use pollux::gate::EpochOrder;
use pollux::limits::EPOCH_REVIVABLE_FIRST;
use pollux::link::ship::Ship;
use pollux::link::{Activity, LinkOptions};
use pollux::ring::{Consumer, GoodbyeReason, Parting, Ring};

use crate::arbiter::{Arbiter, Question, host_id};
use crate::mutation::Mutation;
use crate::support::halves::Capture;
use crate::support::world::{PRIMARY, encoder};
use crate::{Context, PAGES_MAX, TIMEOUT_MS, options};

/// Entries of the ring.
const RING_ENTRIES: u64 = 64;
/// Entries that capture makes in a step at most.
const PACE: u64 = 8;
/// Time between two pieces of output.
const OUTPUT_INTERVAL_US: u64 = 700;

/// What the guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    Running,
    Paused,
    Gone,
}

/// Where protect stands.
#[derive(Clone, Copy, Debug)]
pub enum Protect {
    /// It asks what the record is, then claims the next term.
    Begins(Option<Claim>),
    /// It waits for a backup, or takes checkpoints.
    Works,
    /// Its session is over.
    Settles(Settling),
    /// The operator ends it: ship takes its leave.
    Stops,
    /// The guest is handed over: it is paused, and ship tells the backup.
    HandsOver,
    /// It is not there: it was killed, could not begin, or has ended.
    Ended,
}

pub struct Primary {
    pub guest: Guest,
    pub protect: Protect,
    pub capture: Capture,
    ring: Consumer,
    ship: Option<Box<Ship>>,
    gate: EpochOrder,
    /// Output that waits: the epoch it was made in, and its number.
    held: VecDeque<(u64, u64)>,
    output: u64,
    output_due_us: u64,
    question: Option<Question>,
    term: u64,
    /// The newest session's number.
    session: u64,
    has_revivable_epoch: bool,
    ends_after_settling: bool,
    /// For a mutation: the newest epoch that was ever acknowledged.
    acknowledged_ever: u64,
    incarnation: u64,
    seed: u64,
}

fn halves(seed: u64, incarnation: u64, now_us: u64) -> (Capture, Consumer, Box<Ship>) {
    let (producer, ring) = Ring::create(RING_ENTRIES).unwrap().into_both().unwrap();
    let mut capture = Capture::new(producer, seed, PAGES_MAX);
    capture.waits_to_leave = true;
    let options: LinkOptions = options(PRIMARY, seed ^ incarnation << 8);
    (capture, ring, Box::new(Ship::new(options, encoder(seed), now_us)))
}

/// A session's tag carries the term to the backup.
fn tag_base(incarnation: u64, term: u64) -> u64 {
    incarnation << 48 | term << 24
}

/// The term in a session's tag.
pub fn term_of(tag: u64) -> u64 {
    tag >> 24 & 0xff_ffff
}

impl Primary {
    pub fn new(seed: u64, now_us: u64) -> Self {
        let (capture, ring, _) = halves(seed, 0, now_us);
        Self {
            guest: Guest::Running,
            protect: Protect::Begins(None),
            capture,
            ring,
            ship: None,
            gate: EpochOrder::new(),
            held: VecDeque::new(),
            output: 0,
            output_due_us: now_us,
            question: None,
            term: 0,
            session: 0,
            has_revivable_epoch: false,
            ends_after_settling: false,
            acknowledged_ever: 0,
            incarnation: 0,
            seed,
        }
    }

    /// protect is killed, ship dies with it; the gate stays as it is.
    pub fn kill_protect(&mut self) {
        (self.protect, self.ship, self.question) = (Protect::Ended, None, None);
    }

    pub fn kill_ship(&mut self) {
        self.ship = None;
    }

    pub fn kill_host(&mut self) {
        self.kill_protect();
        self.guest = Guest::Gone;
    }

    pub fn stop_protect(&mut self) {
        if matches!(self.protect, Protect::Works) {
            self.capture.ring.control().set_stop(GoodbyeReason::Ended);
            self.protect = Protect::Stops;
        }
    }

    /// The operator hands a protected guest over.
    pub fn hand_over(&mut self) {
        if matches!(self.protect, Protect::Works)
            && self.has_revivable_epoch
            && self.capture.is_up()
        {
            self.guest = Guest::Paused;
            self.capture.ring.control().set_stop(GoodbyeReason::HandOver);
            self.protect = Protect::HandsOver;
        }
    }

    /// The operator starts protect again, if the guest is there.
    pub fn start_protect(&mut self) {
        if matches!(self.protect, Protect::Ended) && self.guest != Guest::Gone {
            (self.protect, self.question) = (Protect::Begins(None), None);
        }
    }

    pub fn step(&mut self, context: &mut Context<'_>) {
        self.make_output(context);
        if let Some(ship) = &mut self.ship {
            let port = &mut context.network.ports[PRIMARY];
            let activity = ship.turn(context.now_us, port, &mut self.ring).unwrap();
            if matches!(activity, Activity::Ended(_)) {
                self.ship = None;
            }
        }
        match self.protect {
            Protect::Begins(claim) => self.begin(claim, context),
            Protect::Works => self.work(context),
            Protect::Settles(settling) => self.settle(settling, context),
            Protect::Stops if self.ship.is_none() => self.end_session(true, context),
            Protect::HandsOver if self.ship.is_none() => self.finish_hand_over(context),
            Protect::HandsOver | Protect::Stops | Protect::Ended => {}
        }
        context.checker.note_gate(self.guest == Guest::Running && self.gate.is_pass_through());
    }

    fn make_output(&mut self, context: &mut Context<'_>) {
        if self.guest == Guest::Running && context.now_us >= self.output_due_us {
            self.output_due_us = context.now_us + OUTPUT_INTERVAL_US;
            self.output += 1;
            let epoch = self.capture.produced_epoch + 1;
            self.held.push_back((epoch, self.output));
            if self.gate.is_pass_through() {
                self.release(u64::MAX, context);
            }
        }
    }

    fn release(&mut self, epoch: u64, context: &mut Context<'_>) {
        while let Some((_, output)) = self.held.pop_front_if(|it| it.0 <= epoch) {
            context.checker.note_left(output);
        }
    }

    fn pass_through(&mut self, context: &mut Context<'_>) {
        self.has_revivable_epoch = false;
        let _ = self.gate.release_all();
        self.release(u64::MAX, context);
    }

    fn begin(&mut self, claim: Option<Claim>, context: &mut Context<'_>) {
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
        self.incarnation += 1;
        let (capture, ring, ship) = halves(self.seed, self.incarnation, context.now_us);
        (self.capture, self.ring, self.ship) = (capture, ring, Some(ship));
        self.capture.tag_base = tag_base(self.incarnation, term);
        (self.protect, self.ends_after_settling) = (Protect::Works, false);
        // A protect that was killed or ended before it was settled has left the guest paused.
        self.guest = Guest::Running;
        self.pass_through(context);
    }

    fn ask(&mut self, claim: Option<Claim>, context: &mut Context<'_>) -> Option<Option<Record>> {
        let now_us = context.now_us;
        let question =
            self.question.get_or_insert_with(|| Arbiter::ask(context.random, now_us, claim));
        let answer = context.arbiter.poll(PRIMARY, now_us, question)?;
        self.question = None;
        Some(answer)
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.ship.is_none() {
            // Nobody else can say it.
            self.capture.ring.control().drop_session(None);
            self.ends_after_settling = true;
        }
        self.take_acknowledgement(context);
        let ended = self.capture.produced_epoch;
        self.capture.step(if self.guest == Guest::Running { PACE } else { 0 });
        let tag = self.capture.tag();
        if self.capture.is_up() {
            self.session = tag & 0xff_ffff;
        }
        for epoch in ended + 1..=self.capture.produced_epoch {
            context.checker.note_checkpoint((tag, epoch), self.output);
            if epoch >= EPOCH_REVIVABLE_FIRST {
                self.has_revivable_epoch = true;
                let _ = self.gate.end_epoch(epoch);
            }
            if context.mutation == Some(Mutation::ReleasesBeforeAcknowledgement) {
                self.release(epoch, context);
            }
        }
        if self.capture.is_over || (self.ends_after_settling && !self.capture.is_up()) {
            self.end_session(self.ends_after_settling, context);
        }
    }

    fn take_acknowledgement(&mut self, context: &mut Context<'_>) {
        let control = self.capture.ring.control();
        let is_up = self.capture.is_up() && control.link_session() != 0;
        let acknowledged = if is_up { control.acked_epoch() } else { 0 };
        self.acknowledged_ever = self.acknowledged_ever.max(acknowledged);
        let replayed = context.mutation == Some(Mutation::BelievesReplay);
        let believed = if replayed { self.acknowledged_ever } else { acknowledged };
        if let Some(epoch) = self.gate.in_flight().filter(|&it| it <= believed) {
            context.checker.note_acknowledged((self.capture.tag(), epoch));
            let _ = self.gate.acknowledge(epoch);
            self.release(epoch, context);
        }
    }

    /// The session is over: who lives must be settled before anything leaves.
    fn end_session(&mut self, is_end: bool, context: &mut Context<'_>) {
        self.ends_after_settling = is_end;
        let has_farewell =
            self.parting().is_some() || context.mutation == Some(Mutation::PrimaryIgnoresArbiter);
        let own = host_id(PRIMARY);
        match Settling::begin(self.term, own, self.has_revivable_epoch, has_farewell) {
            Some(settling) => {
                self.guest = Guest::Paused;
                self.protect = Protect::Settles(settling);
            }
            None => self.live(self.term, context),
        }
    }

    fn parting(&self) -> Option<Parting> {
        self.capture.ring.control().parting(self.session)
    }

    fn finish_hand_over(&mut self, context: &mut Context<'_>) {
        match self.parting() {
            Some(Parting::Answered) => self.kill_protect(),
            _ => self.end_session(true, context),
        }
    }

    fn settle(&mut self, mut settling: Settling, context: &mut Context<'_>) {
        let has_farewell = self.parting().is_some();
        let next = match self.question {
            Some(_) => Next::Ask(Claim { term: self.term, own: host_id(PRIMARY) }),
            None => settling.next(context.now_us, has_farewell),
        };
        match next {
            Next::Ask(claim) => {
                let Some(record) = self.ask(Some(claim), context) else { return };
                settling.note(context.now_us, record);
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

    fn live(&mut self, term: u64, context: &mut Context<'_>) {
        self.term = term;
        self.guest = Guest::Running;
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

const _: () = assert!(TIMEOUT_MS as u64 * 1000 > 20 * OUTPUT_INTERVAL_US);
