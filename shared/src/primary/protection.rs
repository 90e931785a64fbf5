//! Protection as a whole: session after session, and how it ends.

use heapless::String;

use super::domain_epochs::DomainEpochs;
use super::epochs::Epochs;
use super::error::ProtectError;
use super::surroundings::{Interruption, Program};
use crate::capture::{Capture, CaptureError, EpochOutput, ShutdownReason, Store};
use crate::codec;
use crate::limits::{
    DESCRIPTION_SIZE_MAX, DOMAIN_NAME_SIZE_MAX, RING_ENTRY_COUNT_PRIMARY, TIMEOUT_MS_MAX,
};
use crate::options::ProtectOptions;
use crate::platform::linux::status_file::StatusFile;
use crate::platform::linux::{clock, process};
use crate::ring::{Control, EntryKind, GoodbyeReason, Phase, Producer};
use crate::status::{Histogram, PauseSummary, Role, State, StatusRecord};
use crate::text::FixedText;

/// Microseconds between two status records.
const STATUS_PERIOD_US: u64 = 1_000_000;
/// Microseconds without a backup after which the log says that it is missing.
const WAITING_NOTICE_US: u64 = 3_000_000;
/// Milliseconds that ship may take for its goodbye: it gives up by itself after the longer of both
/// hosts' timeouts.
const GOODBYE_MS_MAX: u64 = TIMEOUT_MS_MAX as u64 + 1000;

/// How a session ended, when protection may go on with the next one.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The backup is gone, or has ended the session.
    LinkLost,
    /// The backup is heard, but of no use: it is left, and must know that before output passes.
    GivenUp,
    /// The operator ends protection.
    Stop,
}

/// One domain's protection: what lives longer than a session.
#[derive(Debug)]
pub(super) struct Protection<'a> {
    pub options: &'a ProtectOptions<'a>,
    pub name: String<DOMAIN_NAME_SIZE_MAX>,
    pub domid: u16,
    pub config: &'a [u8],
    pub store: Store,
    pub program: Program,
    pub status: StatusFile,
    /// A killed helper's gate is still there; it is taken over with the first session.
    pub has_left_gate: bool,
    pub status_due_us: u64,
    pub state: State,
    pub pauses_us: Histogram,
    pub dirty_pages: Histogram,
}

