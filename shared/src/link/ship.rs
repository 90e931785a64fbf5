//! ship: the primary's network process.
//!
//! It faces the network and holds no privilege but its socket and its end of the ring. Start it in
//! its own process, after `fork`, with [`Ship::run`](super::Turns::run); everything else it is told
//! by capture through the ring's control words. It ends when capture asks for it or is gone.

use super::process::Turns;
use super::{LinkOptions, PrimaryLink};
use crate::codec::page::PageEncoder;

/// The primary's network process.
pub type Ship = Turns<PrimaryLink>;

impl Ship {
    /// A process that calls the backup as soon as it takes turns, and encodes pages so.
    ///
    /// # Panics
    /// If the options break their own rules.
    #[must_use]
    pub fn new(options: LinkOptions, encoder: PageEncoder, now_us: u64) -> Self {
        Self::of(PrimaryLink::new(options, encoder, now_us))
    }
}
