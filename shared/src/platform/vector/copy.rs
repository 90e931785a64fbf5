//! The ways to copy a page. All are instructions and not Rust, since others may write the source or
//! look at the target meanwhile.

use core::arch::asm;
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch, _mm_sfence};

use crate::limits::PAGE_SIZE;

/// A way to copy a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CopyMethod {
    /// `rep movsq`: the best there is without streaming, on processors with fast strings.
    String,
    /// General registers: what an emulator translates best.
    Words,
    /// Streaming stores of 32 bytes.
    Avx2Stream,
}

impl CopyMethod {
    /// Whether the copy goes past the caches.
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::Avx2Stream)
    }
}

/// Bytes that are asked for ahead of a streaming copy. Their lines then come while the part before
/// them is stored.
pub const PART_SIZE: usize = 1024;
const CACHE_LINE_SIZE: usize = 64;

/// Copies [`PAGE_SIZE`] bytes from `source` to `target`, which are both borrowed by the caller for
/// so long and do not overlap. `method` must be one that the processor has.
pub fn run(method: CopyMethod, source: *const u8, target: *mut u8) {
    // Streaming stores must be aligned; a page of a guest or a ring is.
    let is_aligned = target.addr().is_multiple_of(CACHE_LINE_SIZE);
    // SAFETY: for all of them: two whole pages, as the callers' borrows say.
    match method {
        // SAFETY: see above.
        CopyMethod::Words => unsafe { copy_words(source, target) },
        // SAFETY: see above, the target is aligned, and the method was chosen where AVX2 is.
        CopyMethod::Avx2Stream if is_aligned => unsafe {
            stream(source, target, avx2_stream_part);
        },
        // SAFETY: see above.
        _ => unsafe { copy_string(source, target) },
    }
}

/// # Safety
/// Both valid for a page.
unsafe fn copy_string(source: *const u8, target: *mut u8) {
    // SAFETY: as the caller says; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep movsq",
            inout("rcx") PAGE_SIZE / 8 => _,
            inout("rsi") source => _,
            inout("rdi") target => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// Both valid for a page.
unsafe fn copy_words(source: *const u8, target: *mut u8) {
    // SAFETY: as the caller says: the offset runs over a page.
    unsafe {
        asm!(
            "2:",
            "mov {first}, qword ptr [{source} + {offset}]",
            "mov {second}, qword ptr [{source} + {offset} + 8]",
            "mov qword ptr [{target} + {offset}], {first}",
            "mov qword ptr [{target} + {offset} + 8], {second}",
            "add {offset}, 16",
            "cmp {offset}, 4096",
            "jne 2b",
            source = in(reg) source,
            target = in(reg) target,
            offset = inout(reg) 0_usize => _,
            first = out(reg) _,
            second = out(reg) _,
            options(nostack),
        );
    }
}

/// Copies a page with `copy_part`. Its stores are in order with others only after [`fence`].
///
/// # Safety
/// Both valid for a page; the target on a cache line; `copy_part`'s instructions are there.
unsafe fn stream(
    source: *const u8,
    target: *mut u8,
    copy_part: unsafe fn(source: *const u8, target: *mut u8),
) {
    for start in (0..PAGE_SIZE).step_by(PART_SIZE) {
        if start + PART_SIZE < PAGE_SIZE {
            prefetch(source.wrapping_add(start + PART_SIZE), PART_SIZE);
        }
        // SAFETY: as the caller says; the part lies in the page.
        unsafe { copy_part(source.wrapping_add(start), target.wrapping_add(start)) };
    }
}

/// Puts all streaming stores so far before any later store.
pub fn fence() {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { _mm_sfence() };
}

/// Asks for the lines of `size` bytes.
pub fn prefetch(start: *const u8, size: usize) {
    for line in (0..size).step_by(CACHE_LINE_SIZE) {
        // SAFETY: a hint, which reads nothing and is right for any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line).cast()) };
    }
}

/// # Safety
/// Both valid for [`PART_SIZE`] bytes; the target aligned to 32; AVX2 is there.
unsafe fn avx2_stream_part(source: *const u8, target: *mut u8) {
    // SAFETY: as the caller says: the offset runs over the part. The upper halves of the registers
    // are cleared again, so that code without AVX is not slowed down.
    unsafe {
        asm!(
            "2:",
            "vmovdqu ymm0, ymmword ptr [{source} + {offset}]",
            "vmovdqu ymm1, ymmword ptr [{source} + {offset} + 32]",
            "vmovdqu ymm2, ymmword ptr [{source} + {offset} + 64]",
            "vmovdqu ymm3, ymmword ptr [{source} + {offset} + 96]",
            "vmovntdq ymmword ptr [{target} + {offset}], ymm0",
            "vmovntdq ymmword ptr [{target} + {offset} + 32], ymm1",
            "vmovntdq ymmword ptr [{target} + {offset} + 64], ymm2",
            "vmovntdq ymmword ptr [{target} + {offset} + 96], ymm3",
            "add {offset}, 128",
            "cmp {offset}, 1024",
            "jne 2b",
            "vzeroupper",
            source = in(reg) source,
            target = in(reg) target,
            offset = inout(reg) 0_usize => _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
}

const _: () = assert!(PAGE_SIZE == 4096 && PART_SIZE == 1024, "the loops above count so far");

#[cfg(test)]
mod tests {
    use super::super::features::has_avx2;
    use super::*;
    use proptest::prelude::*;

    #[repr(align(64))]
    struct Aligned([u8; PAGE_SIZE + 128]);

    proptest! {
        #[test]
        fn every_method_copies_a_page_and_nothing_else(
            bytes in proptest::collection::vec(any::<u8>(), PAGE_SIZE + 64),
            source_offset in 0..64_usize,
            target_offset in prop_oneof![Just(0_usize), Just(64), 0..128_usize],
        ) {
            use CopyMethod::{Avx2Stream, String, Words};
            for method in [String, Words, Avx2Stream] {
                if method == Avx2Stream && !has_avx2() {
                    continue;
                }
                let mut target = Box::new(Aligned([0xa5; PAGE_SIZE + 128]));
                let source = &bytes[source_offset..][..PAGE_SIZE];
                run(method, source.as_ptr(), target.0[target_offset..].as_mut_ptr());
                let (before, rest) = target.0.split_at(target_offset);
                prop_assert_eq!(&rest[..PAGE_SIZE], source);
                prop_assert!(before.iter().chain(&rest[PAGE_SIZE..]).all(|&byte| byte == 0xa5));
            }
        }
    }
}
