//! Staging: whole epochs or nothing.
//!
//! A session's first epoch, the full copy, goes into the twin's memory as it comes: before its end
//! there is nothing that could be revived. Every later epoch stays in the ring until its end is
//! here, its entries are counted and its state has been checked; then it is complete, is
//! acknowledged, and only then applied, in order. An epoch that tears off is never seen by the
//! twin, and the state kept beside memory is always that of the newest complete epoch: the next
//! one is gathered in buffers of its own.
//!
//! Pages come encoded (`codec::page`). An LZ4 block is decoded in its slot when it is staged, and a
//! delta is checked then: what is acknowledged can be applied. A delta is applied in its turn, onto
//! what the twin has by then, and read anew, since a hostile other half may have changed it.

use core::ops::Range;

use super::aside::AsidePages;
pub use super::complete_epoch::CompleteEpoch;
use super::complete_epoch::Parts;
use super::decoding;
use super::provision::{Provision, has_same_frames};
pub use super::staging_fault::StagingFault;
use super::twin_memory::{NoMemoryAt, TwinMemory};
use crate::codec::{CheckpointState, decode};
use crate::limits::{CHECKPOINT_STATE_SIZE_MAX, HVM_CONTEXT_SIZE_MAX, PAGE_SIZE};
use crate::rehearsal::Digest;
use crate::revive::check::{TwinPlaces, check_state};
use crate::ring::{Consumer, Entry, EntryKind};

/// Entries that one turn works off at most, so that the caller stays attentive.
const ENTRY_COUNT_PER_TURN: u64 = 1024;

/// A session's first epoch.
const EPOCH_FIRST: u64 = 1;

/// What one turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagingProgress {
    /// There was nothing to do.
    Idle,
    /// Some entries were worked off.
    Moved,
    /// This epoch is complete: it may be acknowledged, and will be applied.
    Complete(u64),
}

/// What the guest of a rehearsal says of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochDigest {
    /// At the end of this epoch
    pub epoch: u64,
    /// it has this digest.
    pub digest: Digest,
    /// There is no later epoch: all of the memory is to be looked at.
    pub is_last: bool,
}

/// The staging area of one session.
#[derive(Debug)]
pub struct Staging {
    places: TwinPlaces,
    gfn_count: u64,
    /// The epoch on its way, and its entries so far.
    epoch: u64,
    entry_count: u64,
    /// The epoch on its way is the full copy.
    is_full_copy: bool,
    /// Ring index of the entry to look at next.
    next: u64,
    /// Ring index up to which entries were given back.
    released: u64,
    /// Entries of the newest complete epoch that are not in the twin's memory yet.
    applying: Range<u64>,
    aside: AsidePages,
    provision: Provision,
    state: Parts<CHECKPOINT_STATE_SIZE_MAX>,
    context: Parts<HVM_CONTEXT_SIZE_MAX>,
    complete: Option<CompleteEpoch>,
    is_rehearsal: bool,
    /// The digests of the epoch on its way, and of the newest complete one.
    digest: Option<EpochDigest>,
    complete_digest: Option<EpochDigest>,
}

impl Staging {
    /// Starts at ring index `opening`, after as many entries of description and configuration.
    /// No page at or beyond `gfn_count` is taken.
    #[must_use]
    pub fn new(places: TwinPlaces, gfn_count: u64, opening: u64) -> Self {
        Self {
            places,
            gfn_count,
            epoch: EPOCH_FIRST,
            entry_count: opening,
            is_full_copy: true,
            next: opening,
            released: 0,
            applying: 0..0,
            aside: AsidePages::new(places.store_gfn, places.console_gfn),
            provision: Provision::default(),
            state: Parts::EMPTY,
            context: Parts::EMPTY,
            complete: None,
            is_rehearsal: false,
            digest: None,
            complete_digest: None,
        }
    }

    /// The same for a rehearsal, each of whose epochs carries a digest.
    #[must_use]
    pub fn of_rehearsal(self) -> Self {
        Self { is_rehearsal: true, ..self }
    }

    /// The digest that came with the newest complete epoch.
    #[must_use]
    pub const fn complete_digest(&self) -> Option<EpochDigest> {
        self.complete_digest
    }

    /// The newest complete epoch; its pages are in the twin's memory once
    /// [`is_applied`](Self::is_applied).
    #[must_use]
    pub const fn complete(&self) -> Option<&CompleteEpoch> {
        self.complete.as_ref()
    }

    /// The pages kept aside, as of the newest complete epoch once that is applied.
    #[must_use]
    pub const fn aside(&self) -> &AsidePages {
        &self.aside
    }

