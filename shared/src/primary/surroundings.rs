//! What capture needs of the program: a clock, patience and the gate; and what the loops need to
//! notice while they wait: the operator's signal and the end of ship.

use super::watchdog::Watchdog;
use crate::capture::Surroundings;
use crate::key_renewal::renew_key_when_asked;
use crate::limits::EPOCH_REVIVABLE_FIRST;
use crate::other_half::{HalfEnd, OtherHalf};
use crate::platform::linux::output_gate::{GateCounters, GateError, OutputGate};
use crate::platform::linux::priority::{Scheduling, schedule};
use crate::platform::linux::{clock, signals};
use crate::ring::Consumer;
use crate::xen::Domid;

/// Microseconds between two looks while ship takes its leave.
const REST_US: u64 = 1_000;
/// Microseconds between two reports: status records, or lines about how a rehearsal goes.
const REPORT_PERIOD_US: u64 = 1_000_000;
/// Looks between two questions to the kernel whether ship still runs.
const LOOKS_PER_CHILD_CHECK: u32 = 64;

/// In a pause; below everything that a host gives a higher priority on purpose.
const PAUSE_SCHEDULING: Scheduling = Scheduling::RealTime { priority: 1 };

/// Why the loops must stop what they are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The operator ends protection.
    Stop,
    /// The ship half has ended.
    ShipEnded(HalfEnd),
}

/// The program around the capture.
#[derive(Debug)]
pub struct Program<'a> {
    gate: OutputGate,
    gate_error: Option<GateError>,
    ship: OtherHalf<'a>,
    ship_end: Option<HalfEnd>,
    looks: u32,
    /// An epoch that could be revived has ended: the backup may have it.
    has_revivable_epoch: bool,
    /// What resets this host when nothing here goes on any more.
    pub watchdog: Option<Watchdog<'a>>,
    /// When the next report is due.
    report_due_us: u64,
    /// This half's own view of the ring, to say for a dead ship that the link is down.
    ring: Consumer,
    key_file: &'a str,
    is_dedicated: bool,
    is_urgent: bool,
}

impl<'a> Program<'a> {
    /// `ring` is a second view of the ring, never used to consume. With `is_dedicated` waiting
    /// does not give the core away.
    pub fn new(
        gate: OutputGate,
        ship: OtherHalf<'a>,
        ring: Consumer,
        key_file: &'a str,
        is_dedicated: bool,
        watchdog: Option<Watchdog<'a>>,
    ) -> Self {
        Self {
            gate,
            gate_error: None,
            ship,
            ship_end: None,
            looks: 0,
            has_revivable_epoch: false,
            watchdog,
            report_due_us: 0,
            ring,
            key_file,
            is_dedicated,
            is_urgent: false,
        }
    }

    /// Waits for about `rest_us` and tells what else has happened. A new key is passed on here.
    pub fn look(&mut self, rest_us: u64) -> Option<Interruption> {
        self.rest(rest_us);
        renew_key_when_asked(self.key_file, self.ring.control());
        if let Some(end) = self.ship_end {
            return Some(Interruption::ShipEnded(end));
        }
        self.is_stop_requested().then_some(Interruption::Stop)
    }

    /// True about once a second, and at once when the watchdog was armed or given back: the next helper must
    /// find it in the record if this one is killed.
    // Apart: the programs are smaller so.
    #[inline(never)]
    pub fn is_report_due(&mut self) -> bool {
        let now_us = clock::monotonic_us();
        let is_due = now_us >= self.report_due_us;
        if is_due {
            self.report_due_us = now_us + REPORT_PERIOD_US;
        }
        is_due
    }

    /// Sets the watchdog anew when it is time to, if the backup could take over. Every wait comes here, and
    /// so does every epoch; what may take seconds without either calls it for itself.
    // Apart: the programs are smaller so.
    #[inline(never)]
    pub fn pet_watchdog(&mut self) {
        if let Some(watchdog) = &mut self.watchdog
            && self.has_revivable_epoch
            && watchdog.pet(clock::monotonic_us())
        {
            self.report_due_us = 0;
        }
    }

