//! The replica: what stands in for a twin in a rehearsal, memory of this process and no more.
//!
//! Its digest is kept up to date as pages are written, from what was there and what comes, and is held
//! against the guest's after each epoch; at the end the digest of all memory, read anew, is too.

use core::sync::atomic::Ordering;

use super::staging::EpochDigest;
use super::twin_memory::{NoMemoryAt, TwinMemory};
use crate::codec::page::PageUpdate;
use crate::limits::PAGE_SIZE;
use crate::platform::linux::memory::{MemoryError, SharedMemory};
use crate::rehearsal::Digest;

/// A rehearsed guest's memory as the epochs have left it.
#[derive(Debug)]
pub struct Replica {
    memory: SharedMemory,
    digest: Digest,
    verified_epoch: u64,
}

/// The replica is not what the guest's memory was at the end of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The epoch.
    pub epoch: u64,
    /// What was written is right, but memory does not hold it.
    pub is_memory: bool,
}

impl Replica {
    /// Memory of `gfn_count` pages of zeros, taken from the kernel and locked.
    ///
    /// # Errors
    /// [`MemoryError`] when there is too little.
    pub fn create(gfn_count: u64) -> Result<Self, MemoryError> {
        let page_count = usize::try_from(gfn_count).unwrap_or(usize::MAX);
        let size = page_count.saturating_mul(PAGE_SIZE);
        let mut memory = SharedMemory::map(size)?;
        memory.populate(0..size)?;
        Ok(Self { memory, digest: Digest::ZEROS, verified_epoch: 0 })
    }

    /// The newest epoch that was found equal.
    #[must_use]
    pub const fn verified_epoch(&self) -> u64 {
        self.verified_epoch
    }

    /// Holds the memory against the guest's digest of an epoch that was applied just now.
    ///
    /// # Errors
    /// [`Mismatch`] when it differs.
    pub fn verify(&mut self, guest: &EpochDigest) -> Result<(), Mismatch> {
        let epoch = guest.epoch;
        if self.digest != guest.digest {
            return Err(Mismatch { epoch, is_memory: false });
        }
        if guest.is_last && self.digest_of_all() != guest.digest {
            return Err(Mismatch { epoch, is_memory: true });
        }
        self.verified_epoch = epoch;
        Ok(())
    }

    fn digest_of_all(&self) -> Digest {
        let mut digest = Digest::ZEROS;
        for (gfn, start) in (0..).zip((0..self.memory.size()).step_by(PAGE_SIZE)) {
            for (index, word) in (0..).zip(self.memory.words(start..start + PAGE_SIZE)) {
                digest.change(gfn, index, 0, word.load(Ordering::Relaxed));
            }
        }
        digest
    }

    /// Where the page at `gfn` begins, if there is one.
    fn offset(&self, gfn: u64) -> Result<usize, NoMemoryAt> {
        let offset = usize::try_from(gfn).ok().and_then(|gfn| gfn.checked_mul(PAGE_SIZE));
        offset.filter(|&offset| offset < self.memory.size()).ok_or(NoMemoryAt(gfn))
    }
}

impl TwinMemory for Replica {
    fn provide_page(&mut self, gfn: u64) -> Result<(), NoMemoryAt> {
        self.offset(gfn).map(drop)
    }

    fn has_page(&self, gfn: u64) -> bool {
        self.offset(gfn).is_ok()
    }

    fn read_page(&self, gfn: u64, target: &mut [u8; PAGE_SIZE]) -> bool {
        let start = self.offset(gfn);
        start.inspect(|&start| self.memory.copy_out(start, target)).is_ok()
    }

    fn update_page(&mut self, gfn: u64, update: &PageUpdate<'_>) -> Result<(), NoMemoryAt> {
        let start = self.offset(gfn)?;
        let words = self.memory.words(start..start + PAGE_SIZE);
        let mut store = |(index, bytes): (usize, [u8; 8])| {
            let (old, new) = (words[index].load(Ordering::Relaxed), u64::from_le_bytes(bytes));
            if old != new {
                self.digest.change(gfn, index as u64, old, new);
                words[index].store(new, Ordering::Relaxed);
            }
        };
        match update {
            PageUpdate::Whole(page) => {
                page.as_chunks().0.iter().copied().enumerate().for_each(store);
            }
            PageUpdate::Zeros => (0..words.len()).for_each(|index| store((index, [0; 8]))),
            PageUpdate::Changes(delta) => delta.changes().for_each(store),
            PageUpdate::Nothing => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_all(replica: &Replica, epoch: u64) -> EpochDigest {
        EpochDigest { epoch, digest: replica.digest_of_all(), is_last: true }
    }

    proptest! {
        #[test]
        fn whatever_is_written_the_digest_is_that_of_memory(
            writes in proptest::collection::vec((0u64..8, any::<Option<u8>>(), 0..PAGE_SIZE), 1..30),
        ) {
            let mut replica = Replica::create(8).unwrap();
            for (gfn, value, place) in writes {
                let mut page = [value.unwrap_or(0); PAGE_SIZE];
                page[place] ^= 1;
                let update = value.map_or(PageUpdate::Zeros, |_| PageUpdate::Whole(&page));
                replica.update_page(gfn, &update).unwrap();
                prop_assert_eq!(replica.verify(&of_all(&replica, 5)), Ok(()));
            }
            prop_assert_eq!(replica.verified_epoch(), 5);
        }

        #[test]
        fn a_flipped_bit_is_found(gfn in 0u64..8, index in 0usize..512, bit in 0u32..64) {
            let mut replica = Replica::create(8).unwrap();
            replica.update_page(3, &PageUpdate::Whole(&[7; PAGE_SIZE])).unwrap();
            let guest = of_all(&replica, 9);
            let start = replica.offset(gfn).unwrap();
            let word = &replica.memory.words(start..start + PAGE_SIZE)[index];
            word.fetch_xor(1 << bit, Ordering::Relaxed);
            let found = replica.verify(&guest);
            prop_assert_eq!(found, Err(Mismatch { epoch: 9, is_memory: true }));
            // Also when the page that holds it is written the next time, whatever comes.
            replica.update_page(gfn, &PageUpdate::Whole(&[1; PAGE_SIZE])).unwrap();
            prop_assert_ne!(replica.digest, replica.digest_of_all());
        }
    }

    #[test]
    fn a_page_that_was_lost_is_found() {
        let mut right = Replica::create(8).unwrap();
        right.update_page(1, &PageUpdate::Whole(&[7; PAGE_SIZE])).unwrap();
        let mut wrong = Replica::create(8).unwrap();
        let guest = EpochDigest { is_last: false, ..of_all(&right, 4) };
        assert_eq!(wrong.verify(&guest), Err(Mismatch { epoch: 4, is_memory: false }));
        assert_eq!(wrong.update_page(8, &PageUpdate::Zeros), Err(NoMemoryAt(8)));
        assert_eq!(wrong.provide_page(u64::MAX), Err(NoMemoryAt(u64::MAX)));
    }
}
