//! The rehearsed guest's epochs: what `primary::epochs` asks for, with the measuring around it.

use super::guest_process::GuestProcess;
use super::measured::{Measured, Reading};
use super::report;
use crate::capture::due::{Due, Step};
use crate::capture::{CaptureError, CheckpointReport, EpochOutput, FullCopyProgress};
use crate::limits::REHEARSAL_VERIFY_MS;
use crate::link_half::own_figures;
use crate::platform::linux::clock;
use crate::primary::epochs::{Acknowledged, Checkpointed};
use crate::primary::error::ProtectError;
use crate::primary::protection::{EpochFigures, SessionEnd};
use crate::primary::steps::{Attendant, Copied, PATIENT_REST_US};
use crate::primary::surroundings::Program;
use crate::rehearsal::RehearsedCapture;
use crate::ring::{Control, Phase};

/// What a rehearsal has beside the guest and its capture.
#[derive(Debug)]
pub struct Rehearsal<'a> {
    pub program: Program<'a>,
    pub measured: Measured,
    guest: GuestProcess,
}

impl<'a> Rehearsal<'a> {
    pub fn new(program: Program<'a>, guest: GuestProcess, measured: Measured) -> Self {
        Self { program, measured, guest }
    }

    /// Waits until the guest has filled its memory; false when the operator ends it before.
    pub fn wait_for_guest(&mut self, capture: &RehearsedCapture) -> Result<bool, ProtectError> {
        while !capture.guest().region().is_ready() {
            self.guest.check()?;
            if Attendant::interruption(self, PATIENT_REST_US)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'a> Attendant<'a> for Rehearsal<'a> {
    fn program(&mut self) -> &mut Program<'a> {
        &mut self.program
    }

    fn name(&self) -> &str {
        super::NAME
    }

    fn report(&mut self, _: Control<'_>, figures: &EpochFigures) -> Result<(), ProtectError> {
        self.guest.check()?;
        if figures.epoch > 0 {
            report::print_progress(&self.measured, figures.epoch, figures.dirty_page_count);
        }
        Ok(())
    }
}

impl Copied for RehearsedCapture {
    fn start_full_copy(&mut self) -> Result<(), CaptureError> {
        RehearsedCapture::start_full_copy(self)
    }

    fn copy_more(
        &mut self,
        output: &mut EpochOutput<'_>,
        page_count: u64,
        program: &mut Program<'_>,
    ) -> Result<FullCopyProgress, CaptureError> {
        RehearsedCapture::copy_more(self, output, page_count, program)
    }
}

/// The guest's epochs.
pub struct RehearsedEpochs<'r, 'a> {
    pub rehearsal: &'r mut Rehearsal<'a>,
    pub capture: &'r mut RehearsedCapture,
}

impl RehearsedEpochs<'_, '_> {
    /// After the epochs: one more, whose digest is held against all of the backup's memory.
    pub fn end(&mut self, output: &mut EpochOutput<'_>) -> Result<(), ProtectError> {
        let now_us = clock::monotonic_us();
        let capture = &*self.capture;
        self.rehearsal.measured.end(|| reading(now_us, output.control(), capture));
        let ended_epoch = output.epoch() - 1;
        self.wait_until(output, |control| control.acked_epoch() >= ended_epoch)?;
        let report = self.capture.checkpoint(output, true, &mut self.rehearsal.program)?;
        self.wait_until(output, |control| control.peer_figures().verified_epoch >= report.epoch)?;
        self.rehearsal.measured.verified_count = report.epoch;
        Ok(())
    }

    fn wait_until(
        &mut self,
        output: &mut EpochOutput<'_>,
        is_done: impl Fn(Control<'_>) -> bool,
    ) -> Result<(), ProtectError> {
        let deadline_us = clock::monotonic_us() + REHEARSAL_VERIFY_MS * 1000;
        while !is_done(output.control()) {
            output.free_entry_count()?;
            if output.control().peer_phase() == Phase::Refused {
                return Err(ProtectError::Refused(output.control().peer_refusal()));
            }
            if clock::monotonic_us() > deadline_us {
                let epoch = output.control().peer_figures().verified_epoch;
                return Err(ProtectError::NotVerified { epoch });
            }
            // A signal may be what ended the epochs: the backup's word is worth a moment more.
            Attendant::interruption(self.rehearsal, PATIENT_REST_US)?;
        }
        Ok(())
    }
}

impl Checkpointed for RehearsedEpochs<'_, '_> {
    fn pre_drain(&mut self, output: &mut EpochOutput<'_>, due: Due) -> Result<Step, ProtectError> {
        Ok(self.capture.pre_drain(output, due, &mut self.rehearsal.program)?)
    }

    fn checkpoint(
        &mut self,
        output: &mut EpochOutput<'_>,
    ) -> Result<CheckpointReport, ProtectError> {
        Ok(self.capture.checkpoint(output, false, &mut self.rehearsal.program)?)
    }

    fn release(
        &mut self,
        output: &EpochOutput<'_>,
        acknowledged: &Acknowledged,
    ) -> Result<(), ProtectError> {
        let capture = &*self.capture;
        let reading = || reading(acknowledged.at_us, output.control(), capture);
        self.rehearsal.measured.add(acknowledged, reading);
        Ok(())
    }

    fn interruption(&mut self, rest_us: u64) -> Result<Option<SessionEnd>, ProtectError> {
        let end = Attendant::interruption(self.rehearsal, rest_us)?;
        let is_over = self.rehearsal.measured.is_over(clock::monotonic_us());
        Ok(end.or(is_over.then_some(SessionEnd::Stop)))
    }

    fn tick(
        &mut self,
        output: &EpochOutput<'_>,
        figures: &EpochFigures,
    ) -> Result<(), ProtectError> {
        Attendant::tick(self.rehearsal, output, figures)
    }

    fn say_given_up(&self, epoch: u64) {
        crate::log!("rehearsal: the backup is heard but does not get on after epoch {epoch}");
    }
}

/// All counters now.
fn reading(now_us: u64, control: Control<'_>, capture: &RehearsedCapture) -> Reading {
    Reading {
        at_us: now_us,
        capture: own_figures(),
        link: control.counters(),
        backup: control.peer_figures(),
        distinct_page_count: capture.guest().region().distinct_count(),
    }
}
