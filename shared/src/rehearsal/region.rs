//! The rehearsed guest's memory, its log of writes, and the handshake of its pauses: one region that
//! the guest's process and capture's share.
//!
//! **Writing.** The guest raises `in_write`, then looks at `paused`; it writes one page, sets that
//! page's bit of the log, notes its memory's new digest, and takes `in_write` down. A pause sets
//! `paused`, then waits until `in_write` is down. Both go one before the other in one order that all
//! see (sequentially consistent), so of the two at least one sees the other: in a pause nothing is
//! written, and digest, log and memory belong together.
//!
//! **The log.** A bit is set *after* its page was written. So a reader that takes the bit away and
//! then reads the page sees at least the writes that the bit stands for; what is written while it
//! reads sets the bit again, for the next reading. Nothing is lost although both run.

use core::sync::atomic::{AtomicU64, Ordering};

use super::digest::Digest;
use crate::limits::PAGE_SIZE;
use crate::platform::linux::memory::{MemoryError, SharedMemory};

/// Words that both look at lie two cache lines apart, since processors fetch lines in pairs.
const PAUSED: usize = 0;
const IN_WRITE: usize = 128;
const DIGEST: usize = 256;
const EPOCH: usize = 384;
const DISTINCT: usize = 512;
const IS_READY: usize = 640;
const LOG: usize = PAGE_SIZE;

/// Looks at `in_write` before the core is offered to others: a page is written in about as many.
const LOOKS_BEFORE_YIELDING: u32 = 2_000;

/// What [`GuestRegion::digest`] is before anything was written.
pub const DIGEST_NONE: Digest = Digest::ZEROS;

/// One process's view of the region.
#[derive(Debug)]
pub struct GuestRegion {
    memory: SharedMemory,
    gfn_count: u64,
    /// For each page, the epoch in which it was counted last.
    stamps: usize,
    pages: usize,
}

impl GuestRegion {
    /// A guest of `gfn_count` pages of zeros. Memory is used only as it is touched.
    ///
    /// # Errors
    /// [`MemoryError`] when the address space cannot be had.
    pub fn create(gfn_count: u64) -> Result<Self, MemoryError> {
        let count = as_size(gfn_count);
        let stamps = LOG + (count.div_ceil(64) * 8).next_multiple_of(PAGE_SIZE);
        let pages = stamps + (count * 8).next_multiple_of(PAGE_SIZE);
        let memory = SharedMemory::map(pages + count * PAGE_SIZE)?;
        Ok(Self { memory, gfn_count, stamps, pages })
    }

    /// A second view, for a process that plays both sides.
    ///
    /// # Errors
    /// [`MemoryError`] when the address space cannot be had.
    pub fn again(&self) -> Result<Self, MemoryError> {
        Ok(Self { memory: self.memory.map_again()?, ..*self })
    }

    /// Takes all of the region's memory from the kernel, in this process.
    ///
    /// # Errors
    /// [`MemoryError`] when there is too little, or this process may not lock it.
    pub fn populate(&mut self) -> Result<(), MemoryError> {
        self.memory.populate(0..self.memory.size())
    }

    /// Pages of the guest; its gfns are below.
    #[must_use]
    pub const fn gfn_count(&self) -> u64 {
        self.gfn_count
    }

    /// The words of the page at `gfn`, which is below [`GuestRegion::gfn_count`].
    #[must_use]
    pub fn page(&self, gfn: u64) -> &[AtomicU64; PAGE_SIZE / 8] {
        assert!(gfn < self.gfn_count, "a gfn is below the guest's count");
        let start = self.pages + as_size(gfn) * PAGE_SIZE;
        self.memory.words(start..start + PAGE_SIZE).as_array().expect("a page's words")
    }

    /// The log: one bit a gfn, in whole pages.
    #[must_use]
    pub fn log(&self) -> &[AtomicU64] {
        self.memory.words(LOG..self.stamps)
    }

    /// Pauses the guest: when this returns, nothing is written. `yield_core` is called while a write is
    /// waited for, and ends the waiting with false; then the guest is not paused.
    pub fn pause(&self, mut yield_core: impl FnMut() -> bool) -> bool {
        self.word(PAUSED).store(1, Ordering::SeqCst);
        let mut looks = 0;
        while self.word(IN_WRITE).load(Ordering::SeqCst) != 0 {
            looks += 1;
            if looks < LOOKS_BEFORE_YIELDING {
                core::hint::spin_loop();
            } else if !yield_core() {
                self.resume();
                return false;
            }
        }
        true
    }

    /// Lets the guest run. What it writes from now on is counted for `epoch`.
    pub fn resume_in(&self, epoch: u64) {
        self.word(EPOCH).store(epoch, Ordering::Relaxed);
        self.resume();
    }

    fn resume(&self) {
        self.word(PAUSED).store(0, Ordering::SeqCst);
    }

    /// The digest of the guest's memory; meaningful while it is paused.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value(self.word(DIGEST).load(Ordering::Acquire))
    }

    /// Pages that the guest has written, each counted once in every epoch; meaningful while paused.
    #[must_use]
    pub fn distinct_count(&self) -> u64 {
        self.word(DISTINCT).load(Ordering::Acquire)
    }

    /// Whether the guest has filled its memory and waits for nothing more.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.word(IS_READY).load(Ordering::Acquire) != 0
    }

    /// Guest: says so.
    pub fn set_ready(&self) {
        self.word(IS_READY).store(1, Ordering::Release);
    }

    /// Guest: begins to write a page; false, and nothing may be written, while it is paused.
    #[must_use]
    pub fn begin_write(&self) -> bool {
        self.word(IN_WRITE).store(1, Ordering::SeqCst);
        if self.word(PAUSED).load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.word(IN_WRITE).store(0, Ordering::SeqCst);
        false
    }

    /// Guest: ends the write of the page at `gfn` after which memory has this digest.
    pub fn end_write(&self, gfn: u64, digest: Digest) {
        let bit = 1 << (gfn % 64);
        self.log()[as_size(gfn / 64)].fetch_or(bit, Ordering::SeqCst);
        // An epoch is counted from 1, and a stamp is 0 before the first.
        let epoch = self.word(EPOCH).load(Ordering::Relaxed) + 1;
        let stamp = self.memory.word(self.stamps + as_size(gfn) * 8);
        if stamp.load(Ordering::Relaxed) != epoch {
            stamp.store(epoch, Ordering::Relaxed);
            let count = self.word(DISTINCT);
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Release);
        }
        self.note_digest(digest);
        self.word(IN_WRITE).store(0, Ordering::SeqCst);
    }

    /// Guest: its memory has this digest.
    pub fn note_digest(&self, digest: Digest) {
        self.word(DIGEST).store(digest.value(), Ordering::Release);
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        self.memory.word(offset)
    }
}

fn as_size(count: u64) -> usize {
    usize::try_from(count).expect("page counts are far below the address space")
}
