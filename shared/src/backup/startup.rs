//! Everything that must be right before the backup stands by.

use super::error::StandByError;
use super::standing_by::StandingBy;
use super::stub_receive::{give_to_stub_domain, wanted};
use crate::commit::{Commit, CommitOptions, TwinHost};
use crate::idle::Idle;
use crate::limits::{RING_ENTRY_COUNT_MAX, XENSTORE_ANSWER_MS_MAX_BACKUP, XL_CONFIG_SIZE_MAX};
use crate::link::MultiPort;
use crate::link::receive::Receive;
use crate::link_half::{LinkHalf, link_options};
use crate::options::{ArbiterKind, StandByOptions};
use crate::other_half::{OtherHalf, find};
use crate::platform::linux::affinity::pin_to_core;
use crate::platform::linux::command::Program;
use crate::platform::linux::evtchn::EventChannels;
use crate::platform::linux::file::read_small;
use crate::platform::linux::key_file::read_key_file;
use crate::platform::linux::lock::lock_memory;
use crate::platform::linux::packet_socket::PacketSocket;
use crate::platform::linux::process::{Forked, fork};
use crate::platform::linux::program::exit;
use crate::platform::linux::status_file::StatusFile;
use crate::platform::linux::xenbus::open_xenstore;
use crate::platform::linux::{clock, signals};
use crate::platform::processor::check_processor;
use crate::platform::vector;
use crate::ring::{Consumer, Ring};
use crate::start::{StartError, open_arbiter, open_links, own_end, warn_without_arbiter};
use crate::status::{Role, State};
use crate::wire::SecretKey;
use crate::xen::{Xen, XenOpenError};

/// Stands by until a guest lives here, or until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
/// [`StandByError`], one line for people.
pub fn stand_by(options: &StandByOptions<'_>) -> Result<(), StandByError> {
    check_processor()?;
    vector::choose();
    let key = read_key_file(options.key_file)?;
    let is_host = !options.rehearses_only;
    let wanted = wanted(options);
    let needs_xen = is_host || wanted.is_some();
    // Missing parts of the host are told now, and not when the twin is needed.
    if is_host {
        Program::find("xl")?;
    }
    if let Some(path) = options.twin_config {
        let mut config = [0; XL_CONFIG_SIZE_MAX];
        read_small(path, &mut config)
            .map_err(|error| StartError::Config { option: "--twin-config", error })?;
    }
    let no_xen = |error: XenOpenError| StandByError::NoXen(error.into());
    let xen = needs_xen.then(Xen::open).transpose().map_err(no_xen)?;
    let open_store = || open_xenstore(XENSTORE_ANSWER_MS_MAX_BACKUP);
    let mut store = needs_xen.then(open_store).transpose().map_err(no_xen)?;
    let port = if wanted.is_none() { open_links(&options.links)? } else { MultiPort::default() };
    let found = match (wanted, &xen, &mut store) {
        (Some(wanted), Some(xen), Some(store)) => Some((xen, find(xen, store, &wanted)?)),
        _ => None,
    };
    let own = own_end(&port, found.map(|(_, found)| found));
    let arbiter = open_arbiter(options.arbiter, &options.links, own)?;
    let events = is_host.then(EventChannels::open).transpose().map_err(no_xen)?;
    let status = StatusFile::create(options.state_directory, "twin", Role::Backup)?;
    signals::install();
    if let Some(core) = options.commit_core {
        pin_to_core(core)?;
    }
    let (receive, ring) = match found {
        None => start_receive(options, port, key)?,
        Some((xen, found)) => give_to_stub_domain(xen, options, found, &key)?,
    };
    lock_memory()?;
    let commit_options = CommitOptions {
        state_directory: options.state_directory,
        twin_config: options.twin_config,
        has_arbiter: arbiter.is_some(),
    };
    let twins = xen.as_ref().zip(store).filter(|_| is_host);
    let twins = twins.map(|(xen, store)| TwinHost { xen, store });
    if is_host && arbiter.is_none() {
        warn_without_arbiter("the guest");
    }
    let for_what = if is_host { "" } else { " for rehearsals only" };
    crate::log!("{}: standing by{for_what}", options.links.first.interface);
    StandingBy {
        commit: Commit::new(twins, ring, commit_options),
        arbiter,
        events,
        xen: xen.as_ref(),
        receive,
        options,
        status,
        status_due_us: 0,
        is_dedicated: options.commit_core.is_some(),
        state: State::Waiting,
        looks: 0,
        idle: Idle::default(),
    }
    .run()
}

/// Splits the program: receive goes its own way, commit gets the ring's consuming end.
fn start_receive(
    options: &StandByOptions<'_>,
    port: MultiPort<PacketSocket>,
    key: SecretKey,
) -> Result<(OtherHalf<'static>, Consumer), StandByError> {
    let ring = Ring::create(RING_ENTRY_COUNT_MAX as u64)?;
    match fork()? {
        Forked::Child(parent) => {
            let has_arbiter = !matches!(options.arbiter, ArbiterKind::None);
            let link = link_options(&options.links, &port, options.timeout_ms, has_arbiter, key);
            let mut ring = ring.into_producer();
            let mut receive = Receive::new(link, clock::monotonic_us());
            let half = LinkHalf { links: options.links, port, core: options.receive_core, parent };
            exit(half.run(&mut receive, &mut ring))
        }
        Forked::Parent(child) => Ok((OtherHalf::Process(child), ring.into_consumer())),
    }
}
