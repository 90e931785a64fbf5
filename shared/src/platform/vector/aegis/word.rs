//! A word of the cipher, of both lanes: two blocks of AES.

use core::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_and_si128, _mm_loadu_si128, _mm_storeu_si128, _mm_xor_si128,
};

/// Bytes of a block of AES.
pub const LANE_SIZE: usize = 16;
/// Bytes of a word.
pub const WORD_SIZE: usize = 2 * LANE_SIZE;

/// One word, in two registers of 16 bytes. The programs are built for AES instructions, and refuse a
/// processor without.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub struct Word([__m128i; 2]);

impl Word {
    pub fn read(bytes: &[u8; WORD_SIZE]) -> Self {
        let (lanes, _) = bytes.as_chunks::<LANE_SIZE>();
        // SAFETY: sixteen bytes at any address.
        let lane = |number: usize| unsafe { _mm_loadu_si128(lanes[number].as_ptr().cast()) };
        Self([lane(0), lane(1)])
    }

    /// The same in both lanes.
    pub fn both(lane: &[u8; LANE_SIZE]) -> Self {
        // SAFETY: sixteen bytes at any address.
        let lane = unsafe { _mm_loadu_si128(lane.as_ptr().cast()) };
        Self([lane, lane])
    }

    pub fn write(self, bytes: &mut [u8; WORD_SIZE]) {
        let (lanes, _) = bytes.as_chunks_mut::<LANE_SIZE>();
        for (lane, value) in lanes.iter_mut().zip(self.0) {
            // SAFETY: sixteen bytes at any address.
            unsafe { _mm_storeu_si128(lane.as_mut_ptr().cast(), value) };
        }
    }

    /// Both lanes added up.
    pub fn fold(self) -> [u8; LANE_SIZE] {
        let mut lanes = [0; WORD_SIZE];
        self.xor(Self([self.0[1], self.0[0]])).write(&mut lanes);
        *lanes.first_chunk().expect("a lane is half a word")
    }

    /// One round of AES on each lane.
    pub fn round(self, key: Self) -> Self {
        // SAFETY: the instruction is there, as the type says.
        self.each(key, |own, key| unsafe { _mm_aesenc_si128(own, key) })
    }

    pub fn xor(self, other: Self) -> Self {
        // SAFETY: every x86-64 processor has the instruction.
        self.each(other, |own, other| unsafe { _mm_xor_si128(own, other) })
    }

    pub fn and(self, other: Self) -> Self {
        // SAFETY: every x86-64 processor has the instruction.
        self.each(other, |own, other| unsafe { _mm_and_si128(own, other) })
    }

    fn each(self, other: Self, operation: impl Fn(__m128i, __m128i) -> __m128i) -> Self {
        Self([operation(self.0[0], other.0[0]), operation(self.0[1], other.0[1])])
    }
}
