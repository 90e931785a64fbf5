//! A stub domain's start: its words, its self-check, and what it has of Xen.

use core::cell::RefCell;
use core::convert::Infallible;

use super::carrier::{Carrier, Region};
use super::error::StubDomainError;
use super::machine::Machine;
use super::memory_plan::{RingSize, entry_count};
use super::network_half::NetworkHalf;
use super::options::{Options, parse};
use super::ports::Ports;
use super::scribbler::Scribbler;
use super::self_check;
use crate::limits::{PAGE_SIZE, STUB_DOMAIN_XENSTORE_US_MAX};
use crate::platform::memory::SharedMemory;
use crate::platform::private_memory::PrivatePages;
use crate::platform::processor::check_processor;
use crate::platform::stubdom::builder_ring::find_ring;
use crate::platform::stubdom::entropy::{self, EntropyError};
use crate::platform::stubdom::program::{ExitStatus, Start, end_through};
use crate::platform::stubdom::{clock, faults, memory, shared_info};
use crate::platform::vector;
use crate::ring::hand_over::region_size;
use crate::xen::grant_access::GrantTable;
use crate::xen::grant_table::ENTRY_V1_COUNT;
use crate::xen::netif::{INTERFACE_PAGE_COUNT, InterfacePages, Vif};
use crate::xen::params::{STORE_EVTCHN, STORE_PFN};
use crate::xen::xenstore::{RingStore, RingTransport};
use crate::xen::{DOMID_DOM0, Domid, EventChannelStatusKind, GuestPage, Hypervisor, XenError};

/// Frames of the grant table: one interface's pages, and what the toolstack has granted.
const GRANT_FRAME_COUNT: usize = 2;

const _: () = assert!(GRANT_FRAME_COUNT * ENTRY_V1_COUNT >= INTERFACE_PAGE_COUNT + 8);

/// The program of this half and version, started as `start` says.
#[must_use]
pub fn run<H: NetworkHalf>(version: &str, start: Start) -> ExitStatus {
    let (name, memory_mib) = (H::PROGRAM.name(), start.memory_size.div_ceil(1024 * 1024));
    match start.hypervisor.and_then(|it| it.version().ok()) {
        Some(xen) => {
            crate::log!("{name} {version}: stub domain on Xen {xen}, {memory_mib} MiB");
        }
        None => crate::log!("{name} {version}: stub domain on no Xen, {memory_mib} MiB"),
    }
    let mut options = Options::default();
    let parsed = parse(start.command_line, &mut options);
    if let Some(port) = options.debug_exit_port {
        end_through(port);
    }
    if let Err(error) = parsed {
        crate::log!("{error}");
        return ExitStatus::Usage;
    }
    if let Some(status) = check(&options) {
        return status;
    }
    let carry = if options.scribbles { carry::<Scribbler<H>> } else { carry::<H> };
    let Err(error) = carry(start.hypervisor, options.ring_size);
    crate::log!("{error}");
    match error {
        StubDomainError::NoStore => ExitStatus::Usage,
        _ => ExitStatus::Failed,
    }
}

/// Checks the platform, or does the wrong that it was asked for; the status if that is the end.
fn check(options: &Options) -> Option<ExitStatus> {
    if let Some(defect) = options.defect {
        faults::commit(defect);
        crate::log!("the defect {defect:?} was not noticed");
        return Some(ExitStatus::Done);
    }
    if let Err(error) = check_processor() {
        crate::log!("{error}");
        return Some(ExitStatus::Failed);
    }
    vector::choose();
    if let Err(error) = self_check::run() {
        crate::log!("self-check: {error}");
        return Some(ExitStatus::Failed);
    }
    crate::log!("self-check: clock, entropy, seal and ring work");
    options.is_self_check.then_some(ExitStatus::Done)
}

fn carry<H: NetworkHalf>(
    hypervisor: Option<Hypervisor>,
    ring_size: RingSize,
) -> Result<Infallible, StubDomainError> {
    let hypervisor = hypervisor.ok_or(StubDomainError::NoStore)?;
    let store_ring = find_ring(hypervisor, STORE_PFN, STORE_EVTCHN);
    let (page, port) = store_ring.ok_or(StubDomainError::NoStore)?;
    let ports = Ports::new(hypervisor, port);
    let transport = RingTransport::new(page, &ports, STUB_DOMAIN_XENSTORE_US_MAX);
    let store = RefCell::new(RingStore::new(transport));
    let grants = RefCell::new(GrantTable::new(&grant_frames(hypervisor)?));
    let vif = Vif::new(0, interface_pages()?, &grants, &store, &ports)?;
    let entry_count = entry_count(H::PROGRAM, ring_size, memory::left())?;
    let memory = SharedMemory::map(region_size(entry_count))?;
    let first_gfn = memory.first_gfn();
    let region = Region { memory, first_gfn, entry_count };
    Carrier::new(&ports, &store, vif, region).serve::<H>()
}

/// The first frames of this domain's grant table, in pages of its own.
fn grant_frames(
    hypervisor: Hypervisor,
) -> Result<[GuestPage<'static>; GRANT_FRAME_COUNT], StubDomainError> {
    let frames = PrivatePages::take(GRANT_FRAME_COUNT)?.into_shared_words();
    let frames = frames.first_chunk::<GRANT_FRAME_COUNT>().expect("so many were taken");
    // The last one first, so that the table grows once.
    for (index, frame) in frames.iter().enumerate().rev() {
        hypervisor.map_grant_frame(index as u64, (frame.as_ptr().addr() / PAGE_SIZE) as u64)?;
    }
    Ok(frames.each_ref().map(GuestPage::from_words))
}

fn interface_pages() -> Result<InterfacePages<'static>, StubDomainError> {
    let pages = PrivatePages::take(INTERFACE_PAGE_COUNT)?.into_shared_words();
    let pages = pages.first_chunk().expect("so many were taken");
    Ok(InterfacePages::new(pages, (pages.as_ptr().addr() / PAGE_SIZE) as u64))
}

impl Machine for Hypervisor {
    fn now_us(&self) -> u64 {
        clock::monotonic_us()
    }

    fn yield_core(&self) {
        (*self).yield_core();
    }

    fn open_port(&self, remote_domid: Domid) -> Result<u32, XenError> {
        self.alloc_unbound(remote_domid)
    }

    fn close_port(&self, port: u32) -> Result<(), XenError> {
        self.close_event_channel(port)
    }

    fn notify(&self, port: u32) -> Result<(), XenError> {
        self.send_event(port)
    }

    fn is_bound_to_dom0(&self, port: u32) -> Result<bool, XenError> {
        let kind = self.event_channel_kind(port)?;
        Ok(matches!(kind, EventChannelStatusKind::Interdomain { remote_domid: DOMID_DOM0, .. }))
    }

    fn poll(&self, ports: &[u32], duration_us: u64) -> Result<(), XenError> {
        clock::wait(ports, duration_us)
    }

    fn forget_event(&self, port: u32) {
        shared_info::take_event(port);
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        entropy::fill(bytes)
    }

    fn memory_left(&self) -> usize {
        memory::left()
    }
}
