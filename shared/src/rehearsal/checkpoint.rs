//! Capture of the rehearsed guest: full copy, pre-drain and checkpoint, in a domain's order.

use super::digest::Digest;
use super::guest::RehearsedGuest;
use super::state::{CONTEXT_SIZE, context, state};
use crate::capture::drain::{Copied, Drain, DrainOptions};
use crate::capture::due::{Due, Step};
use crate::capture::logged_guest::{LoggedGuest as _, Reading};
use crate::capture::{
    CaptureError, CheckpointReport, EpochOutput, FullCopy, FullCopyProgress, Surroundings,
};
use crate::codec::encode;
use crate::limits::early_entry_count_max;
use crate::ring::EntryKind;

/// Bytes of the encoded state at most: the sizes in `state` are its own.
const STATE_SIZE_MAX: usize = 1024;
/// Microseconds between two looks at a write that is waited for, and after how many the guest counts
/// as gone: 2 seconds.
const WRITE_REST_US: u64 = 20;
const WRITE_LOOKS_MAX: u32 = 100_000;

/// The guest, and what is known of it.
#[derive(Debug)]
pub struct RehearsedCapture {
    guest: RehearsedGuest,
    full_copy: FullCopy,
    drain: Drain,
    context: [u8; CONTEXT_SIZE],
}

impl RehearsedCapture {
    /// Captures this guest.
    ///
    /// # Panics
    /// Never: the context fits its own size.
    #[must_use]
    pub fn new(guest: RehearsedGuest, drain_options: DrainOptions) -> Self {
        // Not `expect`, which would bring the text of every error that cannot be.
        let Ok(context) = context() else { unreachable!("the context fits its own size") };
        let entry_count_max = early_entry_count_max(guest.region.gfn_count());
        Self {
            guest,
            full_copy: FullCopy::default(),
            drain: Drain::new(drain_options, entry_count_max),
            context,
        }
    }

    /// The guest.
    #[must_use]
    pub const fn guest(&self) -> &RehearsedGuest {
        &self.guest
    }

    /// Begins a full copy: every page is marked, and what was logged before is forgotten.
    ///
    /// # Errors
    /// None of its own.
    pub fn start_full_copy(&mut self) -> Result<(), CaptureError> {
        self.guest.read_log(Reading::Clean)?;
        self.guest.mark_every_page();
        self.full_copy = FullCopy::first_round();
        Ok(())
    }

    /// Sends up to `page_count` pages of it.
    ///
    /// # Errors
    /// Those of pushing pages.
    pub fn copy_more(
        &mut self,
        output: &mut EpochOutput<'_>,
        page_count: u64,
        surroundings: &mut impl Surroundings,
    ) -> Result<FullCopyProgress, CaptureError> {
        let mut progress =
            self.full_copy.copy(&mut self.guest, output, page_count, surroundings)?;
        if progress.remaining_page_count == 0 {
            progress.is_complete = self.full_copy.next_round(&mut self.guest)?;
        }
        Ok(progress)
    }

    /// Does a bounded amount of what is to be done before the next checkpoint.
    ///
    /// # Errors
    /// Those of pushing pages.
    pub fn pre_drain(
        &mut self,
        output: &mut EpochOutput<'_>,
        due: Due,
        surroundings: &mut impl Surroundings,
    ) -> Result<Step, CaptureError> {
        self.drain.step(&mut self.guest, output, due, surroundings)
    }

    /// Ends the output's epoch with the guest's memory at one instant, and publishes it. After the
    /// epoch that `is_last` the backup looks at all of its memory.
    ///
    /// # Errors
    /// Those of pushing pages; [`CaptureError::DomainGone`] when the guest hangs in a write.
    pub fn checkpoint(
        &mut self,
        output: &mut EpochOutput<'_>,
        is_last: bool,
        surroundings: &mut impl Surroundings,
    ) -> Result<CheckpointReport, CaptureError> {
        let epoch = output.epoch();
        self.drain.finish_pass(&mut self.guest, output, surroundings)?;
        let mut report = CheckpointReport { epoch, pause_count: 1, ..Default::default() };
        surroundings.set_urgent(true);
        let paused_part = self.paused_part(output, surroundings, &mut report);
        surroundings.set_urgent(false);
        let digest = paused_part?;
        output.push_digest(digest.value(), is_last, surroundings)?;
        self.push_state(output, surroundings)?;
        report.early = self.drain.take_report();
        report.entry_count = output.entry_count() + 1;
        output.end_epoch(surroundings)?;
        output.publish();
        Ok(report)
    }

    /// Pauses the guest, copies, and lets it run. Tells the digest of its memory.
    fn paused_part(
        &mut self,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
        report: &mut CheckpointReport,
    ) -> Result<Digest, CaptureError> {
        report.pause_start_ns = surroundings.now_ns();
        let mut looks = 0;
        let is_paused = self.guest.region.pause(|| {
            looks += 1;
            surroundings.rest(WRITE_REST_US);
            looks < WRITE_LOOKS_MAX
        });
        if !is_paused {
            return Err(CaptureError::DomainGone);
        }
        let copied = self.copy_logged(output, surroundings, report);
        let digest = self.guest.region.digest();
        self.guest.region.resume_in(output.epoch() + 1);
        let copied = copied?;
        report.pause_ns = surroundings.now_ns().saturating_sub(report.pause_start_ns);
        self.drain.note_pause(report.pause_ns, copied);
        Ok(digest)
    }

    /// Copies what the log names, and the context.
    fn copy_logged(
        &mut self,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
        report: &mut CheckpointReport,
    ) -> Result<Copied, CaptureError> {
        self.drain.read_log(&mut self.guest, None)?;
        let copied = self.drain.copy(&mut self.guest, output, surroundings)?;
        report.dirty_page_count = copied.page_count;
        output.push_parts(EntryKind::HvmContext, &self.context, surroundings)?;
        Ok(copied)
    }

    fn push_state(
        &self,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        let state = state(output.epoch(), self.guest.region.gfn_count());
        let mut bytes = [0; STATE_SIZE_MAX];
        let size = encode(&state, &mut bytes).map_err(|_| CaptureError::StateTooLong)?;
        output.push_parts(EntryKind::State, &bytes[..size], surroundings)
    }
}
