//! Texts among the control words, which one half writes while the other may be reading.

use super::Control;
use crate::limits::REFUSAL_TEXT_SIZE_MAX;
use crate::ring::session::RefusalText;

/// A reader that meets a writer so often gives up until its next look.
const TEXT_READ_TRIES: usize = 4;

impl Control<'_> {
    /// Writes a text under a sequence number, odd while the text is being written.
    pub(super) fn store_text(&self, offset: usize, text: &str) {
        let bytes = &text.as_bytes()[..text.floor_char_boundary(REFUSAL_TEXT_SIZE_MAX)];
        let sequence = self.load(offset) | 1;
        self.store(offset, sequence);
        self.store(offset + 8, bytes.len() as u64);
        for (number, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.store(offset + 16 + number * 8, u64::from_le_bytes(word));
        }
        self.store(offset, sequence.wrapping_add(1));
    }

    pub(super) fn load_text(&self, offset: usize) -> RefusalText {
        for _ in 0..TEXT_READ_TRIES {
            let sequence = self.load(offset);
            let length = usize::try_from(self.load(offset + 8)).unwrap_or(usize::MAX);
            let mut bytes = [0; REFUSAL_TEXT_SIZE_MAX];
            for (number, chunk) in bytes.chunks_mut(8).enumerate() {
                let word = self.load(offset + 16 + number * 8).to_le_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
            if sequence.is_multiple_of(2) && sequence == self.load(offset) {
                let text = bytes.get(..length).and_then(|used| core::str::from_utf8(used).ok());
                return text.and_then(|text| RefusalText::try_from(text).ok()).unwrap_or_default();
            }
        }
        RefusalText::new()
    }
}
