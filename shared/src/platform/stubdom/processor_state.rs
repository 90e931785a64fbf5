//! AVX: switched on where the processor has it. SSE is on since boot.s.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

/// Lets AVX instructions be used if there are any: `vector` chooses among the ways to copy a page, and to
/// encrypt.
pub fn switch_avx_on() {
    // Intel SDM volume 2, CPUID: leaf 1, bits 26 and 28 of ecx are XSAVE and AVX.
    const XSAVE_AND_AVX: u32 = 1 << 26 | 1 << 28;
    if __cpuid(1).ecx & XSAVE_AND_AVX == XSAVE_AND_AVX {
        switch_on();
    }
}

fn switch_on() {
    // SAFETY: bit 18 of cr4 is OSXSAVE, which the processor has; it only allows more instructions.
    unsafe {
        asm!("mov {cr4}, cr4", "or {cr4}, 0x40000", "mov cr4, {cr4}", cr4 = out(reg) _,
            options(nomem, nostack));
    }
    // SAFETY: OSXSAVE is on, and the processor has the state of x87, SSE and AVX, bits 0 to 2 of XCR0.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") 7, in("edx") 0, options(nomem, nostack));
    }
}
