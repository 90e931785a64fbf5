//! What Xen knows of a domain and its vCPUs (domctl.h, the same from 4.17 to 4.22).

use core::fmt;

use super::{Domid, Errno, Operation, Plain, Xen, XenError};

const GETDOMAININFO: u32 = 5;
const GETVCPUINFO: u32 = 14;

/// struct xen_domctl_getdomaininfo. Its last member, the architecture's configuration, differs
/// between versions and is not read.
#[repr(C)]
#[derive(Clone, Copy)]
struct GetDomainInfo {
    domid: Domid,
    padding_1: u16,
    flags: u32,
    page_count: u64,
    page_count_max: u64,
    outstanding_page_count: u64,
    shared_page_count: u64,
    paged_page_count: u64,
    shared_info_frame: u64,
    cpu_time_ns: u64,
    vcpu_online_count: u32,
    vcpu_id_max: u32,
    security_id: u32,
    handle: [u8; 16],
    cpu_pool: u32,
    guest_physical_address_bits: u8,
    padding_2: [u8; 7],
    architecture: [u64; 3],
}

const _: () = assert!(core::mem::offset_of!(GetDomainInfo, shared_info_frame) == 48);
const _: () = assert!(core::mem::offset_of!(GetDomainInfo, vcpu_id_max) == 68);
const _: () = assert!(core::mem::offset_of!(GetDomainInfo, handle) == 76);
const _: () = assert!(core::mem::offset_of!(GetDomainInfo, guest_physical_address_bits) == 96);
const _: () = assert!(core::mem::offset_of!(GetDomainInfo, architecture) == 104);

// SAFETY: integers only.
unsafe impl Plain for GetDomainInfo {}

/// struct xen_domctl_getvcpuinfo.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct GetVcpuInfo {
    vcpu: u32,
    online: u8,
    blocked: u8,
    running: u8,
    padding_1: u8,
    cpu_time_ns: u64,
    cpu: u32,
    padding_2: u32,
}

const _: () = assert!(size_of::<GetVcpuInfo>() == 24);

// SAFETY: integers only.
unsafe impl Plain for GetVcpuInfo {}

const FLAG_DYING: u32 = 1 << 0;
const FLAG_HVM_GUEST: u32 = 1 << 1;
const FLAG_SHUTDOWN: u32 = 1 << 2;
const FLAG_PAUSED: u32 = 1 << 3;
const FLAG_HAP: u32 = 1 << 8;
const SHUTDOWN_REASON_SHIFT: u32 = 16;

/// What Xen knows of a domain (XEN_DOMCTL_getdomaininfo).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DomainInfo {
    /// The domain.
    pub domid: Domid,
    /// XEN_DOMINF_*; the methods read them.
    pub flags: u32,
    /// Pages it owns now (tot_pages).
    pub page_count: u64,
    /// Pages it may own (max_pages).
    pub page_count_max: u64,
    /// Gfn of shared_info, for HVM and PVH; all ones when it is not mapped.
    pub shared_info_gfn: u64,
    /// Time that its vCPUs have run, in nanoseconds.
    pub cpu_time_ns: u64,
    /// vCPUs that are up.
    pub vcpu_online_count: u32,
    /// Highest vCPU number; all ones when it has none.
    pub vcpu_id_max: u32,
    /// The domain's UUID.
    pub handle: [u8; 16],
}

impl fmt::Debug for DomainInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainInfo")
            .field("domid", &self.domid)
            .field("flags", &format_args!("{:#x}", self.flags))
            .field("page_count", &self.page_count)
            .field("page_count_max", &self.page_count_max)
            .field("shared_info_gfn", &format_args!("{:#x}", self.shared_info_gfn))
            .field("vcpu_online_count", &self.vcpu_online_count)
            .field("vcpu_id_max", &self.vcpu_id_max)
            .finish_non_exhaustive()
    }
}

impl DomainInfo {
    /// Whether the domain is HVM or PVH, not PV.
    #[must_use]
    pub const fn is_hvm(&self) -> bool {
        self.flags & FLAG_HVM_GUEST != 0
    }

    /// Whether it has hardware-assisted paging, which log-dirty needs on a Xen without shadow.
    #[must_use]
    pub const fn is_hap(&self) -> bool {
        self.flags & FLAG_HAP != 0
    }

