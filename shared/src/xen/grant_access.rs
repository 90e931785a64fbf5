//! This domain's own grants, version 1: which of its pages other domains may access (grant_table.h).
//!
//! The table lies in frames that this domain shares with Xen; where, is the platform's hypercall. An
//! entry is made by one store and taken back by one compare-exchange, which fails while Xen has the
//! page mapped for the other domain. Nobody can force that domain, so a page whose grant is in use
//! stays what it was granted for: whoever granted it asks again later.

use core::fmt;
use core::sync::atomic::Ordering;

use heapless::Vec;

use super::grant_table::{
    ENTRY_V1_COUNT, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING, GrantEntryV1,
};
use super::{Domid, GuestPage};
use crate::limits::OWN_GRANT_FRAME_COUNT_MAX;

/// The first entries are the toolstack's: console and xenstore (GNTTAB_NR_RESERVED_ENTRIES).
const RESERVED_ENTRY_COUNT: usize = 8;
const ENTRY_COUNT_MAX: usize = OWN_GRANT_FRAME_COUNT_MAX * ENTRY_V1_COUNT;
/// Xen changes an entry's flags when the other domain maps or unmaps. One that does so at every
/// attempt to end its access is using the page.
const END_ATTEMPT_COUNT_MAX: u32 = 8;

/// The number of a grant (grant_ref_t), as the other domain is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantReference(u32);

impl GrantReference {
    /// The number itself.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What the other domain may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantAccess {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

/// Why a grant is not as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// Every entry of the table is taken.
    Full,
    /// The page lies beyond what an entry of version 1 can name: 16 TiB.
    FrameNumber,
    /// The other domain has the page mapped.
    InUse,
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GrantError::Full => "the grant table is full: use fewer interfaces",
            GrantError::FrameNumber => {
                "the page lies above 16 TiB: give the stub domain less memory"
            }
            GrantError::InUse => {
                "the other domain still has the page mapped: stop its backend, or destroy it"
            }
        })
    }
}

impl core::error::Error for GrantError {}

/// The table.
#[derive(Debug)]
pub struct GrantTable<'m> {
    frames: Vec<GuestPage<'m>, OWN_GRANT_FRAME_COUNT_MAX>,
    /// A bit for each entry: it is given, or not to be had.
    taken: [u64; ENTRY_COUNT_MAX / 64],
}

impl<'m> GrantTable<'m> {
    /// The table in these frames, in order; more than [`OWN_GRANT_FRAME_COUNT_MAX`] are not used.
    /// Entries that say anything already stay as they are.
    #[must_use]
    pub fn new(frames: &[GuestPage<'m>]) -> Self {
        let mut table = Self { frames: Vec::new(), taken: [u64::MAX; ENTRY_COUNT_MAX / 64] };
        table.frames.extend(frames.iter().copied().take(OWN_GRANT_FRAME_COUNT_MAX));
        for entry in RESERVED_ENTRY_COUNT..table.frames.len() * ENTRY_V1_COUNT {
            if table.word(entry).load(Ordering::Acquire) == 0 {
                table.set_taken(entry, false);
            }
        }
        table
    }

    /// Lets `domid` access the page at `gfn`, until [`GrantTable::end_access`].
    ///
    /// # Errors
    /// [`GrantError::Full`], [`GrantError::FrameNumber`].
    pub fn grant_access(
        &mut self,
        domid: Domid,
        gfn: u64,
        access: GrantAccess,
    ) -> Result<GrantReference, GrantError> {
        let frame = u32::try_from(gfn).map_err(|_| GrantError::FrameNumber)?;
        let group =
            self.taken.iter().position(|group| *group != u64::MAX).ok_or(GrantError::Full)?;
        let entry = group * 64 + self.taken[group].trailing_ones() as usize;
        let flags = match access {
            GrantAccess::ReadOnly => GTF_PERMIT_ACCESS | GTF_READONLY,
            GrantAccess::ReadWrite => GTF_PERMIT_ACCESS,
        };
        self.set_taken(entry, true);
        // In one store, so that Xen never sees the flags without the rest.
        let word = GrantEntryV1 { flags, domid, frame }.to_word();
        self.word(entry).store(word, Ordering::Release);
        Ok(GrantReference(u32::try_from(entry).expect("a table has few frames")))
    }

    /// Takes the access back.
    ///
    /// # Errors
    /// [`GrantError::InUse`]; nothing is changed then.
    ///
    /// # Panics
    /// If the reference is not one that is given.
    pub fn end_access(&mut self, reference: GrantReference) -> Result<(), GrantError> {
        let entry = reference.0 as usize;
        assert!(self.is_taken(entry), "a grant is ended once");
        for _ in 0..END_ATTEMPT_COUNT_MAX {
            let word = self.word(entry).load(Ordering::Acquire);
            if GrantEntryV1::from_word(word).flags & (GTF_READING | GTF_WRITING) != 0 {
                return Err(GrantError::InUse);
            }
            let (done, seen) = (Ordering::SeqCst, Ordering::Relaxed);
            if self.word(entry).compare_exchange(word, 0, done, seen).is_ok() {
                self.set_taken(entry, false);
                return Ok(());
            }
        }
        Err(GrantError::InUse)
    }

    /// How many more grants there is room for.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.taken.iter().map(|group| group.count_zeros() as usize).sum()
    }

