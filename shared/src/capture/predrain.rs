//! Pre-drain: copies pages of the running guest before the pause, when the pause alone would be
//! too long.
//!
//! A pass cleans the log and copies the pages that it named; what the guest writes meanwhile is
//! named again, by the next pass or in the pause. So nothing is lost, and a page that is copied
//! twice costs only the copy: the last version of an epoch counts. When they begin is weighed by `pacing`: what is
//! copied early may be written again, what is copied late is on the backup late. When the pages fit into the
//! pause there is none, unless the log is to be cleaned (`costs`): then the guest has a moment to
//! touch again what it always touches, before it is paused.

use super::costs::Costs;
use super::due::{Due, PreDrainReport, Step};
use super::error::CaptureError;
use super::logged_guest::{LoggedGuest, Reading, push_more};
use super::output::EpochOutput;
use super::pacing::Pacing;
use super::scan::Cursor;
use super::surroundings::Surroundings;
use crate::limits::{PASS_COUNT_MAX, PASS_STEP_PAGE_COUNT, RING_PAUSE_ENTRY_COUNT};

/// A look at the log that is older than this says little of it any more.
const LOOK_US_MAX: u64 = 200;
/// Halves of the pages found that a pass wants room for: what is written meanwhile comes after it.
const PASS_ROOM: u64 = 3;
/// A further pass must find at most so many eighths of the pages of the one before, or be over in so
/// much of the time in which they were written.
const SHRINKING_EIGHTHS: u64 = 6;

/// The passes before one checkpoint after the other.
#[derive(Debug)]
pub struct PreDrain {
    report: PreDrainReport,
    pass: Option<Cursor>,
    newest: Pass,
    /// The guest wrote as fast as it was copied: no further pass before this checkpoint.
    is_futile: bool,
    looked_us: u64,
    /// Pages that the log named at the last look.
    found_count: u64,
    /// The log was not cleaned since: it names at least so many.
    is_found_still: bool,
    /// Pages that it will name when the checkpoint is due, as far as the last look tells.
    due_count: u64,
    /// The same as of an epoch's first look: so many are expected in the next epoch.
    expected_count: u64,
    is_first_look: bool,
    /// When the log was cleaned last, and when the last checkpoint was found ready, in microseconds.
    cleaned_us: u64,
    ready_us: u64,
    /// Entries that passes may add to an epoch.
    entry_count_max: u64,
    /// When the guest has settled after its log was cleaned, in microseconds.
    settled_us: u64,
}

/// The newest pass, as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    /// How long it took, with all that came between its steps.
    duration_us: u64,
    /// Pages copied, and the nanoseconds that the copies alone took.
    page_count: u64,
    copying_ns: u64,
    /// Its pages would have fitted into the pause: it was made to clean the log.
    is_cleaning: bool,
}

impl PreDrain {
    /// Passes of a session in which they may add `entry_count_max` entries to an epoch.
    #[must_use]
    pub fn new(entry_count_max: u64) -> Self {
        Self {
            report: PreDrainReport::default(),
            pass: None,
            newest: Pass::default(),
            is_futile: false,
            looked_us: 0,
            found_count: 0,
            is_found_still: false,
            due_count: 0,
            expected_count: 0,
            is_first_look: true,
            cleaned_us: 0,
            ready_us: 0,
            entry_count_max,
            settled_us: 0,
        }
    }

    /// Pages that the log named at the last look; when the checkpoint was found ready that was a moment ago.
    #[must_use]
    pub const fn found_count(&self) -> u64 {
        self.found_count
    }

    /// The pause cleans the log, of a checkpoint that was found ready.
    pub const fn note_cleaned_in_pause(&mut self) {
        self.cleaned_us = self.ready_us;
    }

    /// What was done so far for the next checkpoint.
    #[must_use]
    pub const fn report(&self) -> PreDrainReport {
        self.report
    }

    /// The checkpoint was taken: what was done for it.
    pub fn take_report(&mut self) -> PreDrainReport {
        self.is_first_look = true;
        self.is_found_still = false;
        self.is_futile = false;
        core::mem::take(&mut self.report)
    }

    /// Copies what is left of a pass that was begun. A checkpoint begins with it: the pages of a pass
    /// are in the log no more.
    ///
    /// # Errors
    /// Those of pushing pages.
    pub fn finish_pass(
        &mut self,
        guest: &mut dyn LoggedGuest,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        if let Some(mut cursor) = self.pass.take() {
            self.report.page_count +=
                push_more(guest, &mut cursor, u64::MAX, output, surroundings)?;
        }
        Ok(())
    }

