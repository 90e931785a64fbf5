//! The twin: built paused by this host's own toolstack, mapped once, written page by page.
//!
//! `xl create -p` gives it devices, bridges, CPU policy and xenstore entries as for any domain.
//! `-e` keeps xl from watching it: xl would take the suspending guest of a revival for one that
//! has ended, and leave.

use core::fmt;
use core::sync::atomic::Ordering;

use super::mark;
use super::twin_config::{Name, TwinConfig, keep_config};
use super::twin_memory::{NoMemoryAt, TwinMemory};
use crate::codec::DomainDescription;
use crate::codec::page::PageUpdate;
use crate::limits::PAGE_SIZE;
use crate::platform::linux::command::{CommandError, Program};
use crate::platform::linux::file::FileError;
use crate::revive::Store;
use crate::revive::check::TwinPlaces;
use crate::text::FixedText;
use crate::xen::hvm::params;
use crate::xen::stub::STUB_PAGE_COUNT_MAX;
use crate::xen::xenstore::{XenstoreError, domains};
use crate::xen::{DomainInfo, Domid, Errno, GuestMemory, Xen, XenError};

/// How long `xl` may take to build or destroy a domain.
const XL_TIMEOUT_MS: u32 = 300_000;
/// Pages that a running guest may own beyond those that a new twin has.
const PAGE_COUNT_SLACK: u64 = 256;
/// KiB of a page: Xen counts what a domain may own in KiB.
const PAGE_KIB: u64 = PAGE_SIZE as u64 / 1024;

/// Why there is no twin.
#[derive(Clone, Copy, Debug)]
pub enum TwinFault {
    /// The configuration cannot be kept or read.
    File(FileError),
    /// The configuration has no line `name = "..."`.
    NoName,
    /// A domain of that name is here already.
    NameTaken {
        /// The name.
        name: Name,
        /// Who has it.
        domid: Domid,
    },
    /// xl could not be run.
    Xl(CommandError),
    /// xl failed, and said this.
    Refused(FixedText<160>),
    /// xl said that it had built the twin, and it is not there.
    Missing(Name),
    /// Xen refused a step.
    Xen(XenError),
    /// xenstored refused a step.
    Xenstore(XenstoreError),
    /// The twin is not a domain that can be revived: PV, or without hardware paging.
    Kind,
    /// The twin has another number of vCPUs than the guest.
    VcpuCount {
        /// Of the guest.
        guest: u32,
        /// Of the twin.
        twin: u32,
    },
    /// This host has no memory left beyond the twin's.
    NoMemory {
        /// So much is needed.
        kib: u64,
    },
    /// The twin has less memory than the guest.
    PageCount {
        /// Of the guest.
        guest: u64,
        /// Of the twin.
        twin: u64,
    },
}

impl fmt::Display for TwinFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "the twin's configuration: {error}"),
            Self::NoName => f.write_str("the xl configuration has no line name = \"...\""),
            Self::NameTaken { name, domid } => write!(
                f,
                "the backup has a domain {name} already (id {domid}), which is no waiting twin: if \
                 it is not needed, run `xl destroy {domid}` there"
            ),
            Self::Xl(error) => write!(f, "the backup cannot run xl: {error}"),
            Self::Refused(line) => write!(f, "xl on the backup cannot build the twin: {line}"),
            Self::Missing(name) => write!(f, "xl built no domain {name}"),
            Self::Xen(error) => write!(f, "the twin: {error}"),
            Self::Xenstore(error) => write!(f, "the twin: {error}"),
            Self::Kind => f.write_str("only PVH and HVM domains with hardware paging can be twins"),
            Self::VcpuCount { guest, twin } => {
                write!(f, "the guest has {guest} vCPUs, its twin {twin}: give both the same vcpus=")
            }
            Self::NoMemory { kib } => write!(
                f,
                "the backup host needs {kib} KiB of free memory beyond the twin's own: free some \
                 (`xl info` shows free_memory)"
            ),
            Self::PageCount { guest, twin } => write!(
                f,
                "the guest has {guest} pages of memory, its twin {twin}: give both the same memory="
            ),
        }
    }
}

