//! What can go wrong between Pollux and Xen, told so that a person can act on it.

use core::fmt;

use super::Domid;

/// An error number as Xen and Linux count them (xen/include/public/errno.h), always positive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(
    /// The number; [`Errno::ESRCH`] and its fellows name those that are handled.
    pub i32,
);

impl Errno {
    /// Not permitted.
    pub const EPERM: Errno = Errno(1);
    /// No such thing; for a mapping: the page is paged out.
    pub const ENOENT: Errno = Errno(2);
    /// No such domain or vCPU.
    pub const ESRCH: Errno = Errno(3);
    /// The call was interrupted by a signal.
    pub const EINTR: Errno = Errno(4);
    /// Input or output failed.
    pub const EIO: Errno = Errno(5);
    /// No such device.
    pub const ENXIO: Errno = Errno(6);
    /// The argument list is too long.
    pub const E2BIG: Errno = Errno(7);
    /// Nothing there yet.
    pub const EAGAIN: Errno = Errno(11);
    /// No memory.
    pub const ENOMEM: Errno = Errno(12);
    /// Denied; for a domctl: another interface version.
    pub const EACCES: Errno = Errno(13);
    /// A bad address.
    pub const EFAULT: Errno = Errno(14);
    /// In use.
    pub const EBUSY: Errno = Errno(16);
    /// Exists already.
    pub const EEXIST: Errno = Errno(17);
    /// No such device.
    pub const ENODEV: Errno = Errno(19);
    /// An argument is wrong.
    pub const EINVAL: Errno = Errno(22);
    /// Too large; for events: more than could be kept.
    pub const EFBIG: Errno = Errno(27);
    /// No room.
    pub const ENOSPC: Errno = Errno(28);
    /// Xen or the kernel does not know the call.
    pub const ENOSYS: Errno = Errno(38);
    /// No data.
    pub const ENODATA: Errno = Errno(61);
    /// Known, but not supported here.
    pub const EOPNOTSUPP: Errno = Errno(95);
    /// The buffer is too small.
    pub const ENOBUFS: Errno = Errno(105);
    /// Not connected; for a port: not bound by this process.
    pub const ENOTCONN: Errno = Errno(107);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Errno::EPERM => "EPERM",
            Errno::ENOENT => "ENOENT",
            Errno::ESRCH => "ESRCH",
            Errno::EINTR => "EINTR",
            Errno::EIO => "EIO",
            Errno::ENXIO => "ENXIO",
            Errno::E2BIG => "E2BIG",
            Errno::EAGAIN => "EAGAIN",
            Errno::ENOMEM => "ENOMEM",
            Errno::EACCES => "EACCES",
            Errno::EFAULT => "EFAULT",
            Errno::EBUSY => "EBUSY",
            Errno::EEXIST => "EEXIST",
            Errno::ENODEV => "ENODEV",
            Errno::EINVAL => "EINVAL",
            Errno::EFBIG => "EFBIG",
            Errno::ENOSPC => "ENOSPC",
            Errno::ENOSYS => "ENOSYS",
            Errno::ENODATA => "ENODATA",
            Errno::EOPNOTSUPP => "EOPNOTSUPP",
            Errno::ENOBUFS => "ENOBUFS",
            Errno::ENOTCONN => "ENOTCONN",
            _ => return None,
        })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The version of a running Xen (XENVER_version, version.h). Compares by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct XenVersion {
    /// 4 in "4.17".
    pub major: u16,
    /// 17 in "4.17".
    pub minor: u16,
}

impl fmt::Display for XenVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

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
    RemoveFromPhysmap = "XENMEM_remove_from_physmap",
    PopulatePhysmap = "XENMEM_populate_physmap",
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
    MapGuestPages = "IOCTL_PRIVCMD_MMAPBATCH_V2",
    AllocateBuffer = "allocation of hypercall-safe memory",
}

/// A call that Xen or its driver refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenError {
    /// What was asked.
    pub operation: Operation,
    /// The domain it was asked of, when there is one.
    pub domid: Option<Domid>,
    /// Why it was refused.
    pub errno: Errno,
}