    /// Does a bounded amount of what is due. The program is urgent from a pass's begin to the pause, unless it
    /// waits for the link: what delays it is written meanwhile.
    ///
    /// # Errors
    /// Those of pushing pages, and the guest's.
    pub fn step(
        &mut self,
        guest: &mut dyn LoggedGuest,
        costs: &mut Costs,
        output: &mut EpochOutput<'_>,
        due: Due,
        surroundings: &mut impl Surroundings,
    ) -> Result<Step, CaptureError> {
        let step = match self.pass.take() {
            Some(cursor) => {
                self.go_on(cursor, guest, &mut costs.pacing, output, due, surroundings)?
            }
            None => self.next(guest, costs, output, due)?,
        };
        let is_urgent = match step {
            // Pages were copied early so that the pause is short: now it must not come late.
            Step::Wait { until_us } => {
                self.report.pass_count > 0 && due.is_acknowledged && until_us > due.now_us
            }
            _ => true,
        };
        surroundings.set_urgent(is_urgent);
        Ok(step)
    }

    /// Begins a pass, or tells what to wait for.
    fn next(
        &mut self,
        guest: &mut dyn LoggedGuest,
        costs: &mut Costs,
        output: &mut EpochOutput<'_>,
        due: Due,
    ) -> Result<Step, CaptureError> {
        let at_us = due.at_us.max(self.settled_us);
        let is_cleaned_early = costs.log_policy.is_some();
        let lead_us = costs.pacing.lead_us(self.expected_count, due.interval_us, is_cleaned_early);
        let begin_us = at_us.saturating_sub(lead_us);
        if due.now_us < begin_us {
            return Ok(Step::Wait { until_us: begin_us });
        }
        let is_due = due.now_us >= at_us;
        if is_due && !due.is_acknowledged {
            return Ok(Step::Wait { until_us: due.now_us });
        }
        if !is_due && !self.is_first_look {
            let fits = self.due_count <= costs.pacing.tail_page_count_max();
            if fits && !self.may_be_cleaned(costs, due) {
                return Ok(Step::Wait { until_us: at_us });
            }
            let fresh_until_us = self.looked_us + LOOK_US_MAX;
            if due.now_us < fresh_until_us {
                return Ok(Step::Wait { until_us: at_us.min(fresh_until_us) });
            }
        }
        // Neither a pass nor the pause may wait for the link: the guest would go on writing, or
        // stand still. So the ring must have room first, for a pass and those that follow it, and
        // while it has not the epoch gets longer. A look costs the guest a short pause: none is
        // taken while there is no room for what was found already.
        let no_room = Step::Wait { until_us: due.now_us };
        if self.is_found_still && !has_room(output, self.found_count)? {
            return Ok(no_room);
        }
        let is_too_much = self.look(guest, &costs.pacing, due)?;
        let is_cleaning = !is_too_much
            && self.may_be_cleaned(costs, due)
            && costs.decide(self.found_count) == Reading::Clean;
        let is_pass_wanted = is_too_much || is_cleaning;
        let page_count = self.found_count * if is_pass_wanted { PASS_ROOM } else { 2 } / 2;
        if !has_room(output, page_count)? {
            return Ok(no_room);
        }
        if is_pass_wanted {
            guest.read_log(Reading::Clean)?;
            costs.note_cleaned();
            self.is_found_still = false;
            self.report.pass_count += 1;
            self.cleaned_us = due.now_us;
            self.newest = Pass { is_cleaning, ..Pass::default() };
            self.pass = Some(Cursor::default());
            return Ok(Step::Working);
        }
        if !is_due {
            return Ok(Step::Wait { until_us: at_us });
        }
        if self.report.pass_count == 1 && self.found_count * 2 > self.newest.page_count {
            // The guest had returned to most of its pages by then: no more than these are to be expected.
            self.expected_count = self.newest.page_count;
        }
        self.ready_us = due.now_us;
        Ok(Step::Ready)
    }

