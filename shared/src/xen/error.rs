//! Calls that Xen or its drivers refuse, told so that a person can act on it.

use core::fmt;

use super::{Domid, Errno};

/// Declares [`Operation`] with Xen's own name for each.
macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The call to Xen or to its kernel drivers that failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* #[doc = $name] $variant,)*
        }

        impl Operation {
            /// The operation as Xen's headers spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Operation::$variant => $name,)*
                }
            }
        }
    };
}

operations! {
    XenVersion = "xen_version",
    PauseDomain = "XEN_DOMCTL_pausedomain",
    UnpauseDomain = "XEN_DOMCTL_unpausedomain",
    ResumeDomain = "XEN_DOMCTL_resumedomain",
    DestroyDomain = "XEN_DOMCTL_destroydomain",
    SoftReset = "XEN_DOMCTL_soft_reset",
    GetDomainInfo = "XEN_DOMCTL_getdomaininfo",
    GetVcpuInfo = "XEN_DOMCTL_getvcpuinfo",
    GetPageFrameInfo = "XEN_DOMCTL_getpageframeinfo3",
    ShadowOp = "XEN_DOMCTL_shadow_op",
    MaxMem = "XEN_DOMCTL_max_mem",
    GetHvmContext = "XEN_DOMCTL_gethvmcontext",
    GetHvmContextPartial = "XEN_DOMCTL_gethvmcontext_partial",
    SetHvmContext = "XEN_DOMCTL_sethvmcontext",
    GetTscInfo = "XEN_DOMCTL_gettscinfo",
    SetTscInfo = "XEN_DOMCTL_settscinfo",
    SetTimeOffset = "XEN_DOMCTL_settimeoffset",
    GetPagingMempoolSize = "XEN_DOMCTL_get_paging_mempool_size",
    SetPagingMempoolSize = "XEN_DOMCTL_set_paging_mempool_size",
    MaximumGpfn = "XENMEM_maximum_gpfn",
    AddToPhysmap = "XENMEM_add_to_physmap",
    MemoryMap = "XENMEM_memory_map",
    RemoveFromPhysmap = "XENMEM_remove_from_physmap",
    PopulatePhysmap = "XENMEM_populate_physmap",
    ClaimPages = "XENMEM_claim_pages",
    DecreaseReservation = "XENMEM_decrease_reservation",
    HvmGetParam = "HVMOP_get_param",
    HvmSetParam = "HVMOP_set_param",
    InjectMsi = "XEN_DMOP_inject_msi",
    EventChannelStatus = "EVTCHNOP_status",
    EventChannelAllocUnbound = "EVTCHNOP_alloc_unbound",
    EventChannelSend = "EVTCHNOP_send",
    EventChannelClose = "EVTCHNOP_close",
    EventChannelBindInterdomain = "IOCTL_EVTCHN_BIND_INTERDOMAIN",
    EventChannelBindUnbound = "IOCTL_EVTCHN_BIND_UNBOUND_PORT",
    EventChannelUnbind = "IOCTL_EVTCHN_UNBIND",
    EventChannelNotify = "IOCTL_EVTCHN_NOTIFY",
    EventChannelUnmask = "unmask through /dev/xen/evtchn",
    EventChannelPending = "read of /dev/xen/evtchn",
    GrantQuerySize = "GNTTABOP_query_size",
    GrantGetVersion = "GNTTABOP_get_version",
    GrantSetupTable = "GNTTABOP_setup_table",
    GrantGetStatusFrames = "GNTTABOP_get_status_frames",
    Poll = "SCHEDOP_poll",
    Watchdog = "SCHEDOP_watchdog",
    MapGuestPages = "IOCTL_PRIVCMD_MMAPBATCH_V2",
    AllocateBuffer = "allocation of hypercall-safe memory",
}

/// A call that Xen or its driver refused.
///
/// Small on purpose: what can fail hands it, within `CaptureError`, upwards in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenError {
    /// What was asked.
    pub operation: Operation,
    /// The domain it was asked of, or [`XenError::NO_DOMAIN`].
    domid: Domid,
    /// Why it was refused.
    pub errno: Errno,
}

