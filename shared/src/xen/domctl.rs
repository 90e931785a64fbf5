//! Domain control: life, size, time (xen/include/public/domctl.h, the same from 4.17 to 4.22).

use super::{Domid, Operation, Plain, Xen, XenError};
use crate::codec::TscInfo;

const DESTROYDOMAIN: u32 = 2;
const PAUSEDOMAIN: u32 = 3;
const UNPAUSEDOMAIN: u32 = 4;
const MAX_MEM: u32 = 11;
const SETTIMEOFFSET: u32 = 24;
const RESUMEDOMAIN: u32 = 27;
const GETTSCINFO: u32 = 59;
const SETTSCINFO: u32 = 60;
const SOFT_RESET: u32 = 79;
const GET_PAGING_MEMPOOL_SIZE: u32 = 85;
const SET_PAGING_MEMPOOL_SIZE: u32 = 86;

/// struct xen_domctl_tsc_info.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct TscInfoArgument {
    mode: u32,
    frequency_khz: u32,
    incarnation: u32,
    padding: u32,
    elapsed_ns: u64,
}

const _: () = assert!(size_of::<TscInfoArgument>() == 24);

// SAFETY: integers only.
unsafe impl Plain for TscInfoArgument {}

impl Xen {
    fn command(&self, operation: Operation, command: u32, domid: Domid) -> Result<(), XenError> {
        let mut no_payload = 0u64;
        self.domctl(operation, command, domid, &mut no_payload)
    }

    /// Stops the domain's vCPUs; returns when none runs. Pauses are counted: as many unpauses
    /// make it run again.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn pausedomain(&self, domid: Domid) -> Result<(), XenError> {
        self.command(Operation::PauseDomain, PAUSEDOMAIN, domid)
    }

    /// Takes one pause back.
    ///
    /// # Errors
    /// ESRCH when there is no such domain; EINVAL when it is not paused.
    pub fn unpausedomain(&self, domid: Domid) -> Result<(), XenError> {
        self.command(Operation::UnpauseDomain, UNPAUSEDOMAIN, domid)
    }

    /// Clears the shutdown (suspend) state, so that the domain's vCPUs may run again.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn resumedomain(&self, domid: Domid) -> Result<(), XenError> {
        self.command(Operation::ResumeDomain, RESUMEDOMAIN, domid)
    }

    /// Destroys the domain in Xen. Its devices and xenstore entries are the toolstack's.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn destroydomain(&self, domid: Domid) -> Result<(), XenError> {
        self.command(Operation::DestroyDomain, DESTROYDOMAIN, domid)
    }

    /// Forgets the Xen-side state of a shut-down domain: ports are closed, grant mappings
    /// dropped, vcpu_info and control blocks unregistered. Memory and vCPU state stay. Runs to
    /// its end: Xen continues a preempted reset by itself (XEN_DOMCTL_soft_reset_cont).
    ///
    /// # Errors
    /// EINVAL when the domain is not shut down.
    pub fn soft_reset(&self, domid: Domid) -> Result<(), XenError> {
        self.command(Operation::SoftReset, SOFT_RESET, domid)
    }

    /// Sets how much memory the domain may own, in KiB.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn max_mem(&self, domid: Domid, memory_kib: u64) -> Result<(), XenError> {
        let mut payload = memory_kib;
        self.domctl(Operation::MaxMem, MAX_MEM, domid, &mut payload)
    }

    /// Sets how far the domain's wall clock is ahead of the host's, in seconds.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn settimeoffset(&self, domid: Domid, seconds: i64) -> Result<(), XenError> {
        let mut payload = seconds;
        self.domctl(Operation::SetTimeOffset, SETTIMEOFFSET, domid, &mut payload)
    }

    /// Bytes of the pool from which Xen takes the domain's page tables.
    ///
    /// # Errors
    /// ENOSYS on a Xen older than the security fix that introduced the call (XSA-409).
    pub fn get_paging_mempool_size(&self, domid: Domid) -> Result<u64, XenError> {
        let mut byte_count = 0u64;
        let operation = Operation::GetPagingMempoolSize;
        self.domctl(operation, GET_PAGING_MEMPOOL_SIZE, domid, &mut byte_count)?;
        Ok(byte_count)
    }

    /// Sets the size in bytes of the pool from which Xen takes the domain's page tables.
    ///
    /// # Errors
    /// ENOMEM when Xen has no memory for it; ENOSYS as for the query.
    pub fn set_paging_mempool_size(&self, domid: Domid, byte_count: u64) -> Result<(), XenError> {
        let mut payload = byte_count;
        let operation = Operation::SetPagingMempoolSize;
        self.domctl(operation, SET_PAGING_MEMPOOL_SIZE, domid, &mut payload)
    }

    /// The domain's TSC settings. Xen wants the domain paused or not alike.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn gettscinfo(&self, domid: Domid) -> Result<TscInfo, XenError> {
        let mut tsc = TscInfoArgument::default();
        self.domctl(Operation::GetTscInfo, GETTSCINFO, domid, &mut tsc)?;
        Ok(TscInfo {
            mode: tsc.mode,
            frequency_khz: tsc.frequency_khz,
            incarnation: tsc.incarnation,
            elapsed_ns: tsc.elapsed_ns,
        })
    }

    /// Sets the domain's TSC as another domain's was.
    ///
    /// # Errors
    /// EINVAL for one's own domain; ESRCH when there is no such domain.
    pub fn settscinfo(&self, domid: Domid, tsc: &TscInfo) -> Result<(), XenError> {
        let mut argument = TscInfoArgument {
            mode: tsc.mode,
            frequency_khz: tsc.frequency_khz,
            incarnation: tsc.incarnation,
            padding: 0,
            elapsed_ns: tsc.elapsed_ns,
        };
        self.domctl(Operation::SetTscInfo, SETTSCINFO, domid, &mut argument)
    }
}
