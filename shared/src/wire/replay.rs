//! Which packet numbers have come, so that none is accepted twice.

/// Words of the bitmap; a packet may be late by this many times 64 others.
const WORD_COUNT: usize = 64;
const SPAN: u64 = WORD_COUNT as u64 * 64;

/// The newest packet numbers of one direction of one session.
///
/// Ask it with [`is_new`](Self::is_new) before a frame is opened, and [`note`](Self::note) the
/// number only after the frame was found to be authentic: otherwise a forger could use it up.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// One more than the highest number that has come.
    end: u64,
    /// Bit `number % SPAN`, for the numbers in `end - SPAN..end`.
    seen: [u64; WORD_COUNT],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { end: 0, seen: [0; WORD_COUNT] }
    }
}

impl ReplayWindow {
    /// Whether this number has surely not come yet. Too old to tell counts as come, and so does
    /// `u64::MAX`: a sender never counts so far, and what is one beyond a number must be one.
    #[must_use]
    pub fn is_new(&self, number: u64) -> bool {
        if number == u64::MAX {
            return false;
        }
        let recent = number >= self.end.saturating_sub(SPAN);
        let (word, bit) = place(number);
        number >= self.end || (recent && self.seen[word] & bit == 0)
    }

    /// Notes that a number has come, which was new.
    pub fn note(&mut self, number: u64) {
        if number >= self.end {
            let end = number + 1;
            let fresh = (end - self.end).min(SPAN);
            for skipped in end - fresh..end {
                let (word, bit) = place(skipped);
                self.seen[word] &= !bit;
            }
            self.end = end;
        }
        let (word, bit) = place(number);
        self.seen[word] |= bit;
    }
}

fn place(number: u64) -> (usize, u64) {
    let position = number % SPAN;
    let word = usize::try_from(position / 64).expect("smaller than the bitmap");
    (word, 1 << (position % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn nothing_is_new_twice(numbers in proptest::collection::vec(0u64..9000, 1..300), base in 0u64..u64::MAX - 9001) {
            let mut window = ReplayWindow::default();
            let mut noted = BTreeSet::new();
            for number in numbers.into_iter().map(|number| base + number) {
                let newest = noted.last().copied();
                let new = window.is_new(number);
                let old = newest.is_some_and(|newest| number + SPAN <= newest);
                prop_assert_eq!(new, !old && !noted.contains(&number));
                if new {
                    window.note(number);
                    noted.insert(number);
                    prop_assert!(!window.is_new(number));
                }
            }
        }
    }

    /// A peer that holds the key can send it, and everybody counts one beyond what came.
    #[test]
    fn the_last_number_is_never_new() {
        let mut window = ReplayWindow::default();
        assert!(!window.is_new(u64::MAX));
        window.note(u64::MAX - 1);
        assert!(!window.is_new(u64::MAX) && !window.is_new(u64::MAX - 1));
    }
}
