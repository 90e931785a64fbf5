//! Pre-drain: copies pages of the running guest before the pause, when the pause alone would be
//! too long.
//!
//! A pass cleans the log and copies the pages that it named; what the guest writes meanwhile is
//! named again, by the next pass or in the pause. So nothing is lost, and a page that is copied
//! twice costs only the copy: the last version of an epoch counts. Passes begin as late as they
//! can (`pacing`), since what is copied early may be written again, and there is none when the
//! pages fit into the pause.

use super::error::CaptureError;
use super::logged_guest::{LoggedGuest, Reading, push_more};
use super::output::EpochOutput;
use super::pacing::Pacing;
use super::scan::Cursor;
use super::surroundings::Surroundings;
use super::way::Way;
use crate::limits::{PASS_COUNT_MAX, PASS_STEP_PAGE_COUNT, RING_PAUSE_ENTRY_COUNT};

/// A look at the log that is older than this says little of it any more.
const LOOK_US_MAX: u64 = 200;
/// Halves of the pages found that a pass wants room for: what is written meanwhile comes after it.
const PASS_ROOM: u64 = 3;
/// A further pass must find at most so many eighths of the pages of the one before, or be over in so
/// much of the time in which they were written.
const SHRINKING_EIGHTHS: u64 = 6;

/// What is to be done before the next checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time, in microseconds.
    Wait {
        /// When to ask again.
        until_us: u64,
    },
    /// Some pages were copied: ask again at once.
    Working,
    /// The checkpoint can be taken.
    Ready,
}

/// When the next checkpoint may begin.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// The time now, in microseconds.
    pub now_us: u64,
    /// When the beat wants it.
    pub at_us: u64,
    /// Whether the epoch before is acknowledged, without which there is none.
    pub is_acknowledged: bool,
}

/// What pre-drain did for one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreDrainReport {
    /// Passes made.
    pub pass_count: u32,
    /// Pages copied in them.
    pub page_count: u64,
}

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
    /// Pages that it named at the first look before the last checkpoint.
    expected_count: u64,
    is_first_look: bool,
    /// Entries that passes may add to an epoch.
    entry_count_max: u64,
    /// When the next checkpoint is due, and how long after the one before.
    due_us: u64,
    interval_us: u64,
    way: Way,
}