    /// Nobody could take over any more, or nothing here has to be backed up: this host is not reset.
    // Apart: the programs are smaller so.
    #[inline(never)]
    pub fn give_watchdog_back(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.give_back();
            self.report_due_us = 0;
        }
    }

    /// The frames of `epoch`, which the backup has acknowledged, leave.
    pub fn release(&mut self, epoch: u64) -> Result<(), GateError> {
        self.pet_watchdog();
        if epoch < EPOCH_REVIVABLE_FIRST { Ok(()) } else { self.gate.acknowledge(epoch) }
    }

    /// Whether the backup may have an epoch of this session that it could revive.
    pub const fn has_revivable_epoch(&self) -> bool {
        self.has_revivable_epoch
    }

    /// Whether the operator wants protection to end.
    pub fn is_stop_wanted(&self) -> bool {
        signals::stop_requested()
    }

    /// Everything leaves from now on, as long as nobody protects the guest: the session is over, and
    /// nobody revives anything of it.
    pub fn pass_through(&mut self) -> Result<(), GateError> {
        self.has_revivable_epoch = false;
        self.give_watchdog_back();
        self.gate.release_all()
    }

    /// Opens the gate of a domain whose last helper left one behind, closed.
    pub fn open_left_gate(&mut self, domid: Domid) -> Result<(), GateError> {
        self.gate = OutputGate::open(domid)?;
        Ok(())
    }

    /// How ship ended, if it has, while output was held. The backup was not told, and will take
    /// over: nothing may leave any more.
    pub fn ship_end_while_holding(&self) -> Option<HalfEnd> {
        self.ship_end.filter(|_| !self.gate.is_pass_through())
    }

    /// An error if the guest has interfaces that the gate does not hold; `vif_count` is how many it has, if known.
    pub fn verify_gate(&mut self, vif_count: Option<usize>) -> Result<(), GateError> {
        self.gate.verify(vif_count)
    }

    /// What the gate holds and has dropped; zeros when that cannot be told.
    pub fn gate_counters(&mut self) -> GateCounters {
        self.gate.counters().unwrap_or_default()
    }

    /// The error that made `begin_gate_epoch` answer false.
    pub fn take_gate_error(&mut self) -> Option<GateError> {
        self.gate_error.take()
    }

    /// Waits until ship has said goodbye and ended, or `timeout_ms` have passed; then ends it. How
    /// it ended, if output is held and ship did not end as it was asked to.
    pub fn end_ship(&mut self, timeout_ms: u64) -> Option<HalfEnd> {
        let deadline_us = clock::monotonic_us() + timeout_ms * 1000;
        while self.ship_end.is_none() && clock::monotonic_us() < deadline_us {
            self.pet_watchdog();
            clock::sleep_us(REST_US);
            self.ship_end = self.ship.end();
        }
        if self.ship_end.is_none() {
            self.kill_ship();
        }
        self.ship_end_while_holding().filter(|end| !end.is_as_asked())
    }

    /// Another ship in place of one that has ended, with a second view of its ring.
    pub fn change_ship(&mut self, ship: OtherHalf<'a>, ring: Consumer) {
        (self.ship, self.ship_end, self.ring) = (ship, None, ring);
    }

    /// Ends a ship that does not answer.
    pub fn kill_ship(&mut self) {
        self.ship_end = Some(self.ship.kill());
    }

    /// Lets all output go and gives the interfaces back to the host as they were.
    pub fn close_gate(&mut self) -> Result<(), GateError> {
        core::mem::replace(&mut self.gate, OutputGate::none()).close()
    }

    fn check_ship(&mut self) {
        self.looks += 1;
        // A stub domain is looked at by the clock; its end is to be seen before the backup has noticed.
        let is_due = self.looks >= LOOKS_PER_CHILD_CHECK || self.ship.is_looked_at_by_clock();
        if self.ship_end.is_some() || !is_due {
            return;
        }
        self.looks = 0;
        self.ship_end = self.ship.end();
        if self.ship_end.is_some() {
            // The dead half cannot say it, and capture may be waiting for it in a pause.
            self.ring.control().drop_session(None);
        }
    }
}

impl Surroundings for Program<'_> {
    fn now_ns(&mut self) -> u64 {
        clock::monotonic_ns()
    }

    fn rest(&mut self, duration_us: u64) {
        self.check_ship();
        self.pet_watchdog();
        match duration_us {
            _ if self.is_dedicated => core::hint::spin_loop(),
            0 if !self.is_urgent => clock::yield_now(),
            // Who is urgent yields to nobody, and would wait for ever for one that has no other core.
            _ => clock::sleep_us(duration_us.max(1)),
        }
    }

    fn is_stop_requested(&mut self) -> bool {
        signals::stop_requested()
    }

    /// Ship, whose niceness is the same, must not have its turn while the guest stands still.
    fn set_urgent(&mut self, is_urgent: bool) {
        if core::mem::replace(&mut self.is_urgent, is_urgent) != is_urgent {
            // A kernel that refuses leaves everything to niceness.
            schedule(if is_urgent { PAUSE_SCHEDULING } else { Scheduling::Fair });
        }
    }

    fn begin_gate_epoch(&mut self, epoch: u64) -> bool {
        if epoch < EPOCH_REVIVABLE_FIRST {
            return true;
        }
        self.has_revivable_epoch = true;
        match self.gate.end_epoch(epoch) {
            Ok(()) => true,
            Err(error) => {
                self.gate_error = Some(error);
                false
            }
        }
    }
}