    /// Whether a tool has paused it.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.flags & FLAG_PAUSED != 0
    }

    /// Whether it is being torn down.
    #[must_use]
    pub const fn is_dying(&self) -> bool {
        self.flags & FLAG_DYING != 0
    }

    /// Whether the guest has shut itself down, suspended included.
    #[must_use]
    pub const fn is_shutdown(&self) -> bool {
        self.flags & FLAG_SHUTDOWN != 0
    }

    /// Why the guest shut down: `xen_sys::SHUTDOWN_suspend` and its fellows.
    #[must_use]
    pub const fn shutdown_reason(&self) -> Option<u8> {
        let [_, _, reason, _] = self.flags.to_le_bytes();
        const { assert!(SHUTDOWN_REASON_SHIFT == 16) };
        if self.is_shutdown() { Some(reason) } else { None }
    }

    /// vCPUs the domain can have: one more than the highest number.
    #[must_use]
    pub const fn vcpu_count(&self) -> u32 {
        self.vcpu_id_max.wrapping_add(1)
    }
}

/// What Xen knows of a vCPU (XEN_DOMCTL_getvcpuinfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuInfo {
    /// Whether it is up.
    pub online: bool,
    /// Whether it waits for an event.
    pub blocked: bool,
    /// Whether it is on a processor at this moment.
    pub running: bool,
    /// Time it has run, in nanoseconds.
    pub cpu_time_ns: u64,
    /// Processor it is assigned to.
    pub cpu: u32,
}

impl Xen {
    /// What Xen knows of `domid`.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn getdomaininfo(&self, domid: Domid) -> Result<DomainInfo, XenError> {
        let mut info = GetDomainInfo {
            domid,
            padding_1: 0,
            flags: 0,
            page_count: 0,
            page_count_max: 0,
            outstanding_page_count: 0,
            shared_page_count: 0,
            paged_page_count: 0,
            shared_info_frame: 0,
            cpu_time_ns: 0,
            vcpu_online_count: 0,
            vcpu_id_max: 0,
            security_id: 0,
            handle: [0; 16],
            cpu_pool: 0,
            guest_physical_address_bits: 0,
            padding_2: [0; 7],
            architecture: [0; 3],
        };
        self.domctl(Operation::GetDomainInfo, GETDOMAININFO, domid, &mut info)?;
        // Older Xen answers with the next domain when there is none of this number.
        if info.domid != domid {
            return Err(XenError::of_domain(Operation::GetDomainInfo, domid, Errno::ESRCH));
        }
        Ok(DomainInfo {
            domid,
            flags: info.flags,
            page_count: info.page_count,
            page_count_max: info.page_count_max,
            shared_info_gfn: info.shared_info_frame,
            cpu_time_ns: info.cpu_time_ns,
            vcpu_online_count: info.vcpu_online_count,
            vcpu_id_max: info.vcpu_id_max,
            handle: info.handle,
        })
    }

    /// What Xen knows of vCPU `vcpu` of `domid`.
    ///
    /// # Errors
    /// ESRCH when there is no such domain or vCPU.
    pub fn getvcpuinfo(&self, domid: Domid, vcpu: u32) -> Result<VcpuInfo, XenError> {
        let mut info = GetVcpuInfo { vcpu, ..GetVcpuInfo::default() };
        self.domctl(Operation::GetVcpuInfo, GETVCPUINFO, domid, &mut info)?;
        Ok(VcpuInfo {
            online: info.online != 0,
            blocked: info.blocked != 0,
            running: info.running != 0,
            cpu_time_ns: info.cpu_time_ns,
            cpu: info.cpu,
        })
    }
}

#[cfg(test)]
impl DomainInfo {
    /// A domain of which only the flags matter.
    pub(crate) fn with_flags(flags: u32) -> Self {
        Self {
            domid: 5,
            flags,
            page_count: 0,
            page_count_max: 0,
            shared_info_gfn: 0,
            cpu_time_ns: 0,
            vcpu_online_count: 1,
            vcpu_id_max: 0,
            handle: [0; 16],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_the_header_says() {
        // A PVH guest with HAP that has suspended (reason 2).
        let info = DomainInfo::with_flags(0x2_0106);
        assert!(info.is_hvm() && info.is_hap() && info.is_shutdown());
        assert!(!info.is_paused() && !info.is_dying());
        assert_eq!(info.shutdown_reason(), Some(2));
        assert_eq!(DomainInfo::with_flags(0x2_0002).shutdown_reason(), None);
        assert_eq!(info.vcpu_count(), 1);
        assert_eq!(DomainInfo { vcpu_id_max: u32::MAX, ..info }.vcpu_count(), 0);
    }
}
