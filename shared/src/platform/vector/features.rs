//! Which vector instructions this processor has, and the system lets programs use.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};

/// Whether AVX2 can be used.
pub fn has_avx2() -> bool {
    // Intel SDM volume 2, CPUID: leaf 1 ecx, leaf 7.0 ebx. Volume 1, 14.3: how to detect AVX.
    const OSXSAVE_AND_AVX: u32 = 1 << 27 | 1 << 28;
    const AVX2: u32 = 1 << 5;
    const XMM_AND_YMM_STATE: u32 = 1 << 1 | 1 << 2;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE_AND_AVX != OSXSAVE_AND_AVX {
        return false;
    }
    let has_instructions = __cpuid_count(7, 0).ebx & AVX2 != 0;
    has_instructions && extended_control_register() & XMM_AND_YMM_STATE == XMM_AND_YMM_STATE
}

/// Whether AES instructions can be used on vectors of AVX2.
pub fn has_vaes() -> bool {
    // Intel SDM volume 2, CPUID: leaf 7.0 ecx.
    const VAES: u32 = 1 << 9;
    has_avx2() && __cpuid_count(7, 0).ecx & VAES != 0
}

/// The lower half of XCR0: which registers the system saves. OSXSAVE must have been seen.
fn extended_control_register() -> u32 {
    let lower: u32;
    // SAFETY: OSXSAVE says that the instruction is there; it reads one register.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") lower, out("edx") _, options(nomem, nostack));
    }
    lower
}
