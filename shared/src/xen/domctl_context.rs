//! A domain's HVM context in and out (domctl.h). What is in it: `hvm_context`.

use super::hvm_context::RecordType;
use super::hypercall::{DATA_OFFSET, DATA_SIZE};
use super::{Domid, Errno, Operation, Plain, Xen, XenError};

const GETHVMCONTEXT: u32 = 33;
const SETHVMCONTEXT: u32 = 34;
const GETHVMCONTEXT_PARTIAL: u32 = 55;

/// struct xen_domctl_hvmcontext.
#[repr(C)]
#[derive(Clone, Copy)]
struct HvmContextArgument {
    size: u32,
    padding: u32,
    buffer: u64,
}

const _: () = assert!(size_of::<HvmContextArgument>() == 16);

// SAFETY: integers only.
unsafe impl Plain for HvmContextArgument {}

/// struct xen_domctl_hvmcontext_partial.
#[repr(C)]
#[derive(Clone, Copy)]
struct HvmContextPartialArgument {
    record_type: u32,
    instance: u32,
    buffer_size: u64,
    buffer: u64,
}

const _: () = assert!(size_of::<HvmContextPartialArgument>() == 24);

// SAFETY: integers only.
unsafe impl Plain for HvmContextPartialArgument {}

impl Xen {
    /// Bytes to have room for when asking for the domain's HVM context: 4568 for one vCPU on Xen
    /// 4.17. Of a PVH domain, which lacks most devices, less is used: 2504 for one vCPU.
    ///
    /// # Errors
    /// EINVAL for a PV domain; ESRCH when there is no such domain.
    pub fn hvmcontext_size(&self, domid: Domid) -> Result<usize, XenError> {
        let mut argument = HvmContextArgument { size: 0, padding: 0, buffer: 0 };
        self.domctl(Operation::GetHvmContext, GETHVMCONTEXT, domid, &mut argument)?;
        Ok(argument.size as usize)
    }

    /// Writes the domain's HVM context into `context` and returns its length in bytes.
    ///
    /// Give exactly [`Xen::hvmcontext_size`] bytes: Xen allocates and clears as much as it is
    /// given. Xen pauses the domain for the call.
    ///
    /// # Errors
    /// ENOSPC when `context` is too short; E2BIG beyond
    /// [`HVM_CONTEXT_SIZE_MAX`](crate::limits::HVM_CONTEXT_SIZE_MAX).
    pub fn gethvmcontext(&self, domid: Domid, context: &mut [u8]) -> Result<usize, XenError> {
        let operation = Operation::GetHvmContext;
        let size = data_length(context.len())
            .map_err(|errno| XenError::of_domain(operation, domid, errno))?;
        let mut argument = HvmContextArgument { size, padding: 0, buffer: self.data_address() };
        self.domctl(operation, GETHVMCONTEXT, domid, &mut argument)?;
        let length = (argument.size as usize).min(context.len());
        self.bounce().take_slice(DATA_OFFSET, &mut context[..length]);
        Ok(length)
    }

    /// Writes one record, without its descriptor, into `record` and returns its length in bytes.
    ///
    /// # Errors
    /// ENOENT when there is no such record; ENOSPC or EINVAL when `record` is too short.
    pub fn gethvmcontext_partial(
        &self,
        domid: Domid,
        record_type: RecordType,
        instance: u16,
        record: &mut [u8],
    ) -> Result<usize, XenError> {
        let operation = Operation::GetHvmContextPartial;
        let size = data_length(record.len())
            .map_err(|errno| XenError::of_domain(operation, domid, errno))?;
        let mut argument = HvmContextPartialArgument {
            record_type: u32::from(record_type.code()),
            instance: u32::from(instance),
            buffer_size: u64::from(size),
            buffer: self.data_address(),
        };
        self.domctl(operation, GETHVMCONTEXT_PARTIAL, domid, &mut argument)?;
        // Xen says how many bytes it wrote (since 4.12; before, the field was not touched).
        let length = usize::try_from(argument.buffer_size)
            .map_or(record.len(), |length| length.min(record.len()));
        self.bounce().take_slice(DATA_OFFSET, &mut record[..length]);
        Ok(length)
    }

    /// Loads an HVM context; records that are left out keep their state. The domain must be
    /// paused.
    ///
    /// # Errors
    /// EINVAL when Xen does not accept a record (`xl dmesg` names it); E2BIG beyond
    /// [`HVM_CONTEXT_SIZE_MAX`](crate::limits::HVM_CONTEXT_SIZE_MAX).
    pub fn sethvmcontext(&self, domid: Domid, context: &[u8]) -> Result<(), XenError> {
        let operation = Operation::SetHvmContext;
        let size = data_length(context.len())
            .map_err(|errno| XenError::of_domain(operation, domid, errno))?;
        self.bounce().put_slice(DATA_OFFSET, context);
        let mut argument = HvmContextArgument { size, padding: 0, buffer: self.data_address() };
        self.domctl(operation, SETHVMCONTEXT, domid, &mut argument)
    }
}

/// The length as Xen counts it, if the bounce pages hold that much.
fn data_length(byte_count: usize) -> Result<u32, Errno> {
    if byte_count > DATA_SIZE {
        return Err(Errno::E2BIG);
    }
    u32::try_from(byte_count).map_err(|_| Errno::E2BIG)
}
