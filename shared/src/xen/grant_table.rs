//! Grant tables: what their entries say (grant_table.h). Where a domain's lie: `grant_table_op`; a
//! domain's own: `grant_access`.

use core::sync::atomic::Ordering;

use super::{Domid, GuestPage};
use crate::limits::PAGE_SIZE;

/// Entries of version 1 in a frame.
pub const ENTRY_V1_COUNT: usize = PAGE_SIZE / size_of::<u64>();

/// What kind of grant an entry is, in the low two bits of its flags (GTF_type_mask).
pub const GTF_TYPE_MASK: u16 = 3;
/// The other domain may access the frame (GTF_permit_access).
pub const GTF_PERMIT_ACCESS: u16 = 1;
/// It may only read (GTF_readonly).
pub const GTF_READONLY: u16 = 1 << 2;
/// It has the frame mapped or pinned for reading (GTF_reading); Xen sets it.
pub const GTF_READING: u16 = 1 << 3;
/// It has the frame mapped or pinned for writing (GTF_writing); Xen sets it.
pub const GTF_WRITING: u16 = 1 << 4;

/// An entry of version 1 (struct grant_entry_v1); its index in the table is the gntref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantEntryV1 {
    /// GTF_*.
    pub flags: u16,
    /// The domain that is granted access.
    pub domid: Domid,
    /// Gfn of the granted page.
    pub frame: u32,
}

impl GrantEntryV1 {
    /// The entry in a word of the table as it lies in memory.
    #[must_use]
    pub const fn from_word(word: u64) -> GrantEntryV1 {
        let [flags_low, flags_high, domid_low, domid_high, frame @ ..] = word.to_le_bytes();
        GrantEntryV1 {
            flags: u16::from_le_bytes([flags_low, flags_high]),
            domid: u16::from_le_bytes([domid_low, domid_high]),
            frame: u32::from_le_bytes(frame),
        }
    }

    /// The entry as it lies in memory.
    #[must_use]
    pub const fn to_word(&self) -> u64 {
        self.flags as u64 | (self.domid as u64) << 16 | (self.frame as u64) << 32
    }

    /// Whether the other domain can write the page at this moment without Xen or log-dirty
    /// seeing it.
    #[must_use]
    pub const fn is_mapped_writable(&self) -> bool {
        self.flags & GTF_TYPE_MASK == GTF_PERMIT_ACCESS && self.flags & GTF_WRITING != 0
    }

    /// Whether the other domain has the page mapped, for reading or writing.
    #[must_use]
    pub const fn is_mapped(&self) -> bool {
        self.flags & GTF_TYPE_MASK == GTF_PERMIT_ACCESS
            && self.flags & (GTF_READING | GTF_WRITING) != 0
    }
}

/// The 512 entries of one frame of a version 1 table, in order.
pub fn grant_entries_v1(frame: GuestPage<'_>) -> impl Iterator<Item = GrantEntryV1> {
    frame.words().iter().map(|word| GrantEntryV1::from_word(word.load(Ordering::Acquire)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_lie() {
        // flags 0x19 (permit_access, reading, writing), domid 2, gfn 0x1234.
        let entry = GrantEntryV1::from_word(0x0000_1234_0002_0019);
        assert_eq!(entry, GrantEntryV1 { flags: 0x19, domid: 2, frame: 0x1234 });
        assert_eq!(entry.to_word(), 0x0000_1234_0002_0019);
        assert!(entry.is_mapped_writable() && entry.is_mapped());
        assert!(!GrantEntryV1 { flags: 0x0d, ..entry }.is_mapped_writable());
        assert!(!GrantEntryV1 { flags: 0x18, ..entry }.is_mapped());
    }

    #[test]
    fn a_frame_has_512_entries() {
        let words = [const { core::sync::atomic::AtomicU64::new(0) }; ENTRY_V1_COUNT];
        words[8].store(0x0000_00aa_0000_0001, Ordering::Relaxed);
        let mut entries = grant_entries_v1(GuestPage::from_words(&words));
        assert_eq!(entries.nth(8).map(|entry| entry.frame), Some(0xaa));
        assert_eq!(entries.count(), ENTRY_V1_COUNT - 9);
    }
}
