//! The pages of an interface, and the grants by which the backend reaches them.
//!
//! All are granted before the interface is offered and until the backend has let go of it, so that no
//! frame costs a change of the grant table. The pages hold nothing but rings and frames, which the
//! backend may see anyway; those to be sent it may only read.

use core::sync::atomic::AtomicU64;

use heapless::Vec;

use super::front_ring::SLOT_COUNT;
use crate::limits::PAGE_SIZE;
use crate::xen::grant_access::{GrantAccess, GrantError, GrantReference, GrantTable};
use crate::xen::{Domid, GuestPage};

/// Pages of an interface: two rings, and one for each of their slots.
pub const INTERFACE_PAGE_COUNT: usize = 2 + 2 * SLOT_COUNT;

const TRANSMIT_RING: usize = 0;
const RECEIVE_RING: usize = 1;
const TRANSMIT_BUFFERS: usize = 2;
const RECEIVE_BUFFERS: usize = TRANSMIT_BUFFERS + SLOT_COUNT;

/// A page as its words.
pub type PageWords = [AtomicU64; PAGE_SIZE / size_of::<u64>()];

/// The pages of an interface, which serve nothing else as long as the domain lives.
#[derive(Clone, Copy, Debug)]
pub struct InterfacePages<'m> {
    pages: &'m [PageWords; INTERFACE_PAGE_COUNT],
    first_gfn: u64,
}

impl<'m> InterfacePages<'m> {
    /// These pages, which lie one after another from `first_gfn` on.
    #[must_use]
    pub const fn new(pages: &'m [PageWords; INTERFACE_PAGE_COUNT], first_gfn: u64) -> Self {
        Self { pages, first_gfn }
    }

    pub(super) fn transmit_ring(&self) -> GuestPage<'m> {
        GuestPage::from_words(&self.pages[TRANSMIT_RING])
    }

    pub(super) fn receive_ring(&self) -> GuestPage<'m> {
        GuestPage::from_words(&self.pages[RECEIVE_RING])
    }

    pub(super) fn transmit_buffer(&self, slot: usize) -> GuestPage<'m> {
        GuestPage::from_words(&self.pages[TRANSMIT_BUFFERS + slot % SLOT_COUNT])
    }

    pub(super) fn receive_buffer(&self, slot: usize) -> GuestPage<'m> {
        GuestPage::from_words(&self.pages[RECEIVE_BUFFERS + slot % SLOT_COUNT])
    }
}

/// Pages that a backend has access to. Forgetting this leaves it the access: it is to be withdrawn.
#[derive(Debug)]
pub struct GrantedMemory<'m> {
    pages: InterfacePages<'m>,
    /// By page; once the withdrawal has begun, those that are left.
    references: Vec<GrantReference, INTERFACE_PAGE_COUNT>,
}

impl<'m> GrantedMemory<'m> {
    /// Gives `domid` access to the pages.
    ///
    /// # Errors
    /// [`GrantError::Full`], [`GrantError::FrameNumber`]; nothing is granted then.
    pub fn grant(
        pages: InterfacePages<'m>,
        table: &mut GrantTable<'_>,
        domid: Domid,
    ) -> Result<Self, GrantError> {
        let end_gfn = pages.first_gfn.saturating_add(INTERFACE_PAGE_COUNT as u64);
        // Before the first one: a backend may map a page without being told of it.
        if table.free_count() < INTERFACE_PAGE_COUNT {
            return Err(GrantError::Full);
        }
        if end_gfn > u64::from(u32::MAX) {
            return Err(GrantError::FrameNumber);
        }
        let grant = |(gfn, page)| {
            let access = match page {
                TRANSMIT_BUFFERS..RECEIVE_BUFFERS => GrantAccess::ReadOnly,
                _ => GrantAccess::ReadWrite,
            };
            table.grant_access(domid, gfn, access).expect("there is room for all pages")
        };
        let references = (pages.first_gfn..).zip(0..INTERFACE_PAGE_COUNT).map(grant).collect();
        Ok(Self { pages, references })
    }

    /// Takes back what the backend does not use any more; whether that is all.
    #[must_use]
    pub fn withdraw(&mut self, table: &mut GrantTable<'_>) -> bool {
        self.references.retain(|reference| table.end_access(*reference).is_err());
        self.references.is_empty()
    }

    /// The pages.
    #[must_use]
    pub const fn pages(&self) -> InterfacePages<'m> {
        self.pages
    }

    /// The grant of the transmit ring, for xenstore.
    #[must_use]
    pub fn transmit_ring_reference(&self) -> u32 {
        self.reference(TRANSMIT_RING)
    }

    /// The grant of the receive ring, for xenstore.
    #[must_use]
    pub fn receive_ring_reference(&self) -> u32 {
        self.reference(RECEIVE_RING)
    }

    pub(super) fn transmit_references(&self) -> [u32; SLOT_COUNT] {
        core::array::from_fn(|slot| self.reference(TRANSMIT_BUFFERS + slot))
    }

    pub(super) fn receive_references(&self) -> [u32; SLOT_COUNT] {
        core::array::from_fn(|slot| self.reference(RECEIVE_BUFFERS + slot))
    }

    fn reference(&self, page: usize) -> u32 {
        self.references[page].number()
    }
}
