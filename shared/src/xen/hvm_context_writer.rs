//! Writes an HVM context, record by record: what `hvm_context` reads.

use super::hvm_context::{DESCRIPTOR_SIZE, HvmContextError, RecordType};

/// Writes a new context, record by record.
#[derive(Debug)]
pub struct HvmContextWriter<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> HvmContextWriter<'a> {
    /// Begins a context in `buffer`. Xen wants the HEADER record of the domain first.
    #[must_use]
    pub fn new(buffer: &'a mut [u8]) -> HvmContextWriter<'a> {
        HvmContextWriter { buffer, length: 0 }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`HvmContextError::NoRoom`] when the buffer is full; the record is not added then.
    pub fn push(
        &mut self,
        record_type: RecordType,
        instance: u16,
        data: &[u8],
    ) -> Result<(), HvmContextError> {
        let room = &mut self.buffer[self.length..];
        let data_length = u32::try_from(data.len()).map_err(|_| HvmContextError::NoRoom)?;
        let record_length = DESCRIPTOR_SIZE + data.len();
        let target = room.get_mut(..record_length).ok_or(HvmContextError::NoRoom)?;
        let (descriptor, target) = target.split_at_mut(DESCRIPTOR_SIZE);
        descriptor[..2].copy_from_slice(&record_type.code().to_le_bytes());
        descriptor[2..4].copy_from_slice(&instance.to_le_bytes());
        descriptor[4..].copy_from_slice(&data_length.to_le_bytes());
        target.copy_from_slice(data);
        self.length += record_length;
        Ok(())
    }

    /// Adds the END record and returns the context's length in bytes.
    ///
    /// # Errors
    /// [`HvmContextError::NoRoom`] when the buffer is full.
    pub fn finish(mut self) -> Result<usize, HvmContextError> {
        self.push(RecordType::End, 0, &[])?;
        Ok(self.length)
    }
}
