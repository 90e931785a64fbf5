//! Data: ring entries, cut into fragments.
//!
//! A frame carries a run of entries. Its first fragment may continue an entry that the frame before
//! has begun, its last one may be continued in the next frame; those in between are whole. The same
//! sequence number always means the same bytes.

use super::Malformed;
use super::bytes::{Reader, Writer};
use crate::ring::{Encoding, Entry, EntryKind};

/// Bytes before the first fragment.
pub const DATA_HEADER_SIZE: usize = 16;
/// Bytes before each fragment's bytes.
pub const FRAGMENT_HEADER_SIZE: usize = 26;

/// What a Data body starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// Counts the data frames of a session from 0; sent again, a frame keeps it.
    pub sequence: u64,
    /// Ring index of the first fragment's entry.
    pub first_index: u64,
}

impl DataHeader {
    /// Writes the header to the front of `body`.
    pub fn emit(&self, body: &mut [u8]) {
        let mut writer = Writer::new(body);
        writer.put(&self.sequence.to_le_bytes());
        writer.put(&self.first_index.to_le_bytes());
    }
}

/// A part of one entry, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Ring index of the entry.
    pub index: u64,
    /// The entry's descriptor.
    pub entry: Entry,
    /// Where the bytes lie in the entry.
    pub offset: u16,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Fragment<'_> {
    /// Whether these are the entry's last bytes.
    #[must_use]
    pub fn ends_entry(&self) -> bool {
        usize::from(self.offset) + self.bytes.len() == usize::from(self.entry.stored_size)
    }

    /// Writes a fragment's header to the front of `target`: `size` bytes of `entry` from `offset`
    /// on will follow it.
    pub fn emit_header(entry: &Entry, offset: u16, size: u16, target: &mut [u8]) {
        let fits = usize::from(offset) + usize::from(size) <= usize::from(entry.stored_size);
        assert!(fits, "a fragment lies in its entry");
        let mut writer = Writer::new(target);
        writer.put(&[entry.kind as u8, entry.encoding as u8]);
        for number in [entry.length, entry.stored_size, offset, size] {
            writer.put(&number.to_le_bytes());
        }
        writer.put(&entry.epoch.to_le_bytes());
        writer.put(&entry.address.to_le_bytes());
    }

    fn parse<'a>(reader: &mut Reader<'a>, index: u64) -> Result<Fragment<'a>, Malformed> {
        let kind = EntryKind::from_number(reader.u8()?).ok_or(Malformed)?;
        let encoding = Encoding::from_number(reader.u8()?).ok_or(Malformed)?;
        let (length, stored_size) = (reader.u16()?, reader.u16()?);
        let (offset, size) = (reader.u16()?, reader.u16()?);
        let (epoch, address) = (reader.u64()?, reader.u64()?);
        let entry = Entry { kind, encoding, length, stored_size, epoch, address };
        let fragment = Fragment { index, entry, offset, bytes: reader.take(usize::from(size))? };
        let end = usize::from(offset) + usize::from(size);
        let stored_size = usize::from(stored_size);
        let empty = size == 0 && stored_size != 0;
        let possible = entry.is_consistent() && end <= stored_size && !empty;
        if possible { Ok(fragment) } else { Err(Malformed) }
    }
}

/// The fragments of one frame, all checked.
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    reader: Reader<'a>,
    next_index: u64,
}

impl<'a> Fragments<'a> {
    /// Reads a Data body. Every fragment is checked before the first one is handed out.
    ///
    /// # Errors
    /// [`Malformed`] when there is no fragment, or one cannot be or is not where it may be.
    pub fn parse(body: &'a [u8]) -> Result<(DataHeader, Self), Malformed> {
        let mut reader = Reader::new(body);
        let header = DataHeader { sequence: reader.u64()?, first_index: reader.u64()? };
        let fragments = Self { reader, next_index: header.first_index };
        let mut checked = fragments.clone();
        let mut index = header.first_index;
        loop {
            let fragment = Fragment::parse(&mut checked.reader, index)?;
            let last = checked.reader.rest().is_empty();
            let in_place = index == header.first_index || fragment.offset == 0;
            if !in_place || !(last || fragment.ends_entry()) {
                return Err(Malformed);
            }
            index = index.checked_add(1).ok_or(Malformed)?;
            if last {
                return Ok((header, fragments));
            }
        }
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Fragment<'a>> {
        if self.reader.rest().is_empty() {
            return None;
        }
        let fragment = Fragment::parse(&mut self.reader, self.next_index).ok()?;
        self.next_index += 1;
        Some(fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn emit(header: DataHeader, fragments: &[(Entry, u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![0; DATA_HEADER_SIZE];
        header.emit(&mut body);
        for (entry, offset, bytes) in fragments {
            let mut fragment = vec![0; FRAGMENT_HEADER_SIZE];
            let size = u16::try_from(bytes.len()).unwrap();
            Fragment::emit_header(entry, *offset, size, &mut fragment);
            body.extend(fragment);
            body.extend(bytes);
        }
        body
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_survive(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((header, fragments)) = Fragments::parse(&body) {
                let all: Vec<_> =
                    fragments.map(|it| (it.entry, it.offset, it.bytes.to_vec())).collect();
                prop_assert_eq!(emit(header, &all), body);
            }
        }

        #[test]
        fn broken_frames_never_panic(position in 0usize..200, value: u8) {
            let state = Entry::raw(EntryKind::State, 3, 4, 50);
            let page = Entry::raw(EntryKind::Page, 3, 9, 4096);
            let (zero, delta) = (page.encoded(Encoding::Zero, 0), page.encoded(Encoding::Delta, 20));
            let header = DataHeader { sequence: 1, first_index: 2 };
            let mut body = emit(header, &[(state, 10, vec![1; 40]), (zero, 0, vec![]), (delta, 0, vec![3; 20]), (state, 0, vec![2; 20])]);
            let position = position % body.len();
            body[position] = value;
            if let Ok((header, fragments)) = Fragments::parse(&body) {
                let all: Vec<_> =
                    fragments.map(|it| (it.entry, it.offset, it.bytes.to_vec())).collect();
                prop_assert_eq!(emit(header, &all), body);
            }
        }
    }

    #[test]
    fn fragments_are_only_where_they_may_be() {
        let header = DataHeader { sequence: 7, first_index: 40 };
        let page = Entry::raw(EntryKind::Page, 1, 5, 4096);
        let end = Entry::raw(EntryKind::EpochEnd, 1, 9, 0);
        let parse = |fragments: &[(Entry, u16, Vec<u8>)]| {
            let body = emit(header, fragments);
            let parsed = Fragments::parse(&body);
            parsed.map(|(_, fragments)| fragments.map(|it| it.index).collect::<Vec<_>>())
        };
        let (tail, whole, head) = (vec![1; 96], vec![2; 4096], vec![3; 4000]);
        let good = [
            (page, 4000, tail.clone()),
            (page, 0, whole),
            (end, 0, vec![]),
            (page, 0, head.clone()),
        ];
        assert_eq!(parse(&good), Ok(vec![40, 41, 42, 43]));
        assert_eq!(parse(&[]), Err(Malformed));
        assert_eq!(parse(&[(page, 0, head.clone()), (end, 0, vec![])]), Err(Malformed));
        assert_eq!(parse(&[(end, 0, vec![]), (page, 4000, tail)]), Err(Malformed));
        assert_eq!(parse(&[(page, 0, vec![])]), Err(Malformed));
        let last = DataHeader { sequence: 7, first_index: u64::MAX };
        assert!(Fragments::parse(&emit(last, &[(end, 0, vec![])])).is_err());
    }
}