    /// Whether a pass may clean the log although its pages fit into the pause. Until the epoch before is
    /// acknowledged nobody knows when the pause will be, and what is written until then is copied in it.
    fn may_be_cleaned(&self, costs: &Costs, due: Due) -> bool {
        due.is_acknowledged
            && self.report.pass_count == 0
            && self.found_count <= self.entry_count_max
            && costs.may_clean()
    }

    /// Counts what the log names now; true when a pass over it is worth while, since the pause would be too long.
    fn look(
        &mut self,
        guest: &mut dyn LoggedGuest,
        pacing: &Pacing,
        due: Due,
    ) -> Result<bool, CaptureError> {
        self.found_count = guest.logged_page_count()?;
        self.is_found_still = true;
        self.looked_us = due.now_us;
        self.due_count = self.count_at(due);
        if core::mem::take(&mut self.is_first_look) {
            self.expected_count = self.due_count;
        }
        let tail_count = pacing.tail_page_count_max();
        if self.due_count <= tail_count {
            return Ok(false);
        }
        // A pass over few pages, as one that only cleaned the log, says nothing of a race.
        let was_race = self.report.pass_count > 0 && self.newest.page_count > tail_count;
        self.is_futile |= was_race && !self.is_shrinking(due.now_us);
        let entry_count = self.report.page_count + self.found_count;
        Ok(!self.is_futile
            && self.report.pass_count < PASS_COUNT_MAX
            && entry_count <= self.entry_count_max)
    }

    /// What the log will name when the checkpoint is due, of a guest that goes on as it did since the log was
    /// cleaned. It may return to its pages: a log that is an interval old says all of it.
    fn count_at(&self, due: Due) -> u64 {
        let old_us = due.now_us.saturating_sub(self.cleaned_us);
        let due_us = due.at_us.saturating_sub(self.cleaned_us).min(due.interval_us);
        if self.report.pass_count > 0 || due_us <= old_us {
            return self.found_count;
        }
        self.found_count.saturating_mul(due_us) / old_us.max(1)
    }

    /// Whether a further pass leaves fewer pages than the one before it left: more are found than that
    /// also when time went by since.
    fn is_shrinking(&self, now_us: u64) -> bool {
        let Pass { duration_us, page_count, .. } = self.newest;
        let expected_us = self.found_count * duration_us / page_count.max(1);
        let written_us = now_us.saturating_sub(self.cleaned_us);
        self.found_count * 8 <= page_count * SHRINKING_EIGHTHS
            || expected_us * 8 <= written_us * SHRINKING_EIGHTHS
    }

    /// Copies the next pages of a pass, as far as the ring has room that the pause will not need.
    fn go_on(
        &mut self,
        mut cursor: Cursor,
        guest: &mut dyn LoggedGuest,
        pacing: &mut Pacing,
        output: &mut EpochOutput<'_>,
        due: Due,
        surroundings: &mut impl Surroundings,
    ) -> Result<Step, CaptureError> {
        if self.newest.is_cleaning && self.newest.page_count == 0 {
            self.settled_us = due.now_us + pacing.settling_us(due.interval_us);
        }
        let free_count = output.free_entry_count()?.min(PASS_STEP_PAGE_COUNT);
        if free_count == 0 {
            self.pass = Some(cursor);
            return Ok(Step::Wait { until_us: due.now_us });
        }
        let started_ns = surroundings.now_ns();
        let pushed_count = push_more(guest, &mut cursor, free_count, output, surroundings)?;
        output.publish();
        self.report.page_count += pushed_count;
        let elapsed_ns = surroundings.now_ns().saturating_sub(started_ns);
        let newest = &mut self.newest;
        newest.page_count += pushed_count;
        newest.copying_ns += elapsed_ns;
        newest.duration_us = due.now_us.saturating_sub(self.cleaned_us) + elapsed_ns / 1000;
        if pushed_count == free_count {
            self.pass = Some(cursor);
        } else {
            pacing.note_copied(newest.page_count, newest.copying_ns);
        }
        Ok(Step::Working)
    }
}

/// Whether the ring takes `page_count` pages and what belongs to a checkpoint besides; more than it
/// ever takes is taken to be room when it is empty.
fn has_room(output: &mut EpochOutput<'_>, page_count: u64) -> Result<bool, CaptureError> {
    let wanted_count = (page_count + RING_PAUSE_ENTRY_COUNT).min(output.capacity());
    Ok(output.free_entry_count()? >= wanted_count)
}

#[cfg(test)]
#[path = "predrain_tests.rs"]
mod tests;
