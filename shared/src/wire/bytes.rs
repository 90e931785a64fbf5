//! Taking numbers out of bytes, and putting them in.

use super::Malformed;

/// Takes fields from the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn take(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes that must be zero, so that a later version can give them a meaning.
    pub fn zeros(&mut self, size: usize) -> Result<(), Malformed> {
        if self.take(size)?.iter().all(|&byte| byte == 0) { Ok(()) } else { Err(Malformed) }
    }

    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub const fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Puts fields at the front of a byte slice.
#[derive(Debug)]
pub struct Writer<'a> {
    target: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    pub const fn new(target: &'a mut [u8]) -> Self {
        Self { target, used: 0 }
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
    }

    /// The next `size` bytes, to be filled by the caller.
    pub fn space(&mut self, size: usize) -> &mut [u8] {
        let space = &mut self.target[self.used..self.used + size];
        self.used += size;
        space
    }

    pub const fn used(&self) -> usize {
        self.used
    }
}
