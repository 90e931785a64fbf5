//! Everything that must be right before protection begins, in an order that changes nothing on the
//! host until all of it was checked.

use core::sync::atomic::{AtomicU32, Ordering};

use heapless::String;

use super::arbitration::Arbitration;
use super::error::ProtectError;
use super::left_watchdog;
use super::protection::Protection;
use super::stub_ship::{give_to_stub_domain, wanted};
use super::surroundings::Program;
use super::watchdog::Watchdog;
use crate::capture::preconditions::{self, Refusal};
use crate::capture::{Capture, CaptureError, Store};
use crate::codec::page::{PageEncoder, ShadowCache};
use crate::limits::{DOMAIN_NAME_SIZE_MAX, XENSTORE_ANSWER_MS_MAX_PRIMARY, XL_CONFIG_SIZE_MAX};
use crate::link::MultiPort;
use crate::link::ship::Ship;
use crate::link_half::{LinkHalf, link_options};
use crate::options::{GateKind, ProtectOptions, ReplicationOptions};
use crate::other_half::{FoundStubDomain, OtherHalf, find};
use crate::platform::linux::affinity::pin_to_core;
use crate::platform::linux::file::read_small;
use crate::platform::linux::key_file::read_key_file;
use crate::platform::linux::lock::lock_memory;
use crate::platform::linux::memory::MemoryError;
use crate::platform::linux::output_gate::OutputGate;
use crate::platform::linux::packet_socket::PacketSocket;
use crate::platform::linux::priority::take_precedence;
use crate::platform::linux::process::{Forked, fork};
use crate::platform::linux::program::{ExitStatus, exit, set_panic_hook};
use crate::platform::linux::status_file::StatusFile;
use crate::platform::linux::xenbus::open_xenstore;
use crate::platform::linux::{clock, signals};
use crate::platform::processor::check_processor;
use crate::platform::vector;
use crate::ring::{Consumer, Producer, Ring};
use crate::start::{StartError, open_arbiter, open_links, own_end};
use crate::status::{Histogram, Role, SavedRecord, State};
use crate::text::{FixedText, parse_number};
use crate::wire::SecretKey;
use crate::xen::xenstore::domains::{domid_of_name, name_of_domid};
use crate::xen::{Domid, Xen};

