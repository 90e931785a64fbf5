//! receive: the backup's network process.
//!
//! It faces the network and holds no privilege but its socket and its end of the ring. Start it in
//! its own process, after `fork`, with [`Receive::run`](super::Turns::run); everything else it is
//! told by commit through the ring's control words. It ends when commit asks for it or is gone.

use super::process::Turns;
use super::{BackupLink, LinkOptions};

/// The backup's network process.
pub type Receive = Turns<BackupLink>;

impl Receive {
    /// A process that listens as soon as it takes turns.
    ///
    /// # Panics
    /// If the options break their own rules.
    #[must_use]
    pub fn new(options: LinkOptions, now_us: u64) -> Self {
        Self::of(BackupLink::new(options, now_us))
    }
}
