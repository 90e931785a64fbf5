//! One session after another: from the ring's opening to the twin's end, or its life. How the twin is built
//! is in `building`.

use super::fault::CommitFault;
use super::intake::{Intake, IntakeFault};
use super::mark;
use super::replica::{Mismatch, Replica};
use super::session_event::{CommitEvent, CommitOptions};
use super::staging::{EpochDigest, Staging, StagingFault, StagingProgress};
use super::twin::Twin;
use crate::limits::EPOCH_REVIVABLE_FIRST;
use crate::link_half::own_figures;
use crate::platform::linux::evtchn::EventChannels;
use crate::revive::{Clock, Revival, ReviveError, ReviveEvent, ReviveReport, Store};
use crate::ring::{
    Consumer, GoodbyeReason, Phase, ProcessFigures, RefusalText, RehearsalFigures, RingError,
};
use crate::text::FixedText;
use crate::xen::{Domid, Xen};

#[path = "building.rs"]
mod building;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No session.
    StandBy,
    /// The description and configuration are on their way.
    Opening,
    /// Epochs are.
    Receiving,
    /// The domain was refused; the session ends when the primary leaves.
    Refusing,
    /// The primary is lost, and the twin waits to be revived.
    Lost,
    /// The twin was given away, alive.
    Given,
}

/// What builds and revives twins.
#[derive(Debug)]
pub struct TwinHost<'a> {
    /// The hypervisor.
    pub xen: &'a Xen,
    /// A connection to xenstored.
    pub store: Store,
}

/// What an epoch's pages are written to.
#[derive(Debug)]
enum Image<'a> {
    Twin(Twin<'a>),
    Replica(Replica),
}

/// The backup's half that holds the twin.
#[derive(Debug)]
pub struct Commit<'a> {
    /// None where only rehearsals are taken.
    twins: Option<TwinHost<'a>>,
    ring: Consumer,
    options: CommitOptions<'a>,
    stage: Stage,
    session: u64,
    intake: Intake,
    staging: Option<Staging>,
    image: Option<Image<'a>>,
}

impl<'a> Commit<'a> {
    /// Stands by at this ring.
    #[must_use]
    pub fn new(twins: Option<TwinHost<'a>>, ring: Consumer, options: CommitOptions<'a>) -> Self {
        Self {
            twins,
            ring,
            options,
            stage: Stage::StandBy,
            session: 0,
            intake: Intake::new(),
            staging: None,
            image: None,
        }
    }

    /// Does a bounded amount of work; only building and destroying the twin takes seconds.
    ///
    /// # Errors
    /// [`RingError`] when the other half of this helper cannot be trusted any more.
    pub fn turn(&mut self) -> Result<CommitEvent, RingError> {
        let is_over = self.ring.control().link_session() != self.session;
        match self.stage {
            Stage::StandBy => self.join(),
            Stage::Lost | Stage::Given => Ok(CommitEvent::Idle),
            Stage::Refusing if is_over => {
                self.leave();
                Ok(CommitEvent::Working)
            }
            Stage::Refusing => Ok(CommitEvent::Idle),
            Stage::Opening | Stage::Receiving if is_over => self.end(),
            Stage::Opening => self.open(),
            Stage::Receiving => self.receive(),
        }
    }

    /// The ring's control words, for the status of the link.
    #[must_use]
    pub fn ring(&self) -> &Consumer {
        &self.ring
    }

    /// Goes on with another ring, whose other half is another one.
    ///
    /// # Panics
    /// Within a session: see [`Commit::stand_by`].
    pub fn set_ring(&mut self, ring: Consumer) {
        assert!(self.stage == Stage::StandBy, "a ring is changed between sessions");
        self.ring = ring;
    }

    /// The guest's name as the primary told it, empty when there is no session.
    #[must_use]
    pub fn domain_name(&self) -> &str {
        self.intake.description().map_or("", |description| description.name.as_str())
    }

