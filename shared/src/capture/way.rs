//! How long it takes until what is in the ring at a checkpoint's end is acknowledged.
//!
//! `pacing` makes of it how early pages must be copied to be on the backup when the pause begins.

use super::error::CaptureError;
use super::output::EpochOutput;
use super::pacing::Pacing;
use super::predrain::Due;

/// The way of the last checkpoint to the backup and back.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// It was taken a moment ago.
    Begins,
    /// It is under way.
    Watched {
        /// Entries that were in the ring when it began.
        entry_count: u64,
        /// When that was, in microseconds.
        since_us: u64,
    },
    /// It is acknowledged.
    Over,
}

impl Way {
    /// Looks how far it is, and has its duration noted at its end.
    ///
    /// # Errors
    /// The ring's.
    pub fn watch(
        &mut self,
        pacing: &mut Pacing,
        output: &mut EpochOutput<'_>,
        due: Due,
    ) -> Result<(), CaptureError> {
        match *self {
            Self::Begins if !due.is_acknowledged => {
                let entry_count = output.capacity() - output.free_entry_count()?;
                *self = Self::Watched { entry_count, since_us: due.now_us };
            }
            Self::Watched { entry_count, since_us } if due.is_acknowledged => {
                pacing.note_way(entry_count, due.now_us.saturating_sub(since_us) * 1000);
                *self = Self::Over;
            }
            _ => {}
        }
        Ok(())
    }
}
