//! A half at the network that somebody has taken over: it writes nonsense into the ring. For tests of dom0, which must get no
//! further than an error.

use core::marker::PhantomData;

use super::network_half::NetworkHalf;
use crate::link::{Ending, FramePort, Host, LinkOptions};
use crate::platform::memory::MemoryError;
use crate::ring::Ring;
use crate::ring::hand_over::Program;

/// Words between two looks whether dom0 is still there.
const WORDS_PER_LOOK: u32 = 64;
/// Microseconds between two looks: dom0 is to have time for each lie.
const LOOK_US: u64 = 200;

/// Passes for the half `H`.
#[derive(Debug)]
pub struct Scribbler<H>(PhantomData<H>);

impl<H: NetworkHalf> NetworkHalf for Scribbler<H> {
    const PROGRAM: Program = H::PROGRAM;

    fn prepare(_: usize) -> Result<Self, MemoryError> {
        Ok(Self(PhantomData))
    }

    fn carry<P: FramePort, S: Host>(
        self,
        _: LinkOptions,
        port: &mut P,
        ring: Ring,
        host: &mut S,
    ) -> Result<Ending, P::Error> {
        // Xorshift (Marsaglia 2003): any numbers do.
        let mut state = host.now_us() | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        while host.is_other_half_alive() {
            (0..WORDS_PER_LOOK).for_each(|_| ring.write_nonsense(&mut random));
            port.wait(LOOK_US)?;
        }
        Ok(Ending::OtherHalfGone)
    }
}
