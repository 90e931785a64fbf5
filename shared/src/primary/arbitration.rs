//! When the backup is gone without a word: who lives is the arbiter's to say, and until it has said it
//! the guest stands still with its output held.
//!
//! What a record means is the `arbiter` room's business.

use super::error::ProtectError;
use super::protection::{EpochFigures, Protection};
use super::steps::Attendant as _;
use crate::arbiter::{Next, Settling, Verdict};
use crate::capture::Capture;
use crate::limits::{ARBITER_REST_US, ARBITER_RETRY_MS};
use crate::platform::linux::arbiter_program::{ArbiterError, ArbiterProgram};
use crate::platform::linux::clock;
use crate::ring::Control;
use crate::start::warn_without_arbiter;
use crate::status::State;
use crate::xen::Errno;

/// The arbiter, and the term that the guest lives in here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arbitration {
    program: Option<ArbiterProgram>,
    /// None while it is not known, see [`Next::Live`].
    term: Option<u64>,
}

/// Times that the arbiter is asked when protection starts, and before it ends without a decision.
const START_TRIES: u32 = 3;

impl Arbitration {
    /// Takes the next term up, so that no backup of an earlier session can claim anything any more.
    ///
    /// # Errors
    /// When the arbiter does not decide, or another host holds the domain.
    // Apart: the programs are smaller so.
    #[inline(never)]
    pub fn begin(program: Option<ArbiterProgram>, domain: &str) -> Result<Self, ProtectError> {
        let Some(program) = program else {
            warn_without_arbiter(domain);
            return Ok(Self { program: None, term: Some(0) });
        };
        let mut tries = 1;
        loop {
            match take_up(&program, domain) {
                Ok(term) => return Ok(Self { program: Some(program), term: Some(term) }),
                Err(ProtectError::Arbiter(_)) if tries < START_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The term that sessions begin in; 0 when there is no arbiter.
    pub fn term(&self) -> u64 {
        self.term.unwrap_or(0)
    }

    /// Whether somebody decides.
    pub const fn is_there(&self) -> bool {
        self.program.is_some()
    }

    /// Whether the arbiter, if there is one, could decide now.
    ///
    /// # Errors
    /// Why it could not.
    pub fn check(&self, domain: &str) -> Result<(), ArbiterError> {
        self.program.map_or(Ok(()), |program| program.check(domain))
    }
}

fn take_up(program: &ArbiterProgram, domain: &str) -> Result<u64, ProtectError> {
    match program.take_up(domain)? {
        Verdict::Granted { term } => Ok(term),
        Verdict::Denied { record } | Verdict::Forgotten { record } => {
            Err(ProtectError::HeldElsewhere(record))
        }
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
            self.arbitration.term(),
            arbiter.own(),
            self.program.has_revivable_epoch(),
            control.parting(self.session).is_some(),
        );
        let Some(settling) = begun else { return Ok(()) };
        // Told first: a helper that finds this lets the guest run when it may.
        self.state = State::Undecided;
        self.write_status(control, &EpochFigures::default());
        let pause = if self.is_handing_over {
            // It stands still already.
            None
        } else {
            match capture.pause() {
                Ok(pause) => Some(pause),
                // There is nothing to stand still; but it may live on the backup.
                Err(error) if error.errno == Errno::ESRCH => None,
                Err(error) => return Err(error.into()),
            }
        };
        let decided = self.ask_until_decided(&arbiter, settling, control);
        match (&decided, pause) {
            (_, None) => {}
            (Ok(()), Some(pause)) => pause.end()?,
            (Err(_), Some(pause)) => pause.leave(),
        }
        decided
    }

    /// Takes a new term up if the one that the guest lives in is not known; false when the operator
    /// stops.
    pub fn know_term(&mut self) -> Result<bool, ProtectError> {
        let Some(program) = self.arbitration.program else { return Ok(true) };
        let mut is_told = false;
        while self.arbitration.term.is_none() {
            match take_up(&program, &self.name) {
                Ok(term) => {
                    self.arbitration.term = Some(term);
                    break;
                }
                Err(ProtectError::Arbiter(error)) if !is_told => {
                    is_told = true;
                    crate::log!(
                        "{}: {error}: the guest runs unprotected until its term is known",
                        self.name
                    );
                }
                Err(ProtectError::Arbiter(_)) => {}
                Err(error) => return Err(error),
            }
            // By the clock: a core of its own would ask in every turn.
            clock::sleep_us(ARBITER_RETRY_MS * 1000);
            if self.interruption(0)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ask_until_decided(
        &mut self,
        arbiter: &ArbiterProgram,
        mut settling: Settling,
        control: Control<'_>,
    ) -> Result<(), ProtectError> {
        let mut tries = 0;
        loop {
            self.program.pet_watchdog();
            let has_parted = control.parting(self.session).is_some();
            match settling.next(clock::monotonic_us(), has_parted) {
                Next::Ask(claim) => {
                    tries += 1;
                    let why = arbiter.settle(&self.name, &mut settling, claim);
                    if let Some(error) = why.filter(|_| tries == 1) {
                        crate::log!(
                            "{}: the backup is lost, and {error}: the guest is paused, its output \
                             held, until there is a decision",
                            self.name
                        );
                    }
                }
                Next::Wait { .. } if self.program.is_stop_wanted() && tries >= START_TRIES => {
                    return Err(ProtectError::Undecided);
                }
                Next::Wait { .. } => clock::sleep_us(ARBITER_REST_US),
                Next::Live { term } => {
                    self.arbitration.term = term;
                    crate::log!(
                        "{}: the guest lives on here, by the arbiter or the backup",
                        self.name
                    );
                    return Ok(());
                }
                Next::Yield { record } => return Err(ProtectError::LivesElsewhere(record)),
            }
        }
    }
}
