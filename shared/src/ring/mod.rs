//! The page ring: how the two halves of a program hand guest pages to one another.
//!
//! One half produces entries, the other consumes them; they run in two processes and share nothing
//! else. On the primary capture produces and ship consumes, on the backup receive produces and
//! commit consumes. In one region of shared memory lie
//!
//! ```text
//! offset 0   indexes: head (produced), tail (consumed), capacity; a cache line pair each
//! 4096       control words, see `Control`
//! 8192       descriptors, 32 bytes each, see `Entry`
//! then       arena: slots of 4096 bytes; a large one begins where a huge page can
//! ```
//!
//! Entry `index` has descriptor and slot `index` modulo the capacity. Indexes count from 0 in every
//! session and never wrap. A half checks each index that it reads from the other one against the
//! capacity and against what it read before; a violation is a [`RingError`], never a panic.
//!
//! **Sessions.** The half that faces the network (ship, receive) owns the ring between sessions:
//! when the link is down and the other half (capture, commit) has left its session, it calls
//! `reset`, and announces the next session when the link is up. The other half then joins it,
//! calls `begin`, and works until it sees `link_session` change; it ends what it has to end, and
//! leaves.
//!
//! **Capacity.** A session starts with the capacity given to `reset`. The consumer may raise it
//! until it releases its first entry: up to there index and slot number are the same whatever the
//! capacity, so nothing moves.

mod consumer;
mod control;
mod counters;
mod entry;
pub mod hand_over;
mod key_words;
#[cfg(any(stubdom, test))]
mod nonsense;
mod producer;
mod session;
#[cfg(test)]
mod tests;
mod view;

pub use consumer::Consumer;
pub use control::Control;
pub use counters::{LinkCounters, ProcessFigures, RehearsalFigures};
pub use entry::{Encoding, Entry, EntryKind, RingError};
pub use producer::Producer;
pub use session::{GoodbyeReason, Parting, Phase, RefusalText};

use crate::platform::memory::{MemoryError, SharedMemory};
use view::View;

/// A ring that no half has taken yet: made once, before the program splits into two processes.
#[derive(Debug)]
pub struct Ring {
    view: View,
}

impl Ring {
    /// Makes a ring of at most `entry_count_max` entries. Memory is used only as entries are.
    ///
    /// # Errors
    /// [`MemoryError`] when the address space cannot be had.
    pub fn create(entry_count_max: u64) -> Result<Self, MemoryError> {
        Ok(Self { view: View::create(entry_count_max)? })
    }

    /// A ring of `entry_count_max` entries in this memory, which is zeroed and as large as such a ring is. It is
    /// there already and stays: to populate it, or to release it, does nothing.
    pub(crate) fn over(memory: SharedMemory, entry_count_max: u64) -> Self {
        Self { view: View::over(memory, entry_count_max) }
    }

    /// The producing end, for the process of capture or receive.
    #[must_use]
    pub fn into_producer(self) -> Producer {
        Producer::new(self.view)
    }

    /// The consuming end, for the process of ship or commit.
    #[must_use]
    pub fn into_consumer(self) -> Consumer {
        Consumer::new(self.view)
    }

    /// Both ends within this process, each with its own view of the memory: for a rehearsal in
    /// threads, and for tests.
    ///
    /// # Errors
    /// [`MemoryError`] when the address space cannot be had.
    pub fn into_both(self) -> Result<(Producer, Consumer), MemoryError> {
        let second = self.view.again()?;
        Ok((Producer::new(self.view), Consumer::new(second)))
    }
}
