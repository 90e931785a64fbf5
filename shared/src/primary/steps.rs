//! The steps of a session that are the same for a domain and for a rehearsed guest: waiting for a
//! backup, the description, the twin, the full copy, and the goodbye to a backup that is of no use.

use super::error::ProtectError;
use super::protection::{EpochFigures, SessionEnd};
use super::surroundings::{Interruption, Program};
use crate::capture::{CaptureError, EpochOutput, FullCopyProgress};
use crate::codec::{self, DomainDescription};
use crate::limits::{DESCRIPTION_SIZE_MAX, TIMEOUT_MS_MAX};
use crate::platform::linux::clock;
use crate::ring::{Control, EntryKind, Phase, Producer};

/// Microseconds between two looks while no epoch is waited for.
pub(super) const PATIENT_REST_US: u64 = 5_000;
/// Milliseconds that ship may take for its goodbye: it gives up by itself after the longer of both
/// hosts' timeouts.
pub(super) const GOODBYE_MS_MAX: u64 = TIMEOUT_MS_MAX as u64 + 1000;
/// The same for a ship that has misused its ring: an honest one with a defect says it at once, and a lying one is
/// not waited for while output is held.
pub(super) const GOODBYE_MS_RING_BROKEN: u64 = 2_000;
/// Microseconds without a backup after which the log says that it is missing.
const WAITING_NOTICE_US: u64 = 3_000_000;
/// Pages of the full copy between two looks at everything else.
const COPY_BATCH: u64 = 512;

/// The program around a session, with what it does about once a second.
pub(super) trait Attendant<'a> {
    /// Clock, patience and the other half.
    fn program(&mut self) -> &mut Program<'a>;

    /// What is protected, for the log.
    fn name(&self) -> &str;

    /// Reports, when the program says that it is time to, how it goes.
    fn report(&mut self, control: Control<'_>, figures: &EpochFigures) -> Result<(), ProtectError>;

    /// Waits for about `rest_us`; an end when the operator wants one.
    fn interruption(&mut self, rest_us: u64) -> Result<Option<SessionEnd>, ProtectError> {
        match self.program().look(rest_us) {
            None => Ok(None),
            Some(Interruption::Stop) => Ok(Some(SessionEnd::Stop)),
            Some(Interruption::ShipEnded(end)) => Err(ProtectError::ShipEnded(end)),
        }
    }

    /// Reports when it is time to.
    fn tick(
        &mut self,
        output: &EpochOutput<'_>,
        figures: &EpochFigures,
    ) -> Result<(), ProtectError> {
        if self.program().is_report_due() { self.report(output.control(), figures) } else { Ok(()) }
    }
}

/// What is copied as a whole before its epochs begin.
pub(super) trait Copied {
    /// Begins: the guest's writes are logged from now on.
    fn start_full_copy(&mut self) -> Result<(), CaptureError>;

    /// Sends up to `page_count` pages.
    fn copy_more(
        &mut self,
        output: &mut EpochOutput<'_>,
        page_count: u64,
        program: &mut Program<'_>,
    ) -> Result<FullCopyProgress, CaptureError>;
}

/// Waits for a session; none when the operator stops. `check` is asked about once a second.
pub(super) fn wait_for_backup(
    attendant: &mut dyn Attendant<'_>,
    interface: &str,
    producer: &mut Producer,
    check: &mut dyn FnMut() -> Result<(), ProtectError>,
) -> Result<Option<u64>, ProtectError> {
    let started_us = clock::monotonic_us();
    let mut is_noticed = false;
    loop {
        if let Some(session) = producer.control().join_session() {
            producer.begin()?;
            return Ok(Some(session));
        }
        if attendant.interruption(PATIENT_REST_US)?.is_some() {
            return Ok(None);
        }
        if attendant.program().is_report_due() {
            check()?;
            attendant.report(producer.control(), &EpochFigures::default())?;
            if !is_noticed && clock::monotonic_us() - started_us > WAITING_NOTICE_US {
                is_noticed = true;
                let link = producer.control().counters();
                say_what_is_missing(interface, link.frames_unauthentic);
            }
        }
    }
}

fn say_what_is_missing(interface: &str, unauthentic_count: u64) {
    if unauthentic_count > 0 {
        crate::log!(
            "{interface}: the peer's frames are not sealed with our key: put the same key \
             file on both hosts, and give --link in the same order there; the guest runs unprotected"
        );
    } else {
        crate::log!(
            "{interface}: the peer does not answer: check that backup-helper stands by there, \
             the peer's MAC, the key and the cable; the guest runs unprotected"
        );
    }
}

