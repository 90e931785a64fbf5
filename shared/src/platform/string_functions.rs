//! The memory functions that compiled code expects a C library to bring.
//!
//! They are written with instructions, not loops, so that the compiler cannot recognise a loop as
//! the very function it implements and make it call itself. [`crate::memory_functions!`] exports
//! them under their C names in a program; the library itself exports nothing, so tests keep the
//! ones of their own C library.

use core::arch::asm;

/// Bytes up to which a copy goes through registers: below, starting a string instruction costs more
/// than the copy.
const REGISTER_COPY_SIZE_MAX: usize = 32;

/// `memcpy`: copies `size` bytes between areas that do not overlap.
///
/// # Safety
/// As C's: both areas valid for `size` bytes, and apart.
#[inline]
pub unsafe fn memcpy(target: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    if size > REGISTER_COPY_SIZE_MAX {
        // SAFETY: the caller vouches for both areas; there are more than 8 bytes.
        unsafe { copy_forward(target, source, size) };
    } else {
        // SAFETY: the caller vouches for both areas.
        unsafe { copy_through_registers(target, source, size) };
    }
    target
}

/// `memmove`: copies `size` bytes between areas that may overlap.
///
/// # Safety
/// As C's: both areas valid for `size` bytes.
#[inline]
pub unsafe fn memmove(target: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    // Forward is right unless the target begins inside the source.
    let is_forward = target.addr().wrapping_sub(source.addr()) >= size;
    if size <= REGISTER_COPY_SIZE_MAX {
        // SAFETY: the caller vouches for both areas.
        unsafe { copy_through_registers(target, source, size) };
    } else if is_forward {
        // SAFETY: the caller vouches for both areas; there are more than 8 bytes.
        unsafe { copy_forward(target, source, size) };
    } else {
        // SAFETY: the caller vouches for both areas; there are more than 8 bytes.
        unsafe { copy_backward(target, source, size) };
    }
    target
}

/// Copies up to [`REGISTER_COPY_SIZE_MAX`] bytes between areas that may overlap: everything is
/// loaded before anything is stored. Loads overlap where the size is no power of two.
///
/// # Safety
/// Both areas valid for `size` bytes, at most [`REGISTER_COPY_SIZE_MAX`].
#[inline]
unsafe fn copy_through_registers(target: *mut u8, source: *const u8, size: usize) {
    macro_rules! copy {
        ($load:ident, $store:ident, $($offset:expr),+) => {{
            let offsets = [$($offset),+];
            // SAFETY: each load ends within the `size` bytes of the source.
            let words = [$(unsafe { $load(source.wrapping_add($offset)) }),+];
            for (offset, word) in offsets.into_iter().zip(words) {
                // SAFETY: each store ends within the `size` bytes of the target.
                unsafe { $store(target.wrapping_add(offset), word) };
            }
        }};
    }
    match size {
        0 => {}
        1..4 => copy!(load_byte, store_byte, 0, size / 2, size - 1),
        4..8 => copy!(load_half, store_half, 0, size - 4),
        8..=16 => copy!(load_word, store_word, 0, size - 8),
        _ => copy!(load_word, store_word, 0, 8, size - 16, size - 8),
    }
}

/// Copies words upwards, and the last ones, which may overlap them, after.
///
/// # Safety
/// Both areas valid for `size` bytes, at least 8; the target does not begin inside the source.
#[inline]
unsafe fn copy_forward(target: *mut u8, source: *const u8, size: usize) {
    // Loaded first: the copy may overwrite the source's end.
    // SAFETY: the last 8 bytes of the source.
    let last = unsafe { load_word(source.wrapping_add(size - 8)) };
    // SAFETY: the caller vouches for both areas; forward order never reads a written word. The
    // direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep movsq",
            inout("rcx") size / 8 => _,
            inout("rdi") target => _,
            inout("rsi") source => _,
            options(nostack, preserves_flags),
        );
    }
    // SAFETY: the last 8 bytes of the target.
    unsafe { store_word(target.wrapping_add(size - 8), last) };
}

/// Copies words downwards, and the first ones, which may overlap them, after.
///
/// # Safety
/// Both areas valid for `size` bytes, at least 8.
#[inline]
unsafe fn copy_backward(target: *mut u8, source: *const u8, size: usize) {
    // SAFETY: the first 8 bytes of the source.
    let first = unsafe { load_word(source) };
    // SAFETY: the caller vouches for both areas. The direction flag is set for the backward copy
    // and cleared again.
    unsafe {
        asm!(
            "std",
            "rep movsq",
            "cld",
            inout("rcx") size / 8 => _,
            inout("rdi") target.wrapping_add(size - 8) => _,
            inout("rsi") source.wrapping_add(size - 8) => _,
            options(nostack),
        );
    }
    // SAFETY: the first 8 bytes of the target.
    unsafe { store_word(target, first) };
}