impl Protection<'_> {
    /// Protects until the operator stops it or it cannot go on; the guest runs on, unheld.
    pub fn run(
        mut self,
        mut capture: Capture<'_>,
        mut producer: Producer,
    ) -> Result<(), ProtectError> {
        // Whatever failed because the domain has ended is told as that.
        let result = self
            .sessions(&mut capture, &mut producer)
            .map_err(|error| capture.check_domain().err().map_or(error, ProtectError::from));
        let reason = goodbye_reason(&result);
        // First the backup hears that it shall not take over, then the guest's output is let go.
        producer.control().set_stop(reason);
        producer.control().leave_session();
        let released = match self.program.end_ship(GOODBYE_MS_MAX) {
            // Nobody has told the backup, and it will take over: nothing may leave any more.
            Some(end) => Err(ProtectError::ShipEnded(end)),
            None => self.program.close_gate().map_err(ProtectError::from),
        };
        if let (Err(first), Err(second)) = (&result, &released)
            && !matches!(first, ProtectError::ShipEnded(_))
        {
            // The first is told when the program ends; that output is still held must be told too.
            crate::log!("{}: {second}", self.name);
        }
        let finished = match capture.finish() {
            Err(CaptureError::Xen(error)) if error.errno == crate::xen::Errno::ESRCH => Ok(()),
            other => other,
        };
        if self.has_left_gate {
            crate::log!(
                "{}: the gate that an earlier helper left is still closed: `--gate none` opens it",
                self.name
            );
        }
        result?;
        released?;
        finished?;
        self.status.remove();
        crate::log!("{}: protection ended, the guest runs on", self.name);
        Ok(())
    }

    fn sessions(
        &mut self,
        capture: &mut Capture<'_>,
        producer: &mut Producer,
    ) -> Result<(), ProtectError> {
        loop {
            let Some(session) = self.wait_for_backup(capture, producer)? else { return Ok(()) };
            let mut output = EpochOutput::new(producer, session, self.options.timeout_ms);
            let end = match self.session(capture, &mut output) {
                Err(ProtectError::Capture(error)) => self.session_end(error, producer.control())?,
                other => other?,
            };
            match end {
                SessionEnd::Stop => return Ok(()),
                SessionEnd::LinkLost => self.leave_lost_session(capture, producer.control())?,
                SessionEnd::GivenUp => {
                    self.say_goodbye(producer.control(), session)?;
                    self.leave_lost_session(capture, producer.control())?;
                }
            }
        }
    }

    /// What an error of capture means for the session; the error itself when it ends protection.
    fn session_end(
        &self,
        error: CaptureError,
        control: Control<'_>,
    ) -> Result<SessionEnd, ProtectError> {
        match error {
            CaptureError::LinkLost => Ok(SessionEnd::LinkLost),
            CaptureError::BackupStuck { .. } => {
                crate::log!("{}: {error}: giving it up", self.name);
                Ok(SessionEnd::GivenUp)
            }
            CaptureError::Interrupted => Ok(SessionEnd::Stop),
            CaptureError::BackupRefused => Err(ProtectError::Refused(control.peer_refusal())),
            other => Err(other.into()),
        }
    }

    /// Waits for a session; none when the operator stops. The domain is watched meanwhile.
    fn wait_for_backup(
        &mut self,
        capture: &Capture<'_>,
        producer: &mut Producer,
    ) -> Result<Option<u64>, ProtectError> {
        let started_us = clock::monotonic_us();
        let mut is_noticed = false;
        loop {
            if let Some(session) = producer.control().join_session() {
                producer.begin()?;
                return Ok(Some(session));
            }
            match self.program.look(PATIENT_REST_US) {
                Some(Interruption::Stop) => return Ok(None),
                Some(Interruption::ShipEnded(end)) => return Err(ProtectError::ShipEnded(end)),
                None => {}
            }
            if self.is_status_due() {
                capture.check_domain()?;
                let link = producer.control().counters();
                self.write_status(producer.control(), &EpochFigures::default());
                if !is_noticed && clock::monotonic_us() - started_us > WAITING_NOTICE_US {
                    is_noticed = true;
                    self.say_what_is_missing(link.frames_unauthentic);
                }
            }
        }
    }

    fn say_what_is_missing(&self, unauthentic_count: u64) {
        let interface = self.options.link.interface;
        if unauthentic_count > 0 {
            crate::log!(
                "{interface}: the peer's frames are not sealed with our key: put the same key \
                 file on both hosts; the guest runs unprotected"
            );
        } else {
            crate::log!(
                "{interface}: the peer does not answer: check that backup-helper stands by there, \
                 the peer's MAC, the key and the cable; the guest runs unprotected"
            );
        }
    }

    /// One session: the description, the full copy, then epochs until something ends it.
    fn session(
        &mut self,
        capture: &mut Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<SessionEnd, ProtectError> {
        self.state = State::FullCopy;
        crate::log!("{}: a backup stands by, it builds the twin", self.name);
        self.send_description(capture, output)?;
        if let Some(end) = self.wait_for_twin(output)? {
            return Ok(end);
        }
        // A backup that builds a twin has no guest of ours running.
        if core::mem::take(&mut self.has_left_gate) {
            self.program.open_left_gate(self.domid)?;
        }
        if let Some(end) = self.full_copy(capture, output)? {
            return Ok(end);
        }
        let (interval, timeout_ms) = (self.options.interval, self.options.timeout_ms);
        let mut domain = DomainEpochs { protection: self, capture, is_protected: false };
        Epochs::new(&mut domain, interval, timeout_ms).run(output)
    }

    fn send_description(
        &mut self,
        capture: &Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<(), ProtectError> {
        let config_size = u32::try_from(self.config.len()).expect("bounded by its buffer");
        let description =
            capture.describe(&self.name, self.options.interval.shortest_ms(), config_size)?;
        let mut bytes = [0; DESCRIPTION_SIZE_MAX];
        let size =
            codec::encode(&description, &mut bytes).map_err(|_| CaptureError::StateTooLong)?;
        output.push_parts(EntryKind::Description, &bytes[..size], &mut self.program)?;
        output.push_parts(EntryKind::Config, self.config, &mut self.program)?;
        output.publish();
        Ok(())
    }

    fn wait_for_twin(
        &mut self,
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
            if let Some(end) = self.interruption(PATIENT_REST_US)? {
                return Ok(Some(end));
            }
            self.tick(output, &EpochFigures::default())?;
        }
    }

    fn full_copy(
        &mut self,
        capture: &mut Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<Option<SessionEnd>, ProtectError> {
        capture.start_full_copy()?;
        let (mut sent_count, mut round) = (0, 1);
        loop {
            let progress = capture.copy_more(output, COPY_BATCH, &mut self.program)?;
            sent_count += progress.sent_page_count;
            if progress.is_complete {
                break;
            }
            if output.control().peer_phase() == Phase::Refused {
                return Err(ProtectError::Refused(output.control().peer_refusal()));
            }
            if progress.sent_page_count == 0 || progress.round != round {
                round = progress.round;
                if let Some(end) = self.interruption(PATIENT_REST_US)? {
                    return Ok(Some(end));
                }
            }
            if self.is_status_due() {
                let total = sent_count + progress.remaining_page_count;
                crate::log!(
                    "{}: first full copy, round {round}: {sent_count} of {total} pages ({} %)",
                    self.name,
                    sent_count * 100 / total.max(1)
                );
                self.write_status(output.control(), &EpochFigures::default());
            }
        }
        if let Some(end) = self.wait_for_empty_ring(output)? {
            return Ok(Some(end));
        }
        crate::log!("{}: first full copy sent, {sent_count} pages", self.name);
        Ok(None)
    }

    /// Waits until the backup has taken everything: the first checkpoint must not wait for room in
    /// the ring with the guest paused.
    fn wait_for_empty_ring(
        &mut self,
        output: &mut EpochOutput<'_>,
    ) -> Result<Option<SessionEnd>, ProtectError> {
        while output.free_entry_count()? < RING_ENTRY_COUNT_PRIMARY {
            if let Some(end) = self.interruption(PATIENT_REST_US)? {
                return Ok(Some(end));
            }
            self.tick(output, &EpochFigures::default())?;
        }
        Ok(None)
    }

    /// Leaves a backup that is heard, and waits until it has answered or has had time to notice by
    /// itself: output that passes before could be followed by a takeover.
    fn say_goodbye(&mut self, control: Control<'_>, session: u64) -> Result<(), ProtectError> {
        control.leave_session();
        let deadline_us = clock::monotonic_us() + GOODBYE_MS_MAX * 1000;
        while control.link_session() == session || control.is_leaving() {
            // The operator's signal has its turn when the backup knows.
            if let Some(Interruption::ShipEnded(end)) = self.program.look(PATIENT_REST_US) {
                return Err(ProtectError::ShipEnded(end));
            }
            if clock::monotonic_us() > deadline_us {
                self.program.kill_ship();
            }
        }
        Ok(())
    }

    /// The backup is gone: the guest goes on, its output too.
    fn leave_lost_session(
        &mut self,
        capture: &mut Capture<'_>,
        control: Control<'_>,
    ) -> Result<(), ProtectError> {
        if let Some(end) = self.program.ship_end_while_holding() {
            return Err(ProtectError::ShipEnded(end));
        }
        self.state = State::Unprotected;
        let released = self.program.pass_through();
        let why = control.goodbye();
        control.leave_session();
        capture.stop_logging()?;
        released?;
        match why {
            Some(reason) => crate::log!(
                "{}: the backup has left ({reason}): the guest runs UNPROTECTED, its output passes",
                self.name
            ),
            None => crate::log!(
                "{}: the backup is lost: the guest runs UNPROTECTED, its output passes; waiting \
                 for a backup",
                self.name
            ),
        }
        Ok(())
    }

    /// Waits for about `rest_us`; an end when the operator wants one.
    pub fn interruption(&mut self, rest_us: u64) -> Result<Option<SessionEnd>, ProtectError> {
        match self.program.look(rest_us) {
            None => Ok(None),
            Some(Interruption::Stop) => Ok(Some(SessionEnd::Stop)),
            Some(Interruption::ShipEnded(end)) => Err(ProtectError::ShipEnded(end)),
        }
    }

    /// Looks, when it is time to, whether the gate still holds all of the guest's interfaces, and
    /// writes the status record.
    pub fn tick(
        &mut self,
        output: &EpochOutput<'_>,
        figures: &EpochFigures,
    ) -> Result<(), ProtectError> {
        if self.is_status_due() {
            self.program.verify_gate()?;
            self.write_status(output.control(), figures);
        }
        Ok(())
    }

    /// True about once a second.
    fn is_status_due(&mut self) -> bool {
        let now_us = clock::monotonic_us();
        let is_due = now_us >= self.status_due_us;
        if is_due {
            self.status_due_us = now_us + STATUS_PERIOD_US;
        }
        is_due
    }

    fn write_status(&mut self, control: Control<'_>, figures: &EpochFigures) {
        let gate = self.program.gate_counters();
        let link = control.counters();
        self.status.write(&StatusRecord {
            domain: FixedText::new(&self.name),
            domid: self.domid,
            epoch: figures.epoch,
            acknowledged: figures.acknowledged_epoch,
            acknowledged_us: figures.acknowledged_us,
            interval_us: figures.interval_us,
            pause: PauseSummary::from(&self.pauses_us),
            dirty_pages_last: figures.dirty_page_count,
            dirty_pages_mean: self.dirty_pages.mean(),
            gate_frames_held: gate.frames_held,
            gate_frames_dropped: gate.frames_dropped,
            ..StatusRecord::new(Role::Primary, self.state, process::own_pid()).with_link(&link)
        });
    }
}

/// What the epochs of this session tell of themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EpochFigures {
    pub epoch: u64,
    pub acknowledged_epoch: u64,
    pub acknowledged_us: u64,
    pub interval_us: u64,
    pub dirty_page_count: u64,
}

/// Microseconds between two looks while no epoch is waited for.
const PATIENT_REST_US: u64 = 1_000;
/// Pages of the full copy between two looks at everything else.
const COPY_BATCH: u64 = 512;

fn goodbye_reason(result: &Result<(), ProtectError>) -> GoodbyeReason {
    match result {
        Ok(()) => GoodbyeReason::Ended,
        Err(ProtectError::Capture(CaptureError::DomainGone)) => GoodbyeReason::DomainDestroyed,
        Err(ProtectError::Capture(CaptureError::DomainShutDown(ShutdownReason::Reboot))) => {
            GoodbyeReason::DomainRebooted
        }
        Err(ProtectError::Capture(CaptureError::DomainShutDown(_))) => {
            GoodbyeReason::DomainShutDown
        }
        Err(_) => GoodbyeReason::Failed,
    }
}