impl core::error::Error for TwinFault {}

impl From<XenError> for TwinFault {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl From<XenstoreError> for TwinFault {
    fn from(error: XenstoreError) -> Self {
        Self::Xenstore(error)
    }
}

/// A paused domain whose memory is the guest's.
#[derive(Debug)]
pub struct Twin<'a> {
    /// Its number.
    pub domid: Domid,
    /// What the toolstack fixed.
    pub places: TwinPlaces,
    /// Its memory.
    pub memory: GuestMemory,
    xen: &'a Xen,
    /// Pages that the guest has at places where a new twin has none.
    provided_count: u64,
}

impl<'a> Twin<'a> {
    /// Builds the twin of the described domain, and maps its memory. Takes seconds. What was built
    /// is destroyed again if it does not fit.
    ///
    /// # Errors
    /// [`TwinFault`] in one line for the operators of both hosts.
    pub fn create(
        xen: &'a Xen,
        store: &mut Store,
        description: &DomainDescription,
        config: TwinConfig<'_>,
    ) -> Result<Self, TwinFault> {
        let (path, name) = keep_config(description, config)?;
        make_name_free(xen, store, name)?;
        let built = run_xl(&["create", "-p", "-e", path.as_str()]);
        let found = domains::domid_of_name(store, name.as_str())?;
        if let (Err(_), Some(domid)) = (&built, found) {
            // The name was free before, so this is what an xl that was killed has left.
            let _ = destroy(domid);
        }
        built?;
        let domid = found.ok_or(TwinFault::Missing(name))?;
        let marked = mark::set(store, domid, name.as_str()).map_err(TwinFault::from);
        let twin = marked.and_then(|()| Self::adopt(xen, domid, description));
        if twin.is_err() {
            // The first fault is the one to tell.
            let _ = destroy(domid);
        }
        twin
    }

    /// Destroys the twin. Takes about a second.
    ///
    /// # Errors
    /// When xenstored or xl fails; the domain is left paused then.
    pub fn destroy(self, store: &mut Store) -> Result<(), TwinFault> {
        // The mapping holds references to the domain's pages; without it they go away with it.
        drop(self.memory);
        mark::remove(store, self.domid)?;
        destroy(self.domid)
    }

    /// Maps a paused domain that fits the description.
    fn adopt(
        xen: &'a Xen,
        domid: Domid,
        description: &DomainDescription,
    ) -> Result<Self, TwinFault> {
        let info = xen.getdomaininfo(domid)?;
        if !info.is_hvm() || !info.is_hap() {
            return Err(TwinFault::Kind);
        }
        let (guest, twin) = (description.vcpu_count, info.vcpu_count());
        if guest != twin {
            return Err(TwinFault::VcpuCount { guest, twin });
        }
        let (guest, twin) = (description.page_count, info.page_count);
        if guest > twin + PAGE_COUNT_SLACK {
            return Err(TwinFault::PageCount { guest, twin });
        }
        reserve_memory(xen, domid, &info)?;
        let param = |index| xen.hvm_get_param(domid, index);
        let port = |index| param(index).map(|value| u32::try_from(value).unwrap_or(0));
        let places = TwinPlaces {
            vcpu_count: description.vcpu_count as usize,
            store_gfn: param(params::STORE_PFN)?,
            store_port: port(params::STORE_EVTCHN)?,
            console_gfn: param(params::CONSOLE_PFN)?,
            console_port: port(params::CONSOLE_EVTCHN)?,
        };
        let gfn_count = description.gfn_count.max(xen.maximum_gpfn(domid)? + 1);
        let memory = GuestMemory::map(xen, domid, gfn_count)?;
        Ok(Self { domid, places, memory, xen, provided_count: 0 })
    }
}

