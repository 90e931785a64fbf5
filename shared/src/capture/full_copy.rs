//! The full copy: every page of the running guest, then what it wrote meanwhile.
//!
//! Pages still to be sent are bits of the capture's bitmap; each call sends a bounded number, so
//! that the program around stays responsive. A page may be sent several times, the last one
//! counts. The pages belong to the session's first epoch, which the first checkpoint ends.

use super::error::CaptureError;
use super::log_policy::LogPolicy;
use super::logged_guest::Progress;
use super::logging;
use super::output::EpochOutput;
use super::predrain::PreDrain;
use super::scan;
use super::session::Capture;
use super::surroundings::Surroundings;
use crate::limits::{FULL_COPY_REST_COUNT_MAX, FULL_COPY_ROUND_COUNT_MAX, early_entry_count_max};

/// How far the full copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullCopyProgress {
    /// Round that is being sent: 1 is all pages, later ones what was written meanwhile.
    pub round: u32,
    /// Pages of this round still to be sent.
    pub remaining_page_count: u64,
    /// Pages sent by this call.
    pub sent_page_count: u64,
    /// All is sent but what was written since the last round began: take the first checkpoint.
    pub is_complete: bool,
}

impl Capture<'_> {
    /// Begins a full copy: logs the guest's writes from now on, and marks every page to be sent.
    ///
    /// # Errors
    /// Errors of Xen: EINVAL when Xen cannot log this domain, EBUSY when another tool does.
    pub fn start_full_copy(&mut self) -> Result<(), CaptureError> {
        self.check_domain()?;
        self.stop_logging()?;
        self.renew_memory()?;
        self.was_memory_renewed = false;
        logging::begin(self.xen, self.domid)?;
        self.is_logging = true;
        self.shared_pages.forget();
        self.gate_epoch = 0;
        self.full_copy_round = 1;
        self.pre_drain = PreDrain::new(early_entry_count_max(self.page_count));
        self.log_policy = LogPolicy::default();
        self.mark_every_page();
        Ok(())
    }

    fn mark_every_page(&mut self) {
        self.full_copy_progress = Progress::default();
        let present = self.memory.presence_words();
        for (word, present) in self.bitmap.words_mut().iter_mut().zip(present) {
            *word = *present;
        }
    }

    /// Sends up to `page_count` pages, fewer when the ring is full, and publishes them.
    ///
    /// # Errors
    /// [`CaptureError::LinkLost`], [`CaptureError::Ring`], a domain that ended, errors of Xen.
    pub fn copy_more(
        &mut self,
        output: &mut EpochOutput<'_>,
        page_count: u64,
        surroundings: &mut impl Surroundings,
    ) -> Result<FullCopyProgress, CaptureError> {
        assert!(self.is_logging, "a full copy was started");
        self.check_domain()?;
        let budget = page_count.min(output.free_entry_count()?);
        let mut progress = self.full_copy_progress;
        let sent_page_count = progress.push(&mut self.log().0, budget, output, surroundings)?;
        self.full_copy_progress = progress;
        output.publish();
        let remaining_page_count = scan::count(progress.rest(self.bitmap.words()));
        let mut progress = FullCopyProgress {
            round: self.full_copy_round,
            remaining_page_count,
            sent_page_count,
            is_complete: false,
        };
        if remaining_page_count == 0 {
            progress.is_complete = self.next_round()?;
        }
        Ok(progress)
    }

    /// Marks what was written since the round began. True when little enough was sent in the last
    /// rounds that the rest can wait for the first checkpoint.
    fn next_round(&mut self) -> Result<bool, CaptureError> {
        if self.check_domain()?.page_count != self.page_count {
            // The guest's memory was changed by a balloon: a page may have been copied from a frame
            // that it had given back.
            self.renew_memory()?;
            self.full_copy_round += 1;
            self.mark_every_page();
            return Ok(false);
        }
        let gfn_count = self.memory.gfn_count();
        let dirty = self.xen.log_dirty_peek(self.domid, &mut self.bitmap, gfn_count)?;
        let is_complete = u64::from(dirty.dirty_count) <= FULL_COPY_REST_COUNT_MAX
            || self.full_copy_round >= FULL_COPY_ROUND_COUNT_MAX;
        self.full_copy_progress = Progress::default();
        if is_complete {
            // Xen keeps what it told here, and tells it again to the first checkpoint.
            self.bitmap.words_mut().fill(0);
        } else {
            self.xen.log_dirty_clean(self.domid, &mut self.bitmap, gfn_count)?;
            self.full_copy_round += 1;
        }
        Ok(is_complete)
    }
}
