//! How a hypercall reaches Xen: by the processor's own instruction, from anywhere.
//!
//! Xen also offers a page of code for it. That page would have to be executable memory that somebody else
//! has written, and its returns escape what a compiler does against speculation (XSA-466); the instruction
//! needs neither. Which one it is follows from the processor's vendor.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

use crate::xen::Errno;
use crate::xen::stub::HypercallInstruction;

/// Whether Xen is below this program (arch-x86/cpuid.h): its leaves come first, or after those with which
/// it passes for another hypervisor.
#[must_use]
pub fn is_xen_there() -> bool {
    const HYPERVISOR: u32 = 1 << 31;
    const FIRST_LEAF: u32 = 0x4000_0000;
    const LEAF_STEP: usize = 0x100;
    const LEAF_END: u32 = 0x4001_0000;
    __cpuid(1).ecx & HYPERVISOR != 0
        && (FIRST_LEAF..LEAF_END).step_by(LEAF_STEP).any(|base| {
            let leaf = __cpuid(base);
            let name = [leaf.ebx.to_le_bytes(), leaf.ecx.to_le_bytes(), leaf.edx.to_le_bytes()];
            name.as_flattened() == b"XenVMMXenVMM"
        })
}

/// Makes a hypercall (arch-x86/xen-x86_64.h, Xen 4.17).
///
/// # Errors
/// What Xen answers.
///
/// # Safety
/// Xen is there, and the addresses among the arguments are those of memory that the call may read and
/// write.
pub unsafe fn hypercall(
    instruction: HypercallInstruction,
    number: u32,
    arguments: [u64; 5],
) -> Result<u64, Errno> {
    let [first, second, third, fourth, fifth] = arguments;
    let result: i64;
    // A Xen with debugging overwrites the arguments' registers.
    macro_rules! call {
        ($instruction:literal) => {
            asm!($instruction, inout("rax") u64::from(number) => result, inout("rdi") first => _,
                inout("rsi") second => _, inout("rdx") third => _, inout("r10") fourth => _,
                inout("r8") fifth => _, out("rcx") _, out("r11") _, options(nostack))
        };
    }
    match instruction {
        // SAFETY: the caller vouches for Xen and for the arguments; Xen keeps all other registers.
        HypercallInstruction::Vmmcall => unsafe { call!("vmmcall") },
        // SAFETY: as above.
        HypercallInstruction::Vmcall => unsafe { call!("vmcall") },
    }
    u64::try_from(result).map_err(|_| Errno::of(i32::try_from(-result).unwrap_or(i32::MAX)))
}
