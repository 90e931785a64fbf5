//! What dom0 and a stub domain agree on so that the link half can work in the stub domain: where the ring
//! lies, how it is offered, and what the link half is told.
//!
//! **Whose memory.** The ring lies in the stub domain's own memory, and dom0, which may, maps it by its gfns as it
//! maps a guest's. Not in dom0's memory by grants: that would take 16,384 grants for 64 MiB, a raised limit of
//! gntalloc, and pages that lie apart. And so neither's death takes memory from the other: a page that is mapped
//! stays until it is unmapped.
//!
//! **Region.** Contiguous gfns, zeroed before they are offered, see [`region_size`]:
//!
//! ```text
//! offset 0   hand-over page, see `page`
//! 4096       the ring for `entry_count` entries, as `ring::view` lays it out
//! ```
//!
//! **Offer.** The stub domain writes it below `data/pollux` of its own part of xenstore, `state` last ([`Offer`]).
//! Dom0 trusts nothing of it: it checks every number, and the gfns against the domain's size.
//!
//! **Hand-over.** Dom0 maps the region, binds the port, writes a [`HandOver`] into the page, says so in the state
//! word, and sends an event. The stub domain takes it, wipes it, and says so; then it carries the link. The key is
//! in no other place on its way: the page belongs to two domains of one host.
//!
//! **Life.** The link half counts a heartbeat word on; one whose word stands still hangs. The stub domain sees by the
//! port's status that dom0's process is gone (its kernel closes the port, however the process ends); one that hangs is
//! no reason to end. Dom0 sees by the domain's state that the stub domain is gone. When dom0's process is gone, or the link has ended, the stub domain
//! zeroes the region and offers it anew, with a new port: each offer serves one life of the link half.
//!
//! Nothing here does IO: xenstore, ports and mappings are each side's own business.

mod message;
mod offer;
mod page;

pub use message::HandOver;
pub use offer::{Offer, OfferError, OfferValue, PATH, Program};
pub use page::{HandOverPage, HandOverState};

use super::Ring;
use super::view::ring_size;
use crate::limits::PAGE_SIZE;
use crate::platform::memory::SharedMemory;

/// Bytes of the region whose ring has `entry_count` entries, 1 to
/// [`RING_ENTRY_COUNT_MAX`](crate::limits::RING_ENTRY_COUNT_MAX): whole pages.
#[must_use]
pub fn region_size(entry_count: u64) -> usize {
    PAGE_SIZE + ring_size(entry_count)
}

/// Parts a region of [`region_size`] bytes into its page and its ring.
///
/// # Panics
/// If the region has another size.
#[must_use]
pub fn part(region: SharedMemory, entry_count: u64) -> (HandOverPage, Ring) {
    let is_whole = region.size() == region_size(entry_count);
    assert!(is_whole, "a region is as large as its ring asks");
    let (page, ring) = region.split_at(PAGE_SIZE);
    (HandOverPage::of(page), Ring::over(ring, entry_count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Entry, EntryKind};

    #[test]
    fn both_sides_find_the_same_bytes() {
        for entry_count in [1, 600] {
            let region = SharedMemory::map(region_size(entry_count)).unwrap();
            let other = region.map_again().unwrap();
            let (mut given, ring) = part(region, entry_count);
            let (mut taken, other_ring) = part(other, entry_count);
            given.give(&HandOver::sample());
            assert_eq!(taken.take(), Some(Ok(HandOver::sample())));
            let (mut producer, mut consumer) = (ring.into_producer(), other_ring.into_consumer());
            consumer.reset(entry_count);
            producer.begin().unwrap();
            producer.slot_mut().fill(7);
            producer.push(&Entry::raw(EntryKind::Page, 1, 2, 4096));
            producer.publish();
            assert_eq!(consumer.available(), Ok(0..1));
            assert_eq!(consumer.page(0), &[7; PAGE_SIZE]);
        }
    }

    #[test]
    #[should_panic(expected = "as large as its ring asks")]
    fn a_region_of_another_size_is_a_programmers_error() {
        let _ = part(SharedMemory::map(region_size(4)).unwrap(), 5);
    }
}
