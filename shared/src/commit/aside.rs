//! Pages that are kept beside the twin's memory while it waits.
//!
//! The waiting twin has live rings of its own towards xenstored and xenconsoled: the guest's versions
//! of those pages must not reach its memory, and are kept here for revival to put in place. Xen will
//! own the frames of shared_info and of the grant table. The guest's shared_info is kept here, too;
//! its grant frames are dropped where the twin has no memory for them, since a resuming guest fills
//! its grant table anew. Where the twin has memory at such a gfn it is kept up to date like any other:
//! Xen's frames replace it at revival, and until then it is what the next delta needs, should the
//! guest have moved its frames.

use super::twin_memory::{NoMemoryAt, TwinMemory};
use crate::codec::CheckpointState;
use crate::codec::page::PageUpdate;
use crate::limits::PAGE_SIZE;

/// One page that was put aside, once it has come.
#[derive(Clone, Debug)]
pub struct AsidePage {
    bytes: [u8; PAGE_SIZE],
    /// Where it lies in the guest.
    gfn: Option<u64>,
}

impl AsidePage {
    const EMPTY: Self = Self { bytes: [0; PAGE_SIZE], gfn: None };

    /// The newest version, if any has come.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8; PAGE_SIZE]> {
        self.gfn.is_some().then_some(&self.bytes)
    }

    /// Whether the newest version is of this gfn.
    pub(super) fn lies_at(&self, gfn: u64) -> bool {
        self.gfn == Some(gfn)
    }

    fn update(&mut self, gfn: u64, update: &PageUpdate<'_>) {
        update.apply(&mut self.bytes);
        self.gfn = Some(gfn);
    }
}

/// The pages that are put aside.
#[derive(Clone, Debug)]
pub struct AsidePages {
    store_gfn: u64,
    console_gfn: u64,
    /// The guest's xenstore ring.
    pub store: AsidePage,
    /// The guest's console ring.
    pub console: AsidePage,
    /// The guest's shared_info. The full copy comes before its place is known; until it comes in an
    /// epoch that names it, it lies in the twin's memory like any page.
    pub shared_info: AsidePage,
}

impl AsidePages {
    /// Nothing aside yet; the rings lie at these gfns.
    #[must_use]
    pub const fn new(store_gfn: u64, console_gfn: u64) -> Self {
        Self {
            store_gfn,
            console_gfn,
            store: AsidePage::EMPTY,
            console: AsidePage::EMPTY,
            shared_info: AsidePage::EMPTY,
        }
    }

    /// Whether the page at `gfn` needs no memory of the twin. `state` is that of the page's epoch;
    /// the full copy has none.
    #[must_use]
    pub fn keeps(&self, state: Option<&CheckpointState>, gfn: u64) -> bool {
        let of_xen = |state: &CheckpointState| {
            state.shared_info_gfn == gfn || state.grant_frame_gfns.contains(&gfn)
        };
        gfn == self.store_gfn || gfn == self.console_gfn || state.is_some_and(of_xen)
    }

    /// Brings the page at `gfn` up to date: aside, in the twin's memory, or in both.
    ///
    /// # Errors
    /// When it belongs into memory, and the twin can have none there or, for a relative update,
    /// has none.
    pub(super) fn bring(
        &mut self,
        state: Option<&CheckpointState>,
        gfn: u64,
        update: &PageUpdate<'_>,
        memory: &mut impl TwinMemory,
    ) -> Result<(), NoMemoryAt> {
        if gfn == self.store_gfn {
            self.store.update(gfn, update);
            return Ok(());
        }
        if gfn == self.console_gfn {
            self.console.update(gfn, update);
            return Ok(());
        }
        if state.is_some_and(|state| state.shared_info_gfn == gfn) {
            // What is aside may be of another place; then the last version of this one is in memory.
            if update.is_relative()
                && !self.shared_info.lies_at(gfn)
                && !memory.read_page(gfn, &mut self.shared_info.bytes)
            {
                return Err(NoMemoryAt(gfn));
            }
            self.shared_info.update(gfn, update);
        }
        if self.keeps(state, gfn) && !memory.has_page(gfn) {
            return Ok(());
        }
        memory.update_page(gfn, update)
    }
}

#[cfg(test)]
mod tests {
    use super::super::staging::tests::Memory;
    use super::*;
    use crate::revive::check::sample;

    #[test]
    fn rings_and_xens_frames_are_put_aside() {
        let state = sample::state(1);
        let (mut aside, mut memory) = (AsidePages::new(0xfeffc, 0xfefff), Memory::default());
        let page = [7; PAGE_SIZE];
        let whole = PageUpdate::Whole(&page);
        for (gfn, kept) in [(5, false), (0xfeffc, true), (0x9000, true), (0x8f000, true)] {
            assert_eq!(aside.keeps(Some(&state), gfn), kept);
        }
        let mut bring = |state, gfn, update| aside.bring(state, gfn, update, &mut memory);
        // The map has no memory beyond 0x100, and the full copy names no frame of Xen's.
        assert_eq!(bring(None, 0x9001, &whole), Err(NoMemoryAt(0x9001)));
        assert_eq!(bring(Some(&state), 5, &whole), Ok(()));
        assert_eq!(bring(None, 0xfeffc, &whole), Ok(()));
        assert_eq!(bring(Some(&state), 0xfefff, &PageUpdate::Zeros), Ok(()));
        assert_eq!(bring(Some(&state), state.shared_info_gfn, &whole), Ok(()));
        assert_eq!(aside.store.bytes(), Some(&page));
        assert_eq!(aside.console.bytes(), Some(&[0; PAGE_SIZE]));
        assert_eq!(aside.shared_info.bytes(), Some(&page));
        assert_eq!(memory.pages.keys().collect::<Vec<_>>(), [&5]);
    }
}