/// `memset`: writes the low byte of `value` to `size` bytes.
///
/// # Safety
/// As C's: the area valid for `size` bytes.
#[inline]
pub unsafe fn memset(target: *mut u8, value: i32, size: usize) -> *mut u8 {
    let byte = value.to_le_bytes()[0];
    let word = u64::from_ne_bytes([byte; 8]);
    if size < 8 {
        for offset in 0..size {
            // SAFETY: the caller vouches for `size` bytes.
            unsafe { store_byte(target.wrapping_add(offset), byte) };
        }
        return target;
    }
    // SAFETY: the caller vouches for the area; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep stosq",
            inout("rcx") size / 8 => _,
            inout("rdi") target => _,
            in("rax") word,
            options(nostack, preserves_flags),
        );
    }
    // SAFETY: the last 8 bytes of the area.
    unsafe { store_word(target.wrapping_add(size - 8), word) };
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

macro_rules! accesses {
    ($($load:ident, $store:ident, $type:ty, $class:ident, $operand:literal, $size:literal;)+) => { $(
        /// A load the compiler cannot see through.
        ///
        /// # Safety
        #[doc = concat!("Bytes at `address` are readable: ", $size, "; any alignment.")]
        #[inline]
        unsafe fn $load(address: *const u8) -> $type {
            let value: $type;
            // SAFETY: the caller vouches for the bytes.
            unsafe {
                asm!(concat!("mov {", $operand, "}, [{}]"), out($class) value, in(reg) address,
                    options(nostack, readonly, preserves_flags));
            }
            value
        }

        /// A store the compiler cannot see through.
        ///
        /// # Safety
        #[doc = concat!("Bytes at `address` are writable: ", $size, "; any alignment.")]
        #[inline]
        unsafe fn $store(address: *mut u8, value: $type) {
            // SAFETY: the caller vouches for the bytes.
            unsafe {
                asm!(concat!("mov [{}], {", $operand, "}"), in(reg) address, in($class) value,
                    options(nostack, preserves_flags));
            }
        }
    )+ };
}

accesses! {
    load_byte, store_byte, u8, reg_byte, "", "1";
    load_half, store_half, u32, reg, ":e", "4";
    load_word, store_word, u64, reg, ":r", "8";
}

/// Exports the functions under their C names, and the personality symbol that the precompiled core asks
/// for in debug builds. Written once in a program, by the macro that makes it one.
#[macro_export]
macro_rules! memory_functions {
    () => {
        /// Named by the precompiled core of debug builds; nothing unwinds, so nothing calls it.
        #[unsafe(no_mangle)]
        extern "C" fn rust_eh_personality() {}

        #[unsafe(no_mangle)]
        unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, size: usize) -> *mut u8 {
            // SAFETY: the same contract.
            unsafe { $crate::platform::string_functions::memcpy(target, source, size) }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, size: usize) -> *mut u8 {
            // SAFETY: the same contract.
            unsafe { $crate::platform::string_functions::memmove(target, source, size) }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn memset(target: *mut u8, value: i32, size: usize) -> *mut u8 {
            // SAFETY: the same contract.
            unsafe { $crate::platform::string_functions::memset(target, value, size) }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
            // SAFETY: the same contract.
            unsafe { $crate::platform::string_functions::memcmp(left, right, size) }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
            // SAFETY: the same contract.
            unsafe { $crate::platform::string_functions::memcmp(left, right, size) }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn strlen(text: *const u8) -> usize {
            // SAFETY: the same contract.
            unsafe { $crate::platform::string_functions::strlen(text) }
        }
    };
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
        fn memset_sets_all_and_only(size in 0..100_usize, value: u8) {
            let mut area = [value ^ 1; 102];
            // SAFETY: the area has 102 bytes.
            unsafe { memset(area.as_mut_ptr().wrapping_add(1), i32::from(value), size) };
            let mut expected = [value ^ 1; 102];
            expected[1..=size].fill(value);
            prop_assert_eq!(area, expected);
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
        let long: [u8; 77] = core::array::from_fn(|index| index.to_le_bytes()[0]);
        let mut copy = [0xff_u8; 78];
        // SAFETY: the copy is larger, and elsewhere.
        unsafe { memcpy(copy.as_mut_ptr(), long.as_ptr(), long.len()) };
        assert_eq!((&copy[..77], copy[77]), (&long[..], 0xff));
        // SAFETY: the text just copied ends with a zero.
        assert_eq!(unsafe { strlen(area.as_ptr()) }, 17);
    }
}