/// Protects a domain until SIGINT, SIGTERM or SIGHUP, or until it cannot go on.
///
/// # Errors
/// [`ProtectError`], one line for people. The guest runs on in every case.
pub fn protect(options: &ProtectOptions<'_>) -> Result<(), ProtectError> {
    check_processor()?;
    vector::choose();
    let key = read_key_file(options.replication.key_file)?;
    let mut config = [0; XL_CONFIG_SIZE_MAX];
    let config = read_small(options.config, &mut config)
        .map_err(|error| StartError::Config { option: "--config", error })?;
    if config.is_empty() {
        return Err(ProtectError::ConfigEmpty);
    }
    let links = &options.replication.links;
    let wanted = wanted(&options.replication);
    let port = if wanted.is_none() { open_links(links)? } else { MultiPort::default() };
    let xen = Xen::open()?;
    let mut store = open_xenstore(XENSTORE_ANSWER_MS_MAX_PRIMARY)?;
    let (domid, name) = find_domain(&mut store, options.domain)?;
    let checked = preconditions::check(&xen, &mut store, domid).map(drop);
    let is_paused = matches!(checked, Err(CaptureError::Refused(Refusal::Paused)));
    if !is_paused {
        checked?;
    }
    let mut status = StatusFile::create(options.state_directory, &name, Role::Primary)?;
    if is_paused && !was_left_undecided(&status, domid) {
        checked?;
    }
    let has_arbiter = options.replication.has_arbiter;
    // Before a stub domain is waited for: where one is missing, this host must not be reset for that.
    let left = left_watchdog::begin(&xen, options.watchdog_s, has_arbiter, &mut status)?;
    let found = wanted.map(|wanted| find(&xen, &mut store, &wanted)).transpose()?;
    let arbiter = open_arbiter(options.arbiter, links, own_end(&port, found))?;
    let begun = Arbitration::begin(arbiter, &name);
    left_watchdog::settle(&xen, left, &begun, &mut status);
    let arbitration = begun?;
    if is_paused {
        xen.unpausedomain(domid)?;
    }
    signals::install();
    signals::install_hand_over();
    set_panic_hook(let_guest_run);
    // The guest lives here, whatever fails from now on: output that an earlier helper has left held passes.
    let (mut gate, has_left_gate) = open_gate(options, domid, &name, arbitration)?;
    let started = check_vifs(&mut store, domid, &mut gate)
        .and_then(|()| release_previous(&mut store, &status, domid))
        .and_then(|()| split(options, &xen, port, found, key));
    let (ship, producer, watched) = match started {
        Ok(started) => started,
        Err(error) => {
            gate.close()?;
            return Err(error);
        }
    };
    let key_file = options.replication.key_file;
    let is_dedicated = options.replication.capture_core.is_some();
    let watchdog = (options.watchdog_s > 0).then(|| Watchdog::new(&xen, options.watchdog_s));
    let mut program = Program::new(gate, ship, watched, key_file, is_dedicated, watchdog);
    GUEST.store(u32::from(domid), Ordering::Release);
    crate::log!("{name}: looking for the guest's structures");
    let prepared = Capture::prepare(
        &xen,
        &mut store,
        domid,
        options.replication.drain_options(),
        &mut program,
    );
    let capture = match prepared {
        Ok(capture) => capture,
        Err(error) => {
            program.close_gate()?;
            return Err(error.into());
        }
    };
    let protection = Protection {
        options,
        name,
        domid,
        config,
        store,
        arbitration,
        program,
        xen: &xen,
        status,
        session: 0,
        is_handing_over: false,
        was_hand_over_refused: false,
        has_left_gate,
        state: State::Connecting,
        pauses_us: Histogram::new(),
        dirty_pages: Histogram::new(),
    };
    protection.run(capture, producer)
}

/// Whether the gate holds what all of the guest's vifs send.
fn check_vifs(store: &mut Store, domid: Domid, gate: &mut OutputGate) -> Result<(), ProtectError> {
    let vif_count = preconditions::check_devices(store, domid)?;
    Ok(gate.verify(Some(vif_count))?)
}

/// Splits the program, or gives the link to the stub domain that was found, and makes this half capture's.
// Apart: the programs are smaller so.
#[inline(never)]
fn split<'a>(
    options: &ProtectOptions<'_>,
    xen: &'a Xen,
    port: MultiPort<PacketSocket>,
    found: Option<FoundStubDomain>,
    key: SecretKey,
) -> Result<(OtherHalf<'a>, Producer, Consumer), ProtectError> {
    take_precedence();
    let started = match found {
        None => start_ship(&options.replication, port, key)?,
        Some(found) => give_to_stub_domain(xen, &options.replication, found, &key)?,
    };
    // Now that ship is started: capture's core is not ship's.
    if let Some(core) = options.replication.capture_core {
        pin_to_core(core)?;
    }
    lock_memory()?;
    Ok(started)
}

/// A name is tried first: a domain may be called `7`.
// Apart: the programs are smaller so.
#[inline(never)]
fn find_domain(
    store: &mut Store,
    domain: &str,
) -> Result<(Domid, String<DOMAIN_NAME_SIZE_MAX>), ProtectError> {
    let unknown = || ProtectError::DomainUnknown(FixedText::new(domain));
    let domid = match domid_of_name(store, domain)? {
        Some(domid) => domid,
        None => parse_number(domain).ok_or_else(unknown)?,
    };
    let name = name_of_domid(store, domid)?.ok_or_else(unknown)?;
    Ok((domid, name))
}

