//! Protection as a whole: session after session. How it ends is in `ending`.

use heapless::String;

use super::arbitration::Arbitration;
use super::domain_epochs::DomainEpochs;
use super::epochs::Epochs;
use super::error::ProtectError;
use super::steps::{self, Attendant, Copied};
use super::surroundings::Program;
use crate::capture::{Capture, CaptureError, EpochOutput, FullCopyProgress, Store, preconditions};
use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::options::ProtectOptions;
use crate::other_half::HalfEnd;
use crate::platform::linux::process;
use crate::platform::linux::status_file::StatusFile;
use crate::ring::{Control, Producer};
use crate::status::{Histogram, PauseSummary, Role, State, StatusRecord};
use crate::text::FixedText;
use crate::xen::Xen;

/// How a session ended, when protection may go on with the next one.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The backup is gone, or has ended the session.
    LinkLost,
    /// The backup is heard, but of no use: it is left, and must know that before output passes.
    GivenUp,
    /// The operator ends protection.
    Stop,
    /// The operator wants the guest to live on the backup.
    HandOver,
}

/// One domain's protection: what lives longer than a session.
#[derive(Debug)]
pub(super) struct Protection<'a> {
    pub options: &'a ProtectOptions<'a>,
    pub name: String<DOMAIN_NAME_SIZE_MAX>,
    pub domid: u16,
    pub config: &'a [u8],
    pub store: Store,
    pub arbitration: Arbitration,
    pub program: Program<'a>,
    pub xen: &'a Xen,
    pub status: StatusFile,
    /// The newest session's number.
    pub session: u64,
    /// The guest was paused for good, for the backup to go on with it.
    pub is_handing_over: bool,
    /// The operator has asked for a hand-over that was not possible.
    pub was_hand_over_refused: bool,
    /// A killed helper's gate is still there; it is taken over with the first session.
    pub has_left_gate: bool,
    pub state: State,
    pub pauses_us: Histogram,
    pub dirty_pages: Histogram,
}

