//! The encoder: chooses how each page travels, and keeps the shadows to that choice.

use core::ops::RangeInclusive;

use super::compression::Compressor;
use super::delta::{self, DELTA_SIZE_MAX};
use super::explorer::{Explorer, Level, Progress};
use super::shadow::ShadowCache;
use crate::limits::PAGE_SIZE;
use crate::platform::vector::{differing_words, is_zero};
use crate::ring::{Encoding, Entry, EntryKind, RingError};

/// A delta of so few bytes is taken without asking whether LZ4 would make it shorter.
const DELTA_SIZE_SMALL: usize = PAGE_SIZE / 16;
/// Entries of a trial of one level: long against what is under way, short against a second.
const TRIAL_ENTRY_COUNT: u64 = 1024;
/// The epoch of the full copy. Most of its pages are not written again soon, and all of them would
/// pass through the cache: they are not remembered.
const EPOCH_FULL_COPY: u64 = 1;

/// Encodes a session's pages, each exactly once and in the order of the ring.
#[derive(Debug)]
pub struct PageEncoder {
    shadow: ShadowCache,
    compressor: Compressor,
    explorer: Explorer,
    /// A delta is written here, since the page is read meanwhile.
    delta: [u8; PAGE_SIZE],
    /// The newest entry ended its epoch.
    is_epoch_whole: bool,
}

impl PageEncoder {
    /// An encoder that finds the level that pays; without a cache there are no deltas.
    #[must_use]
    pub fn new(shadow: ShadowCache) -> Self {
        Self::with_levels(shadow, Level::Raw..=Level::Lz4, TRIAL_ENTRY_COUNT)
    }

    /// An encoder that keeps to these levels, and tries each for about so many entries.
    #[must_use]
    pub fn with_levels(
        shadow: ShadowCache,
        levels: RangeInclusive<Level>,
        trial_entry_count: u64,
    ) -> Self {
        let (mut lowest, highest) = levels.into_inner();
        if shadow.page_count() == 0 && highest > Level::Raw {
            // Without shadows a delta is a raw page under another name: nothing to find out.
            lowest = lowest.max(Level::Delta);
        }
        let explorer =
            Explorer::new(lowest..=highest, trial_entry_count, shadow.page_count() as u64);
        Self {
            shadow,
            compressor: Compressor::new(),
            explorer,
            delta: [0; PAGE_SIZE],
            is_epoch_whole: true,
        }
    }

    /// Forgets what was sent: the next session's backup has none of it.
    pub fn start_session(&mut self) {
        self.shadow.clear();
        self.explorer.start_session();
        self.is_epoch_whole = true;
    }

    /// Encodes entry `index`, whose bytes lie in `slot`, in place and returns its new descriptor.
    /// Entries come in order, without gaps.
    ///
    /// # Errors
    /// [`RingError::Entry`] when capture wrote what is encoded already.
    pub fn encode(
        &mut self,
        index: u64,
        entry: &Entry,
        slot: &mut [u8; PAGE_SIZE],
    ) -> Result<Entry, RingError> {
        self.is_epoch_whole = entry.kind == EntryKind::EpochEnd;
        match (entry.kind, entry.encoding) {
            (EntryKind::Page, Encoding::Raw) => {
                let level = self.explorer.level(index);
                let is_kept = entry.epoch != EPOCH_FULL_COPY;
                let (encoding, stored_size) = self.encode_page(entry.address, slot, level, is_kept);
                let stored_size = u16::try_from(stored_size).unwrap_or(u16::MAX);
                Ok(entry.encoded(encoding, stored_size))
            }
            (EntryKind::Page, _) => Err(RingError::Entry),
            _ => Ok(*entry),
        }
    }

    /// Tells how far entries have come; once every turn of the link.
    pub fn note_progress(&mut self, now_us: u64, encoded: u64, come: u64, available: u64) {
        let is_starved = encoded == available && !self.is_epoch_whole;
        self.explorer.note(now_us, Progress { encoded, come, available, is_starved });
    }

    /// Whatever is chosen, the shadow of the page is afterwards the page, or none.
    fn encode_page(
        &mut self,
        gfn: u64,
        slot: &mut [u8; PAGE_SIZE],
        level: Level,
        is_kept: bool,
    ) -> (Encoding, usize) {
        if level == Level::Raw {
            self.shadow.forget(gfn);
            return if is_zero(slot) { (Encoding::Zero, 0) } else { (Encoding::Raw, PAGE_SIZE) };
        }
        let shadow = self.shadow.find(gfn);
        if is_zero(slot) {
            if let Some(shadow) = shadow {
                shadow.fill(0);
            }
            return (Encoding::Zero, 0);
        }
        let mut delta_size = None;
        match shadow {
            Some(shadow) => {
                let bitmap = differing_words(slot, shadow);
                if bitmap.iter().all(|&word| word == 0) {
                    return (Encoding::Unchanged, 0);
                }
                if delta::size(&bitmap) <= DELTA_SIZE_MAX {
                    delta_size = Some(delta::emit(&bitmap, slot, shadow, &mut self.delta));
                } else {
                    *shadow = *slot;
                }
            }
            None if is_kept => self.shadow.insert(gfn, slot),
            None => {}
        }
        let (plain, encoding): (&[u8], _) = match delta_size {
            Some(size) => (&self.delta[..size], Encoding::DeltaLz4),
            None => (&slot[..], Encoding::Lz4),
        };
        if level == Level::Lz4
            && plain.len() > DELTA_SIZE_SMALL
            && let Some(block) = self.compressor.compress(gfn, plain)
        {
            slot[..block.len()].copy_from_slice(block);
            return (encoding, block.len());
        }
        match delta_size {
            Some(size) => {
                slot[..size].copy_from_slice(&self.delta[..size]);
                (Encoding::Delta, size)
            }
            None => (Encoding::Raw, PAGE_SIZE),
        }
    }
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
