//! The memory functions that compiled code expects a C library to bring.
//!
//! They are written with instructions, not loops, so that the compiler cannot recognise a loop as
//! the very function it implements and make it call itself. [`crate::linux_program!`] exports
//! them under their C names in a program; the library itself exports nothing, so tests keep the
//! ones of their own C library.

use core::arch::asm;

/// `memcpy`: copies `size` bytes between areas that do not overlap.
///
/// # Safety
/// As C's: both areas valid for `size` bytes, and apart.
#[inline]
pub unsafe fn memcpy(target: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both areas; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") size => _,
            inout("rdi") target => _,
            inout("rsi") source => _,
            options(nostack, preserves_flags),
        );
    }
    target
}

/// `memmove`: copies `size` bytes between areas that may overlap.
///
/// # Safety
/// As C's: both areas valid for `size` bytes.
#[inline]
pub unsafe fn memmove(target: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    if target.addr().wrapping_sub(source.addr()) >= size {
        // Forward is right unless the target begins inside the source.
        // SAFETY: the caller vouches for both areas; forward order never reads a written byte.
        return unsafe { memcpy(target, source, size) };
    }
    let last = size.wrapping_sub(1);
    // SAFETY: the caller vouches for both areas; `size` is not 0 here, since no difference is
    // below 0. The direction flag is set for the backward copy and cleared again.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rcx") size => _,
            inout("rdi") target.wrapping_add(last) => _,
            inout("rsi") source.wrapping_add(last) => _,
            options(nostack),
        );
    }
    target
}

/// `memset`: writes the low byte of `value` to `size` bytes.
///
/// # Safety
/// As C's: the area valid for `size` bytes.
#[inline]
pub unsafe fn memset(target: *mut u8, value: i32, size: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the area; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") size => _,
            inout("rdi") target => _,
            in("eax") value,
            options(nostack, preserves_flags),
        );
    }
    target
}

/// `memcmp`: the difference of the first bytes that differ, or 0.
///
/// # Safety
/// As C's: both areas valid for `size` bytes.
#[inline]
pub unsafe fn memcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
    let mut offset = 0;
    while size - offset >= 8 {
        // SAFETY: eight bytes are left in the left area.
        let left_word = unsafe { load_word(left.wrapping_add(offset)) };
        // SAFETY: eight bytes are left in the right area.
        let right_word = unsafe { load_word(right.wrapping_add(offset)) };
        if left_word != right_word {
            // The first byte in memory order is the most significant one after the swap.
            return if left_word.swap_bytes() < right_word.swap_bytes() { -1 } else { 1 };
        }
        offset += 8;
    }
    while offset < size {
        // SAFETY: at least one byte is left in the left area.
        let left_byte = unsafe { load_byte(left.wrapping_add(offset)) };
        // SAFETY: at least one byte is left in the right area.
        let right_byte = unsafe { load_byte(right.wrapping_add(offset)) };
        if left_byte != right_byte {
            return i32::from(left_byte) - i32::from(right_byte);
        }
        offset += 1;
    }
    0
}

/// `strlen`: the bytes before the terminating zero.
///
/// # Safety
/// As C's: `text` points at a zero-terminated string.
#[inline]
pub unsafe fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: no byte up to here was the terminating zero, so this one belongs to the string.
    while unsafe { load_byte(text.wrapping_add(length)) } != 0 {
        length += 1;
    }
    length
}

/// A load the compiler cannot see through.
///
/// # Safety
/// Eight bytes at `address` are readable; any alignment.
#[inline]
unsafe fn load_word(address: *const u8) -> u64 {
    let word: u64;
    // SAFETY: the caller vouches for the eight bytes.
    unsafe {
        asm!("mov {}, [{}]", out(reg) word, in(reg) address,
            options(nostack, readonly, preserves_flags));
    }
    word
}

/// A load the compiler cannot see through.
///
/// # Safety
/// The byte at `address` is readable.
#[inline]
unsafe fn load_byte(address: *const u8) -> u8 {
    let byte: u32;
    // SAFETY: the caller vouches for the byte.
    unsafe {
        asm!("movzx {:e}, byte ptr [{}]", out(reg) byte, in(reg) address,
            options(nostack, readonly, preserves_flags));
    }
    byte.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::{memcmp, memcpy, memmove, memset, strlen};
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, proptest};

    fn area_and_two_ranges() -> impl Strategy<Value = (Vec<u8>, usize, usize, usize)> {
        (proptest::collection::vec(any::<u8>(), 1..200)).prop_flat_map(|area| {
            let size = area.len();
            (Just(area), 0..size, 0..size).prop_flat_map(move |(area, source, target)| {
                let count_max = size - source.max(target);
                (Just(area), Just(source), Just(target), 0..=count_max)
            })
        })
    }

    proptest! {
        #[test]
        fn memmove_is_copy_within((area, source, target, count) in area_and_two_ranges()) {
            let mut moved = area.clone();
            let base = moved.as_mut_ptr();
            // SAFETY: both ranges lie in the vector.
            unsafe { memmove(base.wrapping_add(target), base.wrapping_add(source), count) };
            let mut expected = area;
            expected.copy_within(source..source + count, target);
            prop_assert_eq!(moved, expected);
        }

        #[test]
        fn memcmp_orders_as_slices(left in proptest::collection::vec(0_u8..3, 0..40),
                                   right in proptest::collection::vec(0_u8..3, 0..40)) {
            let size = left.len().min(right.len());
            // SAFETY: both vectors have at least `size` bytes.
            let order = unsafe { memcmp(left.as_ptr(), right.as_ptr(), size) };
            prop_assert_eq!(order.cmp(&0), left[..size].cmp(&right[..size]));
        }
    }

    #[test]
    fn copies_sets_and_measures() {
        let mut area = [1_u8; 33];
        // SAFETY: the area has 33 bytes.
        unsafe { memset(area.as_mut_ptr(), 0x1ab, 32) };
        assert_eq!(area[..32], [0xab; 32]);
        assert_eq!(area[32], 1);
        let text = *b"seventeen letters\0";
        // SAFETY: the area is larger than the text, and elsewhere.
        unsafe { memcpy(area.as_mut_ptr(), text.as_ptr(), text.len()) };
        // SAFETY: the text just copied ends with a zero.
        assert_eq!(unsafe { strlen(area.as_ptr()) }, 17);
    }
}
