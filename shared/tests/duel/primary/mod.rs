//! The primary's host: a guest with its gate, protect and ship, each of which can be killed, started again,
//! or kept from running for a while.
//!
//! What protect does while a session is up is in `session`, how it begins and ends in `ends`.

mod ends;
mod session;

use pollux::arbiter::{Claim, Settling};
use pollux::link::ship::Ship;
use pollux::link::{Activity, LinkEvent, LinkOptions, LinkProcess as _};
use pollux::ring::{Consumer, GoodbyeReason, Ring};

use crate::clock::Clock;
use crate::guest::{Guest, Life};
use crate::support::halves::Capture;
use crate::support::world::{PRIMARY, encoder_with};
use crate::{Context, PAGES_MAX, options};

/// Entries of the ring.
const RING_ENTRIES: u64 = 16;
/// Pages that ship remembers, fewer than the guest has.
const CACHE_PAGES: usize = 12;
/// Time between two checkpoints, in different runs.
const INTERVAL_US: std::ops::Range<u64> = 2_000..10_000;

/// Where protect stands.
#[derive(Clone, Copy, Debug)]
pub enum Protect {
    /// It asks what the record is, then claims the next term.
    Begins(Option<Claim>),
    /// It waits for a backup, or takes checkpoints.
    Works,
    /// It has left a backup that gets no further, and waits until that knows.
    GivesUp,
    /// Its session is over.
    Settles(Settling),
    /// The operator ends it, or it cannot go on: ship takes its leave.
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
    clock: Clock,
    /// protect and ship do not run until then.
    pub stalled_until_us: [u64; 2],
    /// The checkpoint's pause ends then, if protect is in one.
    pause_until_us: Option<u64>,
    interval_us: u64,
    /// When the next checkpoint is due, and since when nothing has moved.
    due_us: u64,
    moved_us: u64,
    free_entry_count: u64,
    /// The newest epoch of the session whose acknowledgement was seen.
    released_epoch: u64,
    /// The number of the question that the arbiter was asked.
    question: Option<u64>,
    term: u64,
    /// The newest session's number.
    session: u64,
    has_revivable_epoch: bool,
    ends_after_settling: bool,
    /// The status record says that nobody had decided when protect paused the guest.
    is_undecided: bool,
    /// What the operator has asked for.
    wish: Option<GoodbyeReason>,
    /// For a mutation: the newest epoch that was ever acknowledged, and the output before the pause.
    acknowledged_ever: u64,
    output_before: u64,
    incarnation: u64,
    seed: u64,
    path_count: usize,
}

/// A session's tag carries the term to the backup.
fn tag_base(incarnation: u64, term: u64) -> u64 {
    incarnation << 48 | term << 24
}

/// The term in a session's tag.
pub fn term_of(tag: u64) -> u64 {
    tag >> 24 & 0xff_ffff
}

fn capture(seed: u64) -> (Capture, Consumer) {
    let (producer, ring) = Ring::create(RING_ENTRIES).unwrap().into_both().unwrap();
    let mut capture = Capture::new(producer, seed, PAGES_MAX);
    (capture.waits_to_leave, capture.waits_to_end, capture.ahead_max) = (true, true, 2);
    (capture, ring)
}

impl Primary {
    pub fn new(seed: u64, path_count: usize, clock: Clock, now_us: u64) -> Self {
        let (capture, ring) = capture(seed);
        Self {
            guest: Guest::new(now_us),
            protect: Protect::Begins(None),
            capture,
            ring,
            ship: None,
            clock,
            stalled_until_us: [0; 2],
            pause_until_us: None,
            interval_us: INTERVAL_US.start + seed % (INTERVAL_US.end - INTERVAL_US.start),
            due_us: now_us,
            moved_us: now_us,
            free_entry_count: 0,
            released_epoch: 0,
            question: None,
            term: 0,
            session: 0,
            has_revivable_epoch: false,
            ends_after_settling: false,
            is_undecided: false,
            wish: None,
            acknowledged_ever: 0,
            output_before: 0,
            incarnation: 0,
            seed,
            path_count,
        }
    }

