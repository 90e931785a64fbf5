//! Building the body of a data frame from ring entries.

use crate::limits::PAGE_SIZE;
use crate::ring::{Consumer, Entry, RingError};
use crate::wire::{DATA_HEADER_SIZE, DataHeader, FRAGMENT_HEADER_SIZE, Fragment};

/// An entry is not begun at a frame's end for fewer bytes than these.
const FRAGMENT_BYTES_MIN: usize = 64;

/// A place in the stream of entries: the entry, and how many of its bytes lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub index: u64,
    pub offset: u16,
}

impl Cursor {
    pub const fn at(index: u64) -> Self {
        Self { index, offset: 0 }
    }
}

/// How far a body of at most `size_max` bytes gets from `start` on, if not to `end`, and how many bytes it
/// has then. The same places and size always give the same answer.
///
/// # Errors
/// [`RingError`] when the ring's producer changes what it has already published.
pub fn measure(
    ring: &Consumer,
    start: Cursor,
    end: Cursor,
    size_max: usize,
) -> Result<(Cursor, usize), RingError> {
    walk(ring, start, end, size_max, &mut |_, _, _| Ok(()))
}

/// Hands the body that lies between `start` and `reached` to `put`, piece by piece; [`measure`] has told
/// that it has `size` bytes. `put` says whether it could take them.
///
/// # Errors
/// [`RingError`] when the ring's producer changes what it has already published.
pub fn write(
    ring: &Consumer,
    sequence: u64,
    places: (Cursor, Cursor),
    size: usize,
    mut put: impl FnMut(&[u8]) -> bool,
) -> Result<(), RingError> {
    let mut put = |bytes: &[u8]| if put(bytes) { Ok(()) } else { Err(RingError::Entry) };
    let (start, reached) = places;
    let mut header = [0; DATA_HEADER_SIZE];
    DataHeader { sequence, first_index: start.index }.emit(&mut header);
    put(&header)?;
    let written = walk(ring, start, reached, size, &mut |cursor, entry, size| {
        let mut header = [0; FRAGMENT_HEADER_SIZE];
        Fragment::emit_header(entry, cursor.offset, as_offset(size), &mut header);
        put(&header)?;
        put(&ring.page(cursor.index)[usize::from(cursor.offset)..][..size])
    })?;
    if written == (reached, size) { Ok(()) } else { Err(RingError::Entry) }
}

/// Calls `each` with the place, the entry and the bytes of every fragment of a body.
fn walk(
    ring: &Consumer,
    start: Cursor,
    end: Cursor,
    size_max: usize,
    each: &mut dyn FnMut(Cursor, &Entry, usize) -> Result<(), RingError>,
) -> Result<(Cursor, usize), RingError> {
    let (mut cursor, mut used) = (start, DATA_HEADER_SIZE);
    while cursor < end {
        let entry = ring.entry(cursor.index)?;
        let Some(size) = fragment_size(&entry, cursor, end, size_max - used)? else { break };
        if used > DATA_HEADER_SIZE
            && size < FRAGMENT_BYTES_MIN
            && size < usize::from(entry.stored_size)
        {
            break;
        }
        each(cursor, &entry, size)?;
        used += FRAGMENT_HEADER_SIZE + size;
        cursor.offset += as_offset(size);
        if cursor.offset == entry.stored_size {
            cursor = Cursor::at(cursor.index + 1);
        }
    }
    Ok((cursor, used))
}

/// The body as [`write`] hands it over, in one place.
#[cfg(test)]
pub fn fill(
    ring: &Consumer,
    sequence: u64,
    start: Cursor,
    end: Cursor,
    body: &mut [u8],
) -> Result<(Cursor, usize), RingError> {
    let (reached, size) = measure(ring, start, end, body.len())?;
    let mut rest = &mut body[..size];
    write(ring, sequence, (start, reached), size, |bytes| {
        let place = rest.split_off_mut(..bytes.len()).expect("as measured");
        place.copy_from_slice(bytes);
        true
    })?;
    assert!(rest.is_empty(), "as measured");
    Ok((reached, size))
}

/// Bytes of the entry that fit into `room`, none if not one does.
fn fragment_size(
    entry: &Entry,
    cursor: Cursor,
    end: Cursor,
    room: usize,
) -> Result<Option<usize>, RingError> {
    let offset = usize::from(cursor.offset);
    let mut stop = usize::from(entry.stored_size);
    if cursor.index == end.index {
        // Built anew, the frame ends within the entry as it did the first time.
        stop = stop.min(usize::from(end.offset));
    }
    if offset > 0 && offset >= stop {
        return Err(RingError::Entry);
    }
    let Some(room) = room.checked_sub(FRAGMENT_HEADER_SIZE) else { return Ok(None) };
    let size = (stop - offset).min(room);
    Ok((size > 0 || stop == 0).then_some(size))
}

