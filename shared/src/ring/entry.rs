//! What an entry is, and how its descriptor is written down in the shared region.

use core::fmt;

use crate::limits::PAGE_SIZE;

/// Words in a descriptor.
pub const ENTRY_WORD_COUNT: usize = 4;
/// Bytes of a descriptor.
pub const ENTRY_SIZE: usize = ENTRY_WORD_COUNT * 8;

/// What the bytes of an entry are. The numbers also travel on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// The encoded `DomainDescription`; a session's first entry. Address 0.
    Description = 1,
    /// A part of the xl configuration's text. `address` is its byte offset.
    Config = 2,
    /// A page of guest memory, always 4096 bytes. `address` is its gfn.
    Page = 3,
    /// A part of the encoded `CheckpointState`. `address` is its byte offset.
    State = 4,
    /// A part of the HVM context. `address` is its byte offset.
    HvmContext = 5,
    /// The epoch is over. `address` is the number of its entries, this one included; no bytes.
    EpochEnd = 6,
    /// Rehearsals only: `address` is the digest of the guest's memory at the end of the epoch; no
    /// bytes.
    Digest = 7,
    /// The same for the last epoch, after which the backup shall look at all of its memory.
    DigestOfAll = 8,
}

impl EntryKind {
    /// The kind with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Description,
            2 => Self::Config,
            3 => Self::Page,
            4 => Self::State,
            5 => Self::HvmContext,
            6 => Self::EpochEnd,
            7 => Self::Digest,
            8 => Self::DigestOfAll,
            _ => return None,
        })
    }
}

/// How the bytes of an entry lie in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// As they are.
    Raw = 0,
    /// Every byte is zero; the slot holds nothing of meaning. Pages only, as are all that follow.
    Zero = 1,
    /// The page is as it was when it was sent last in this session; the slot holds nothing.
    Unchanged = 2,
    /// Its changes since it was sent last in this session, see `codec::page::Delta`.
    Delta = 3,
    /// An LZ4 block of the whole page.
    Lz4 = 4,
    /// An LZ4 block of what [`Self::Delta`] would hold.
    DeltaLz4 = 5,
}

impl Encoding {
    /// The encoding with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Raw,
            1 => Self::Zero,
            2 => Self::Unchanged,
            3 => Self::Delta,
            4 => Self::Lz4,
            5 => Self::DeltaLz4,
            _ => return None,
        })
    }

    /// Whether it says nothing without the page's last version.
    #[must_use]
    pub const fn is_relative(self) -> bool {
        matches!(self, Self::Unchanged | Self::Delta | Self::DeltaLz4)
    }
}

/// One entry's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it carries.
    pub kind: EntryKind,
    /// How the bytes lie in the slot.
    pub encoding: Encoding,
    /// Bytes that it stands for, at most 4096; a page has 4096 in every encoding.
    pub length: u16,
    /// Bytes that lie in the slot, from its start on, and that travel.
    pub stored_size: u16,
    /// The epoch that it belongs to.
    pub epoch: u64,
    /// Which page or part; its meaning depends on the kind.
    pub address: u64,
}

impl Entry {
    /// An entry whose bytes lie in the slot as they are.
    #[must_use]
    pub const fn raw(kind: EntryKind, epoch: u64, address: u64, length: u16) -> Self {
        Self { kind, encoding: Encoding::Raw, length, stored_size: length, epoch, address }
    }

    /// The same entry in another encoding.
    #[must_use]
    pub const fn encoded(self, encoding: Encoding, stored_size: u16) -> Self {
        Self { encoding, stored_size, ..self }
    }

    /// Whether kind, encoding and sizes go together.
    #[must_use]
    pub const fn is_consistent(&self) -> bool {
        let length_fits = match self.kind {
            EntryKind::Page => self.length as usize == PAGE_SIZE,
            EntryKind::EpochEnd | EntryKind::Digest | EntryKind::DigestOfAll => self.length == 0,
            _ => self.length as usize <= PAGE_SIZE,
        };
        let is_page = matches!(self.kind, EntryKind::Page);
        length_fits
            && match self.encoding {
                Encoding::Raw => self.stored_size == self.length,
                Encoding::Zero | Encoding::Unchanged => is_page && self.stored_size == 0,
                Encoding::Delta | Encoding::Lz4 | Encoding::DeltaLz4 => {
                    is_page && self.stored_size > 0 && (self.stored_size as usize) < PAGE_SIZE
                }
            }
    }

