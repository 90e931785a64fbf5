//! What an entry does to the page that the twin has.

use super::delta::Delta;
use crate::limits::PAGE_SIZE;

/// A page's next version, as it is told to whoever has the last one.
#[derive(Clone, Copy, Debug)]
pub enum PageUpdate<'a> {
    /// These bytes, whatever was there.
    Whole(&'a [u8; PAGE_SIZE]),
    /// Zeros, whatever was there.
    Zeros,
    /// The last version, changed in some words.
    Changes(Delta<'a>),
    /// The last version.
    Nothing,
}

impl PageUpdate<'_> {
    /// Whether it says nothing without the last version.
    #[must_use]
    pub const fn is_relative(&self) -> bool {
        matches!(self, Self::Changes(_) | Self::Nothing)
    }

    /// Brings `page`, the last version, up to date.
    pub fn apply(&self, page: &mut [u8; PAGE_SIZE]) {
        match self {
            Self::Whole(bytes) => *page = **bytes,
            Self::Zeros => page.fill(0),
            Self::Changes(delta) => {
                let (words, _) = page.as_chunks_mut::<8>();
                delta.changes().for_each(|(place, bytes)| words[place] = bytes);
            }
            Self::Nothing => {}
        }
    }
}
