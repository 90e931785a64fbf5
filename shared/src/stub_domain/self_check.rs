//! What a stub domain does before it trusts its platform: each thing once, as it will be used.

use core::fmt;

use crate::limits::PAGE_SIZE;
use crate::platform::memory::MemoryError;
use crate::platform::stubdom::entropy::EntropyError;
use crate::platform::stubdom::{clock, entropy};
use crate::ring::{Entry, EntryKind, Ring, RingError};
use crate::wire::{ETHERNET_HEADER_SIZE, Frame, FrameHeader, FrameType, HEADER_SIZE, Sealer};
use crate::xen::XenError;

/// Microseconds that the clock must have gone on after a wait of as long.
const WAIT_US: u64 = 1_000;
/// Looks at a clock that stands still before that is said.
const CLOCK_LOOKS_MAX: u32 = 1_000_000;
const RING_ENTRY_COUNT: u64 = 4;
/// Several of the cipher's blocks, and a part of one.
const BODY: &[u8; 220] = &[0x5a; 220];

/// What does not work.
#[derive(Clone, Copy, Debug)]
pub enum SelfCheckError {
    /// Time does not pass.
    Clock,
    /// Xen refuses to wait.
    Wait(XenError),
    /// There is no randomness.
    Entropy(EntropyError),
    /// Two fills were alike.
    EntropyRepeats,
    /// What was sealed was not opened, or what was changed was.
    Seal,
    /// There is no memory for a ring.
    Memory(MemoryError),
    /// The ring's indexes or descriptors are wrong.
    Ring(RingError),
    /// What came out of the ring is not what went in.
    RingContent,
}

impl fmt::Display for SelfCheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock => f.write_str("the clock stands still: this host's TSC cannot be used"),
            Self::Wait(error) => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
            Self::EntropyRepeats => f.write_str("the processor gives the same randomness twice"),
            Self::Seal => f.write_str("the cipher is wrong: this processor's AES cannot be used"),
            Self::Memory(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
            Self::RingContent => f.write_str("the page ring gives back other bytes: memory is bad"),
        }
    }
}

impl core::error::Error for SelfCheckError {}

/// Checks everything.
///
/// # Errors
/// The first [`SelfCheckError`].
pub fn run() -> Result<(), SelfCheckError> {
    check_clock()?;
    check_seal(&check_entropy()?)?;
    check_ring()
}

fn check_clock() -> Result<(), SelfCheckError> {
    let start_us = clock::monotonic_us();
    clock::wait(&[], WAIT_US).map_err(SelfCheckError::Wait)?;
    let has_passed = (0..CLOCK_LOOKS_MAX).any(|_| clock::monotonic_us() >= start_us + WAIT_US);
    if has_passed { Ok(()) } else { Err(SelfCheckError::Clock) }
}

fn check_entropy() -> Result<[u8; 16], SelfCheckError> {
    let (mut first, mut second) = ([0; 16], [0; 16]);
    entropy::fill(&mut first).map_err(SelfCheckError::Entropy)?;
    entropy::fill(&mut second).map_err(SelfCheckError::Entropy)?;
    if first == second { Err(SelfCheckError::EntropyRepeats) } else { Ok(first) }
}

fn check_seal(key: &[u8; 16]) -> Result<(), SelfCheckError> {
    const PACKET_NUMBER: u64 = 7;
    let sealer = Sealer::new(key);
    let mut bytes = [0; Frame::size(BODY.len())];
    let (associated, rest) = bytes.split_at_mut(ETHERNET_HEADER_SIZE + HEADER_SIZE);
    let body_size = u16::try_from(BODY.len()).map_err(|_| SelfCheckError::Seal)?;
    let (frame_type, session, packet_number) = (FrameType::Data, 1, PACKET_NUMBER);
    FrameHeader { frame_type, body_size, session, packet_number }
        .emit(&mut associated[ETHERNET_HEADER_SIZE..]);
    let (body, tag) = rest.split_at_mut(BODY.len());
    body.copy_from_slice(BODY);
    tag.copy_from_slice(&sealer.seal(PACKET_NUMBER, associated, body));
    if body == BODY {
        return Err(SelfCheckError::Seal);
    }
    let mut changed = bytes;
    changed[ETHERNET_HEADER_SIZE + HEADER_SIZE] ^= 1;
    let opened = |bytes: &mut [u8]| {
        Frame::parse(bytes).is_ok_and(|mut frame| sealer.open(&mut frame) && frame.body == BODY)
    };
    if opened(&mut bytes) && !opened(&mut changed) { Ok(()) } else { Err(SelfCheckError::Seal) }
}

fn check_ring() -> Result<(), SelfCheckError> {
    let ring = Ring::create(RING_ENTRY_COUNT).map_err(SelfCheckError::Memory)?;
    let (mut producer, mut consumer) = ring.into_both().map_err(SelfCheckError::Memory)?;
    consumer.reset(RING_ENTRY_COUNT);
    producer.begin().map_err(SelfCheckError::Ring)?;
    // Twice around.
    for index in 0..2 * RING_ENTRY_COUNT {
        producer.free_entries().map_err(SelfCheckError::Ring)?;
        let byte = index.to_le_bytes()[0] ^ 0xa5;
        producer.slot_mut().fill(byte);
        let page_size = u16::try_from(PAGE_SIZE).map_err(|_| SelfCheckError::RingContent)?;
        let entry = Entry::raw(EntryKind::Page, 1, index, page_size);
        producer.push(&entry);
        producer.publish();
        let here = consumer.available().map_err(SelfCheckError::Ring)?;
        let is_same = here == (index..index + 1)
            && consumer.entry(index).map_err(SelfCheckError::Ring)? == entry
            && consumer.page(index) == &[byte; PAGE_SIZE];
        if !is_same {
            return Err(SelfCheckError::RingContent);
        }
        consumer.release(index + 1);
    }
    Ok(())
}
