//! The processor's input and output ports, a byte at a time.

use core::arch::asm;

/// Writes a byte to a port.
///
/// # Safety
/// What stands behind the port touches no memory of this program.
pub unsafe fn write(port: u16, byte: u8) {
    // SAFETY: the instruction touches no memory; the caller vouches for the device.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags))
    };
}

/// Reads a byte from a port; all ones where nothing answers.
///
/// # Safety
/// As for [`write`].
pub unsafe fn read(port: u16) -> u8 {
    let byte;
    // SAFETY: the instruction touches no memory; the caller vouches for the device.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack, preserves_flags))
    };
    byte
}
