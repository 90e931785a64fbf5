//! The control words: what the two halves of a program tell each other beside the entries.
//!
//! There are two blocks, one per writer. The **link half** is ship or receive, the **domain half**
//! capture or commit. Every word is written by one half only, and each value is checked by its
//! reader. All accesses are sequentially consistent: they are rare, and joining a session needs it.

use core::sync::atomic::Ordering;

use super::SharedMemory;
use super::counters::{LinkCounters, RehearsalFigures};
use super::key_words::KEY_AREA_SIZE;
use super::session::{GoodbyeReason, Parting, Phase, RefusalText};
use super::view::CONTROL_OFFSET;
use crate::limits::{PAGE_SIZE, REFUSAL_TEXT_SIZE_MAX};

// The link half's block, from the start of the control page.
const LINK_SESSION: usize = 0;
const GOODBYE: usize = 8;
const ACKED_EPOCH: usize = 16;
const PEER_PHASE: usize = 24;
const LAST_HEARD: usize = 32;
const LEAVING: usize = 40;
const PARTING: usize = 48;
pub(super) const KEY_TAKEN: usize = 56;
const COUNTERS: usize = 64;
const PEER_REFUSAL: usize = 512;
const PEER_FIGURES: usize = 768;
// The domain half's block.
const DOMAIN_SESSION: usize = 2048;
const STOP: usize = 2056;
const COMPLETE_EPOCH: usize = 2064;
const PHASE: usize = 2072;
const POPULATED: usize = 2080;
const IS_REHEARSAL: usize = 2088;
const FIGURES: usize = 2096;
const REFUSAL: usize = 2560;
pub(super) const KEY_NUMBER: usize = 2816;
pub(super) const KEY: usize = 2824;

/// A text area: sequence word, length word, then the bytes.
const TEXT_SIZE: usize = 16 + REFUSAL_TEXT_SIZE_MAX;

const _: () = assert!(COUNTERS + LinkCounters::WORD_COUNT * 8 <= PEER_REFUSAL);
const _: () = assert!(PEER_REFUSAL + TEXT_SIZE <= PEER_FIGURES);
const _: () = assert!(PEER_FIGURES + RehearsalFigures::WORD_COUNT * 8 <= DOMAIN_SESSION);
const _: () = assert!(FIGURES + RehearsalFigures::WORD_COUNT * 8 <= REFUSAL);
const _: () = assert!(KEY_TAKEN + 8 <= COUNTERS);
const _: () = assert!(KEY_NUMBER + KEY_AREA_SIZE <= PAGE_SIZE && KEY == KEY_NUMBER + 8);
const _: () = assert!(REFUSAL + TEXT_SIZE <= KEY_NUMBER && REFUSAL_TEXT_SIZE_MAX.is_multiple_of(8));

/// The control words of one ring.
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    memory: &'a SharedMemory,
}

/// Words of the link half: ship or receive writes them.
impl<'a> Control<'a> {
    pub(super) const fn new(memory: &'a SharedMemory) -> Self {
        Self { memory }
    }

    /// The number of the session that is up; 0 when the link is down. Never the same number twice.
    #[must_use]
    pub fn link_session(&self) -> u64 {
        self.load(LINK_SESSION)
    }

    /// Announces a session, with nothing acknowledged yet. The ring must have been reset.
    pub fn announce_session(&self, session: u64) {
        assert!(session != 0 && self.domain_session() == 0);
        self.store(GOODBYE, 0);
        self.store(ACKED_EPOCH, 0);
        self.store(PEER_PHASE, Phase::Idle as u64);
        self.set_peer_figures(&RehearsalFigures::default());
        self.store(LINK_SESSION, session);
    }

    /// Announces the session's loss: `goodbye` is the peer's reason, none when it went silent.
    /// The ring may be reset once [`domain_session`](Self::domain_session) is 0.
    pub fn drop_session(&self, goodbye: Option<GoodbyeReason>) {
        self.store(GOODBYE, goodbye.map_or(0, |reason| reason as u64));
        self.store(LINK_SESSION, 0);
    }

