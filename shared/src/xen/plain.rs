//! Values that cross to Xen as their bytes.

/// A structure or number of the hypercall ABI.
///
/// # Safety
/// The type is `repr(C)` or a primitive, holds no reference and no niche: every pattern of bytes
/// is a value of it, so that what Xen writes can be read back.
pub unsafe trait Plain: Copy {}

// SAFETY: integers take every bit pattern.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for i64 {}