    fn word(&self, entry: usize) -> &core::sync::atomic::AtomicU64 {
        self.frames[entry / ENTRY_V1_COUNT].word64(entry % ENTRY_V1_COUNT * size_of::<u64>())
    }

    fn is_taken(&self, entry: usize) -> bool {
        self.taken[entry / 64] & 1 << (entry % 64) != 0
    }

    fn set_taken(&mut self, entry: usize, taken: bool) {
        let group = &mut self.taken[entry / 64];
        if taken { *group |= 1 << (entry % 64) } else { *group &= !(1 << (entry % 64)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    type Frame = [AtomicU64; ENTRY_V1_COUNT];

    fn empty() -> Frame {
        [const { AtomicU64::new(0) }; ENTRY_V1_COUNT]
    }

    #[test]
    fn an_entry_is_written_as_xen_reads_it() {
        let frame = empty();
        let mut table = GrantTable::new(&[GuestPage::from_words(&frame)]);
        let reference = table.grant_access(3, 0x1234, GrantAccess::ReadOnly).unwrap();
        assert_eq!(reference.number(), 8);
        assert_eq!(frame[8].load(Ordering::Relaxed), 0x0000_1234_0003_0005);
        let reference = table.grant_access(0, 0xffff_ffff, GrantAccess::ReadWrite).unwrap();
        assert_eq!(frame[9].load(Ordering::Relaxed), 0xffff_ffff_0000_0001);
        table.end_access(reference).unwrap();
        assert_eq!(frame[9].load(Ordering::Relaxed), 0);
        let beyond = table.grant_access(0, 1 << 32, GrantAccess::ReadWrite);
        assert_eq!(beyond, Err(GrantError::FrameNumber));
    }

    #[test]
    fn a_grant_in_use_is_kept() {
        let frame = empty();
        let mut table = GrantTable::new(&[GuestPage::from_words(&frame)]);
        let reference = table.grant_access(1, 5, GrantAccess::ReadWrite).unwrap();
        for flags in [GTF_READING, GTF_WRITING, GTF_READING | GTF_WRITING] {
            frame[8].fetch_or(u64::from(flags), Ordering::Relaxed);
            assert_eq!(table.end_access(reference), Err(GrantError::InUse));
            assert_eq!(frame[8].load(Ordering::Relaxed), 0x0000_0005_0001_0001 | u64::from(flags));
            frame[8].fetch_and(!u64::from(flags), Ordering::Relaxed);
        }
        assert_eq!(table.end_access(reference), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_spares_what_is_not_its_own() {
        let frames = [empty(), empty()];
        frames[0][1].store(0xfeffc << 32 | 1, Ordering::Relaxed);
        frames[1][0].store(7, Ordering::Relaxed);
        let pages = frames.each_ref().map(GuestPage::from_words);
        let mut table = GrantTable::new(&pages);
        assert_eq!(table.free_count(), 2 * 512 - 8 - 1);
        let mut given = std::vec::Vec::new();
        while let Ok(reference) = table.grant_access(2, 9, GrantAccess::ReadWrite) {
            given.push(reference);
        }
        assert_eq!((given.len(), table.free_count()), (2 * 512 - 8 - 1, 0));
        assert_eq!(frames[1][0].load(Ordering::Relaxed), 7);
        table.end_access(given[600]).unwrap();
        assert_eq!(table.grant_access(2, 9, GrantAccess::ReadOnly), Ok(given[600]));
    }

    #[test]
    fn a_grant_without_a_table_is_refused() {
        let mut table = GrantTable::new(&[]);
        assert_eq!(table.grant_access(0, 0, GrantAccess::ReadOnly), Err(GrantError::Full));
    }

    #[test]
    #[should_panic(expected = "ended once")]
    fn a_grant_is_not_ended_twice() {
        let frame = empty();
        let mut table = GrantTable::new(&[GuestPage::from_words(&frame)]);
        let reference = table.grant_access(1, 5, GrantAccess::ReadWrite).unwrap();
        table.end_access(reference).unwrap();
        let _ = table.end_access(reference);
    }
}
