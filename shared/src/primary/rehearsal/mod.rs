//! `rehearse`: a guest that is no domain, protected over the real link by the real pieces, and measured.
//!
//! Four processes and the guest are started as for a domain; after the full copy and some epochs of
//! warming up, everything is measured for as long as asked, then the last epoch is verified by the
//! backup, and the figures are printed. Nothing is held and nothing can be lost, so whatever fails
//! ends the rehearsal.

mod epochs;
mod guest_process;
mod measured;
mod report;

use super::epochs::Epochs;
use super::error::ProtectError;
use super::protection::SessionEnd;
use super::startup::start_ship;
use super::steps::{self, GOODBYE_MS_MAX};
use super::surroundings::Program;
use crate::capture::{CaptureError, EpochOutput};
use crate::codec::DomainDescription;
use crate::limits::{PAGE_SIZE, REHEARSAL_ANSWER_MS};
use crate::options::{Interval, RehearseOptions};
use crate::platform::linux::affinity::pin_to_core;
use crate::platform::linux::available::check_available;
use crate::platform::linux::key_file::read_key_file;
use crate::platform::linux::lock::lock_memory;
use crate::platform::linux::mapped_file::MappedFile;
use crate::platform::linux::output_gate::OutputGate;
use crate::platform::linux::priority::take_precedence;
use crate::platform::linux::{clock, signals};
use crate::platform::processor::check_processor;
use crate::platform::vector;
use crate::rehearsal::{
    GuestRegion, Player, RehearsedCapture, RehearsedGuest, Source, Trace, TracePlayer, Workload,
    WorkloadOptions,
};
use crate::ring::{GoodbyeReason, Producer};
use crate::start::open_links;
use crate::text::FixedText;
use epochs::{Rehearsal, RehearsedEpochs};
use guest_process::GuestProcess;
use measured::Measured;

/// The interval of the workload when that of the checkpoints is `auto`, in microseconds.
const WORKLOAD_INTERVAL_US_AUTO: u64 = 25_000;
/// Seconds that are measured unless told otherwise.
const SECONDS_DEFAULT: u64 = 10;
/// What the backup calls the guest.
const NAME: &str = "rehearsal";

/// Rehearses, and prints what was measured.
///
/// # Errors
/// [`ProtectError`], one line for people.
pub fn rehearse(options: &RehearseOptions<'_>) -> Result<(), ProtectError> {
    check_processor()?;
    vector::choose();
    let key = read_key_file(options.replication.key_file)?;
    let file = options.trace.map(MappedFile::open).transpose().map_err(ProtectError::TraceFile)?;
    let trace = file.as_ref().map(|file| Trace::parse(file.bytes()));
    let trace = trace.transpose().map_err(ProtectError::Trace)?;
    let port = open_links(&options.replication.links)?;
    signals::install();
    take_precedence();
    let (ship, producer, watched) = start_ship(&options.replication, port, key)?;
    let gfn_count = trace.map_or(options.page_count, |trace| trace.gfn_count);
    check_available(gfn_count * PAGE_SIZE as u64)?;
    let mut region = GuestRegion::create(gfn_count)?;
    let source = match trace {
        Some(trace) => Source::Trace(TracePlayer::new(trace)),
        None => Source::Workload(Workload::new(workload(options, gfn_count))),
    };
    let image = trace.iter().flat_map(Trace::image);
    let guest = GuestProcess::start(Player::new(region.again()?, source), image)?;
    // Now that the others are started: capture's core is not theirs.
    if let Some(core) = options.replication.capture_core {
        pin_to_core(core)?;
    }
    region.populate()?;
    lock_memory()?;
    let capture =
        RehearsedCapture::new(RehearsedGuest::new(region)?, options.replication.drain_options());
    let is_dedicated = options.replication.capture_core.is_some();
    let key_file = options.replication.key_file;
    let program = Program::new(OutputGate::none(), ship, watched, key_file, is_dedicated, None);
    let duration_us = match (options.seconds, trace) {
        (Some(seconds), _) => u64::from(seconds) * 1_000_000,
        (None, Some(trace)) => trace.duration_us(),
        (None, None) => SECONDS_DEFAULT * 1_000_000,
    };
    let rehearsal = Rehearsal::new(program, guest, Measured::new(duration_us, options.epoch_count));
    run(options, rehearsal, capture, producer)
}