impl XenError {
    /// An error of `operation` on domain `domid`.
    #[must_use]
    pub const fn of_domain(operation: Operation, domid: Domid, errno: Errno) -> XenError {
        XenError { operation, domid: Some(domid), errno }
    }

    /// An error of `operation` that concerns no other domain.
    #[must_use]
    pub const fn of_host(operation: Operation, errno: Errno) -> XenError {
        XenError { operation, domid: None, errno }
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
        if let Some(domid) = self.domid {
            write!(f, " on domain {domid}")?;
        }
        write!(f, " failed ({}): {}", self.errno, self.advice())
    }
}

impl core::error::Error for XenError {}

/// Why Xen, or one of its devices in dom0, cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XenOpenError {
    /// The device or socket is missing: not a dom0, or its module or daemon is not there.
    Missing {
        /// The file that was opened.
        path: &'static str,
        /// What provides it.
        provider: &'static str,
    },
    /// The device exists, the caller may not open it.
    NotPermitted {
        /// The file that was opened.
        path: &'static str,
    },
    /// The file could not be used for another reason.
    Unusable {
        /// The file that was opened.
        path: &'static str,
        /// Linux's reason.
        errno: Errno,
    },
    /// Xen answers, but does not take tool-stack calls from this domain.
    NotDom0,
    /// No known domctl interface version fits the running Xen.
    InterfaceVersion {
        /// What runs.
        version: XenVersion,
        /// The version that its table entry says, which was refused.
        expected: u32,
        /// The lowest version that was tried.
        lowest: u32,
        /// The highest version that was tried.
        highest: u32,
    },
    /// The first hypercalls failed.
    Hypercall(XenError),
}

impl XenOpenError {
    /// The error for a failed open of `path`, which `provider` would provide.
    #[must_use]
    pub fn from_errno(path: &'static str, provider: &'static str, errno: Errno) -> XenOpenError {
        match errno {
            Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => {
                XenOpenError::Missing { path, provider }
            }
            Errno::EPERM | Errno::EACCES => XenOpenError::NotPermitted { path },
            _ => XenOpenError::Unusable { path, errno },
        }
    }
}

impl fmt::Display for XenOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XenOpenError::Missing { path, provider } => {
                write!(
                    f,
                    "cannot open {path}: it is missing; run in dom0 of a Xen host, with {provider}"
                )
            }
            XenOpenError::NotPermitted { path } => {
                write!(f, "cannot open {path}: not permitted; run as root")
            }
            XenOpenError::Unusable { path, errno } => {
                write!(f, "cannot use {path} ({errno}): see the kernel log (dmesg)")
            }
            XenOpenError::NotDom0 => f.write_str(
                "Xen refuses tool-stack calls from this domain: run in dom0, not in a guest",
            ),
            XenOpenError::InterfaceVersion { version, expected, lowest, highest } => write!(
                f,
                "Xen {version} refuses domctl interface {expected:#x} and its neighbours \
                 {lowest:#x} to {highest:#x}: use a Pollux that knows this Xen"
            ),
            XenOpenError::Hypercall(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for XenOpenError {}

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

    #[test]
    fn open_errors_tell_missing_from_forbidden() {
        let path = "/dev/xen/privcmd";
        let missing = XenOpenError::from_errno(path, "xen-privcmd", Errno::ENOENT);
        assert_eq!(missing, XenOpenError::Missing { path, provider: "xen-privcmd" });
        let forbidden = XenOpenError::from_errno(path, "xen-privcmd", Errno::EACCES);
        assert!(forbidden.to_string().contains("run as root"));
        let version = XenOpenError::InterfaceVersion {
            version: XenVersion { major: 4, minor: 30 },
            expected: 0x18,
            lowest: 0x14,
            highest: 0x1a,
        };
        assert!(version.to_string().contains("Xen 4.30"));
        assert!(version.to_string().contains("0x18"));
    }
}
