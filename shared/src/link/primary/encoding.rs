//! The primary's end: pages are encoded where they lie, each one once, just before it is sent first.
//!
//! A frame that is lost is then built again from the same bytes.

use super::PrimaryLink;
use crate::link::framing::Cursor;
use crate::ring::{Consumer, Encoding, Entry, EntryKind, LinkCounters, RingError};
use crate::wire::FRAGMENT_HEADER_SIZE;

impl PrimaryLink {
    /// Encodes what a frame with `room` bytes for fragments can carry between `start` and the
    /// entry `end`.
    ///
    /// # Errors
    /// [`RingError`] when the ring's producer wrote what cannot be.
    pub(super) fn encode_for_frame(
        &mut self,
        ring: &mut Consumer,
        start: Cursor,
        end: u64,
        room: usize,
    ) -> Result<(), RingError> {
        // The first entry may have begun in the frame before.
        let room = room + usize::from(start.offset);
        let mut used = 0;
        for index in start.index..end {
            if used >= room {
                break;
            }
            let mut entry = ring.entry(index)?;
            if index >= self.encoded_index {
                assert!(index == self.encoded_index, "entries are encoded in order");
                entry = self.encoder.encode(index, &entry, ring.page_mut(index))?;
                ring.rewrite(index, &entry);
                count(&entry, &mut self.counters);
                self.encoded_index += 1;
            }
            used += FRAGMENT_HEADER_SIZE + usize::from(entry.stored_size);
        }
        Ok(())
    }
}

fn count(entry: &Entry, counters: &mut LinkCounters) {
    if entry.kind != EntryKind::Page {
        return;
    }
    let pages = match entry.encoding {
        Encoding::Raw => &mut counters.pages_raw,
        Encoding::Zero => &mut counters.pages_zero,
        Encoding::Unchanged => &mut counters.pages_unchanged,
        Encoding::Delta | Encoding::DeltaLz4 => &mut counters.pages_delta,
        Encoding::Lz4 => &mut counters.pages_lz4,
    };
    *pages += 1;
    counters.page_bytes_stored += u64::from(entry.stored_size);
}
