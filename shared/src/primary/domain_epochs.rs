//! Checkpoints of a domain: when the guest is quiet enough for one, and what if it moves.

use super::epochs::{Acknowledged, Checkpointed};
use super::error::ProtectError;
use super::protection::{EpochFigures, Protection, SessionEnd};
use super::steps::Attendant as _;
use crate::capture::due::{Due, Step};
use crate::capture::{Capture, CaptureError, CheckpointReport, EpochOutput, Surroundings};
use crate::limits::EPOCH_REVIVABLE_FIRST;
use crate::platform::linux::{clock, signals};
use crate::status::State;

/// Microseconds that a checkpoint waits for the guest to have no xenstore request open; after that
/// it is taken with the request open, whose asker would wait for ever if this very epoch were
/// revived.
const XENSTORE_PATIENCE_US: u64 = 500_000;
/// Microseconds between two looks at a guest that talks to xenstored.
const XENSTORE_REST_US: u64 = 500;
/// Checkpoint attempts in a row that found the guest never still before protection gives up.
const ATTEMPT_COUNT_MAX: u32 = 1000;
/// Times in a row that a guest's structures may have moved before protection gives up.
const DISCOVERY_COUNT_MAX: u32 = 20;

/// A domain that is protected, for one session.
pub(super) struct DomainEpochs<'p, 'a, 'x> {
    pub protection: &'p mut Protection<'a>,
    pub capture: &'p mut Capture<'x>,
    pub is_protected: bool,
}

impl Checkpointed for DomainEpochs<'_, '_, '_> {
    fn pre_drain(&mut self, output: &mut EpochOutput<'_>, due: Due) -> Result<Step, ProtectError> {
        Ok(self.capture.pre_drain(output, due, &mut self.protection.program)?)
    }

    /// One checkpoint, tried again when the guest was not to be caught.
    fn checkpoint(
        &mut self,
        output: &mut EpochOutput<'_>,
    ) -> Result<CheckpointReport, ProtectError> {
        let ignores_open_requests = !self.wait_for_quiet(output)?;
        let (mut attempts, mut discoveries) = (0, 0);
        let deadline_us = clock::monotonic_us() + XENSTORE_PATIENCE_US;
        loop {
            let is_late = clock::monotonic_us() > deadline_us;
            let program = &mut self.protection.program;
            match self.capture.checkpoint(output, ignores_open_requests || is_late, program) {
                Err(error) if error.is_transient() && attempts < ATTEMPT_COUNT_MAX => {
                    attempts += 1;
                    self.rest_between_attempts(output)?;
                }
                Err(CaptureError::StructuresMoved) if discoveries < DISCOVERY_COUNT_MAX => {
                    discoveries += 1;
                    let name = &self.protection.name;
                    crate::log!("{name}: looking for the guest's structures anew");
                    self.rediscover(output)?;
                }
                Err(CaptureError::GateFailed) => {
                    return Err(match program.take_gate_error() {
                        Some(error) => error.into(),
                        None => CaptureError::GateFailed.into(),
                    });
                }
                Ok(report) => {
                    self.protection.pauses_us.add(report.pause_ns / 1000);
                    let copied_count = report.dirty_page_count + report.early.page_count;
                    self.protection.dirty_pages.add(copied_count);
                    return Ok(report);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn release(
        &mut self,
        _: &EpochOutput<'_>,
        acknowledged: &Acknowledged,
    ) -> Result<(), ProtectError> {
        let epoch = acknowledged.report.epoch;
        self.protection.program.release(epoch)?;
        if !self.is_protected && epoch >= EPOCH_REVIVABLE_FIRST {
            self.is_protected = true;
            self.protection.state = State::Protected;
            crate::log!("{}: PROTECTED, epoch {epoch} is on the backup", self.protection.name);
        }
        Ok(())
    }

    fn interruption(&mut self, rest_us: u64) -> Result<Option<SessionEnd>, ProtectError> {
        if signals::take_hand_over() {
            if self.is_protected && self.protection.is_hand_over_possible() {
                return Ok(Some(SessionEnd::HandOver));
            }
            self.protection.was_hand_over_refused = true;
            if !self.is_protected {
                let name = &self.protection.name;
                crate::log!("{name}: not handed over, since it is not protected");
            }
        }
        self.protection.interruption(rest_us)
    }

    fn tick(
        &mut self,
        output: &EpochOutput<'_>,
        figures: &EpochFigures,
    ) -> Result<(), ProtectError> {
        self.protection.tick(output, figures)
    }

    fn say_given_up(&self, epoch: u64) {
        let name = &self.protection.name;
        crate::log!(
            "{name}: the backup is heard but does not get on after epoch {epoch}: giving it up"
        );
    }
}

impl DomainEpochs<'_, '_, '_> {
    /// Waits, within reason, until the guest has no xenstore request open. False when it has one
    /// all the time.
    fn wait_for_quiet(&mut self, output: &mut EpochOutput<'_>) -> Result<bool, ProtectError> {
        let deadline_us = clock::monotonic_us() + XENSTORE_PATIENCE_US;
        while !self.capture.is_xenstore_quiet(&mut self.protection.store)? {
            if clock::monotonic_us() > deadline_us {
                return Ok(false);
            }
            output.free_entry_count()?;
            self.protection.program.rest(XENSTORE_REST_US);
        }
        Ok(true)
    }

    /// Looks for the guest's structures until it is found still; a hotplug, which moves them, has
    /// traffic of its own.
    fn rediscover(&mut self, output: &mut EpochOutput<'_>) -> Result<(), ProtectError> {
        for _ in 0..ATTEMPT_COUNT_MAX {
            let Protection { store, program, .. } = &mut *self.protection;
            match self.capture.rediscover(store, program) {
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
}