/// The newest pass, as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    /// When it cleaned the log, in microseconds.
    cleaned_us: u64,
    /// How long it took, with all that came between its steps.
    duration_us: u64,
    /// Pages copied, and the nanoseconds that the copies alone took.
    page_count: u64,
    copying_ns: u64,
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
            expected_count: 0,
            is_first_look: true,
            entry_count_max,
            due_us: 0,
            interval_us: 0,
            way: Way::Over,
        }
    }

    /// Pages that the log named when the checkpoint was found ready.
    #[must_use]
    pub const fn found_count(&self) -> u64 {
        self.found_count
    }

    /// Whether it is known what the log names, and no pass is under way.
    #[must_use]
    pub const fn is_between_passes(&self) -> bool {
        !self.is_first_look && self.pass.is_none()
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
        self.way = Way::Begins;
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
        pacing: &mut Pacing,
        output: &mut EpochOutput<'_>,
        due: Due,
        surroundings: &mut impl Surroundings,
    ) -> Result<Step, CaptureError> {
        if due.at_us != self.due_us {
            self.interval_us = due.at_us.saturating_sub(self.due_us);
            self.due_us = due.at_us;
        }
        self.way.watch(pacing, output, due)?;
        let step = match self.pass.take() {
            Some(cursor) => self.go_on(cursor, guest, pacing, output, due, surroundings)?,
            None => self.next(guest, pacing, output, due)?,
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
        pacing: &Pacing,
        output: &mut EpochOutput<'_>,
        due: Due,
    ) -> Result<Step, CaptureError> {
        let begin_us =
            due.at_us.saturating_sub(pacing.lead_us(self.expected_count, self.interval_us));
        if due.now_us < begin_us {
            return Ok(Step::Wait { until_us: begin_us });
        }
        let is_due = due.now_us >= due.at_us;
        let is_fresh = !self.is_first_look && due.now_us < self.looked_us + LOOK_US_MAX;
        let may_wait = self.found_count <= pacing.tail_page_count_max() && !self.is_first_look;
        if is_due && !due.is_acknowledged {
            return Ok(Step::Wait { until_us: due.now_us });
        }
        if !is_due && (is_fresh || may_wait) {
            return Ok(Step::Wait { until_us: due.at_us });
        }
        // Neither a pass nor the pause may wait for the link: the guest would go on writing, or
        // stand still. So the ring must have room first, for a pass and those that follow it, and
        // while it has not the epoch gets longer. A look costs the guest a short pause: none is
        // taken while there is no room for what was found already.
        let no_room = Step::Wait { until_us: due.now_us };
        if self.is_found_still && !has_room(output, self.found_count)? {
            return Ok(no_room);
        }
        let is_pass_wanted = self.look(guest, pacing, due.now_us)?;
        let page_count = self.found_count * if is_pass_wanted { PASS_ROOM } else { 2 } / 2;
        if !has_room(output, page_count)? {
            return Ok(no_room);
        }
        if is_pass_wanted {
            self.begin_pass(guest, due.now_us)?;
            return Ok(Step::Working);
        }
        Ok(if is_due { Step::Ready } else { Step::Wait { until_us: due.at_us } })
    }

    fn begin_pass(&mut self, guest: &mut dyn LoggedGuest, now_us: u64) -> Result<(), CaptureError> {
        guest.read_log(Reading::Clean)?;
        self.is_found_still = false;
        self.report.pass_count += 1;
        self.newest = Pass { cleaned_us: now_us, ..Pass::default() };
        self.pass = Some(Cursor::default());
        Ok(())
    }

    /// Begins a pass where none was wanted, before a checkpoint that was found ready; false when there
    /// was one already, or it would not fit.
    ///
    /// # Errors
    /// The ring's and the guest's.
    pub fn try_pass(
        &mut self,
        guest: &mut dyn LoggedGuest,
        output: &mut EpochOutput<'_>,
        now_us: u64,
    ) -> Result<bool, CaptureError> {
        let is_possible = self.report.pass_count == 0
            && self.found_count <= self.entry_count_max
            && has_room(output, self.found_count * PASS_ROOM / 2)?;
        if is_possible {
            self.begin_pass(guest, now_us)?;
        }
        Ok(is_possible)
    }

    /// Counts what the log names now; true when a pass over it is worth while.
    fn look(
        &mut self,
        guest: &mut dyn LoggedGuest,
        pacing: &Pacing,
        now_us: u64,
    ) -> Result<bool, CaptureError> {
        self.found_count = guest.logged_page_count()?;
        self.is_found_still = true;
        self.looked_us = now_us;
        if core::mem::take(&mut self.is_first_look) {
            self.expected_count = self.found_count;
        }
        if self.found_count <= pacing.tail_page_count_max() {
            return Ok(false);
        }
        self.is_futile |= self.report.pass_count > 0 && !self.is_shrinking(now_us);
        let entry_count = self.report.page_count + self.found_count;
        Ok(!self.is_futile
            && self.report.pass_count < PASS_COUNT_MAX
            && entry_count <= self.entry_count_max)
    }

    /// Whether a further pass leaves fewer pages than the one before it left: more are found than that
    /// also when time went by since.
    fn is_shrinking(&self, now_us: u64) -> bool {
        let Pass { cleaned_us, duration_us, page_count, .. } = self.newest;
        let expected_us = self.found_count * duration_us / page_count.max(1);
        let written_us = now_us.saturating_sub(cleaned_us);
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
        newest.duration_us = due.now_us.saturating_sub(newest.cleaned_us) + elapsed_ns / 1000;
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
