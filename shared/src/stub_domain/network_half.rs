//! The halves that a stub domain can be: ship on the primary's host, receive on the backup's.

use crate::codec::page::{PageEncoder, ShadowCache};
use crate::link::receive::Receive;
use crate::link::ship::Ship;
use crate::link::{Ending, FramePort, Host, LinkOptions};
use crate::platform::memory::MemoryError;
use crate::ring::Ring;
use crate::ring::hand_over::Program;

/// A half that faces the network. Which one is chosen where the program is built: each image has only its own.
pub trait NetworkHalf: Sized {
    /// Whose half it is.
    const PROGRAM: Program;

    /// Takes what memory it needs for one life, `cache_size` bytes of shadow pages if it keeps any.
    ///
    /// # Errors
    /// [`MemoryError`].
    fn prepare(cache_size: usize) -> Result<Self, MemoryError>;

    /// Carries the link until that ends.
    ///
    /// # Errors
    /// The port's.
    fn carry<P: FramePort, H: Host>(
        self,
        options: LinkOptions,
        port: &mut P,
        ring: Ring,
        host: &mut H,
    ) -> Result<Ending, P::Error>;
}

/// The primary's.
#[derive(Debug)]
pub struct ShipHalf(ShadowCache);

impl NetworkHalf for ShipHalf {
    const PROGRAM: Program = Program::PrimaryHelper;

    fn prepare(cache_size: usize) -> Result<Self, MemoryError> {
        ShadowCache::create(cache_size).map(Self)
    }

    fn carry<P: FramePort, H: Host>(
        self,
        options: LinkOptions,
        port: &mut P,
        ring: Ring,
        host: &mut H,
    ) -> Result<Ending, P::Error> {
        let mut ring = ring.into_consumer();
        let mut ship = Ship::new(options, PageEncoder::new(self.0), host.now_us());
        ship.run(port, &mut ring, host, false)
    }
}

/// The backup's.
#[derive(Debug)]
pub struct ReceiveHalf;

impl NetworkHalf for ReceiveHalf {
    const PROGRAM: Program = Program::BackupHelper;

    fn prepare(_: usize) -> Result<Self, MemoryError> {
        Ok(Self)
    }

    fn carry<P: FramePort, H: Host>(
        self,
        options: LinkOptions,
        port: &mut P,
        ring: Ring,
        host: &mut H,
    ) -> Result<Ending, P::Error> {
        let mut ring = ring.into_producer();
        let mut receive = Receive::new(options, host.now_us());
        receive.run(port, &mut ring, host, false)
    }
}