    /// Why the peer ended the last session; none when it went silent. It is there as soon as
    /// `link_session` is 0, until the next session is announced.
    #[must_use]
    pub fn goodbye(&self) -> Option<GoodbyeReason> {
        u8::try_from(self.load(GOODBYE)).ok().and_then(GoodbyeReason::from_number)
    }

    /// Primary: the newest epoch that is complete in the backup's memory; 0 before the first.
    #[must_use]
    pub fn acked_epoch(&self) -> u64 {
        self.load(ACKED_EPOCH)
    }

    /// Primary: passes the backup's acknowledgement on.
    pub fn set_acked_epoch(&self, epoch: u64) {
        self.store(ACKED_EPOCH, epoch);
    }

    /// Primary: what the backup is doing.
    #[must_use]
    pub fn peer_phase(&self) -> Phase {
        phase_of(self.load(PEER_PHASE))
    }

    /// Primary: passes on what the backup is doing. With [`Phase::Refused`] the text comes first.
    pub fn set_peer_phase(&self, phase: Phase) {
        self.store(PEER_PHASE, phase as u64);
    }

    /// Primary: why the backup refuses.
    #[must_use]
    pub fn peer_refusal(&self) -> RefusalText {
        self.load_text(PEER_REFUSAL)
    }

    /// Primary: passes the backup's refusal on.
    pub fn set_peer_refusal(&self, text: &str) {
        self.store_text(PEER_REFUSAL, text);
    }

    /// Primary: what the backup told last of this session's rehearsal.
    #[must_use]
    pub fn peer_figures(&self) -> RehearsalFigures {
        self.load_figures(PEER_FIGURES)
    }

    /// Primary: passes on what the backup tells of a rehearsal.
    pub fn set_peer_figures(&self, figures: &RehearsalFigures) {
        self.store_figures(PEER_FIGURES, figures);
    }

    /// Primary: whether ship is still saying goodbye to the backup of the session that it dropped.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.load(LEAVING) != 0
    }

    /// Primary: says so; before the session is dropped, and again when the backup has answered or
    /// has had its time.
    pub fn set_leaving(&self, is_leaving: bool) {
        self.store(LEAVING, u64::from(is_leaving));
    }

    /// Primary: how the backup has parted from this session, once it has for good.
    #[must_use]
    pub fn parting(&self, session: u64) -> Option<Parting> {
        let word = self.load(PARTING);
        if word >> 1 != session || session == 0 {
            return None;
        }
        Some(if word & 1 == 1 { Parting::HandedOver } else { Parting::RevivesNothing })
    }

    /// Primary: says so, before the session is dropped or the leave is over.
    pub fn note_parting(&self, session: u64, parting: Parting) {
        self.store(PARTING, session << 1 | u64::from(parting == Parting::HandedOver));
    }

    /// When the last authentic frame came, in microseconds of this host's monotonic clock; 0
    /// before the first.
    #[must_use]
    pub fn last_heard_us(&self) -> u64 {
        self.load(LAST_HEARD)
    }

    /// Notes when a frame came.
    pub fn set_last_heard_us(&self, now_us: u64) {
        self.store(LAST_HEARD, now_us);
    }

    /// The link's counters, each on its own (no common instant).
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        LinkCounters::from_words(core::array::from_fn(|number| self.load(COUNTERS + number * 8)))
    }

    /// Shows the link's counters.
    pub fn set_counters(&self, counters: &LinkCounters) {
        for (number, word) in counters.to_words().into_iter().enumerate() {
            self.memory.word(CONTROL_OFFSET + COUNTERS + number * 8).store(word, Ordering::Relaxed);
        }
    }
}

