//! Pages that must not reach the twin's memory while it waits.
//!
//! The waiting twin has live rings of its own towards xenstored and xenconsoled, and Xen owns the
//! frames of shared_info and of the grant table. The guest's versions of the rings and of
//! shared_info are kept here, for revival to put in place; its grant frames are dropped, since a
//! resuming guest fills its grant table anew.

use crate::codec::CheckpointState;
use crate::limits::PAGE_SIZE;

/// One page that was put aside, once it has come.
#[derive(Clone, Debug)]
pub struct AsidePage {
    bytes: [u8; PAGE_SIZE],
    came: bool,
}

impl AsidePage {
    const EMPTY: Self = Self { bytes: [0; PAGE_SIZE], came: false };

    /// The newest version, if any has come.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8; PAGE_SIZE]> {
        self.came.then_some(&self.bytes)
    }

    fn put(&mut self, page: Option<&[u8; PAGE_SIZE]>) {
        self.bytes = *page.unwrap_or(&[0; PAGE_SIZE]);
        self.came = true;
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
    /// The guest's shared_info. The full copy comes before its place is known; until an epoch
    /// names it, it lies in the twin's memory like any page.
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

    /// Whether the page at `gfn` would be kept from the twin's memory.
    #[must_use]
    pub fn keeps(&self, state: Option<&CheckpointState>, gfn: u64) -> bool {
        let of_xen = |state: &CheckpointState| {
            state.shared_info_gfn == gfn || state.grant_frame_gfns.contains(&gfn)
        };
        gfn == self.store_gfn || gfn == self.console_gfn || state.is_some_and(of_xen)
    }

    /// Takes the page at `gfn` if it is one to put aside, and says whether it was. `state` is
    /// that of the page's epoch; the full copy has none. No bytes mean a page of zeros.
    pub fn take(
        &mut self,
        state: Option<&CheckpointState>,
        gfn: u64,
        page: Option<&[u8; PAGE_SIZE]>,
    ) -> bool {
        if gfn == self.store_gfn {
            self.store.put(page);
        } else if gfn == self.console_gfn {
            self.console.put(page);
        } else if state.is_some_and(|state| state.shared_info_gfn == gfn) {
            self.shared_info.put(page);
        } else {
            // A grant frame is kept from memory, and that is all.
            return self.keeps(state, gfn);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revive::check::sample;

    #[test]
    fn rings_and_xens_frames_are_put_aside() {
        let state = sample::state(1);
        let mut aside = AsidePages::new(0xfeffc, 0xfefff);
        let page = [7; PAGE_SIZE];
        for (gfn, kept) in [(5, false), (0xfeffc, true), (0x9000, true), (0x8f000, true)] {
            assert_eq!(aside.keeps(Some(&state), gfn), kept);
        }
        assert!(!aside.take(None, state.shared_info_gfn, Some(&page)));
        assert!(!aside.take(None, 0x9001, Some(&page)));
        assert!(!aside.take(Some(&state), 5, Some(&page)));
        assert!(aside.store.bytes().is_none());
        assert!(aside.take(None, 0xfeffc, Some(&page)));
        assert!(aside.take(Some(&state), 0xfefff, None));
        assert!(aside.take(Some(&state), state.shared_info_gfn, Some(&page)));
        assert!(aside.take(Some(&state), 0x9001, Some(&page)));
        assert_eq!(aside.store.bytes(), Some(&page));
        assert_eq!(aside.console.bytes(), Some(&[0; PAGE_SIZE]));
        assert_eq!(aside.shared_info.bytes(), Some(&page));
    }
}
