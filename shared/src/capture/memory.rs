//! The guest's mapped memory, as the pages that discovery reads.

use core::fmt;

use super::page::{GuestPages, PageWords};
use crate::xen::GuestMemory;

/// A [`GuestMemory`] as [`GuestPages`].
#[derive(Clone, Copy)]
pub struct MappedPages<'m>(&'m GuestMemory);

impl fmt::Debug for MappedPages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The pages of a mapped guest.
#[must_use]
pub const fn pages_of(memory: &GuestMemory) -> MappedPages<'_> {
    MappedPages(memory)
}

impl GuestPages for MappedPages<'_> {
    fn gfn_count(&self) -> u64 {
        self.0.gfn_count()
    }

    fn page(&self, gfn: u64) -> Option<&PageWords> {
        self.0.page(gfn).map(|page| page.words())
    }
}
