//! The words by which a new key reaches the link half, which can read no file any more.
//!
//! The domain half writes the key under a number, odd while it is being written; the link half takes a
//! number that is even and not the one it took last, and says which. Then the domain half wipes the
//! key. So each word has one writer, and a key that is replaced before it was taken is never mixed
//! with the next one.

use zeroize::Zeroizing;

use super::control::{Control, KEY, KEY_NUMBER, KEY_TAKEN};

/// Bytes of a key.
const KEY_SIZE: usize = 32;
const WORD_COUNT: usize = KEY_SIZE / 8;
/// Bytes of the number and the key.
pub(super) const KEY_AREA_SIZE: usize = 8 + KEY_SIZE;

impl Control<'_> {
    /// Domain half: gives the link half a key for the sessions to come.
    pub fn publish_key(&self, key: &[u8; KEY_SIZE]) {
        let number = self.load(KEY_NUMBER) | 1;
        self.store(KEY_NUMBER, number);
        for (place, word) in key.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(*word.first_chunk().expect("a chunk is a word"));
            self.store(KEY + place * 8, word);
        }
        self.store(KEY_NUMBER, number.wrapping_add(1));
    }

    /// Domain half: wipes a key that was taken. To be called now and then.
    pub fn wipe_taken_key(&self) {
        let is_there = (0..WORD_COUNT).any(|place| self.load(KEY + place * 8) != 0);
        if is_there && self.load(KEY_TAKEN) == self.load(KEY_NUMBER) {
            (0..WORD_COUNT).for_each(|place| self.store(KEY + place * 8, 0));
        }
    }

    /// Link half: the key that was published since the last one was taken, if one was. One that is just
    /// being written is there at the next look.
    #[must_use]
    pub fn take_key(&self) -> Option<Zeroizing<[u8; KEY_SIZE]>> {
        let number = self.load(KEY_NUMBER);
        if !number.is_multiple_of(2) || number == self.load(KEY_TAKEN) {
            return None;
        }
        let mut key = Zeroizing::new([0; KEY_SIZE]);
        for (place, word) in key.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&self.load(KEY + place * 8).to_le_bytes());
        }
        if self.load(KEY_NUMBER) != number {
            return None;
        }
        self.store(KEY_TAKEN, number);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::Ring;
    use super::*;

    fn words(control: Control<'_>) -> [u64; WORD_COUNT] {
        core::array::from_fn(|place| control.load(KEY + place * 8))
    }

    #[test]
    fn a_key_is_taken_once_and_wiped() {
        let (producer, consumer) = Ring::create(4).unwrap().into_both().unwrap();
        let (domain, link) = (producer.control(), consumer.control());
        assert!(link.take_key().is_none());
        domain.publish_key(&[1; 32]);
        domain.wipe_taken_key();
        assert_ne!(words(domain), [0; WORD_COUNT], "it is not taken yet");
        domain.publish_key(&[2; 32]);
        assert_eq!(*link.take_key().unwrap(), [2; 32]);
        assert!(link.take_key().is_none());
        domain.wipe_taken_key();
        assert_eq!(words(domain), [0; WORD_COUNT]);
        assert!(link.take_key().is_none(), "a wiped key is no key");
        domain.publish_key(&[3; 32]);
        assert_eq!(*link.take_key().unwrap(), [3; 32]);
    }

    #[test]
    fn a_key_that_is_being_written_is_left_alone() {
        let (producer, consumer) = Ring::create(4).unwrap().into_both().unwrap();
        let (domain, link) = (producer.control(), consumer.control());
        domain.store(KEY_NUMBER, 3);
        domain.store(KEY, 9);
        assert!(link.take_key().is_none());
        // A writer that was interrupted there begins again.
        domain.publish_key(&[4; 32]);
        assert_eq!(*link.take_key().unwrap(), [4; 32]);
    }

    #[test]
    fn no_key_is_made_of_two() {
        let (producer, consumer) = Ring::create(4).unwrap().into_both().unwrap();
        let is_over = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let domain = producer.control();
                for round in 0..20_000_u32 {
                    domain.publish_key(&[1 + round.to_le_bytes()[0] % 250; 32]);
                    domain.wipe_taken_key();
                }
                is_over.store(true, Ordering::Relaxed);
            });
            let link = consumer.control();
            while !is_over.load(Ordering::Relaxed) {
                if let Some(key) = link.take_key() {
                    assert!(key[0] != 0 && *key == [key[0]; 32], "{key:?}");
                }
            }
        });
    }
}
