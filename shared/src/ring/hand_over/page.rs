//! The hand-over page: the words by which dom0 and the link half begin, and see each other live.
//!
//! Each word has one writer but the state word, which dom0 writes once and the stub domain afterwards. Every
//! word is read once before it is acted on.

use core::fmt;
use core::sync::atomic::Ordering;

use zeroize::Zeroizing;

use super::HandOver;
use super::message::HAND_OVER_SIZE_MAX;
use crate::codec::encode;
use crate::limits::PAGE_SIZE;
use crate::platform::memory::SharedMemory;

const STATE: usize = 0;
/// Written by the stub domain. Two cache lines apart, as the ring's indexes are.
const LINK_HEARTBEAT: usize = 128;
/// Written by dom0 before the state word.
const SIZE: usize = 384;
const MESSAGE: usize = 392;

const _: () = assert!(MESSAGE + HAND_OVER_SIZE_MAX <= PAGE_SIZE);

/// How far a hand-over is: the page's state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum HandOverState {
    /// The stub domain waits for dom0.
    Awaited = 0,
    /// Dom0 has written the hand-over.
    Given = 1,
    /// The stub domain has taken it, and carries the link.
    Taken = 2,
    /// The link half has ended as it was asked to.
    Ended = 3,
    /// The link half has ended by itself.
    Failed = 4,
    /// The stub domain cannot read the hand-over.
    Malformed = 16,
    /// It names as many links as the stub domain has no interfaces for, or an address that no peer can have.
    WrongAddress = 17,
    /// A number of it is outside its limits.
    WrongNumber = 18,
}

impl HandOverState {
    const ALL: [Self; 8] = [
        Self::Awaited,
        Self::Given,
        Self::Taken,
        Self::Ended,
        Self::Failed,
        Self::Malformed,
        Self::WrongAddress,
        Self::WrongNumber,
    ];

    /// The state with this word, if there is one.
    #[must_use]
    pub fn of(word: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u64 == word)
    }
}

impl fmt::Display for HandOverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Awaited => "the stub domain waits for the hand-over",
            Self::Given => "the stub domain has not taken the hand-over: see its console (xl console)",
            Self::Taken => "the stub domain carries the link",
            Self::Ended => "the stub domain's link has ended as asked",
            Self::Failed => "the stub domain's link has failed: its console says why (xl console)",
            Self::Malformed => {
                "the hand-over cannot be read: run the same Pollux version in dom0 and the stub domain"
            }
            Self::WrongAddress => {
                "the hand-over's links do not fit: give one --link for each vif of the stub domain, \
                 with the peer's MAC and not its own"
            }
            Self::WrongNumber => {
                "a number of the hand-over is outside its limits: run the same Pollux version in \
                 dom0 and the stub domain"
            }
        })
    }
}

/// The page, seen by one of both sides.
#[derive(Debug)]
pub struct HandOverPage {
    memory: SharedMemory,
}

impl HandOverPage {
    /// The page in this memory, which is one page.
    #[must_use]
    pub fn of(memory: SharedMemory) -> Self {
        assert!(memory.size() == PAGE_SIZE, "a page is a page");
        Self { memory }
    }

    /// How far the hand-over is; none for a word that means nothing.
    #[must_use]
    pub fn state(&self) -> Option<HandOverState> {
        HandOverState::of(self.memory.word(STATE).load(Ordering::Acquire))
    }

    /// Stub domain: says how far it is.
    pub fn set_state(&mut self, state: HandOverState) {
        self.memory.word(STATE).store(state as u64, Ordering::Release);
    }

    /// Dom0: writes the hand-over. An event should follow. Once in the life of an offer.
    pub fn give(&mut self, message: &HandOver) {
        let mut bytes = Zeroizing::new([0; HAND_OVER_SIZE_MAX]);
        let size = encode(message, bytes.as_mut()).expect("the largest hand-over fits");
        self.memory.copy_in(MESSAGE, bytes.as_ref());
        self.memory.word(SIZE).store(size as u64, Ordering::Relaxed);
        self.set_state(HandOverState::Given);
    }

    /// Stub domain: takes the hand-over if it is there, and wipes it from the page. Whether it can be used or
    /// not, the caller says so in the state word.
    ///
    /// # Errors
    /// The state that says why it cannot be used.
    pub fn take(&mut self) -> Option<Result<HandOver, HandOverState>> {
        if self.state() != Some(HandOverState::Given) {
            return None;
        }
        let size = usize::try_from(self.memory.word(SIZE).load(Ordering::Relaxed));
        let mut bytes = Zeroizing::new([0; HAND_OVER_SIZE_MAX]);
        self.memory.copy_out(MESSAGE, bytes.as_mut());
        self.memory.copy_in(MESSAGE, &[0; HAND_OVER_SIZE_MAX]);
        let message = size.ok().and_then(|size| bytes.get(..size));
        Some(message.map_or(Err(HandOverState::Malformed), HandOver::parse))
    }

    /// Stub domain: counts the link half's heartbeat on.
    pub fn beat_for_link(&self) {
        self.memory.word(LINK_HEARTBEAT).fetch_add(1, Ordering::Relaxed);
    }

    /// Dom0: the link half's heartbeat. It counts on at each of the link half's looks around, some hundred times a
    /// second; one that stands still for ten seconds, or for the operator's timeout if that is longer, is a stub domain
    /// that hangs.
    #[must_use]
    pub fn link_heartbeat(&self) -> u64 {
        self.memory.word(LINK_HEARTBEAT).load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> (HandOverPage, HandOverPage) {
        let memory = SharedMemory::map(PAGE_SIZE).unwrap();
        let again = memory.map_again().unwrap();
        (HandOverPage::of(memory), HandOverPage::of(again))
    }

    #[test]
    fn a_hand_over_is_taken_once_and_wiped() {
        let (mut dom0, mut stub) = both();
        assert_eq!((stub.state(), stub.take()), (Some(HandOverState::Awaited), None));
        dom0.give(&HandOver::sample());
        assert_eq!(stub.take(), Some(Ok(HandOver::sample())));
        assert!(!stub.memory.page(0).contains(&0x5a), "no byte of the key is left");
        stub.set_state(HandOverState::Taken);
        assert_eq!((dom0.state(), stub.take()), (Some(HandOverState::Taken), None));
    }

    #[test]
    fn nonsense_is_told_and_wiped() {
        let (dom0, mut stub) = both();
        for size in [0, 3, HAND_OVER_SIZE_MAX as u64 + 1, u64::MAX] {
            let mut given = HandOverPage::of(dom0.memory.map_again().unwrap());
            given.give(&HandOver::sample());
            given.memory.word(SIZE).store(size, Ordering::Relaxed);
            assert_eq!(stub.take(), Some(Err(HandOverState::Malformed)), "{size}");
            assert!(!stub.memory.page(0).contains(&0x5a));
        }
        stub.memory.word(STATE).store(5, Ordering::Relaxed);
        assert_eq!((dom0.state(), stub.take()), (None, None));
        for state in HandOverState::ALL {
            assert_eq!(HandOverState::of(state as u64), Some(state));
        }
    }

    #[test]
    fn dom0_hears_the_link_half_s_heart() {
        let (dom0, stub) = both();
        stub.beat_for_link();
        stub.beat_for_link();
        assert_eq!(dom0.link_heartbeat(), 2);
    }
}
