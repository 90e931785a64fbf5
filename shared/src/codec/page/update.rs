//! What an entry does to the page that the twin has.

use super::compression::unpack;
use super::delta::Delta;
use crate::limits::PAGE_SIZE;
use crate::ring::Encoding;

/// A page's next version, as it is told to whoever has the last one.
#[derive(Clone, Copy, Debug)]
pub enum PageUpdate<'a> {
    /// These bytes, whatever was there.
    Whole(&'a [u8; PAGE_SIZE]),
    /// Zeros, whatever was there.
    Zeros,
    /// The last version, changed in some words.
    Changes(Delta<'a>),
    /// The last version.
    Nothing,
}

impl<'a> PageUpdate<'a> {
    /// Reads the bytes of an entry, any bytes; `room` takes what is compressed in them. None when they
    /// are none of their encoding.
    #[must_use]
    pub fn read(
        encoding: Encoding,
        stored: &'a [u8],
        room: &'a mut [u8; PAGE_SIZE],
    ) -> Option<Self> {
        let (plain, bytes) = unpack(encoding, stored, room)?;
        Some(match plain {
            Encoding::Zero => Self::Zeros,
            Encoding::Unchanged => Self::Nothing,
            Encoding::Delta => Self::Changes(Delta::parse(bytes)?),
            Encoding::Raw | Encoding::Lz4 | Encoding::DeltaLz4 => {
                Self::Whole(bytes.try_into().ok()?)
            }
        })
    }

    /// Whether it says nothing without the last version.
    #[must_use]
    pub const fn is_relative(&self) -> bool {
        matches!(self, Self::Changes(_) | Self::Nothing)
    }

    /// Brings `page`, the last version, up to date.
    pub fn apply(&self, page: &mut [u8; PAGE_SIZE]) {
        match self {
            Self::Whole(bytes) => *page = **bytes,
            Self::Zeros => page.fill(0),
            Self::Changes(delta) => {
                let (words, _) = page.as_chunks_mut::<8>();
                delta.changes().for_each(|(place, bytes)| words[place] = bytes);
            }
            Self::Nothing => {}
        }
    }
}