impl XenError {
    /// Stands for no domain (DOMID_INVALID of Xen's xen.h): nothing can be asked of it.
    const NO_DOMAIN: Domid = 0x7ff4;

    /// An error of `operation` on domain `domid`.
    #[must_use]
    pub const fn of_domain(operation: Operation, domid: Domid, errno: Errno) -> XenError {
        XenError { operation, domid, errno }
    }

    /// An error of `operation` that concerns no other domain.
    #[must_use]
    pub const fn of_host(operation: Operation, errno: Errno) -> XenError {
        XenError { operation, domid: Self::NO_DOMAIN, errno }
    }

    /// Whether the domain is gone (or never was).
    #[must_use]
    pub fn is_domain_missing(&self) -> bool {
        self.errno == Errno::ESRCH
    }

    /// What to do about it, as far as the pair of operation and errno tells.
    fn advice(&self) -> &'static str {
        match (self.operation, self.errno) {
            (Operation::MapGuestPages, Errno::EINVAL) => {
                "the domain has no memory there: it changed its memory map, or is being torn down"
            }
            (Operation::GetVcpuInfo, Errno::ESRCH | Errno::EINVAL) => {
                "no such domain or vCPU: check `xl vcpu-list`"
            }
            (_, Errno::ESRCH) => "no such domain: check `xl list`",
            (Operation::ShadowOp, Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                "log-dirty is not available for this domain: PV guests cannot be protected on a \
                 Xen without shadow paging; use type=\"pvh\""
            }
            (Operation::ShadowOp, Errno::ENOMEM) => {
                "Xen ran out of memory for the dirty log, so it is incomplete: protect again, \
                 with more shadow_memory= in the domain's configuration"
            }
            (Operation::ShadowOp, Errno::EBUSY) => {
                "log-dirty is switched on already: end the migration or save that uses it first"
            }
            (
                Operation::GetHvmContext
                | Operation::SetHvmContext
                | Operation::GetHvmContextPartial
                | Operation::HvmGetParam
                | Operation::HvmSetParam
                | Operation::InjectMsi,
                Errno::EINVAL | Errno::EOPNOTSUPP,
            ) => "the domain is not HVM or PVH, or the value does not fit it",
            (Operation::EventChannelBindInterdomain, Errno::EINVAL) => {
                "the domain's port does not wait for dom0: something else is connected to it"
            }
            (Operation::SoftReset, Errno::EINVAL) => "the domain has not shut down (suspended)",
            (Operation::UnpauseDomain, Errno::EINVAL) => "the domain is not paused",
            (Operation::PopulatePhysmap | Operation::MaxMem, _) => {
                "free memory on this host: `xl info` shows free_memory, `xl list` who has it"
            }
            (Operation::Watchdog, Errno::ENOSPC | Errno::EEXIST) => {
                "both watchdogs of dom0 are in use: free one or omit --watchdog"
            }
            (Operation::AllocateBuffer, _) => {
                "dom0 has too little memory, or its locked-memory limit (ulimit -l) is too low"
            }
            (_, Errno::EPERM | Errno::EACCES) => "run as root in dom0",
            (_, Errno::ENOMEM) => "Xen or dom0 is out of memory: free some",
            (_, Errno::ENOSYS | Errno::EOPNOTSUPP) => "this Xen or kernel does not offer the call",
            _ => "look at `xl dmesg` for Xen's reason",
        }
    }
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation.name())?;
        if self.domid != Self::NO_DOMAIN {
            write!(f, " on domain {}", self.domid)?;
        }
        write!(f, " failed ({}): {}", self.errno, self.advice())
    }
}

impl core::error::Error for XenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_on_what_and_what_to_do() {
        let gone = XenError::of_domain(Operation::PauseDomain, 7, Errno::ESRCH);
        assert_eq!(
            gone.to_string(),
            "XEN_DOMCTL_pausedomain on domain 7 failed (ESRCH): no such domain: check `xl list`"
        );
        let shadow = XenError::of_domain(Operation::ShadowOp, 3, Errno::EINVAL);
        assert!(shadow.to_string().contains("use type=\"pvh\""));
        let strange = XenError::of_host(Operation::XenVersion, Errno(999));
        assert!(strange.to_string().starts_with("xen_version failed (errno 999)"));
    }
}
