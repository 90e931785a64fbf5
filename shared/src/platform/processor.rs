//! What the programs need of the processor they run on.

use core::fmt;

/// The processor lacks what the programs were built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorError;

impl fmt::Display for ProcessorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this processor has no AES instructions, with which the link's frames are sealed: enable \
             AES-NI in the firmware or the emulator, or use another host",
        )
    }
}

impl core::error::Error for ProcessorError {}

/// Checks that the instructions that were chosen when the programs were built are there.
///
/// # Errors
/// [`ProcessorError`] if they are not.
pub fn check_processor() -> Result<(), ProcessorError> {
    // Intel SDM volume 2, CPUID: leaf 1, bit 25 of ecx is AESNI.
    const LEAF: u32 = 1;
    const AES: u32 = 1 << 25;
    let answer = core::arch::x86_64::__cpuid(LEAF);
    if answer.ecx & AES == 0 { Err(ProcessorError) } else { Ok(()) }
}