/// Splits the program: ship goes its own way, capture gets the ring's producing end and a second
/// view of it.
pub(super) fn start_ship(
    options: &ReplicationOptions<'_>,
    port: MultiPort<PacketSocket>,
    key: SecretKey,
) -> Result<(OtherHalf<'static>, Producer, Consumer), ProtectError> {
    let ring = Ring::create(options.ring_entry_count)?;
    match fork()? {
        Forked::Child(parent) => {
            let ReplicationOptions { links, timeout_ms, has_arbiter, .. } = options;
            let link = link_options(links, &port, *timeout_ms, *has_arbiter, key);
            let mut ring = ring.into_consumer();
            // The memory is the same, but each process has its own way to it.
            if let Err(error) = ring.populate(options.ring_entry_count) {
                crate::log!("{}: {error}", options.links.first.interface);
                exit(ExitStatus::Failed);
            }
            // Taken here, since a child has its own.
            let shadow = match shadow_cache(options) {
                Ok(shadow) => shadow,
                Err(error) => {
                    crate::log!("--delta-cache: {error}, or make it smaller");
                    exit(ExitStatus::Failed)
                }
            };
            let mut ship = Ship::new(link, PageEncoder::new(shadow), clock::monotonic_us());
            let half = LinkHalf { links: options.links, port, core: options.ship_core, parent };
            exit(half.run(&mut ship, &mut ring))
        }
        Forked::Parent(child) => {
            let (mut producer, watched) = ring.into_both()?;
            producer.populate(options.ring_entry_count)?;
            Ok((OtherHalf::Process(child), producer, watched))
        }
    }
}

fn shadow_cache(options: &ReplicationOptions<'_>) -> Result<ShadowCache, MemoryError> {
    ShadowCache::create(usize::try_from(options.delta_cache_size).unwrap_or(usize::MAX))
}

/// Opens the gate that a killed helper left at this guest's last incarnation. Where that domid
/// belongs to another guest by now, its gate is none of ours.
fn release_previous(
    store: &mut Store,
    status: &StatusFile,
    domid: Domid,
) -> Result<(), ProtectError> {
    let previous = status.record().map_or(domid, |record| record.domid);
    if previous != domid && name_of_domid(store, previous)?.is_none() {
        OutputGate::remove_left_overs(previous)?;
    }
    Ok(())
}

/// Whether an earlier helper has paused this domain because nobody had decided whether it may run. What
/// another tool has paused stays so.
fn was_left_undecided(status: &StatusFile, domid: Domid) -> bool {
    let is_ours = |record: &SavedRecord| record.domid == domid && record.state == State::Undecided;
    status.record().is_some_and(is_ours)
}

/// Opens the gate, unless a helper that was killed has left one at this very domain, and no arbiter has
/// said that the guest lives here: it may live on the backup by now, so what is held stays held until a
/// backup stands by again, and true is returned.
// Apart: the programs are smaller so.
#[inline(never)]
fn open_gate(
    options: &ProtectOptions<'_>,
    domid: Domid,
    name: &str,
    arbitration: Arbitration,
) -> Result<(OutputGate, bool), ProtectError> {
    match options.gate {
        GateKind::Plug if !arbitration.is_there() && OutputGate::is_left_over(domid)? => {
            crate::log!(
                "{name}: an earlier helper was killed and left its gate: the guest's output stays \
                 as it is until a backup answers; if the guest lives there now, destroy it here"
            );
            Ok((OutputGate::none(), true))
        }
        GateKind::Plug => Ok((OutputGate::open(domid)?, false)),
        GateKind::None => {
            OutputGate::remove_left_overs(domid)?;
            crate::log!(
                "WARNING: --gate none: the guest's output leaves before the backup has the state \
                 behind it; after a failover clients may know more than the guest does"
            );
            Ok((OutputGate::none(), false))
        }
    }
}

/// The domid under protection, for the panic hook; 0 before there is one.
static GUEST: AtomicU32 = AtomicU32::new(0);

/// Last act of a program with a defect: a guest that it has paused runs again. Xen counts pauses
/// and refuses to end one that is not there. The watchdog stays armed, as where a helper is killed: nobody
/// is left to let the guest's output go, and the backup takes over.
fn let_guest_run() {
    let domid = Domid::try_from(GUEST.load(Ordering::Acquire)).unwrap_or(0);
    if domid == 0 {
        return;
    }
    if let Ok(xen) = Xen::open() {
        let _ = xen.unpausedomain(domid);
    }
}
