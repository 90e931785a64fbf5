//! /dev/xen/privcmd: how a dom0 process makes hypercalls and maps guest memory.
//!
//! This room passes numbers and addresses on and knows nothing of what they mean: `xen` gives
//! them meaning, `privcmd_buffer` provides memory that a hypercall may point to, and
//! `privcmd_memory` keeps mappings of guest pages. The ioctls are those of Linux's
//! include/uapi/xen/privcmd.h, unchanged since Linux 3.3 (MMAPBATCH_V2).

#![allow(unsafe_code)]

use core::ffi::{CStr, c_void};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};

use crate::xen::{Domid, Errno, XenOpenError};

const PATH: &str = "/dev/xen/privcmd";
const PATH_C: &CStr = c"/dev/xen/privcmd";
/// Linux 4.18 and later: memory that the kernel never moves while a hypercall uses it.
const BUFFER_PATH_C: &CStr = c"/dev/xen/hypercall";

/// The open device.
#[derive(Debug)]
pub struct Privcmd {
    device: OwnedFd,
    buffer_device: Option<OwnedFd>,
}

/// struct privcmd_hypercall.
#[repr(C)]
struct HypercallArguments {
    number: u64,
    arguments: [u64; 5],
}

/// struct privcmd_mmapbatch_v2.
#[repr(C)]
struct MapBatchArguments {
    page_count: u32,
    domid: Domid,
    padding: u16,
    address: u64,
    gfns: *const u64,
    errors: *mut i32,
}

const _: () = assert!(size_of::<HypercallArguments>() == 48);
const _: () = assert!(size_of::<MapBatchArguments>() == 32);

const HYPERCALL: Opcode = opcode::from_components(
    rustix::ioctl::Direction::None,
    b'P',
    0,
    size_of::<HypercallArguments>(),
);
const MAP_BATCH_V2: Opcode = opcode::from_components(
    rustix::ioctl::Direction::None,
    b'P',
    4,
    size_of::<MapBatchArguments>(),
);

/// An ioctl whose argument is a structure and whose result is the ioctl's own.
pub(super) struct StructureIoctl<'a, T> {
    opcode: Opcode,
    argument: &'a mut T,
}

impl<'a, T> StructureIoctl<'a, T> {
    /// # Safety
    /// `opcode` must take a pointer to a `T`, and what `T` points to must be valid for it.
    pub(super) const unsafe fn new(opcode: Opcode, argument: &'a mut T) -> Self {
        StructureIoctl { opcode, argument }
    }
}

// SAFETY: `as_ptr` points to the structure that the constructor's contract names for the opcode,
// borrowed for the whole call; the output is the call's own number.
unsafe impl<T> Ioctl for StructureIoctl<'_, T> {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.argument).cast()
    }

    unsafe fn output_from_ptr(
        output: IoctlOutput,
        _argument: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(output)
    }
}

/// Linux's errno as the `xen` room spells it.
pub(super) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::of(error.raw_os_error())
}

impl Privcmd {
    /// Opens the device; it is closed on exec.
    ///
    /// # Errors
    /// [`XenOpenError`] when it is missing (not dom0, no xen-privcmd module) or forbidden.
    pub fn open() -> Result<Privcmd, XenOpenError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let device = rustix::fs::open(PATH_C, flags, Mode::empty()).map_err(|error| {
            let provider = "the kernel module xen-privcmd loaded (modprobe xen-privcmd)";
            XenOpenError::from_errno(PATH, provider, errno(error))
        })?;
        let buffer_device = rustix::fs::open(BUFFER_PATH_C, flags, Mode::empty()).ok();
        Ok(Privcmd { device, buffer_device })
    }

    /// Makes a hypercall and returns Xen's result, which is not negative.
    ///
    /// # Safety
    /// Where an argument is an address, Xen may read and write there as the call defines; that
    /// memory must be the caller's, and be locked and present (`privcmd_buffer`).
    ///
    /// # Errors
    /// Xen's errno, or Linux's when the device refuses the call.
    pub(crate) unsafe fn hypercall(&self, number: u32, arguments: [u64; 5]) -> Result<u32, Errno> {
        let mut call = HypercallArguments { number: u64::from(number), arguments };
        // SAFETY: the opcode takes this structure; its addresses are good by this contract.
        let ioctl = unsafe { StructureIoctl::new(HYPERCALL, &mut call) };
        // SAFETY: as above.
        let result = unsafe { rustix::ioctl::ioctl(&self.device, ioctl) }.map_err(errno)?;
        Ok(result.cast_unsigned())
    }

    /// Maps `gfns.len()` pages of domain `domid` at `address`, one error number a page in
    /// `errors`: 0 when it is mapped, -ENOENT when it is paged out, another when it is a hole.
    ///
    /// # Safety
    /// The pages at `address` must be a mapping of this device that the caller owns and that
    /// nothing refers to; either all of it at once, or parts of it that are not mapped yet.
    ///
    /// # Errors
    /// Linux's errno when the call as a whole failed; ENOENT is not an error here.
    pub(super) unsafe fn map_batch(
        &self,
        domid: Domid,
        address: *mut c_void,
        gfns: &[u64],
        errors: &mut [i32],
    ) -> Result<(), Errno> {
        assert!(gfns.len() == errors.len(), "there is one error number a page");
        let mut batch = MapBatchArguments {
            page_count: u32::try_from(gfns.len()).map_err(|_| Errno::E2BIG)?,
            domid,
            padding: 0,
            address: address.expose_provenance() as u64,
            gfns: gfns.as_ptr(),
            errors: errors.as_mut_ptr(),
        };
        // SAFETY: the opcode takes this structure; both arrays have `page_count` elements, and
        // the address is good by this function's contract.
        let ioctl = unsafe { StructureIoctl::new(MAP_BATCH_V2, &mut batch) };
        // SAFETY: as above.
        match unsafe { rustix::ioctl::ioctl(&self.device, ioctl) }.map_err(errno) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    pub(super) fn buffer_device(&self) -> Option<BorrowedFd<'_>> {
        self.buffer_device.as_ref().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_those_of_the_header() {
        assert_eq!(HYPERCALL, 0x0030_5000);
        assert_eq!(MAP_BATCH_V2, 0x0020_5004);
    }
}
