//! Epoch after epoch: the beat, the acknowledgement, the checkpoint.

use super::error::ProtectError;
use super::protection::{EpochFigures, Protection, SessionEnd};
use super::schedule::Schedule;
use crate::capture::{Capture, CaptureError, CheckpointReport, EpochOutput, Surroundings};
use crate::idle::Idle;
use crate::limits::EPOCH_REVIVABLE_FIRST;
use crate::platform::linux::clock;
use crate::ring::Phase;
use crate::status::State;

/// Microseconds that a checkpoint waits for the guest to have no xenstore request open; after that
/// it is taken with the request open, whose asker would wait for ever if this very epoch were
/// revived.
const XENSTORE_PATIENCE_US: u64 = 500_000;
/// Microseconds between two looks at a guest that talks to xenstored.
const XENSTORE_REST_US: u64 = 500;
/// Microseconds between two looks at everything else while only the beat is waited for.
const BEAT_REST_US_MAX: u64 = 5_000;
/// Timeouts that an acknowledgement may take after the epoch's last entry has arrived. A backup that
/// is heard but takes longer does not get on, and the guest's output waits for it.
const ACKNOWLEDGEMENT_TIMEOUTS: u64 = 20;
/// Checkpoint attempts in a row that found the guest never still before protection gives up.
const ATTEMPT_COUNT_MAX: u32 = 1000;
/// Times in a row that a guest's structures may have moved before protection gives up.
const DISCOVERY_COUNT_MAX: u32 = 20;

/// The epochs of one session.
pub(super) struct Epochs<'p, 'a> {
    protection: &'p mut Protection<'a>,
    schedule: Schedule,
    ended_epoch: u64,
    released_epoch: u64,
    acknowledged_at_us: u64,
    is_protected: bool,
    last: Option<CheckpointReport>,
}

impl<'p, 'a> Epochs<'p, 'a> {
    pub fn new(protection: &'p mut Protection<'a>) -> Self {
        let schedule = Schedule::new(protection.options.interval_ms, clock::monotonic_us());
        Self {
            protection,
            schedule,
            ended_epoch: 0,
            released_epoch: 0,
            acknowledged_at_us: 0,
            is_protected: false,
            last: None,
        }
    }