    /// Whether the newest complete epoch is in the twin's memory.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.applying.is_empty()
    }

    /// Does a bounded amount of work: applies what is complete, then looks at what is new.
    ///
    /// # Errors
    /// [`StagingFault`] when the session cannot go on; what was complete before stays so.
    pub fn turn(
        &mut self,
        ring: &mut Consumer,
        memory: &mut impl TwinMemory,
    ) -> Result<StagingProgress, StagingFault> {
        if !self.is_applied() {
            self.apply(ring, memory)?;
            return Ok(StagingProgress::Moved);
        }
        let end = ring.available()?.end.min(self.next + ENTRY_COUNT_PER_TURN);
        let mut progress = StagingProgress::Idle;
        while self.next < end {
            let entry = ring.entry(self.next)?;
            progress = self.take(ring, memory, &entry)?;
            self.next += 1;
            if let StagingProgress::Complete(_) = progress {
                // Of the full copy only this entry is left, which is no page.
                self.applying = self.released..self.next;
                break;
            }
            if self.is_full_copy {
                self.released = self.next;
                ring.release(self.next);
            }
        }
        Ok(progress)
    }

    /// Writes a bounded number of the complete epoch's pages into the twin's memory.
    fn apply(
        &mut self,
        ring: &mut Consumer,
        memory: &mut impl TwinMemory,
    ) -> Result<(), StagingFault> {
        let end = self.applying.end.min(self.applying.start + ENTRY_COUNT_PER_TURN);
        for index in self.applying.start..end {
            let entry = ring.entry(index)?;
            if entry.kind == EntryKind::Page {
                self.update_page(ring, memory, index, &entry)?;
            }
        }
        ring.release(end);
        (self.released, self.applying.start) = (end, end);
        Ok(())
    }

    /// Looks at one new entry.
    fn take(
        &mut self,
        ring: &mut Consumer,
        memory: &mut impl TwinMemory,
        entry: &Entry,
    ) -> Result<StagingProgress, StagingFault> {
        if entry.epoch != self.epoch {
            return Err(StagingFault::Order { wanted: self.epoch, found: entry.epoch });
        }
        self.entry_count += 1;
        match entry.kind {
            EntryKind::Page if entry.address >= self.gfn_count => {
                return Err(StagingFault::Gfn(entry.address));
            }
            EntryKind::Page if self.is_full_copy => {
                self.update_page(ring, memory, self.next, entry)?;
            }
            EntryKind::Page => {
                if !decoding::make_applicable(ring, self.next, entry) {
                    return Err(StagingFault::Encoding(entry.address));
                }
                let state = self.complete.as_ref().map(|complete| &complete.state);
                self.provision.provide(state, &self.aside, memory, entry)?;
            }
            EntryKind::State => {
                let part = self.state.next(entry.address, usize::from(entry.length));
                ring.copy_out(self.next, 0, part.ok_or(StagingFault::Part { epoch: self.epoch })?);
            }
            EntryKind::HvmContext => {
                let part = self.context.next(entry.address, usize::from(entry.length));
                ring.copy_out(self.next, 0, part.ok_or(StagingFault::Part { epoch: self.epoch })?);
            }
            EntryKind::Digest | EntryKind::DigestOfAll if self.is_rehearsal => {
                let (epoch, digest) = (self.epoch, Digest::of_value(entry.address));
                let is_last = entry.kind == EntryKind::DigestOfAll;
                if self.digest.replace(EpochDigest { epoch, digest, is_last }).is_some() {
                    return Err(StagingFault::Digest { epoch });
                }
            }
            EntryKind::EpochEnd => return self.end_epoch(ring, memory, entry.address),
            kind => return Err(StagingFault::Kind(kind)),
        }
        Ok(StagingProgress::Moved)
    }

    /// Counts and checks the epoch whose end has come, and starts the next one.
    fn end_epoch(
        &mut self,
        ring: &Consumer,
        memory: &mut impl TwinMemory,
        wanted: u64,
    ) -> Result<StagingProgress, StagingFault> {
        let (epoch, entries) = (self.epoch, self.entry_count);
        if entries != wanted {
            return Err(StagingFault::Count { epoch, entries, wanted });
        }
        let state: CheckpointState =
            decode(self.state.used()).map_err(|_| StagingFault::Decode { epoch })?;
        check_state(&state, epoch, self.context.size(), &self.places)
            .map_err(StagingFault::State)?;
        let complete = CompleteEpoch { state, context: self.context.clone() };
        if !complete.has_every_vcpu() {
            return Err(StagingFault::Context { epoch });
        }
        if self.is_rehearsal && self.digest.is_none() {
            return Err(StagingFault::Digest { epoch });
        }
        let last = self.complete.as_ref();
        if last.is_some_and(|last| !has_same_frames(&last.state, &complete.state)) {
            self.provide_again(ring, memory, &complete.state)?;
        }
        self.complete = Some(complete);
        self.complete_digest = self.digest.take();
        self.start_epoch(epoch + 1);
        Ok(StagingProgress::Complete(epoch))
    }

    fn start_epoch(&mut self, epoch: u64) {
        (self.epoch, self.entry_count, self.is_full_copy) = (epoch, 0, false);
        self.state.clear();
        self.context.clear();
        self.provision = Provision::default();
    }

    /// Sees to the places of all pages of the epoch once more, by its own state.
    fn provide_again(
        &mut self,
        ring: &Consumer,
        memory: &mut impl TwinMemory,
        state: &CheckpointState,
    ) -> Result<(), StagingFault> {
        self.provision = Provision::default();
        for index in self.released..self.next {
            let entry = ring.entry(index)?;
            if entry.kind == EntryKind::Page {
                self.provision.provide(Some(state), &self.aside, memory, &entry)?;
            }
        }
        Ok(())
    }

    /// Brings one page to where it belongs.
    fn update_page(
        &mut self,
        ring: &Consumer,
        memory: &mut impl TwinMemory,
        index: u64,
        entry: &Entry,
    ) -> Result<(), StagingFault> {
        // A hostile other half can change descriptor and bytes after they were looked at.
        let gfn = entry.address;
        if gfn >= self.gfn_count {
            return Err(StagingFault::Gfn(gfn));
        }
        let mut rooms = [[0; PAGE_SIZE]; 2];
        let update =
            decoding::update(ring, index, entry, &mut rooms).ok_or(StagingFault::Encoding(gfn))?;
        let state = self.complete.as_ref().map(|complete| &complete.state);
        self.aside.bring(state, gfn, &update, memory).map_err(|NoMemoryAt(gfn)| {
            if update.is_relative() { StagingFault::Base(gfn) } else { StagingFault::Gfn(gfn) }
        })
    }
}

#[cfg(test)]
#[path = "staging_tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "encoded_tests.rs"]
mod encoded_tests;