    /// A new ring with both halves at it.
    fn renew_halves(&mut self, now_us: u64) {
        self.incarnation += 1;
        if self.incarnation > 1 {
            (self.capture, self.ring) = capture(self.seed);
        }
        let entropy = self.seed ^ self.incarnation << 8;
        let options = LinkOptions { path_count: self.path_count, ..options(PRIMARY, entropy) };
        let now_us = self.clock.now_us(now_us);
        self.ship =
            Some(Box::new(Ship::new(options, encoder_with(self.seed, CACHE_PAGES), now_us)));
    }

    /// protect is killed, ship dies with it; guest and gate stay as they are.
    pub fn kill_protect(&mut self) {
        (self.protect, self.ship, self.question) = (Protect::Ended, None, None);
        (self.pause_until_us, self.wish) = (None, None);
    }

    /// Whether protect has paused the guest for a checkpoint.
    pub fn is_in_pause(&self) -> bool {
        self.pause_until_us.is_some()
    }

    pub fn kill_ship(&mut self) {
        self.ship = None;
    }

    pub fn kill_host(&mut self) {
        self.kill_protect();
        self.guest.life = Life::Gone;
    }

    /// The operator asks protect to end.
    pub fn stop_protect(&mut self) {
        self.wish = Some(GoodbyeReason::Ended);
    }

    /// The operator asks it to hand the guest over.
    pub fn hand_over(&mut self) {
        self.wish = Some(GoodbyeReason::HandOver);
    }

    /// The operator starts protect again, if the guest is there. It refuses a guest that is paused, unless
    /// the last protect has paused it since nobody had decided.
    pub fn start_protect(&mut self) {
        let is_welcome = match self.guest.life {
            Life::Running => true,
            Life::Paused => self.is_undecided,
            Life::Gone => false,
        };
        if matches!(self.protect, Protect::Ended) && is_welcome {
            (self.protect, self.question, self.wish) = (Protect::Begins(None), None, None);
        }
    }

    /// The operator unpauses a guest that nobody protects; its gate is still as it was.
    pub fn unpause(&mut self) {
        if matches!(self.protect, Protect::Ended) {
            self.guest.resume();
        }
    }

    /// When something is due here, after now.
    pub fn due_us(&self, now_us: u64) -> u64 {
        let due_us = [self.pause_until_us.unwrap_or(self.due_us), self.guest.output_due_us];
        due_us.into_iter().filter(|&due_us| due_us > now_us).min().unwrap_or(u64::MAX)
    }

    /// Says whether ship had something to do.
    pub fn step(&mut self, context: &mut Context<'_>) -> bool {
        let now_us = context.now_us;
        self.guest.step(now_us, context.checker);
        let [protect_stalled, ship_stalled] = self.stalled_until_us.map(|until| now_us < until);
        let mut is_busy = false;
        if let Some(ship) = self.ship.as_mut().filter(|_| !ship_stalled) {
            let port = &mut context.links.ports[PRIMARY];
            let activity = ship.turn(self.clock.now_us(now_us), port, &mut self.ring).unwrap();
            is_busy = activity == Activity::Busy;
            let timeout_ms = options(PRIMARY, self.seed).timeout_ms.into();
            while let Some(event) = ship.link().poll_event() {
                let is_change = matches!(event, LinkEvent::DataPath { .. });
                context.checker.met.path_changes += u64::from(is_change);
                let is_early =
                    matches!(event, LinkEvent::Silent { silent_ms, .. } if silent_ms < timeout_ms);
                context.checker.met.early_silences += u64::from(is_early);
            }
            if matches!(activity, Activity::Ended(_)) {
                self.ship = None;
            }
        }
        if !protect_stalled {
            self.step_protect(context);
        }
        context.checker.note_gate(self.guest.is_open());
        is_busy
    }

    fn step_protect(&mut self, context: &mut Context<'_>) {
        match self.protect {
            Protect::Begins(claim) => self.begin(claim, context),
            Protect::Works => self.work(context),
            Protect::GivesUp => self.finish_giving_up(context),
            Protect::Settles(settling) => self.settle(settling, context),
            Protect::Stops if self.ship.is_none() => self.end_session(true, context),
            Protect::HandsOver if self.ship.is_none() => self.finish_hand_over(context),
            Protect::HandsOver | Protect::Stops | Protect::Ended => {}
        }
    }
}