    /// Takes checkpoints until something ends the session.
    pub fn run(
        mut self,
        capture: &mut Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<SessionEnd, ProtectError> {
        loop {
            if let Some(end) = self.wait_until_due(output)? {
                return Ok(end);
            }
            let ignores_open_requests = !self.wait_for_quiet(capture, output)?;
            self.schedule.started(clock::monotonic_us());
            let report = self.checkpoint(capture, output, ignores_open_requests)?;
            self.ended_epoch = report.epoch;
            self.protection.pauses_us.add(report.pause_ns / 1000);
            self.protection.dirty_pages.add(report.dirty_page_count);
            self.last = Some(report);
        }
    }

    /// Waits for the beat, and for the acknowledgement of the epoch before: only one may be under
    /// way. Acknowledged output leaves as soon as the acknowledgement is seen.
    fn wait_until_due(
        &mut self,
        output: &mut EpochOutput<'_>,
    ) -> Result<Option<SessionEnd>, ProtectError> {
        let mut idle = Idle::default();
        let patience_us =
            u64::from(self.protection.options.timeout_ms) * 1000 * ACKNOWLEDGEMENT_TIMEOUTS;
        let (mut free_entry_count, mut moved_us) = (0, clock::monotonic_us());
        loop {
            let free_before = core::mem::replace(&mut free_entry_count, output.free_entry_count()?);
            self.take_acknowledgement(output)?;
            if output.control().peer_phase() == Phase::Refused {
                return Err(ProtectError::Refused(output.control().peer_refusal()));
            }
            let now_us = clock::monotonic_us();
            if free_entry_count != free_before {
                moved_us = now_us;
            }
            let rest_us = if self.released_epoch == self.ended_epoch {
                match self.schedule.wait_us(now_us) {
                    0 => return Ok(None),
                    wait_us => wait_us.min(BEAT_REST_US_MAX),
                }
            } else if now_us > moved_us + patience_us && self.ended_epoch >= EPOCH_REVIVABLE_FIRST {
                let (name, epoch) = (&self.protection.name, self.ended_epoch);
                crate::log!(
                    "{name}: the backup is heard but does not acknowledge epoch {epoch}: giving it up"
                );
                return Ok(Some(SessionEnd::GivenUp));
            } else {
                idle.rest_us(now_us)
            };
            if let Some(end) = self.protection.interruption(rest_us)? {
                return Ok(Some(end));
            }
            self.tick(output)?;
        }
    }

    fn take_acknowledgement(&mut self, output: &EpochOutput<'_>) -> Result<(), ProtectError> {
        let epoch = output.control().acked_epoch();
        // An acknowledgement of anything but the epoch under way is no reason to release frames.
        if self.released_epoch == self.ended_epoch || epoch != self.ended_epoch {
            return Ok(());
        }
        self.protection.program.release(epoch)?;
        self.released_epoch = epoch;
        self.acknowledged_at_us = clock::monotonic_us();
        if !self.is_protected && epoch >= EPOCH_REVIVABLE_FIRST {
            self.is_protected = true;
            self.protection.state = State::Protected;
            crate::log!("{}: PROTECTED, epoch {epoch} is on the backup", self.protection.name);
        }
        Ok(())
    }

    /// Waits, within reason, until the guest has no xenstore request open. False when it has one
    /// all the time.
    fn wait_for_quiet(
        &mut self,
        capture: &mut Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<bool, ProtectError> {
        let deadline_us = clock::monotonic_us() + XENSTORE_PATIENCE_US;
        while !capture.is_xenstore_quiet(&mut self.protection.store)? {
            if clock::monotonic_us() > deadline_us {
                return Ok(false);
            }
            output.free_entry_count()?;
            self.protection.program.rest(XENSTORE_REST_US);
        }
        Ok(true)
    }

    /// One checkpoint, tried again when the guest was not to be caught.
    fn checkpoint(
        &mut self,
        capture: &mut Capture<'_>,
        output: &mut EpochOutput<'_>,
        ignores_open_requests: bool,
    ) -> Result<CheckpointReport, ProtectError> {
        let (mut attempts, mut discoveries) = (0, 0);
        let deadline_us = clock::monotonic_us() + XENSTORE_PATIENCE_US;
        loop {
            let is_late = clock::monotonic_us() > deadline_us;
            let program = &mut self.protection.program;
            match capture.checkpoint(output, ignores_open_requests || is_late, program) {
                Err(error) if error.is_transient() && attempts < ATTEMPT_COUNT_MAX => {
                    attempts += 1;
                    self.rest_between_attempts(output)?;
                }
                Err(CaptureError::StructuresMoved) if discoveries < DISCOVERY_COUNT_MAX => {
                    discoveries += 1;
                    crate::log!(
                        "{}: looking for the guest's structures anew",
                        self.protection.name
                    );
                    self.rediscover(capture, output)?;
                }
                Err(CaptureError::GateFailed) => {
                    return Err(match program.take_gate_error() {
                        Some(error) => error.into(),
                        None => CaptureError::GateFailed.into(),
                    });
                }
                other => return Ok(other?),
            }
        }
    }

    /// Looks for the guest's structures until it is found still; a hotplug, which moves them, has
    /// traffic of its own.
    fn rediscover(
        &mut self,
        capture: &mut Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<(), ProtectError> {
        for _ in 0..ATTEMPT_COUNT_MAX {
            let Protection { store, program, .. } = &mut *self.protection;
            match capture.rediscover(store, program) {
                Err(error) if error.is_transient() => self.rest_between_attempts(output)?,
                other => return Ok(other?),
            }
        }
        Err(CaptureError::XenstoreBusy.into())
    }

    /// The guest's output is held meanwhile, so whatever ends the session ends the attempts.
    fn rest_between_attempts(&mut self, output: &mut EpochOutput<'_>) -> Result<(), ProtectError> {
        output.free_entry_count()?;
        match self.protection.interruption(XENSTORE_REST_US)? {
            Some(_) => Err(CaptureError::Interrupted.into()),
            None => Ok(()),
        }
    }

    fn tick(&mut self, output: &EpochOutput<'_>) -> Result<(), ProtectError> {
        let figures = EpochFigures {
            epoch: self.ended_epoch,
            acknowledged_epoch: self.released_epoch,
            acknowledged_us: self.acknowledged_at_us,
            interval_us: self.schedule.period_mean_us(),
            dirty_page_count: self.last.map_or(0, |report| report.dirty_page_count),
        };
        self.protection.tick(output, &figures)
    }
}
