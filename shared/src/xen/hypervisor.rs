//! What a domain asks of Xen for itself: the calls of a stub domain. Those about event channels:
//! `own_event_channels`.
//!
//! Unlike dom0's processes (`hypercall`), it hands Xen the addresses of its own variables: all of its memory
//! is mapped where it lies, and stays.

use xen_sys::{
    __HYPERVISOR_console_io, __HYPERVISOR_hvm_op, __HYPERVISOR_memory_op, __HYPERVISOR_sched_op,
    __HYPERVISOR_xen_version, CONSOLEIO_write, SCHEDOP_poll, SCHEDOP_shutdown, SCHEDOP_yield,
    SHUTDOWN_crash, SHUTDOWN_poweroff,
};

use super::hvm_params::{HVMOP_GET_PARAM, HvmParam};
use super::physmap::{
    AddToPhysmap, MemoryMap, XENMAPSPACE_GRANT_TABLE, XENMAPSPACE_SHARED_INFO,
    XENMEM_ADD_TO_PHYSMAP, XENMEM_MEMORY_MAP,
};
use super::stub::HypercallInstruction;
use super::{DOMID_SELF, Errno, Operation, Plain, XENVER_VERSION, XenError, XenVersion};
use crate::platform::stubdom::hypercall::{hypercall, is_xen_there};

/// struct sched_poll.
#[repr(C)]
#[derive(Clone, Copy)]
struct SchedPoll {
    ports: u64,
    port_count: u32,
    padding: u32,
    timeout_ns: u64,
}

const _: () = assert!(size_of::<SchedPoll>() == size_of::<xen_sys::sched_poll>());

// SAFETY: integers only.
unsafe impl Plain for SchedPoll {}

/// One range of a domain's memory map, as a PC's firmware tells it (struct e820entry, arch-x86/hvm/e820.h).
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryMapEntry {
    /// Its first address.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// What is there.
    pub kind: u32,
}

impl MemoryMapEntry {
    /// The `kind` of memory.
    pub const RAM: u32 = 1;
}

// SAFETY: integers only.
unsafe impl Plain for MemoryMapEntry {}

/// Why a domain ends (SHUTDOWN_*, sched.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ShutdownReason {
    /// It is done.
    Poweroff = SHUTDOWN_poweroff,
    /// It failed.
    Crash = SHUTDOWN_crash,
}

/// Xen below this program. There is one only if Xen is there.
#[derive(Clone, Copy, Debug)]
pub struct Hypervisor {
    instruction: HypercallInstruction,
}

impl Hypervisor {
    /// Looks for Xen.
    #[must_use]
    pub fn find() -> Option<Self> {
        is_xen_there().then(|| Self { instruction: HypercallInstruction::of_this_processor() })
    }

    /// # Safety
    /// The addresses among the arguments are those of memory that the call may read and write.
    unsafe fn call(self, number: u32, arguments: [u64; 5]) -> Result<u64, Errno> {
        // SAFETY: Xen was found; for the rest the caller vouches.
        unsafe { hypercall(self.instruction, number, arguments) }
    }

    /// Makes one of the calls whose arguments are a command and a structure, which Xen may write.
    pub(super) fn structure_call<T: Plain>(
        self,
        number: u32,
        command: u32,
        argument: &mut T,
    ) -> Result<u64, Errno> {
        let address = core::ptr::from_mut(argument).expose_provenance() as u64;
        // SAFETY: the address is that of the structure, borrowed for so long, in which any bytes are valid.
        unsafe { self.call(number, [command.into(), address, 0, 0, 0]) }
    }

    /// The running Xen's version.
    ///
    /// # Errors
    /// What Xen answers.
    pub fn version(self) -> Result<XenVersion, XenError> {
        // SAFETY: this call takes no address.
        let answer = unsafe { self.call(__HYPERVISOR_xen_version, [XENVER_VERSION, 0, 0, 0, 0]) };
        let word = answer.map_err(|errno| XenError::of_host(Operation::XenVersion, errno))?;
        Ok(XenVersion::of_word(u32::try_from(word).unwrap_or(0)))
    }

