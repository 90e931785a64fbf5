//! When the backup is gone without a word: who lives is the arbiter's to say, and until it has said it
//! the guest stands still with its output held.
//!
//! What a record means is the `arbiter` room's business.

use super::error::ProtectError;
use super::protection::{EpochFigures, Protection};
use crate::arbiter::{HostId, Next, Settling, Verdict};
use crate::capture::Capture;
use crate::options::ArbiterKind;
use crate::platform::linux::arbiter_program::ArbiterProgram;
use crate::platform::linux::clock;
use crate::ring::Control;
use crate::status::State;
use crate::xen::Errno;

/// Microseconds between two looks while the arbiter is not asked.
const REST_US: u64 = 10_000;

/// The arbiter, and the term that the guest lives in here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arbitration {
    program: Option<ArbiterProgram>,
    term: u64,
}

impl Arbitration {
    /// Takes the next term up, so that no backup of an earlier session can claim anything any more.
    ///
    /// # Errors
    /// When the arbiter does not decide, or another host holds the domain.
    pub fn begin(kind: ArbiterKind<'_>, own: HostId, domain: &str) -> Result<Self, ProtectError> {
        let ArbiterKind::Exec(path) = kind else {
            crate::log!(
                "WARNING: --no-arbiter: when the link is cut and both hosts live, both will run \
                 {domain} with its output open"
            );
            return Ok(Self { program: None, term: 0 });
        };
        let program = ArbiterProgram::open(path, own)?;
        match program.take_up(domain)? {
            Verdict::Granted { term } => Ok(Self { program: Some(program), term }),
            Verdict::Denied { record } | Verdict::Forgotten { record } => {
                Err(ProtectError::HeldElsewhere(record))
            }
        }
    }

    /// The term that sessions begin in; 0 when there is no arbiter.
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// Whether somebody decides.
    pub const fn is_there(&self) -> bool {
        self.program.is_some()
    }
}

impl Protection<'_> {
    /// Finds out whether the guest may live on here after a session has ended. It may when there is
    /// nothing that the backup could revive, when the backup has left for good, or when the arbiter
    /// grants it; until then the guest is paused. Without an arbiter nobody is asked.
    ///
    /// # Errors
    /// [`ProtectError::LivesElsewhere`] and [`ProtectError::Undecided`], with the guest paused for good
    /// and its output held.
    pub fn settle(
        &mut self,
        capture: &Capture<'_>,
        control: Control<'_>,
    ) -> Result<(), ProtectError> {
        let Some(arbiter) = self.arbitration.program else { return Ok(()) };
        let begun = Settling::begin(
            self.arbitration.term,
            arbiter.own(),
            self.program.has_revivable_epoch(),
            control.has_farewell(),
        );
        let Some(settling) = begun else { return Ok(()) };
        let pause = match capture.pause() {
            Ok(pause) => Some(pause),
            // There is nothing to stand still; but it may live on the backup.
            Err(error) if error.errno == Errno::ESRCH => None,
            Err(error) => return Err(error.into()),
        };
        let decided = self.ask_until_decided(&arbiter, settling, control);
        match (&decided, pause) {
            (_, None) => {}
            (Ok(()), Some(pause)) => pause.end()?,
            (Err(_), Some(pause)) => pause.leave(),
        }
        decided
    }

    fn ask_until_decided(
        &mut self,
        arbiter: &ArbiterProgram,
        mut settling: Settling,
        control: Control<'_>,
    ) -> Result<(), ProtectError> {
        loop {
            match settling.next(clock::monotonic_us(), control.has_farewell()) {
                Next::Ask(_) => {
                    let why = arbiter.settle(&self.name, &mut settling, clock::monotonic_us());
                    if let Some(error) = why.filter(|_| self.state != State::Undecided) {
                        crate::log!(
                            "{}: the backup is lost, and {error}: the guest is paused, its output \
                             held, until there is a decision",
                            self.name
                        );
                        self.state = State::Undecided;
                        self.write_status(control, &EpochFigures::default());
                    }
                }
                Next::Wait { .. } if self.program.is_stop_wanted() => {
                    return Err(ProtectError::Undecided);
                }
                Next::Wait { .. } => clock::sleep_us(REST_US),
                Next::Live { term } => {
                    self.arbitration.term = term;
                    crate::log!("{}: the guest lives on here, term {term}", self.name);
                    return Ok(());
                }
                Next::Yield { record } => return Err(ProtectError::LivesElsewhere(record)),
            }
        }
    }
}
