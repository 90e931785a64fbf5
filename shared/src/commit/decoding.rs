//! What a page's bytes in the ring say, read by one who trusts neither the peer nor the half that
//! faces it: everything is decided by a copy that nobody else can change meanwhile.
//!
//! When a page is decoded, and what becomes of it, is `staging`'s business; the encodings
//! themselves are `codec::page`'s.

use crate::codec::page::{Delta, PageUpdate, unpack};
use crate::limits::PAGE_SIZE;
use crate::ring::{Consumer, Encoding, Entry};

/// Undoes LZ4 in entry `index`'s slot, so that applying it later takes none, and checks a delta.
/// False when the bytes are none of their encoding.
#[must_use]
pub(super) fn make_applicable(ring: &mut Consumer, index: u64, entry: &Entry) -> bool {
    if matches!(entry.encoding, Encoding::Raw | Encoding::Zero | Encoding::Unchanged) {
        return true;
    }
    let [mut stored, mut room] = [[0; PAGE_SIZE]; 2];
    let stored = copy_stored(ring, index, entry, &mut stored);
    let Some((encoding, bytes)) = unpack(entry.encoding, stored, &mut room) else {
        return false;
    };
    if encoding == Encoding::Delta && Delta::parse(bytes).is_none() {
        return false;
    }
    if encoding != entry.encoding {
        let size = u16::try_from(bytes.len()).expect("a page at most");
        ring.page_mut(index)[..bytes.len()].copy_from_slice(bytes);
        ring.rewrite(index, &entry.encoded(encoding, size));
    }
    true
}

/// What entry `index` does to its page. `rooms` are for what is not used where it lies. None when the
/// bytes are none of their encoding.
pub(super) fn update<'a>(
    ring: &'a Consumer,
    index: u64,
    entry: &Entry,
    rooms: &'a mut [[u8; PAGE_SIZE]; 2],
) -> Option<PageUpdate<'a>> {
    if entry.encoding == Encoding::Raw {
        return Some(PageUpdate::Whole(ring.page(index)));
    }
    let [stored, room] = rooms;
    PageUpdate::read(entry.encoding, copy_stored(ring, index, entry, stored), room)
}

fn copy_stored<'a>(
    ring: &Consumer,
    index: u64,
    entry: &Entry,
    stored: &'a mut [u8; PAGE_SIZE],
) -> &'a [u8] {
    let stored = &mut stored[..usize::from(entry.stored_size)];
    ring.copy_out(index, 0, stored);
    stored
}