    /// The arbiter's term in which the session began; 0 when there is no session, or no arbiter.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.intake.description().map_or(0, |description| description.term)
    }

    /// The twin's number, while there is one.
    #[must_use]
    pub fn twin_domid(&self) -> Option<Domid> {
        match &self.image {
            Some(Image::Twin(twin)) => Some(twin.domid),
            Some(Image::Replica(_)) | None => None,
        }
    }

    /// Whether the session is a rehearsal, which is never revived.
    #[must_use]
    pub fn is_rehearsal(&self) -> bool {
        self.intake.description().is_some_and(|description| description.is_rehearsal)
    }

    /// The newest complete epoch of the session, once there is one that can be revived.
    #[must_use]
    pub fn newest_epoch(&self) -> Option<u64> {
        let complete = self.staging.as_ref().and_then(Staging::complete);
        let epoch = complete.map(|complete| complete.state.epoch);
        epoch.filter(|&epoch| epoch >= EPOCH_REVIVABLE_FIRST)
    }

    /// Brings the twin to life after [`CommitEvent::PrimaryLost`] with an epoch, and back to
    /// normal. The session is over then, and the living domain is not this room's any more.
    ///
    /// # Errors
    /// [`ReviveError`]; the twin stays as it is, for people to look at.
    ///
    /// # Panics
    /// When the primary is not lost, or no epoch was complete.
    pub fn revive(
        &mut self,
        events: &mut EventChannels,
        now_us: Clock,
        observe: &mut dyn FnMut(ReviveEvent),
    ) -> Result<ReviveReport, ReviveError> {
        assert!(self.stage == Stage::Lost, "only a lost primary's guest is revived");
        let Some(Image::Twin(twin)) = &self.image else { panic!("a complete epoch has a twin") };
        let host = self.twins.as_mut().expect("a twin has a host");
        let staging = self.staging.as_ref().expect("a complete epoch was staged");
        assert!(staging.is_applied(), "every page of the epoch is in the twin's memory");
        let epoch = staging.complete().expect("only a complete epoch is revived");
        // From here on nobody may take it for a twin to be cleared away. A xenstored that refuses
        // will refuse the revival, too, and say so there.
        let _ = mark::remove(&mut host.store, twin.domid);
        let revival = Revival {
            xen: host.xen,
            events,
            store: &mut host.store,
            domid: twin.domid,
            places: twin.places,
            memory: &twin.memory,
            epoch,
            aside: staging.aside(),
            now_us,
        };
        let outcome = revival.run(observe);
        self.stage = Stage::Given;
        self.image = None;
        self.staging = None;
        outcome
    }

    /// Ends the session, whatever its stage, and stands by for the next. A twin that was not
    /// revived is destroyed; a fault in that is returned.
    pub fn stand_by(&mut self) -> Option<CommitEvent> {
        let left_behind = self.destroy_twin();
        self.leave();
        left_behind
    }

    fn join(&mut self) -> Result<CommitEvent, RingError> {
        let Some(session) = self.ring.control().join_session() else {
            return Ok(CommitEvent::Idle);
        };
        self.ring.begin()?;
        self.session = session;
        self.intake.clear();
        self.stage = Stage::Opening;
        Ok(CommitEvent::Opened)
    }

    /// Waits for the session's opening; then the twin is built and the ring made large enough.
    fn open(&mut self) -> Result<CommitEvent, RingError> {
        match self.intake.turn(&mut self.ring) {
            Ok(false) => return Ok(CommitEvent::Idle),
            Ok(true) => {}
            Err(IntakeFault::Ring(error)) => return Err(error),
            Err(fault) => return Ok(self.refuse(CommitFault::Intake(fault))),
        }
        self.ring.control().set_phase(Phase::CreatingTwin);
        match self.build() {
            Ok(event) => {
                self.ring.control().set_phase(Phase::Receiving);
                self.stage = Stage::Receiving;
                Ok(event)
            }
            Err(fault) => Ok(self.refuse(fault)),
        }
    }

    fn receive(&mut self) -> Result<CommitEvent, RingError> {
        let event = match self.stage_entries() {
            Ok(StagingProgress::Idle) => CommitEvent::Idle,
            Ok(StagingProgress::Moved) => match self.verify() {
                Ok(()) => CommitEvent::Working,
                Err(mismatch) => self.refuse(CommitFault::Mismatch(mismatch)),
            },
            Ok(StagingProgress::Complete(epoch)) => {
                let control = self.ring.control();
                control.set_complete_epoch(epoch);
                if epoch >= EPOCH_REVIVABLE_FIRST {
                    control.set_phase(Phase::Protected);
                }
                CommitEvent::Complete(epoch)
            }
            Err(StagingFault::Ring(error)) => return Err(error),
            Err(fault) => self.refuse(CommitFault::Staging(fault)),
        };
        Ok(event)
    }

    fn stage_entries(&mut self) -> Result<StagingProgress, StagingFault> {
        let staging = self.staging.as_mut().expect("entries are staged in a session");
        match self.image.as_mut().expect("a session that receives has a place for pages") {
            Image::Twin(twin) => staging.turn(&mut self.ring, twin),
            Image::Replica(replica) => staging.turn(&mut self.ring, replica),
        }
    }

    /// Holds a replica against the guest's digest once an epoch is applied: after its acknowledgement,
    /// which must not wait for it. A twin passes.
    fn verify(&mut self) -> Result<(), Mismatch> {
        let Some(Image::Replica(replica)) = &mut self.image else { return Ok(()) };
        let Some(staging) = self.staging.as_ref().filter(|it| it.is_applied()) else {
            return Ok(());
        };
        let newer = |digest: &EpochDigest| digest.epoch > replica.verified_epoch();
        if let Some(digest) = staging.complete_digest().filter(newer) {
            replica.verify(&digest)?;
            self.ring.control().set_rehearsal_figures(&RehearsalFigures {
                receive: ProcessFigures::default(),
                commit: own_figures(),
                verified_epoch: digest.epoch,
            });
        }
        Ok(())
    }

    /// The link is down: whatever is complete is brought to the twin, the rest is thrown away.
    fn end(&mut self) -> Result<CommitEvent, RingError> {
        match self.ring.control().goodbye() {
            // As if it were lost: its guest is to live here.
            Some(GoodbyeReason::HandOver) | None => {}
            Some(reason) => return Ok(self.stand_by().unwrap_or(CommitEvent::Goodbye(reason))),
        }
        if self.is_rehearsal() {
            return Ok(self.stand_by().unwrap_or(CommitEvent::RehearsalLost));
        }
        if self.stage == Stage::Receiving {
            loop {
                match self.stage_entries() {
                    Ok(StagingProgress::Idle) => break,
                    Ok(_) => {}
                    Err(StagingFault::Ring(error)) => return Err(error),
                    // What comes after the newest complete epoch cannot be used; that one can.
                    Err(_) if self.is_applied() => break,
                    Err(fault) => return Ok(self.refuse(CommitFault::Staging(fault))),
                }
            }
        }
        match self.newest_epoch() {
            Some(epoch) => {
                self.stage = Stage::Lost;
                Ok(CommitEvent::PrimaryLost { epoch: Some(epoch) })
            }
            None => Ok(self.stand_by().unwrap_or(CommitEvent::PrimaryLost { epoch: None })),
        }
    }

    fn is_applied(&self) -> bool {
        self.staging.as_ref().is_some_and(Staging::is_applied)
    }

    /// Tells the primary why, and waits for it to leave.
    fn refuse(&mut self, fault: CommitFault) -> CommitEvent {
        let text = FixedText::<200>::format(format_args!("{fault}"));
        let text = RefusalText::try_from(text.as_str()).unwrap_or_default();
        self.ring.control().set_refusal(&text);
        self.ring.control().set_phase(Phase::Refused);
        self.stage = Stage::Refusing;
        self.destroy_twin().unwrap_or(CommitEvent::Refused(fault))
    }

    fn destroy_twin(&mut self) -> Option<CommitEvent> {
        self.staging = None;
        let Some(Image::Twin(twin)) = self.image.take() else { return None };
        let host = self.twins.as_mut().expect("a twin has a host");
        let domid = twin.domid;
        twin.destroy(&mut host.store)
            .err()
            .map(|fault| CommitEvent::TwinLeftBehind { domid, fault })
    }

    /// Lets the ring go.
    fn leave(&mut self) {
        self.intake.clear();
        // Keeping the memory costs memory, nothing else.
        let _ = self.ring.release_memory();
        self.ring.control().leave_session();
        (self.stage, self.session) = (Stage::StandBy, 0);
    }
}