impl Protection<'_> {
    /// Protects until the operator stops it or it cannot go on; the guest runs on, unheld.
    // Apart: the programs are smaller so.
    #[inline(never)]
    pub fn run(
        mut self,
        mut capture: Capture<'_>,
        mut producer: Producer,
    ) -> Result<(), ProtectError> {
        // Whatever failed because the domain has ended is told as that.
        let result = self
            .sessions(&mut capture, &mut producer)
            .map_err(|error| capture.check_domain().err().map_or(error, ProtectError::from));
        self.end(capture, &mut producer, result)
    }

    fn sessions(
        &mut self,
        capture: &mut Capture<'_>,
        producer: &mut Producer,
    ) -> Result<SessionEnd, ProtectError> {
        loop {
            match self.next_session(capture, producer) {
                Ok(SessionEnd::LinkLost | SessionEnd::GivenUp) => {}
                Err(ProtectError::ShipEnded(end @ HalfEnd::StubDomain(..))) => {
                    if !matches!(self.state, State::Connecting | State::Unprotected) {
                        self.leave_lost_session(capture, producer.control())?;
                    }
                    if !self.wait_for_ship(capture, producer, end)? {
                        return Ok(SessionEnd::Stop);
                    }
                }
                ended => return ended,
            }
        }
    }

    /// Waits for a backup, and protects until it is lost, or something ends protection.
    fn next_session(
        &mut self,
        capture: &mut Capture<'_>,
        producer: &mut Producer,
    ) -> Result<SessionEnd, ProtectError> {
        if !self.know_term()? {
            return Ok(SessionEnd::Stop);
        }
        let interface = self.options.replication.links.first.interface;
        let mut check = || Ok(capture.check_domain().map(drop)?);
        let Some(session) = steps::wait_for_backup(self, interface, producer, &mut check)? else {
            return Ok(SessionEnd::Stop);
        };
        self.session = session;
        let mut output = EpochOutput::new(producer, session, self.options.replication.timeout_ms);
        let end = match self.session(capture, &mut output) {
            Err(ProtectError::Capture(error)) => self.session_end(error, producer.control())?,
            other => other?,
        };
        match end {
            SessionEnd::HandOver => {
                capture.pause()?.leave();
                self.is_handing_over = true;
            }
            SessionEnd::Stop => {}
            SessionEnd::LinkLost => self.leave_lost_session(capture, producer.control())?,
            SessionEnd::GivenUp => {
                steps::say_goodbye(&mut self.program, producer.control(), session)?;
                self.leave_lost_session(capture, producer.control())?;
            }
        }
        Ok(end)
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

    /// One session: the description, the full copy, then epochs until something ends it.
    // Apart: the programs are smaller so.
    #[inline(never)]
    fn session(
        &mut self,
        capture: &mut Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<SessionEnd, ProtectError> {
        self.state = State::FullCopy;
        crate::log!("{}: a backup stands by, it builds the twin", self.name);
        self.send_description(capture, output)?;
        if let Some(end) = steps::wait_for_twin(self, output)? {
            return Ok(end);
        }
        // A backup that builds a twin has no guest of ours running.
        if core::mem::take(&mut self.has_left_gate) {
            self.program.open_left_gate(self.domid)?;
        }
        self.check_devices()?;
        if let Some(end) = steps::full_copy(self, capture, output)? {
            return Ok(end);
        }
        let (interval, timeout_ms) =
            (self.options.replication.interval, self.options.replication.timeout_ms);
        let mut domain = DomainEpochs { protection: self, capture, is_protected: false };
        Epochs::new(&mut domain, interval, timeout_ms).run(output)
    }

    /// What was attached since protection began is refused as it would have been then. A xenstored that does not
    /// answer says nothing of it.
    fn check_devices(&mut self) -> Result<(), ProtectError> {
        let vif_count = match preconditions::check_devices(&mut self.store, self.domid) {
            Err(refused @ CaptureError::Refused(_)) => return Err(refused.into()),
            answer => answer.ok(),
        };
        Ok(self.program.verify_gate(vif_count)?)
    }

    fn send_description(
        &mut self,
        capture: &Capture<'_>,
        output: &mut EpochOutput<'_>,
    ) -> Result<(), ProtectError> {
        let config_size = u32::try_from(self.config.len()).unwrap_or(u32::MAX);
        let description = capture.describe(
            &self.name,
            self.options.replication.interval.shortest_ms(),
            config_size,
            self.arbitration.term(),
        )?;
        let config = self.config;
        steps::send_description(self, &description, config, output)
    }

    /// The backup is gone: the guest goes on, its output too.
    fn leave_lost_session(
        &mut self,
        capture: &mut Capture<'_>,
        control: Control<'_>,
    ) -> Result<(), ProtectError> {
        self.settle(capture, control)?;
        if let Some(end) = self.program.ship_end_while_holding()
            && !self.arbitration.is_there()
        {
            return Err(ProtectError::ShipEndedHolding(end));
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

    pub fn write_status(&mut self, control: Control<'_>, figures: &EpochFigures) {
        let gate = self.program.gate_counters();
        let link = control.counters();
        self.status.write(&StatusRecord {
            domain: FixedText::new(&self.name),
            domid: self.domid,
            watchdog: self.program.watchdog.as_ref().map_or(0, |watchdog| watchdog.id().into()),
            term: self.arbitration.term(),
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

impl<'a> Attendant<'a> for Protection<'a> {
    fn program(&mut self) -> &mut Program<'a> {
        &mut self.program
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Looks whether the guest still has devices that can be protected, with its output held, and writes the
    /// status record.
    fn report(&mut self, control: Control<'_>, figures: &EpochFigures) -> Result<(), ProtectError> {
        if !matches!(self.state, State::Connecting | State::Unprotected) {
            self.check_devices()?;
        }
        self.write_status(control, figures);
        Ok(())
    }
}

impl Copied for Capture<'_> {
    fn start_full_copy(&mut self) -> Result<(), CaptureError> {
        Capture::start_full_copy(self)
    }

    fn copy_more(
        &mut self,
        output: &mut EpochOutput<'_>,
        page_count: u64,
        program: &mut Program<'_>,
    ) -> Result<FullCopyProgress, CaptureError> {
        Capture::copy_more(self, output, page_count, program)
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
