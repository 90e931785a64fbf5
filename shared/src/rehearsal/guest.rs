//! The rehearsed guest as a guest whose writes are logged.

use core::sync::atomic::Ordering;

use super::region::GuestRegion;
use crate::capture::logged_guest::{LoggedGuest, Reading};
use crate::capture::{CaptureError, scan};
use crate::limits::PAGE_SIZE;
use crate::platform::linux::memory::MemoryError;
use crate::platform::linux::private_memory::PrivatePages;
use crate::platform::vector;
use crate::xen::GuestPage;

/// Capture's side of the guest.
#[derive(Debug)]
pub struct RehearsedGuest {
    pub(super) region: GuestRegion,
    bitmap: PrivatePages,
    word_count: usize,
}

impl RehearsedGuest {
    /// The guest in this region.
    ///
    /// # Errors
    /// [`MemoryError`] when there is no memory for the bitmap.
    pub fn new(region: GuestRegion) -> Result<Self, MemoryError> {
        let word_count = usize::try_from(scan::bitmap_word_count(region.gfn_count()));
        let word_count = word_count.expect("far below the address space");
        let bitmap = PrivatePages::take((word_count * 8).div_ceil(PAGE_SIZE))?;
        Ok(Self { region, bitmap, word_count })
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> &GuestRegion {
        &self.region
    }

    /// Marks every page to be copied.
    pub fn mark_every_page(&mut self) {
        let gfn_count = self.region.gfn_count();
        for (word, first) in self.bitmap.words_mut().iter_mut().zip((0..gfn_count).step_by(64)) {
            let count = (gfn_count - first).min(64);
            *word = u64::MAX >> (64 - count);
        }
    }
}

impl LoggedGuest for RehearsedGuest {
    fn bitmap(&self) -> &[u64] {
        &self.bitmap.words()[..self.word_count]
    }

    fn page(&self, gfn: u64) -> Option<GuestPage<'_>> {
        (gfn < self.region.gfn_count()).then(|| GuestPage::from_words(self.region.page(gfn)))
    }

    /// Its memory is all there from the start.
    fn renew_page(&mut self, _gfn: u64) -> Result<(), CaptureError> {
        Ok(())
    }

    fn logged_page_count(&mut self) -> Result<u64, CaptureError> {
        let words = self.region.log().iter().map(|word| word.load(Ordering::Relaxed));
        Ok(words.map(|word| u64::from(word.count_ones())).sum())
    }

    fn read_log(&mut self, reading: Reading) -> Result<(), CaptureError> {
        let log = self.region.log();
        // The guest only ever sets bits: one that is missed here stays for the next reading.
        for (page, logged) in self.bitmap.all_mut().iter_mut().zip(log.as_chunks().0) {
            vector::copy_page_near(logged, page);
        }
        if reading == Reading::Clean {
            for (word, logged) in self.bitmap.words_mut().iter_mut().zip(log) {
                // Most words are zero, and an exchange disturbs the guest.
                if *word != 0 {
                    *word = logged.swap(0, Ordering::SeqCst);
                }
            }
        }
        Ok(())
    }
}
