//! What a page's bytes in the ring say, read by one who trusts neither the peer nor the half that
//! faces it: everything is decided by a copy that nobody else can change meanwhile.
//!
//! When a page is decoded, and what becomes of it, is `staging`'s business; the encodings
//! themselves are `codec::page`'s.

use crate::codec::page::{Delta, PageUpdate, decompress, decompress_delta};
use crate::limits::PAGE_SIZE;
use crate::ring::{Consumer, Encoding, Entry};

/// Undoes LZ4 in entry `index`'s slot, so that applying it later takes none, and checks a delta.
/// False when the bytes are none of their encoding.
#[must_use]
pub(super) fn make_applicable(ring: &mut Consumer, index: u64, entry: &Entry) -> bool {
    let mut bytes = [0; PAGE_SIZE];
    let Some(plain) = unpack(ring, index, entry, &mut bytes) else {
        return false;
    };
    let stored = &bytes[..usize::from(plain.stored_size)];
    if plain.encoding == Encoding::Delta && Delta::parse(stored).is_none() {
        return false;
    }
    if plain.encoding != entry.encoding {
        ring.page_mut(index)[..stored.len()].copy_from_slice(stored);
        ring.rewrite(index, &plain);
    }
    true
}

/// What entry `index` does to its page. `bytes` is room for what is not used where it lies. None
/// when the bytes are none of their encoding.
pub(super) fn update<'a>(
    ring: &'a Consumer,
    index: u64,
    entry: &Entry,
    bytes: &'a mut [u8; PAGE_SIZE],
) -> Option<PageUpdate<'a>> {
    if entry.encoding == Encoding::Raw {
        return Some(PageUpdate::Whole(ring.page(index)));
    }
    let plain = unpack(ring, index, entry, bytes)?;
    Some(match plain.encoding {
        Encoding::Zero => PageUpdate::Zeros,
        Encoding::Unchanged => PageUpdate::Nothing,
        Encoding::Delta => {
            PageUpdate::Changes(Delta::parse(&bytes[..usize::from(plain.stored_size)])?)
        }
        _ => PageUpdate::Whole(bytes),
    })
}

/// Copies what is stored, without LZ4, to `bytes`, and describes it. A raw page stays where it is.
fn unpack(
    ring: &Consumer,
    index: u64,
    entry: &Entry,
    bytes: &mut [u8; PAGE_SIZE],
) -> Option<Entry> {
    let mut block = [0; PAGE_SIZE];
    let block = &mut block[..usize::from(entry.stored_size)];
    match entry.encoding {
        Encoding::Raw | Encoding::Zero | Encoding::Unchanged => Some(*entry),
        Encoding::Delta => {
            ring.copy_out(index, 0, &mut bytes[..block.len()]);
            Some(*entry)
        }
        Encoding::Lz4 => {
            ring.copy_out(index, 0, block);
            decompress(block, bytes).then(|| entry.encoded(Encoding::Raw, entry.length))
        }
        Encoding::DeltaLz4 => {
            ring.copy_out(index, 0, block);
            let size = decompress_delta(block, bytes)?.len();
            Some(entry.encoded(Encoding::Delta, u16::try_from(size).ok()?))
        }
    }
}
