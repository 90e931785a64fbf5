//! How a guest's pages get from its log into epochs: early copies, the pause, and what each of them
//! measures for the others.
//!
//! The parts know little of one another: `predrain` makes passes, `costs` knows what they cost and decides
//! whether a checkpoint has the log cleaned. A [`Drain`] keeps them together for whoever takes the
//! checkpoints, of a domain or of a rehearsed guest.
//!
//! A log that is to be cleaned is cleaned by a pass before the pause where that is possible. What
//! the pass copies the pause need not, and what the guest pays for the cleaning, in hypercalls and faults, it
//! pays while it runs: its gap is not the pause and that together.

use super::costs::Costs;
use super::due::{Due, PreDrainReport, Step};
use super::error::CaptureError;
use super::log_policy::LogPolicy;
use super::logged_guest::{LoggedGuest, Reading, push_all};
use super::output::EpochOutput;
use super::pacing::Pacing;
use super::predrain::PreDrain;
use super::surroundings::Surroundings;
use crate::platform::vector;

/// Pages that were copied in a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many.
    pub page_count: u64,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// How a guest's pages are to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOptions {
    /// Pauses are kept below this where that can be done.
    pub pause_target_us: u32,
    /// Whether ship keeps last versions of pages: one that is copied for nothing then costs the link
    /// next to nothing, and the log may be kept where that spares the guest its faults.
    pub may_keep_log: bool,
}

/// The copying of one guest's pages.
#[derive(Debug)]
pub struct Drain {
    pre_drain: PreDrain,
    costs: Costs,
}

impl Drain {
    /// With at most `early_entry_count_max` entries of an epoch copied before its pause.
    #[must_use]
    pub fn new(options: DrainOptions, early_entry_count_max: u64) -> Self {
        let log_policy = options.may_keep_log.then(LogPolicy::default);
        Self {
            pre_drain: PreDrain::new(early_entry_count_max),
            costs: Costs::new(Pacing::new(options.pause_target_us), log_policy),
        }
    }

    /// The log begins anew, in another session; what pauses cost stays known.
    pub fn start_over(&mut self, early_entry_count_max: u64) {
        self.pre_drain = PreDrain::new(early_entry_count_max);
        self.costs.start_over();
    }

    /// Does a bounded amount of what is to be done before the next checkpoint.
    ///
    /// # Errors
    /// Those of pushing pages, and the guest's.
    pub fn step(
        &mut self,
        guest: &mut dyn LoggedGuest,
        output: &mut EpochOutput<'_>,
        due: Due,
        surroundings: &mut impl Surroundings,
    ) -> Result<Step, CaptureError> {
        let step = self.pre_drain.step(guest, &mut self.costs, output, due, surroundings)?;
        if step == Step::Ready {
            // The log is read into it in the pause, and the larger the guest, the more of it has left the caches.
            vector::prefetch_words(guest.bitmap());
        }
        Ok(step)
    }

    /// Passes that were begun for the next checkpoint.
    #[must_use]
    pub const fn pass_count(&self) -> u32 {
        self.pre_drain.report().pass_count
    }

    /// Copies what is left of a pass, which a checkpoint must not lose.
    ///
    /// # Errors
    /// Those of pushing pages.
    pub fn finish_pass(
        &mut self,
        guest: &mut dyn LoggedGuest,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        self.pre_drain.finish_pass(guest, output, surroundings)
    }

    /// Reads the log of a guest that is paused: as `forced`, or as it pays.
    ///
    /// # Errors
    /// The guest's.
    pub fn read_log(
        &mut self,
        guest: &mut dyn LoggedGuest,
        forced: Option<Reading>,
    ) -> Result<(), CaptureError> {
        let has_policy = self.costs.log_policy.is_some();
        let reading = match forced {
            Some(reading) => reading,
            None if !has_policy => Reading::Clean,
            // It was cleaned since the last checkpoint.
            None if self.pass_count() > 0 => Reading::Keep,
            None => self.costs.decide(self.pre_drain.found_count()),
        };
        guest.read_log(reading)?;
        if reading == Reading::Clean {
            self.costs.note_cleaned();
            self.pre_drain.note_cleaned_in_pause();
        }
        Ok(())
    }

    /// Copies the pages that the log named, of a guest that is paused.
    ///
    /// # Errors
    /// Those of pushing pages.
    pub fn copy(
        &mut self,
        guest: &mut dyn LoggedGuest,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
    ) -> Result<Copied, CaptureError> {
        let started_ns = surroundings.now_ns();
        let page_count = push_all(guest, output, surroundings)?;
        let elapsed_ns = surroundings.now_ns().saturating_sub(started_ns);
        self.costs.pacing.note_copied(page_count, elapsed_ns);
        Ok(Copied { page_count, elapsed_ns })
    }

    /// Notes a pause of `pause_ns`, in which `copied` was copied.
    pub fn note_pause(&mut self, pause_ns: u64, copied: Copied) {
        self.costs.pacing.note_pause(pause_ns, copied.elapsed_ns);
    }

    /// The checkpoint was taken: what was copied early for it.
    pub fn take_report(&mut self) -> PreDrainReport {
        self.costs.begin_epoch();
        self.pre_drain.take_report()
    }
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
