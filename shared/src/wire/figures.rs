//! What the backup tells of a rehearsal now and then: Figures.

use super::Malformed;
use super::bytes::{Reader, Writer};
use crate::ring::RehearsalFigures;

/// What the backup's processes have used, and what was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures(pub RehearsalFigures);

impl Figures {
    /// Bytes of the message.
    pub const SIZE: usize = RehearsalFigures::WORD_COUNT * 8;

    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] when it has another size.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let mut words = [0; RehearsalFigures::WORD_COUNT];
        for word in &mut words {
            *word = reader.u64()?;
        }
        reader.end()?;
        Ok(Self(RehearsalFigures::from_words(words)))
    }

    /// Writes the message to the front of `body`.
    pub fn emit(&self, body: &mut [u8]) {
        let mut writer = Writer::new(body);
        for word in self.0.to_words() {
            writer.put(&word.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_survive(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            match Figures::parse(&body) {
                Ok(figures) => {
                    let mut again = [0; Figures::SIZE];
                    figures.emit(&mut again);
                    prop_assert_eq!(&again[..], &body[..]);
                }
                Err(Malformed) => prop_assert!(body.len() != Figures::SIZE),
            }
        }
    }
}
