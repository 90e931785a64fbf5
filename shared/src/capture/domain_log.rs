//! A domain of Xen's as a guest whose writes are logged.

use super::Capture;
use super::due::{Due, Step};
use super::error::CaptureError;
use super::logged_guest::{LoggedGuest, Reading};
use super::output::EpochOutput;
use super::surroundings::Surroundings;
use crate::xen::{Domid, GuestMemory, GuestPage, HypercallBuffer, Xen};

/// The parts of a capture that logging and copying need.
#[derive(Debug)]
pub struct DomainLog<'a> {
    pub xen: &'a Xen,
    pub domid: Domid,
    pub memory: &'a mut GuestMemory,
    pub bitmap: &'a mut HypercallBuffer,
    /// Pages that had to be mapped anew since this was made.
    pub remapped_page_count: u64,
}

impl LoggedGuest for DomainLog<'_> {
    fn bitmap(&self) -> &[u64] {
        self.bitmap.words()
    }

    fn page(&self, gfn: u64) -> Option<GuestPage<'_>> {
        self.memory.page(gfn)
    }

    fn renew_page(&mut self, gfn: u64) -> Result<(), CaptureError> {
        if gfn < self.memory.gfn_count() {
            self.memory.remap(self.xen, &[gfn])?;
            self.remapped_page_count += 1;
        }
        Ok(())
    }

    fn logged_page_count(&mut self) -> Result<u64, CaptureError> {
        Ok(self.xen.log_dirty_count(self.domid)?.into())
    }

    fn read_log(&mut self, reading: Reading) -> Result<(), CaptureError> {
        let gfn_count = self.memory.gfn_count();
        match reading {
            Reading::Keep => self.xen.log_dirty_peek(self.domid, self.bitmap, gfn_count)?,
            Reading::Clean => self.xen.log_dirty_clean(self.domid, self.bitmap, gfn_count)?,
        };
        Ok(())
    }
}

impl Capture<'_> {
    /// Does a bounded amount of what is to be done before the next checkpoint, which may be taken
    /// when this says [`Step::Ready`]. The guest runs.
    ///
    /// # Errors
    /// Those of pushing pages and of Xen; they end the session.
    pub fn pre_drain(
        &mut self,
        output: &mut EpochOutput<'_>,
        due: Due,
        surroundings: &mut impl Surroundings,
    ) -> Result<Step, CaptureError> {
        let (mut log, drain, _) = self.log();
        let passes_before = drain.pass_count();
        let step = drain.step(&mut log, output, due, surroundings)?;
        let is_pass_begun = drain.pass_count() != passes_before;
        // The pass copies what the log names no more, so it must not copy from a frame that the
        // guest has given back: a balloon shows in the number of its pages.
        if is_pass_begun && self.check_domain()?.page_count != self.page_count {
            self.renew_memory()?;
        }
        Ok(step)
    }
}
