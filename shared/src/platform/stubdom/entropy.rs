//! Randomness from the processor (RDRAND): a domain of its own has no other source that nobody else sees.

use core::arch::x86_64::{__cpuid, _rdrand64_step};
use core::fmt;

/// The processor gives no randomness: nothing secret can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntropyError {
    /// It has no RDRAND.
    Missing,
    /// It has, and it does not answer, or with the same again and again.
    Failing,
}

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => {
                "this processor has no RDRAND, with which the link's secrets are made: allow it in the \
                 domain's cpuid= or the emulator, or keep the helper in dom0"
            }
            Self::Failing => {
                "this processor's RDRAND does not work: update its microcode, or keep the helper in dom0"
            }
        })
    }
}

impl core::error::Error for EntropyError {}

/// Fills `bytes` from the processor's generator.
///
/// # Errors
/// [`EntropyError`]; what is in `bytes` is not to be used then.
pub fn fill(bytes: &mut [u8]) -> Result<(), EntropyError> {
    // Intel SDM volume 2, CPUID: leaf 1, bit 30 of ecx is RDRAND.
    const RDRAND: u32 = 1 << 30;
    if __cpuid(1).ecx & RDRAND == 0 {
        return Err(EntropyError::Missing);
    }
    // Some processors have answered all ones for ever after a sleep. By chance two words in a row are equal
    // once in 2^64.
    let mut last = next_word()?;
    for chunk in bytes.chunks_mut(size_of::<u64>()) {
        let word = next_word()?;
        if word == last {
            return Err(EntropyError::Failing);
        }
        last = word;
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}

fn next_word() -> Result<u64, EntropyError> {
    // Intel SDM volume 1, 7.3.17.1: ten failures in a row are a failure of the generator.
    const TRIES: u32 = 10;
    for _ in 0..TRIES {
        let mut word = 0;
        // SAFETY: `fill` has seen that the instruction is there.
        if unsafe { _rdrand64_step(&mut word) } == 1 {
            return Ok(word);
        }
    }
    Err(EntropyError::Failing)
}