impl TwinMemory for Twin<'_> {
    fn provide_page(&mut self, gfn: u64) -> Result<(), NoMemoryAt> {
        if gfn >= self.memory.gfn_count() {
            return Err(NoMemoryAt(gfn));
        }
        if !self.memory.is_present(gfn) {
            // What is left of the reserve is the stub's, without which nothing is revived.
            if self.provided_count == PAGE_COUNT_SLACK {
                return Err(NoMemoryAt(gfn));
            }
            self.provided_count += 1;
            self.xen
                .populate_physmap(self.domid, &[gfn])
                .and_then(|()| self.memory.remap(self.xen, &[gfn]))
                .map_err(|_| NoMemoryAt(gfn))?;
        }
        Ok(())
    }

    fn has_page(&self, gfn: u64) -> bool {
        self.memory.is_present(gfn)
    }

    fn read_page(&self, gfn: u64, target: &mut [u8; PAGE_SIZE]) -> bool {
        let page = self.memory.page(gfn);
        page.inspect(|page| page.copy_out(target)).is_some()
    }

    fn update_page(&mut self, gfn: u64, update: &PageUpdate<'_>) -> Result<(), NoMemoryAt> {
        if !update.is_relative() {
            self.provide_page(gfn)?;
        }
        let target = self.memory.page(gfn).ok_or(NoMemoryAt(gfn))?;
        match update {
            PageUpdate::Whole(bytes) => target.copy_in(bytes),
            PageUpdate::Zeros => target.zero(),
            PageUpdate::Changes(delta) => {
                for (place, bytes) in delta.changes() {
                    target.words()[place].store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
                }
            }
            PageUpdate::Nothing => {}
        }
        Ok(())
    }
}

/// Lets the twin own, and sets aside on this host, what it may still need: pages that the guest has
/// beyond its own, and those of the stub. At a failover it is too late to find no memory.
fn reserve_memory(xen: &Xen, domid: Domid, info: &DomainInfo) -> Result<(), TwinFault> {
    let extra_page_count = PAGE_COUNT_SLACK + STUB_PAGE_COUNT_MAX as u64;
    let page_count = info.page_count + extra_page_count;
    xen.max_mem(domid, page_count.max(info.page_count_max) * PAGE_KIB)?;
    // xl's own claim has been worked off by now; what may be left of it is in the way.
    xen.claim_pages(domid, 0)?;
    match xen.claim_pages(domid, page_count) {
        Err(error) if error.errno == Errno::ENOMEM => {
            Err(TwinFault::NoMemory { kib: extra_page_count * PAGE_KIB })
        }
        other => Ok(other?),
    }
}

/// Destroys the twin of this name that an earlier helper has left behind, if there is one.
fn make_name_free(xen: &Xen, store: &mut Store, name: Name) -> Result<(), TwinFault> {
    let Some(domid) = domains::domid_of_name(store, name.as_str())? else { return Ok(()) };
    if !mark::is_left_behind(xen, store, domid, name.as_str()) {
        return Err(TwinFault::NameTaken { name, domid });
    }
    crate::log!("{name}: destroying domain {domid}, a twin that an earlier helper has left behind");
    mark::remove(store, domid)?;
    destroy(domid)
}

fn destroy(domid: Domid) -> Result<(), TwinFault> {
    run_xl(&["destroy", FixedText::<8>::format(format_args!("{domid}")).as_str()])
}

fn run_xl(arguments: &[&str]) -> Result<(), TwinFault> {
    let mut output = [0; 4096];
    let program = Program::find("xl").map_err(TwinFault::Xl)?;
    let output = program.run(arguments, &mut output, XL_TIMEOUT_MS).map_err(TwinFault::Xl)?;
    if output.succeeded() {
        return Ok(());
    }
    Err(TwinFault::Refused(FixedText::format(format_args!("{}", output.last_line()))))
}