fn as_offset(size: usize) -> u16 {
    const { assert!(PAGE_SIZE <= u16::MAX as usize) };
    let Ok(size) = u16::try_from(size) else { panic!("a fragment is at most a page") };
    size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Encoding, EntryKind, Ring};
    use crate::wire::Fragments;
    use proptest::prelude::*;

    const COUNT: u64 = 24;

    fn filled_ring(sizes: &[u16]) -> Consumer {
        let (mut producer, mut consumer) = Ring::create(COUNT).unwrap().into_both().unwrap();
        consumer.reset(COUNT);
        producer.begin().unwrap();
        producer.free_entries().unwrap();
        for (index, &size) in (0..).zip(sizes) {
            let byte = u8::try_from(index % 5).unwrap();
            producer.slot_mut().fill(byte);
            let page = Entry::raw(EntryKind::Page, 1, index, 4096);
            producer.push(&match size {
                0 if index % 2 == 0 => Entry::raw(EntryKind::EpochEnd, 1, index, 0),
                0 => page.encoded(Encoding::Zero, 0),
                4096 => page,
                size if size % 3 == 0 => page.encoded(Encoding::Lz4, size),
                size => Entry::raw(EntryKind::State, 1, index, size),
            });
        }
        producer.publish();
        consumer.available().unwrap();
        consumer
    }

    proptest! {
        #[test]
        fn frames_carry_every_byte_once_and_can_be_built_again(
            sizes in proptest::collection::vec(prop_oneof![Just(4096u16), Just(0), 1u16..4096], 1..24),
            body_size in 200usize..9000,
        ) {
            let ring = filled_ring(&sizes);
            let end = Cursor::at(sizes.len() as u64);
            let (mut cursor, mut sequence) = (Cursor::default(), 0);
            let mut carried = vec![0; sizes.len()];
            while cursor < end {
                let mut body = vec![0xee; body_size];
                let (reached, used) = fill(&ring, sequence, cursor, end, &mut body).unwrap();
                prop_assert!(reached > cursor);
                let mut again = vec![0xdd; body_size];
                prop_assert_eq!(fill(&ring, sequence, cursor, reached, &mut again), Ok((reached, used)));
                prop_assert_eq!(&again[..used], &body[..used]);
                let (header, fragments) = Fragments::parse(&body[..used]).unwrap();
                prop_assert_eq!((header.sequence, header.first_index), (sequence, cursor.index));
                for fragment in fragments {
                    let place = usize::try_from(fragment.index).unwrap();
                    prop_assert_eq!(usize::from(fragment.offset), carried[place]);
                    let byte = u8::try_from(fragment.index % 5).unwrap();
                    prop_assert!(fragment.bytes.iter().all(|&it| it == byte));
                    carried[place] += fragment.bytes.len();
                    prop_assert_eq!(fragment.entry, ring.entry(fragment.index).unwrap());
                }
                (cursor, sequence) = (reached, sequence + 1);
            }
            for (&size, &carried) in sizes.iter().zip(&carried) {
                prop_assert_eq!(carried, usize::from(size));
            }
        }
    }

    #[test]
    fn a_page_takes_three_frames_of_an_ordinary_mtu() {
        let ring = filled_ring(&[0, 4096]);
        let mut body = [0; 1500 - crate::wire::OVERHEAD_SIZE];
        let (mut cursor, mut count) = (Cursor::at(1), 0);
        while cursor < Cursor::at(2) {
            (cursor, _) = fill(&ring, count, cursor, Cursor::at(2), &mut body).unwrap();
            count += 1;
        }
        assert_eq!(count, 3);
    }

    /// What the body of a frame comes to when `change` is made between the two looks at the ring.
    fn written(change: impl FnOnce(&mut Consumer)) -> Result<usize, RingError> {
        let mut ring = filled_ring(&[4096, 0, 4096, 4096]);
        let end = Cursor::at(4);
        let (reached, size) = measure(&ring, Cursor::default(), end, 8900).unwrap();
        change(&mut ring);
        let mut left = size;
        write(&ring, 0, (Cursor::default(), reached), size, |bytes| {
            let fits = bytes.len() <= left;
            left -= if fits { bytes.len() } else { 0 };
            fits
        })?;
        Ok(left)
    }

    #[test]
    fn an_entry_that_changes_while_it_is_sent_is_an_error_or_of_no_effect() {
        let page = Entry::raw(EntryKind::Page, 1, 0, 4096);
        assert_eq!(written(|_| {}), Ok(0));
        assert_eq!(
            written(|ring| ring.rewrite(0, &page.encoded(Encoding::Zero, 0))),
            Err(RingError::Entry)
        );
        assert_eq!(
            written(|ring| ring.rewrite(0, &page.encoded(Encoding::Lz4, 4000))),
            Err(RingError::Entry)
        );
        assert_eq!(written(|ring| ring.rewrite(1, &page)), Err(RingError::Entry));
        // As many bytes, cut otherwise: a frame that has its size, and that the peer refuses or takes.
        let both = |ring: &mut Consumer| {
            ring.rewrite(0, &page.encoded(Encoding::Lz4, 96));
            ring.rewrite(1, &page.encoded(Encoding::Lz4, 4000));
        };
        assert_eq!(written(both), Ok(0));
    }
}