fn workload(options: &RehearseOptions<'_>, gfn_count: u64) -> WorkloadOptions {
    WorkloadOptions {
        gfn_count,
        dirty_page_count: options.dirty_page_count,
        hot_percent: options.hot_percent,
        change_size: usize::try_from(options.change_size).unwrap_or(1),
        interval_us: match options.replication.interval {
            Interval::Fixed(interval_ms) => u64::from(interval_ms) * 1000,
            Interval::Auto => WORKLOAD_INTERVAL_US_AUTO,
        },
    }
}

fn run(
    options: &RehearseOptions<'_>,
    mut rehearsal: Rehearsal<'_>,
    mut capture: RehearsedCapture,
    mut producer: Producer,
) -> Result<(), ProtectError> {
    let result = session(options, &mut rehearsal, &mut capture, &mut producer);
    let reason = if result.is_ok() { GoodbyeReason::Ended } else { GoodbyeReason::Failed };
    producer.control().set_stop(reason);
    producer.control().leave_session();
    // Nothing was held, so it does not matter how.
    let _ = rehearsal.program.end_ship(GOODBYE_MS_MAX);
    if result? {
        report::print(&rehearsal.measured);
    }
    Ok(())
}

/// The one session. False when the operator has ended it before anything was measured.
fn session(
    options: &RehearseOptions<'_>,
    rehearsal: &mut Rehearsal<'_>,
    capture: &mut RehearsedCapture,
    producer: &mut Producer,
) -> Result<bool, ProtectError> {
    if !rehearsal.wait_for_guest(capture)? {
        return Ok(false);
    }
    let interface = options.replication.links.first.interface;
    let deadline_us = clock::monotonic_us() + REHEARSAL_ANSWER_MS * 1000;
    let mut check = || match clock::monotonic_us() {
        now_us if now_us < deadline_us => Ok(()),
        _ => Err(ProtectError::NoBackup { interface: FixedText::new(interface) }),
    };
    let Some(session) = steps::wait_for_backup(rehearsal, interface, producer, &mut check)? else {
        return Ok(false);
    };
    let mut output = EpochOutput::new(producer, session, options.replication.timeout_ms);
    epochs(options, rehearsal, capture, &mut output).map_err(|error| match error {
        ProtectError::Capture(CaptureError::LinkLost) => ProtectError::BackupLost,
        ProtectError::Capture(CaptureError::BackupRefused) => {
            ProtectError::Refused(output.control().peer_refusal())
        }
        other => other,
    })
}

fn epochs(
    options: &RehearseOptions<'_>,
    rehearsal: &mut Rehearsal<'_>,
    capture: &mut RehearsedCapture,
    output: &mut EpochOutput<'_>,
) -> Result<bool, ProtectError> {
    let gfn_count = capture.guest().region().gfn_count();
    let description = DomainDescription {
        name: NAME.try_into().unwrap_or_default(),
        vcpu_count: 1,
        gfn_count,
        page_count: gfn_count,
        grant_version: 1,
        interval_ms: options.replication.interval.shortest_ms(),
        config_size: 0,
        term: 0,
        is_rehearsal: true,
    };
    steps::send_description(rehearsal, &description, &[], output)?;
    if steps::wait_for_twin(rehearsal, output)?.is_some()
        || steps::full_copy(rehearsal, capture, output)?.is_some()
    {
        return Ok(false);
    }
    let mut rehearsed = RehearsedEpochs { rehearsal, capture };
    match Epochs::new(&mut rehearsed, options.replication.interval, options.replication.timeout_ms)
        .run(output)?
    {
        SessionEnd::Stop | SessionEnd::HandOver => rehearsed.end(output)?,
        SessionEnd::LinkLost | SessionEnd::GivenUp => return Err(ProtectError::BackupLost),
    }
    Ok(rehearsal.measured.has_begun())
}