/// Sends the session's opening: the description, and the xl configuration, which may be empty.
pub(super) fn send_description(
    attendant: &mut dyn Attendant<'_>,
    description: &DomainDescription,
    config: &[u8],
    output: &mut EpochOutput<'_>,
) -> Result<(), ProtectError> {
    let mut bytes = [0; DESCRIPTION_SIZE_MAX];
    let size = codec::encode(description, &mut bytes).map_err(|_| CaptureError::StateTooLong)?;
    output.push_parts(EntryKind::Description, &bytes[..size], attendant.program())?;
    output.push_parts(EntryKind::Config, config, attendant.program())?;
    output.publish();
    Ok(())
}

/// Waits until the backup has a place for the guest's pages.
pub(super) fn wait_for_twin(
    attendant: &mut dyn Attendant<'_>,
    output: &mut EpochOutput<'_>,
) -> Result<Option<SessionEnd>, ProtectError> {
    loop {
        output.free_entry_count()?;
        match output.control().peer_phase() {
            Phase::Receiving | Phase::Protected => return Ok(None),
            Phase::Refused => {
                return Err(ProtectError::Refused(output.control().peer_refusal()));
            }
            Phase::Idle | Phase::CreatingTwin => {}
        }
        if let Some(end) = attendant.interruption(PATIENT_REST_US)? {
            return Ok(Some(end));
        }
        attendant.tick(output, &EpochFigures::default())?;
    }
}

/// Sends every page of the running guest, and waits until the backup has taken them.
pub(super) fn full_copy(
    attendant: &mut dyn Attendant<'_>,
    copied: &mut dyn Copied,
    output: &mut EpochOutput<'_>,
) -> Result<Option<SessionEnd>, ProtectError> {
    copied.start_full_copy()?;
    let (mut sent_count, mut round) = (0, 1);
    loop {
        let progress = copied.copy_more(output, COPY_BATCH, attendant.program())?;
        sent_count += progress.sent_page_count;
        if progress.is_complete {
            break;
        }
        if output.control().peer_phase() == Phase::Refused {
            return Err(ProtectError::Refused(output.control().peer_refusal()));
        }
        if progress.sent_page_count == 0 || progress.round != round {
            round = progress.round;
            if let Some(end) = attendant.interruption(PATIENT_REST_US)? {
                return Ok(Some(end));
            }
        }
        if attendant.program().is_report_due() {
            let total = sent_count + progress.remaining_page_count;
            crate::log!(
                "{}: first full copy, round {round}: {sent_count} of {total} pages ({} %)",
                attendant.name(),
                sent_count * 100 / total.max(1)
            );
            attendant.report(output.control(), &EpochFigures::default())?;
        }
    }
    if let Some(end) = wait_for_empty_ring(attendant, output)? {
        return Ok(Some(end));
    }
    crate::log!("{}: first full copy sent, {sent_count} pages", attendant.name());
    Ok(None)
}

/// Waits until the backup has taken everything: the first checkpoint must not wait for room in
/// the ring with the guest paused.
fn wait_for_empty_ring(
    attendant: &mut dyn Attendant<'_>,
    output: &mut EpochOutput<'_>,
) -> Result<Option<SessionEnd>, ProtectError> {
    while output.free_entry_count()? < output.capacity() {
        if let Some(end) = attendant.interruption(PATIENT_REST_US)? {
            return Ok(Some(end));
        }
        attendant.tick(output, &EpochFigures::default())?;
    }
    Ok(None)
}

/// Leaves a backup that is heard, and waits until it has answered or has had time to notice by
/// itself: output that passes before could be followed by a takeover.
pub(super) fn say_goodbye(
    program: &mut Program<'_>,
    control: Control<'_>,
    session: u64,
) -> Result<(), ProtectError> {
    control.leave_session();
    let deadline_us = clock::monotonic_us() + GOODBYE_MS_MAX * 1000;
    while control.link_session() == session || control.is_leaving() {
        // The operator's signal has its turn when the backup knows.
        if let Some(Interruption::ShipEnded(end)) = program.look(PATIENT_REST_US) {
            return Err(ProtectError::ShipEnded(end));
        }
        if clock::monotonic_us() > deadline_us {
            program.kill_ship();
        }
    }
    Ok(())
}
