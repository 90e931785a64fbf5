//! An input taken apart: what a target needs of numbers and bytes, from front to back.

/// The rest of an input. Behind its end everything is zero.
#[derive(Clone, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of it.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most so many bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes with their count before them, in two bytes; at most `count_max`.
    pub fn counted(&mut self, count_max: usize) -> &'a [u8] {
        let count = usize::from(self.u16());
        self.bytes(count.min(count_max))
    }

    /// What is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    /// A number of 8 bits.
    pub fn u8(&mut self) -> u8 {
        let [number] = self.array();
        number
    }

    /// A number of 16 bits.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A number of 64 bits.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number below `end`, from one byte.
    pub fn below(&mut self, end: u8) -> u8 {
        self.u8() % end
    }

    /// A number near `base`, or any number: one byte chooses, and most of its values stay near.
    pub fn near(&mut self, base: u64) -> u64 {
        match self.u8() {
            255 => self.u64(),
            254 => u64::MAX,
            distance @ 128.. => base.wrapping_sub(u64::from(distance - 127)),
            distance => base.wrapping_add(u64::from(distance)),
        }
    }

    fn array<const SIZE: usize>(&mut self) -> [u8; SIZE] {
        let mut array = [0; SIZE];
        let taken = self.bytes(SIZE);
        array[..taken.len()].copy_from_slice(taken);
        array
    }
}
