//! The full copy: every page of the running guest, then what it wrote meanwhile.
//!
//! Pages still to be sent are bits of the guest's bitmap; each call sends a bounded number, so
//! that the program around stays responsive. A page may be sent several times, the last one
//! counts. The pages belong to the session's first epoch, which the first checkpoint ends.
//! [`FullCopy`] does this for any guest whose writes are logged; what a domain of Xen's needs
//! besides follows it.

use super::error::CaptureError;
use super::logged_guest::{LoggedGuest, Reading, push_more};
use super::logging;
use super::output::EpochOutput;
use super::scan::Cursor;
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

/// The rounds of one full copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct FullCopy {
    round: u32,
    cursor: Cursor,
}

impl FullCopy {
    /// The first round: the caller has set the bit of every page, and the guest's writes are logged.
    #[must_use]
    pub fn first_round() -> Self {
        Self { round: 1, cursor: Cursor::default() }
    }

    /// A further round of every page: the caller has set their bits again.
    fn start_over(&mut self) {
        *self = Self { round: self.round + 1, cursor: Cursor::default() };
    }

    /// Sends up to `page_count` pages of this round, fewer when the ring is full, and publishes them.
    /// At the end of a round comes [`FullCopy::next_round`].
    ///
    /// # Errors
    /// [`CaptureError::LinkLost`], [`CaptureError::Ring`], errors of the guest's host.
    pub fn copy(
        &mut self,
        guest: &mut dyn LoggedGuest,
        output: &mut EpochOutput<'_>,
        page_count: u64,
        surroundings: &mut impl Surroundings,
    ) -> Result<FullCopyProgress, CaptureError> {
        let budget = page_count.min(output.free_entry_count()?);
        let sent_page_count = push_more(guest, &mut self.cursor, budget, output, surroundings)?;
        output.publish();
        Ok(FullCopyProgress {
            round: self.round,
            remaining_page_count: self.cursor.remaining_count(guest.bitmap()),
            sent_page_count,
            is_complete: false,
        })
    }

    /// Marks what was written since the round began. True when little enough was sent in the last
    /// rounds that the rest can wait for the first checkpoint.
    ///
    /// # Errors
    /// Errors of the guest's host.
    pub fn next_round(&mut self, guest: &mut dyn LoggedGuest) -> Result<bool, CaptureError> {
        let logged_count = guest.logged_page_count()?;
        let is_complete =
            logged_count <= FULL_COPY_REST_COUNT_MAX || self.round >= FULL_COPY_ROUND_COUNT_MAX;
        // What the log names now, it names again to the first checkpoint.
        if !is_complete {
            guest.read_log(Reading::Clean)?;
            *self = Self { round: self.round + 1, cursor: Cursor::default() };
        }
        Ok(is_complete)
    }
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
        self.full_copy = FullCopy::first_round();
        self.drain.start_over(early_entry_count_max(self.page_count));
        self.mark_every_page();
        Ok(())
    }

    fn mark_every_page(&mut self) {
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
        let (mut log, _, full_copy) = self.log();
        let mut progress = full_copy.copy(&mut log, output, page_count, surroundings)?;
        if progress.remaining_page_count == 0 {
            progress.is_complete = self.next_round()?;
        }
        Ok(progress)
    }

    fn next_round(&mut self) -> Result<bool, CaptureError> {
        if self.check_domain()?.page_count != self.page_count {
            // The guest's memory was changed by a balloon: a page may have been copied from a frame
            // that it had given back.
            self.renew_memory()?;
            self.full_copy.start_over();
            self.mark_every_page();
            return Ok(false);
        }
        let (mut log, _, full_copy) = self.log();
        full_copy.next_round(&mut log)
    }
}
