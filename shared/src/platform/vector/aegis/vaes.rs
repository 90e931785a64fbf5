//! The cipher with AES instructions that work on both lanes of a word at once.
//!
//! It is assembly because one word that the compiler keeps in memory for an instant makes it three times as
//! slow: every word of the state waits for itself of the block before.

use core::arch::asm;

use super::state::Block;
use super::word::Word;
use crate::limits::PAGE_SIZE;

/// Bytes ahead of which the source is asked for, so that what comes from memory is there in time: a page, as the
/// next entry of a ring is likely to be the next that is encrypted.
const PREFETCH_SIZE: usize = PAGE_SIZE;

/// V0 to V7 into ymm0 to ymm7.
macro_rules! load {
    () => {
        "vmovdqa ymm0, [{state}]
        vmovdqa ymm1, [{state} + 32]
        vmovdqa ymm2, [{state} + 64]
        vmovdqa ymm3, [{state} + 96]
        vmovdqa ymm4, [{state} + 128]
        vmovdqa ymm5, [{state} + 160]
        vmovdqa ymm6, [{state} + 192]
        vmovdqa ymm7, [{state} + 224]"
    };
}

/// And back. The upper halves of the registers are cleared, so that code without AVX is not slowed down.
macro_rules! store {
    () => {
        "vmovdqa [{state}], ymm0
        vmovdqa [{state} + 32], ymm1
        vmovdqa [{state} + 64], ymm2
        vmovdqa [{state} + 96], ymm3
        vmovdqa [{state} + 128], ymm4
        vmovdqa [{state} + 160], ymm5
        vmovdqa [{state} + 192], ymm6
        vmovdqa [{state} + 224], ymm7
        vzeroupper"
    };
}

/// An update with ymm8 and ymm9, from the last word down, as each takes in the one before it.
macro_rules! update {
    () => {
        "vmovdqa ymm12, ymm7
        vaesenc ymm7, ymm6, ymm7
        vaesenc ymm6, ymm5, ymm6
        vaesenc ymm5, ymm4, ymm5
        vpxor ymm4, ymm4, ymm9
        vaesenc ymm4, ymm3, ymm4
        vaesenc ymm3, ymm2, ymm3
        vaesenc ymm2, ymm1, ymm2
        vaesenc ymm1, ymm0, ymm1
        vpxor ymm0, ymm0, ymm8
        vaesenc ymm0, ymm12, ymm0"
    };
}

/// Updates `count` times with the first two of `inputs`, not 0 times, with the third one added to V3 and V7
/// each time.
///
/// # Safety
/// AVX2 and VAES are there.
pub unsafe fn mix(state: &mut [Word; 8], inputs: &[Word; 3], count: usize) {
    // SAFETY: eight and three words of 32 bytes are borrowed; the instructions are there, as the caller says.
    unsafe {
        asm!(
            load!(),
            "vmovdqa ymm8, [{inputs}]",
            "vmovdqa ymm9, [{inputs} + 32]",
            "vmovdqa ymm10, [{inputs} + 64]",
            "2:",
            "vpxor ymm3, ymm3, ymm10",
            "vpxor ymm7, ymm7, ymm10",
            update!(),
            "dec {count}",
            "jnz 2b",
            store!(),
            state = in(reg) state.as_mut_ptr(),
            inputs = in(reg) inputs.as_ptr(),
            count = inout(reg) count => _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
}

/// Encrypts or decrypts `count` blocks of `source` into `target`, not 0.
///
/// # Safety
/// Both valid for so many blocks, and the same or apart; AVX2 and VAES are there.
pub unsafe fn crypt(
    state: &mut [Word; 8],
    source: *const Block,
    target: *mut Block,
    count: usize,
    is_opening: bool,
) {
    // SAFETY: as the caller says: the pointers run over `count` blocks. A prefetch is right for any address.
    unsafe {
        asm!(
            load!(),
            "2:",
            "prefetcht0 [{source} + {prefetch_size}]",
            "vmovdqu ymm8, [{source}]",
            "vmovdqu ymm9, [{source} + 32]",
            // What the block is encrypted with: V6 ^ V1 ^ (V2 & V3), and V2 ^ V5 ^ (V6 & V7).
            "vpand ymm10, ymm2, ymm3",
            "vpxor ymm12, ymm6, ymm1",
            "vpand ymm11, ymm6, ymm7",
            "vpxor ymm13, ymm2, ymm5",
            "vpxor ymm12, ymm12, ymm8",
            "vpxor ymm13, ymm13, ymm9",
            "vpxor ymm10, ymm10, ymm12",
            "vpxor ymm11, ymm11, ymm13",
            "vmovdqu [{target}], ymm10",
            "vmovdqu [{target} + 32], ymm11",
            "test {is_opening:e}, {is_opening:e}",
            "jz 3f",
            "vmovdqa ymm8, ymm10",
            "vmovdqa ymm9, ymm11",
            "3:",
            update!(),
            "add {source}, 64",
            "add {target}, 64",
            "dec {count}",
            "jnz 2b",
            store!(),
            state = in(reg) state.as_mut_ptr(),
            source = inout(reg) source => _,
            target = inout(reg) target => _,
            count = inout(reg) count => _,
            is_opening = in(reg) u32::from(is_opening),
            prefetch_size = const PREFETCH_SIZE,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
}