/// Words of the domain half: capture or commit writes them.
impl Control<'_> {
    /// The session that capture or commit is working in; 0 when in none. The ring belongs to the
    /// domain half too as long as this is not 0.
    #[must_use]
    pub fn domain_session(&self) -> u64 {
        self.load(DOMAIN_SESSION)
    }

    /// Takes up the announced session, if there is one, and returns its number. From here to
    /// [`leave_session`](Self::leave_session) the ring is not reset; call `begin` on it next.
    #[must_use]
    pub fn join_session(&self) -> Option<u64> {
        let session = self.link_session();
        if session == 0 {
            return None;
        }
        self.store(COMPLETE_EPOCH, 0);
        self.store(PHASE, Phase::Idle as u64);
        self.store(POPULATED, 0);
        self.store(IS_REHEARSAL, 0);
        self.store_figures(FIGURES, &RehearsalFigures::default());
        self.store(DOMAIN_SESSION, session);
        // The link half drops a session and then looks whether it was joined; here it is joined
        // first and then looked at. Whatever the order, one of the two sees the other.
        if self.link_session() == session {
            return Some(session);
        }
        self.leave_session();
        None
    }

    /// Lets the ring go: nothing in it is touched any more.
    pub fn leave_session(&self) {
        self.store(DOMAIN_SESSION, 0);
    }

    /// Whether the link half shall say goodbye to the peer and end, and what it shall say.
    #[must_use]
    pub fn stop(&self) -> Option<GoodbyeReason> {
        u8::try_from(self.load(STOP)).ok().and_then(GoodbyeReason::from_number)
    }

    /// Asks the link half to say goodbye and end. There is no way back.
    pub fn set_stop(&self, reason: GoodbyeReason) {
        self.store(STOP, reason as u64);
    }

    /// Backup: the newest epoch that is complete and verified, which receive acknowledges; 0
    /// before the first of the session.
    #[must_use]
    pub fn complete_epoch(&self) -> u64 {
        self.load(COMPLETE_EPOCH)
    }

    /// Backup: says that every byte of `epoch` is here and verified.
    pub fn set_complete_epoch(&self, epoch: u64) {
        self.store(COMPLETE_EPOCH, epoch);
    }

    /// Backup: what commit is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        phase_of(self.load(PHASE))
    }

    /// Backup: says what commit is doing. Before [`Phase::Refused`] set the text.
    pub fn set_phase(&self, phase: Phase) {
        self.store(PHASE, phase as u64);
    }

    /// Backup: entries whose memory commit has taken from the kernel for this session; 0 before.
    #[must_use]
    pub fn populated_count(&self) -> u64 {
        self.load(POPULATED)
    }

    /// Backup: says for how many entries it has.
    pub fn set_populated_count(&self, entry_count: u64) {
        self.store(POPULATED, entry_count);
    }

    /// Backup: what commit tells of this session, if it is a rehearsal. The receiving process's own
    /// figures are not in it.
    #[must_use]
    pub fn rehearsal_figures(&self) -> Option<RehearsalFigures> {
        (self.load(IS_REHEARSAL) != 0).then(|| self.load_figures(FIGURES))
    }

    /// Backup: says how the rehearsal goes, and that this session is one.
    pub fn set_rehearsal_figures(&self, figures: &RehearsalFigures) {
        self.store_figures(FIGURES, figures);
        self.store(IS_REHEARSAL, 1);
    }

    /// Backup: why commit refuses the domain.
    #[must_use]
    pub fn refusal(&self) -> RefusalText {
        self.load_text(REFUSAL)
    }

    /// Backup: says why commit refuses the domain. What is beyond the limit is cut off.
    pub fn set_refusal(&self, text: &str) {
        self.store_text(REFUSAL, text);
    }
}

impl Control<'_> {
    pub(super) fn load(&self, offset: usize) -> u64 {
        self.memory.word(CONTROL_OFFSET + offset).load(Ordering::SeqCst)
    }

    pub(super) fn store(&self, offset: usize, value: u64) {
        self.memory.word(CONTROL_OFFSET + offset).store(value, Ordering::SeqCst);
    }

    /// Each word on its own (no common instant).
    fn store_figures(&self, offset: usize, figures: &RehearsalFigures) {
        for (number, word) in figures.to_words().into_iter().enumerate() {
            self.store(offset + number * 8, word);
        }
    }

    fn load_figures(&self, offset: usize) -> RehearsalFigures {
        RehearsalFigures::from_words(core::array::from_fn(|number| self.load(offset + number * 8)))
    }
}

fn phase_of(word: u64) -> Phase {
    u8::try_from(word).ok().and_then(Phase::from_number).unwrap_or_default()
}

#[path = "control_text.rs"]
mod text;

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