    pub(super) const fn to_words(self) -> [u64; ENTRY_WORD_COUNT] {
        let numbers = self.kind as u64 | (self.encoding as u64) << 8;
        let sizes = (self.length as u64) << 16 | (self.stored_size as u64) << 32;
        [numbers | sizes, self.epoch, self.address, 0]
    }

    pub(super) fn from_words(words: [u64; ENTRY_WORD_COUNT]) -> Result<Self, RingError> {
        let [kind, encoding, length_low, length_high, stored_low, stored_high, ..] =
            words[0].to_le_bytes();
        let entry = Self {
            kind: EntryKind::from_number(kind).ok_or(RingError::Entry)?,
            encoding: Encoding::from_number(encoding).ok_or(RingError::Entry)?,
            length: u16::from_le_bytes([length_low, length_high]),
            stored_size: u16::from_le_bytes([stored_low, stored_high]),
            epoch: words[1],
            address: words[2],
        };
        if entry.is_consistent() { Ok(entry) } else { Err(RingError::Entry) }
    }
}

/// The other half broke the ring's rules: its program is damaged or taken over. Nothing that it
/// says can be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// Its index went backwards, or further than the capacity allows.
    Index,
    /// The capacity is beyond the ring's limit, or was changed when it may not be.
    Capacity,
    /// A descriptor has an unknown kind or encoding, or sizes that do not fit them.
    Entry,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Index => "an index",
            Self::Capacity => "the capacity",
            Self::Entry => "a descriptor",
        };
        write!(
            f,
            "the other half of this helper wrote {what} that cannot be into the page ring: "
        )?;
        f.write_str("do not trust this host until it is examined")
    }
}

impl core::error::Error for RingError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_words_are_refused_or_survive(words: [u64; ENTRY_WORD_COUNT]) {
            if let Ok(entry) = Entry::from_words(words) {
                prop_assert!(entry.is_consistent());
                prop_assert_eq!(Entry::from_words(entry.to_words()), Ok(entry));
            }
        }

        #[test]
        fn entries_survive(kind in 1u8..=5, length in 0u16..=4096, epoch: u64, address: u64) {
            let kind = EntryKind::from_number(kind).unwrap();
            let length = if kind == EntryKind::Page { 4096 } else { length };
            let entry = Entry::raw(kind, epoch, address, length);
            prop_assert_eq!(Entry::from_words(entry.to_words()), Ok(entry));
        }

        #[test]
        fn sizes_must_fit_the_encoding(encoding in 0u8..=5, stored_size in 0u16..=4097) {
            let encoding = Encoding::from_number(encoding).unwrap();
            let page = Entry::raw(EntryKind::Page, 1, 2, 4096).encoded(encoding, stored_size);
            let fits = match encoding {
                Encoding::Raw => stored_size == 4096,
                Encoding::Zero | Encoding::Unchanged => stored_size == 0,
                Encoding::Delta | Encoding::Lz4 | Encoding::DeltaLz4 => {
                    (1..4096).contains(&stored_size)
                }
            };
            prop_assert_eq!(page.is_consistent(), fits);
            prop_assert_eq!(Entry::from_words(page.to_words()), if fits { Ok(page) } else { Err(RingError::Entry) });
            let state = Entry::raw(EntryKind::State, 1, 0, 4096).encoded(encoding, stored_size);
            prop_assert_eq!(state.is_consistent(), fits && encoding == Encoding::Raw);
        }
    }

    #[test]
    fn numbers_are_pinned() {
        for number in 0..=u8::MAX {
            assert_eq!(
                EntryKind::from_number(number).map_or(0, |kind| kind as u8) != 0,
                (1..=8).contains(&number)
            );
        }
        assert_eq!(EntryKind::EpochEnd as u8, 6);
        assert_eq!(EntryKind::Page as u8, 3);
        for number in 0..=u8::MAX {
            let encoding = Encoding::from_number(number).map(|encoding| encoding as u8);
            assert_eq!(encoding, (number <= 5).then_some(number));
        }
        assert_eq!([Encoding::Zero, Encoding::Delta, Encoding::Lz4].map(|it| it as u8), [1, 3, 4]);
        let page = Entry::raw(EntryKind::Page, 2, 3, 4096).encoded(Encoding::Delta, 0x123);
        assert_eq!(page.to_words(), [0x0123_1000_0303, 2, 3, 0]);
    }

    #[test]
    fn lengths_must_fit_the_kind() {
        assert!(!Entry::raw(EntryKind::Page, 1, 0, 4095).is_consistent());
        assert!(!Entry::raw(EntryKind::EpochEnd, 1, 0, 1).is_consistent());
        assert!(!Entry::raw(EntryKind::State, 1, 0, 4097).is_consistent());
    }
}