    /// The value of this domain's HVM param `index` ([`params`](super::params)).
    ///
    /// # Errors
    /// EINVAL for a param that Xen does not know.
    pub fn hvm_get_param(self, index: u32) -> Result<u64, XenError> {
        let mut param = HvmParam { domid: DOMID_SELF, padding: 0, index, value: 0 };
        self.structure_call(__HYPERVISOR_hvm_op, HVMOP_GET_PARAM, &mut param)
            .map_err(|errno| XenError::of_host(Operation::HvmGetParam, errno))?;
        Ok(param.value)
    }

    /// Puts this domain's shared_info at `gfn`. The memory that was there is given back to Xen.
    ///
    /// # Errors
    /// EINVAL when Xen does not accept the gfn.
    pub fn map_shared_info(self, gfn: u64) -> Result<(), XenError> {
        self.add_to_physmap(XENMAPSPACE_SHARED_INFO, 0, gfn)
    }

    /// Puts a frame of this domain's grant table at `gfn`; a table that has fewer frames grows
    /// (gnttab_map_frame of Xen 4.17, xlated_setup_gnttab_pages of Linux). The memory that was there is given back to
    /// Xen. No GNTTABOP_setup_table: that tells a PV domain its frames, and gives no gfn.
    ///
    /// # Errors
    /// EINVAL for a frame beyond `max_grant_frames=` of the domain's configuration.
    pub fn map_grant_frame(self, index: u64, gfn: u64) -> Result<(), XenError> {
        self.add_to_physmap(XENMAPSPACE_GRANT_TABLE, index, gfn)
    }

    fn add_to_physmap(self, space: u32, index: u64, gfn: u64) -> Result<(), XenError> {
        let mut argument = AddToPhysmap { domid: DOMID_SELF, size: 0, space, index, gfn };
        self.structure_call(__HYPERVISOR_memory_op, XENMEM_ADD_TO_PHYSMAP, &mut argument)
            .map_err(|errno| XenError::of_host(Operation::AddToPhysmap, errno))?;
        Ok(())
    }

    /// Fills `entries` with this domain's memory map, and returns how many there are of it.
    ///
    /// # Errors
    /// ENOSYS when its builder has not told it.
    pub fn memory_map(self, entries: &mut [MemoryMapEntry]) -> Result<usize, XenError> {
        let mut argument = MemoryMap {
            entry_count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            padding: 0,
            entries: entries.as_mut_ptr().expose_provenance() as u64,
        };
        self.structure_call(__HYPERVISOR_memory_op, XENMEM_MEMORY_MAP, &mut argument)
            .map_err(|errno| XenError::of_host(Operation::MemoryMap, errno))?;
        Ok(entries.len().min(argument.entry_count as usize))
    }

    /// Gives the core away until one of `ports` is pending, or Xen's system time is `until_ns`.
    ///
    /// # Errors
    /// EINVAL for more than 128 ports, or one that this domain cannot have.
    pub fn poll(self, ports: &[u32], until_ns: u64) -> Result<(), XenError> {
        let mut argument = SchedPoll {
            ports: ports.as_ptr().expose_provenance() as u64,
            port_count: u32::try_from(ports.len()).unwrap_or(u32::MAX),
            padding: 0,
            timeout_ns: until_ns,
        };
        self.structure_call(__HYPERVISOR_sched_op, SCHEDOP_poll, &mut argument)
            .map_err(|errno| XenError::of_host(Operation::Poll, errno))?;
        Ok(())
    }

    /// Lets others use the core if somebody waits for it.
    pub fn yield_core(self) {
        // It is given nothing and answers 0.
        // SAFETY: this call takes no address.
        let _ = unsafe { self.call(__HYPERVISOR_sched_op, [SCHEDOP_yield.into(), 0, 0, 0, 0]) };
    }

    /// Ends this domain.
    pub fn shut_down(self, reason: ShutdownReason) {
        let mut reason = reason as u32;
        // It does not return.
        let _ = self.structure_call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &mut reason);
    }

    /// Writes to Xen's own console. Xen takes that from dom0, and from others only when it was built so.
    pub fn write_console(self, text: &[u8]) {
        let (size, address) = (text.len() as u64, text.as_ptr().expose_provenance() as u64);
        let arguments = [CONSOLEIO_write.into(), size, address, 0, 0];
        // What is not taken is lost: there is nowhere left to say so.
        // SAFETY: the address is that of the text, which Xen only reads.
        let _ = unsafe { self.call(__HYPERVISOR_console_io, arguments) };
    }
}
