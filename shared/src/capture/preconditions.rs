//! Preconditions: which domains can be protected at all.
//!
//! Checked once before anything is mapped or paused, so that a refusal costs the guest nothing.
//! What can only be told by looking (FIFO event channels, a watch on `control/shutdown`) is
//! refused by discovery.

use core::fmt;
use core::fmt::Write as _;

use heapless::String;

use super::Store;
use super::error::CaptureError;
use crate::limits::{
    DOMAIN_PAGE_COUNT_MAX, GFN_COUNT_MAX, GRANT_FRAME_COUNT_MAX, PAGE_SIZE, VCPU_COUNT_MAX,
};
use crate::xen::hvm::params;
use crate::xen::xenstore::Transaction;
use crate::xen::{DomainInfo, Domid, Errno, Xen};

/// Bytes of a xenstore path below a domain's own folder, as this room uses them.
const PATH_SIZE_MAX: usize = 64;

/// A xenstore path.
pub(super) type Path = String<PATH_SIZE_MAX>;

/// Device kinds in `/local/domain/ID/device` that protection works with. `suspend` is the event
/// channel that libxl may use to ask for a suspend, no device.
const DEVICE_KINDS_SUPPORTED: [&str; 2] = ["vif", "suspend"];

/// Why a domain cannot be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such domain.
    NoSuchDomain {
        /// The number that was asked for.
        domid: Domid,
    },
    /// dom0, or a number that no guest has.
    NotAGuest {
        /// The number that was asked for.
        domid: Domid,
    },
    /// It is being torn down.
    Dying,
    /// The guest has shut down.
    ShutDown,
    /// A tool has paused it.
    Paused,
    /// A PV domain.
    Pv,
    /// No hardware-assisted paging.
    NoHap,
    /// More vCPUs than the limit.
    VcpuCount {
        /// What it has.
        vcpu_count: u32,
    },
    /// More memory than the limit.
    PageCount {
        /// Pages that it may own.
        page_count: u32,
    },
    /// Memory at higher addresses than the limit.
    GfnCount {
        /// One more than its highest gfn.
        gfn_count: u32,
    },
    /// The guest has not mapped shared_info.
    NoSharedInfo,
    /// No xenstore ring.
    NoXenstore,
    /// A disk.
    Disk,
    /// A PCI device.
    PassedThrough,
    /// A device of another kind.
    OtherDevice,
    /// QEMU serves it.
    DeviceModel,
    /// The guest offers no suspend.
    NoSuspend,
    /// Grant tables of version 2.
    GrantVersion,
    /// A grant table beyond the limit.
    GrantFrames,
}

impl Refusal {
    /// Too many gfns; told as 16 TiB where there are more.
    fn gfn_count(count: u64) -> Self {
        Self::GfnCount { gfn_count: clipped(count) }
    }
}

/// One more than the highest gfn that the domain uses.
///
/// # Errors
/// [`Refusal::GfnCount`], and those of Xen.
pub(super) fn gfn_count(xen: &Xen, domid: Domid) -> Result<u64, CaptureError> {
    let gfn_count = xen.maximum_gpfn(domid)? + 1;
    if gfn_count > GFN_COUNT_MAX {
        return Err(Refusal::gfn_count(gfn_count).into());
    }
    Ok(gfn_count)
}

fn clipped(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |page_count: u64| page_count / (1024 * 1024 / PAGE_SIZE as u64);
        match self {
            Self::NoSuchDomain { domid } => write!(f, "there is no domain {domid}: see xl list"),
            Self::NotAGuest { domid } => write!(f, "domain {domid} is not a guest"),
            Self::Dying => f.write_str("the domain is being destroyed"),
            Self::ShutDown => f.write_str("the guest has shut down: start it again"),
            Self::Paused => f.write_str("the domain is paused: xl unpause it first"),
            Self::Pv => f.write_str(
                "the domain is PV, whose memory Xen cannot follow: only PVH guests can be \
                 protected (type=\"pvh\")",
            ),
            Self::NoHap => f.write_str(
                "the domain runs without hardware-assisted paging: set hap=1 and use a host \
                 that has it",
            ),
            Self::VcpuCount { vcpu_count } => write!(
                f,
                "the domain has {vcpu_count} vCPUs: at most {VCPU_COUNT_MAX} can be protected"
            ),
            Self::PageCount { page_count } => write!(
                f,
                "the domain has {} MiB of memory: at most {} MiB can be protected",
                mib((*page_count).into()),
                mib(DOMAIN_PAGE_COUNT_MAX)
            ),
            Self::GfnCount { gfn_count } => write!(
                f,
                "the domain's memory reaches up to {} MiB: at most {} MiB can be protected",
                mib((*gfn_count).into()),
                mib(GFN_COUNT_MAX)
            ),
            Self::NoSharedInfo => f.write_str(
                "the guest has not mapped shared_info: wait until its kernel has booted",
            ),
            Self::NoXenstore => f.write_str("the domain has no xenstore ring"),
            Self::Disk => f.write_str(
                "a guest with a disk is refused for now: boot it from its ramdisk alone",
            ),
            Self::PassedThrough => {
                f.write_str("the domain has a PCI device passed through: detach it")
            }
            Self::OtherDevice => f.write_str(
                "the domain has a device that is no network interface (see xenstore-ls \
                 /local/domain/ID/device): detach it",
            ),
            Self::DeviceModel => f.write_str(
                "the domain is served by a device model (QEMU): only PVH guests can be \
                 protected (type=\"pvh\")",
            ),
            Self::NoSuspend => f.write_str(
                "the guest does not offer to suspend (control/feature-suspend): wait until it \
                 has booted, or use a kernel with CONFIG_HIBERNATE_CALLBACKS",
            ),
            Self::GrantVersion => f.write_str(
                "the guest uses grant tables of version 2: set max_grant_version=1 in its \
                 configuration",
            ),
            Self::GrantFrames => write!(
                f,
                "the guest's grant table may need more than {GRANT_FRAME_COUNT_MAX} frames: set \
                 max_grant_frames={GRANT_FRAME_COUNT_MAX} in its configuration"
            ),
        }
    }
}

