//! How protection ends: who is told, what becomes of the guest's output, and what is left behind.

use super::error::ProtectError;
use super::protection::{Protection, SessionEnd};
use super::steps::{GOODBYE_MS_MAX, GOODBYE_MS_RING_BROKEN};
use crate::capture::{Capture, CaptureError, ShutdownReason};
use crate::other_half::HalfEnd;
use crate::platform::linux::signals;
use crate::ring::{Control, GoodbyeReason, Producer};
use crate::xen::Errno;

impl Protection<'_> {
    /// Ends protection, whose last session ended so.
    // Apart: the programs are smaller so.
    #[inline(never)]
    pub(super) fn end(
        mut self,
        capture: Capture<'_>,
        producer: &mut Producer,
        result: Result<SessionEnd, ProtectError>,
    ) -> Result<(), ProtectError> {
        // First the backup hears that it shall not take over, then the guest's output is let go.
        producer.control().set_stop(goodbye_reason(&result));
        producer.control().leave_session();
        let ship_end = self.program.end_ship(goodbye_ms(&result));
        let released = match &result {
            // Decided already: the output stays held.
            Err(ProtectError::LivesElsewhere(_) | ProtectError::Undecided) => Ok(()),
            Ok(SessionEnd::HandOver) => self.finish_hand_over(&capture, producer.control()),
            _ => self.let_output_go(&capture, producer.control(), ship_end),
        };
        if let (Err(first), Err(second)) = (&result, &released)
            && !tells_of_output(first)
        {
            // The first is told when the program ends; that output is still held must be told too.
            crate::log!("{}: {second}", self.name);
        }
        self.leave_nothing_behind(capture, result, released)
    }

    /// Protection is over, and ship has ended as `ship_end` says unless it took its leave: the output
    /// may pass if nobody else runs the guest.
    fn let_output_go(
        &mut self,
        capture: &Capture<'_>,
        control: Control<'_>,
        ship_end: Option<HalfEnd>,
    ) -> Result<(), ProtectError> {
        self.settle(capture, control)?;
        match ship_end {
            // Nobody has told the backup, and it will take over: nothing may leave any more.
            Some(end) if !self.arbitration.is_there() => Err(ProtectError::ShipEndedHolding(end)),
            _ => Ok(self.program.close_gate()?),
        }
    }

    /// Gives back what Xen and the state folder hold for protection, and tells the operator what it has come to.
    fn leave_nothing_behind(
        mut self,
        capture: Capture<'_>,
        result: Result<SessionEnd, ProtectError>,
        released: Result<(), ProtectError>,
    ) -> Result<(), ProtectError> {
        // All ends are safe as they are, or the guest is gone: only one that nobody has chosen wants a reset.
        self.program.give_watchdog_back();
        // A record that stays must not name one that is somebody else's by the time the next helper reads it.
        self.status.set_watchdog(0);
        let finished = match capture.finish() {
            Err(CaptureError::Xen(error)) if error.errno == Errno::ESRCH => Ok(()),
            other => other,
        };
        if self.has_left_gate {
            crate::log!(
                "{}: the gate that an earlier helper left is still closed: `--gate none` opens it",
                self.name
            );
        }
        let end = result?;
        released?;
        finished?;
        let is_handed_over = matches!(end, SessionEnd::HandOver);
        // To `switch-over`, which may wait, a record that is left says that the guest was not handed over.
        if is_handed_over || !(self.was_hand_over_refused || signals::take_hand_over()) {
            self.status.remove();
        }
        match end {
            SessionEnd::HandOver => crate::log!(
                "{}: handed over: once the guest is seen alive on the backup, destroy the paused one here",
                self.name
            ),
            _ => crate::log!("{}: protection ended, the guest runs on", self.name),
        }
        Ok(())
    }
}

/// Whether an error says already that output is held, or why.
const fn tells_of_output(error: &ProtectError) -> bool {
    matches!(
        error,
        ProtectError::ShipEnded(_)
            | ProtectError::ShipEndedHolding(_)
            | ProtectError::LivesElsewhere(_)
    )
}

/// How long ship has for its goodbye, in milliseconds.
const fn goodbye_ms(result: &Result<SessionEnd, ProtectError>) -> u64 {
    match result {
        Err(ProtectError::Ring(_) | ProtectError::Capture(CaptureError::Ring(_))) => {
            GOODBYE_MS_RING_BROKEN
        }
        _ => GOODBYE_MS_MAX,
    }
}

fn goodbye_reason(result: &Result<SessionEnd, ProtectError>) -> GoodbyeReason {
    match result {
        Ok(SessionEnd::HandOver) => GoodbyeReason::HandOver,
        Ok(_) => GoodbyeReason::Ended,
        Err(ProtectError::Capture(CaptureError::DomainGone)) => GoodbyeReason::DomainDestroyed,
        Err(ProtectError::Capture(CaptureError::DomainShutDown(ShutdownReason::Reboot))) => {
            GoodbyeReason::DomainRebooted
        }
        Err(ProtectError::Capture(CaptureError::DomainShutDown(_))) => {
            GoodbyeReason::DomainShutDown
        }
        Err(_) => GoodbyeReason::Failed,
    }
}
