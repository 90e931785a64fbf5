//! Nonsense in a ring: what a half may write that somebody else has taken over. For tests of the other half, which must get
//! no further than a [`RingError`](super::RingError).

use core::sync::atomic::Ordering;

use super::Ring;
use super::entry::ENTRY_WORD_COUNT;
use super::view::CONTROL_OFFSET;
use crate::limits::PAGE_SIZE;

/// Words of a page.
const WORD_COUNT: u64 = PAGE_SIZE as u64 / 8;

impl Ring {
    /// Writes one word that nobody should write: an index, a control word or a descriptor, often one that is almost
    /// right. `random` gives any numbers.
    pub fn write_nonsense(&self, mut random: impl FnMut() -> u64) {
        let view = &self.view;
        let value = match random() % 4 {
            0 => random(),
            1 => random() % 64,
            2 => view.head().load(Ordering::Relaxed).wrapping_add(random() % 8),
            _ => u64::MAX - random() % 8,
        };
        let word = match random() % 8 {
            0 => view.head(),
            1 => view.tail(),
            2 => view.capacity(),
            3 | 4 => {
                let word = usize::try_from(random() % WORD_COUNT).unwrap_or(0);
                view.memory.word(CONTROL_OFFSET + word * 8)
            }
            _ => {
                let word = usize::try_from(random() % ENTRY_WORD_COUNT as u64).unwrap_or(0);
                view.descriptor_word(random() % view.entry_count_max(), word)
            }
        };
        word.store(value, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, EntryKind, View};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn either_end_bears_it(numbers in proptest::collection::vec(any::<u64>(), 1..400)) {
            let ring = Ring::create(16).unwrap();
            let liar = Ring { view: View::again(&ring.view).unwrap() };
            let (mut producer, mut consumer) = ring.into_both().unwrap();
            let mut numbers = numbers.into_iter().cycle();
            consumer.reset(16);
            let _ = producer.begin();
            for step in 0..100 {
                liar.write_nonsense(|| numbers.next().unwrap().rotate_left(step));
                if producer.free_entries().is_ok_and(|count| count > 0) {
                    producer.push(&Entry::raw(EntryKind::Page, 1, 2, 4096));
                    producer.publish();
                }
                if let Ok(entries) = consumer.available()
                    && let Some(index) = entries.clone().next()
                {
                    let _ = consumer.entry(index);
                    consumer.release(index + 1);
                }
                let _ = producer.control().goodbye();
                let _ = consumer.control().peer_refusal();
            }
        }
    }
}