impl core::error::Error for Refusal {}

/// Checks everything that can be asked; the guest notices nothing.
///
/// # Errors
/// [`CaptureError::Refused`] with the first reason found, and errors of Xen and xenstored.
pub fn check(xen: &Xen, store: &mut Store, domid: Domid) -> Result<DomainInfo, CaptureError> {
    if domid == 0 || domid >= crate::xen::DOMID_FIRST_RESERVED {
        return Err(Refusal::NotAGuest { domid }.into());
    }
    let info = xen.getdomaininfo(domid).map_err(|error| match error.errno {
        Errno::ESRCH => Refusal::NoSuchDomain { domid }.into(),
        _ => CaptureError::Xen(error),
    })?;
    check_info(&info)?;
    gfn_count(xen, domid)?;
    if xen.hvm_get_param(domid, params::STORE_PFN)? == 0
        || xen.hvm_get_param(domid, params::STORE_EVTCHN)? == 0
    {
        return Err(Refusal::NoXenstore.into());
    }
    if xen.gnttab_get_version(domid)? > 1 {
        return Err(Refusal::GrantVersion.into());
    }
    let frame_count = xen.gnttab_query_size(domid)?.frame_count;
    if usize::try_from(frame_count).is_ok_and(|count| count > GRANT_FRAME_COUNT_MAX) {
        return Err(Refusal::GrantFrames.into());
    }
    if exists(store, format_args!("/local/domain/0/device-model/{domid}"))? {
        return Err(Refusal::DeviceModel.into());
    }
    check_devices(store, domid)?;
    check_suspend(store, domid)?;
    Ok(info)
}

fn check_info(info: &DomainInfo) -> Result<(), Refusal> {
    let vcpu_count = info.vcpu_count();
    if info.is_dying() {
        Err(Refusal::Dying)
    } else if info.is_shutdown() {
        Err(Refusal::ShutDown)
    } else if info.is_paused() {
        Err(Refusal::Paused)
    } else if !info.is_hvm() {
        Err(Refusal::Pv)
    } else if !info.is_hap() {
        Err(Refusal::NoHap)
    } else if usize::try_from(vcpu_count).is_ok_and(|count| count > VCPU_COUNT_MAX) {
        Err(Refusal::VcpuCount { vcpu_count })
    } else if info.page_count_max > DOMAIN_PAGE_COUNT_MAX {
        Err(Refusal::PageCount { page_count: clipped(info.page_count_max) })
    } else if info.shared_info_gfn >= GFN_COUNT_MAX {
        Err(Refusal::NoSharedInfo)
    } else {
        Ok(())
    }
}

/// Checks the devices that the domain has by now, and says how many vifs are among them.
///
/// # Errors
/// [`CaptureError::Refused`] for one that cannot be protected, and xenstored's.
pub fn check_devices(store: &mut Store, domid: Domid) -> Result<usize, CaptureError> {
    for_each_entry(store, format_args!("/local/domain/{domid}/device"), &mut check_device_kind)?;
    let mut vif_count = 0;
    for_each_entry(store, format_args!("/local/domain/{domid}/device/vif"), &mut |_| {
        vif_count += 1;
        Ok(())
    })?;
    Ok(vif_count)
}

/// Shows the entries of a folder that may be missing.
fn for_each_entry(
    store: &mut Store,
    folder: fmt::Arguments<'_>,
    show: &mut dyn FnMut(&str) -> Result<(), Refusal>,
) -> Result<(), CaptureError> {
    match store.directory(Transaction::NONE, &path(folder)) {
        Ok(entries) => {
            for entry in entries {
                show(entry)?;
            }
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn check_suspend(store: &mut Store, domid: Domid) -> Result<(), CaptureError> {
    let feature = path(format_args!("/local/domain/{domid}/control/feature-suspend"));
    match store.read(Transaction::NONE, &feature) {
        Ok(b"1") => Ok(()),
        Ok(_) => Err(Refusal::NoSuspend.into()),
        Err(error) if error.is_not_found() => Err(Refusal::NoSuspend.into()),
        Err(error) => Err(error.into()),
    }
}

fn check_device_kind(kind: &str) -> Result<(), Refusal> {
    match kind {
        "vbd" => Err(Refusal::Disk),
        "pci" => Err(Refusal::PassedThrough),
        kind if DEVICE_KINDS_SUPPORTED.contains(&kind) => Ok(()),
        _ => Err(Refusal::OtherDevice),
    }
}

fn exists(store: &mut Store, arguments: fmt::Arguments<'_>) -> Result<bool, CaptureError> {
    match store.read(Transaction::NONE, &path(arguments)) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes a path that is known to be short.
pub(super) fn path(arguments: fmt::Arguments<'_>) -> Path {
    let mut path = Path::new();
    let written = path.write_fmt(arguments);
    assert!(written.is_ok(), "the path is shorter than {PATH_SIZE_MAX} bytes");
    path
}
