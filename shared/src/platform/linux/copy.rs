//! Copying a page of guest memory with the widest moves the processor has.
//!
//! The guest's pages and the ring's slots are reached by address, since no Rust reference may be
//! held to memory that a guest or another process can write.

use crate::limits::PAGE_SIZE;
use core::arch::x86_64::{
    __cpuid, __cpuid_count, __m128i, __m256i, _mm_load_si128, _mm_store_si128, _mm256_load_si256,
    _mm256_store_si256, _xgetbv,
};
use core::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const SSE2: u8 = 1;
const AVX2: u8 = 2;

/// Asked once: `cpuid` leaves to the hypervisor on some hosts and costs microseconds there.
static METHOD: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Copies [`PAGE_SIZE`] bytes from page to page.
///
/// # Safety
/// `source` is readable and `target` writable for a page, both aligned to a page, and not the same
/// page. Another party may write the source at the same time: the copy then has old or new bytes.
#[inline]
pub unsafe fn copy_page(source: *const u8, target: *mut u8) {
    debug_assert!(source.addr().is_multiple_of(PAGE_SIZE));
    debug_assert!(target.addr().is_multiple_of(PAGE_SIZE));
    match METHOD.load(Ordering::Relaxed) {
        // SAFETY: the same contract, and the processor was asked for AVX2.
        AVX2 => unsafe { copy_page_avx2(source.cast(), target.cast()) },
        // SAFETY: the same contract; every x86-64 has SSE2.
        SSE2 => unsafe { copy_page_sse2(source.cast(), target.cast()) },
        _ => {
            METHOD.store(if has_avx2() { AVX2 } else { SSE2 }, Ordering::Relaxed);
            // SAFETY: the same contract.
            unsafe { copy_page(source, target) }
        }
    }
}

/// Whether processor and kernel both support AVX2: CPUID.1:ECX.OSXSAVE, XCR0 has the SSE and AVX
/// states, CPUID.7.0:EBX.AVX2 (Intel SDM volume 1, 14.3).
fn has_avx2() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const SSE_AND_AVX_STATE: u64 = 0b110;
    const AVX2_FEATURE: u32 = 1 << 5;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    // SAFETY: OSXSAVE says that the instruction is enabled.
    let enabled = unsafe { read_xcr0() };
    enabled & SSE_AND_AVX_STATE == SSE_AND_AVX_STATE && __cpuid_count(7, 0).ebx & AVX2_FEATURE != 0
}

/// # Safety
/// CPUID.1:ECX.OSXSAVE is set.
#[target_feature(enable = "xsave")]
unsafe fn read_xcr0() -> u64 {
    // SAFETY: the caller has checked OSXSAVE.
    unsafe { _xgetbv(0) }
}

/// # Safety
/// As [`copy_page`], on a processor with AVX2.
#[target_feature(enable = "avx2")]
unsafe fn copy_page_avx2(source: *const __m256i, target: *mut __m256i) {
    let mut index = 0;
    while index < PAGE_SIZE / size_of::<__m256i>() {
        let mut block = [const { core::mem::MaybeUninit::<__m256i>::uninit() }; 4];
        for (offset, word) in block.iter_mut().enumerate() {
            // SAFETY: the index is inside the page, and pages are aligned.
            word.write(unsafe { _mm256_load_si256(source.wrapping_add(index + offset)) });
        }
        for (offset, word) in block.iter().enumerate() {
            // SAFETY: the loop above wrote each of the four.
            let word = unsafe { word.assume_init() };
            // SAFETY: the index is inside the page, and pages are aligned.
            unsafe { _mm256_store_si256(target.wrapping_add(index + offset), word) };
        }
        index += block.len();
    }
}

/// # Safety
/// As [`copy_page`].
unsafe fn copy_page_sse2(source: *const __m128i, target: *mut __m128i) {
    let mut index = 0;
    while index < PAGE_SIZE / size_of::<__m128i>() {
        let mut block = [const { core::mem::MaybeUninit::<__m128i>::uninit() }; 4];
        for (offset, word) in block.iter_mut().enumerate() {
            // SAFETY: the index is inside the page, and pages are aligned.
            word.write(unsafe { _mm_load_si128(source.wrapping_add(index + offset)) });
        }
        for (offset, word) in block.iter().enumerate() {
            // SAFETY: the loop above wrote each of the four.
            let word = unsafe { word.assume_init() };
            // SAFETY: the index is inside the page, and pages are aligned.
            unsafe { _mm_store_si128(target.wrapping_add(index + offset), word) };
        }
        index += block.len();
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE_SIZE, copy_page, copy_page_avx2, copy_page_sse2, has_avx2};

    #[repr(C, align(4096))]
    #[derive(Clone, PartialEq, Debug)]
    struct Pages([[u8; PAGE_SIZE]; 3]);

    fn source() -> Box<Pages> {
        let mut pages = Box::new(Pages([[0; PAGE_SIZE]; 3]));
        for (index, byte) in pages.0.as_flattened_mut().iter_mut().enumerate() {
            *byte = u8::try_from(index % 251).unwrap();
        }
        pages
    }

    fn check(copy: unsafe fn(*const u8, *mut u8)) {
        let source = source();
        let mut target = Box::new(Pages([[0xee; PAGE_SIZE]; 3]));
        let middle = target.0[1].as_mut_ptr();
        // SAFETY: both are pages, aligned by their type.
        unsafe { copy(source.0[1].as_ptr(), middle) };
        assert_eq!(target.0[1], source.0[1]);
        assert_eq!(target.0[0], [0xee; PAGE_SIZE]);
        assert_eq!(target.0[2], [0xee; PAGE_SIZE]);
    }

    #[test]
    fn every_method_copies_exactly_one_page() {
        check(copy_page);
        // SAFETY: `check` gives it pages.
        check(|source, target| unsafe { copy_page_sse2(source.cast(), target.cast()) });
        if has_avx2() {
            // SAFETY: `check` gives it pages, and the processor has AVX2.
            check(|source, target| unsafe { copy_page_avx2(source.cast(), target.cast()) });
        }
        assert_eq!(has_avx2(), std::is_x86_feature_detected!("avx2"));
    }
}
