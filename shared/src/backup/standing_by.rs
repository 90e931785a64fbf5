//! Commit's half at work: turns, the log, the status record, and the failover.

use super::arbitration::Life;
use super::error::StandByError;
use crate::commit::{Commit, CommitEvent};
use crate::idle::Idle;
use crate::key_renewal::renew_key_when_asked;
use crate::limits::EPOCH_REVIVABLE_FIRST;
use crate::options::StandByOptions;
use crate::other_half::OtherHalf;
use crate::platform::linux::arbiter_program::ArbiterProgram;
use crate::platform::linux::evtchn::EventChannels;
use crate::platform::linux::process;
use crate::platform::linux::status_file::StatusFile;
use crate::platform::linux::{clock, signals};
use crate::ring::GoodbyeReason;
use crate::status::{Role, State, StatusRecord};
use crate::text::FixedText;
use crate::xen::Xen;

/// Microseconds between two status records.
const STATUS_PERIOD_US: u64 = 1_000_000;
/// Microseconds between two looks while receive takes its leave.
const REST_US: u64 = 1_000;
/// Idle turns between two questions to the kernel whether receive still runs.
const LOOKS_PER_CHILD_CHECK: u32 = 64;
/// Milliseconds that receive has for its goodbye.
const GOODBYE_TIMEOUT_MS: u64 = 3000;

/// The backup while it has not been needed.
#[derive(Debug)]
pub(super) struct StandingBy<'a> {
    pub commit: Commit<'a>,
    /// Who decides whether the guest may live here.
    pub arbiter: Option<ArbiterProgram>,
    /// None where only rehearsals are taken.
    pub events: Option<EventChannels>,
    pub xen: Option<&'a Xen>,
    pub receive: OtherHalf<'a>,
    pub options: &'a StandByOptions<'a>,
    pub status: StatusFile,
    pub status_due_us: u64,
    pub is_dedicated: bool,
    pub state: State,
    pub looks: u32,
    pub idle: Idle,
}

impl StandingBy<'_> {
    /// Stands by until a guest was brought to life here or the operator ends it.
    pub fn run(mut self) -> Result<(), StandByError> {
        loop {
            let event = self.commit.turn()?;
            match event {
                CommitEvent::Working => self.idle.interrupt(),
                CommitEvent::Idle => {
                    if signals::stop_requested() {
                        return self.leave();
                    }
                    self.rest()?;
                }
                CommitEvent::PrimaryLost { epoch: Some(epoch) } => match self.settle(epoch) {
                    Life::Here => return self.revive(epoch),
                    Life::There => self.give_up_twin(),
                    Life::Stopped => return self.leave(),
                },
                other => self.tell(&other),
            }
            renew_key_when_asked(self.options.key_file, self.commit.ring().control());
            self.write_status_when_due();
        }
    }

    /// Logs what happened and keeps the state for the status record.
    fn tell(&mut self, event: &CommitEvent) {
        match *event {
            CommitEvent::Opened => {
                self.state = State::Receiving;
                crate::log!("a primary has called");
            }
            CommitEvent::TwinCreated { domid } => {
                self.state = State::Receiving;
                let name = self.commit.domain_name();
                crate::log!("{name}: the twin is domain {domid}, receiving the first full copy");
            }
            CommitEvent::ReplicaCreated { page_count } => {
                self.state = State::Receiving;
                crate::log!("a rehearsal: a replica of {page_count} pages, which is never revived");
            }
            CommitEvent::RehearsalLost => {
                self.state = State::Waiting;
                crate::log!(
                    "the primary of a rehearsal is lost: nothing is revived, the replica is gone; \
                     standing by"
                );
            }
            CommitEvent::Complete(EPOCH_REVIVABLE_FIRST) if self.commit.is_rehearsal() => {
                self.state = State::StandBy;
            }
            CommitEvent::Complete(EPOCH_REVIVABLE_FIRST) => {
                self.state = State::StandBy;
                let name = self.commit.domain_name();
                crate::log!("{name}: PROTECTED, epoch {EPOCH_REVIVABLE_FIRST} is complete");
            }
            CommitEvent::Refused(fault) => {
                self.state = State::Waiting;
                crate::log!("refused: {fault}");
            }
            CommitEvent::PrimaryLost { epoch: None } => {
                self.state = State::Waiting;
                crate::log!(
                    "the primary is lost before its guest was protected: there is nothing \
                     to revive; if its host is dead the guest is lost; standing by"
                );
            }
            CommitEvent::Goodbye(reason) => {
                self.state = State::Waiting;
                crate::log!(
                    "the primary has taken leave ({reason}): the twin is gone; standing by"
                );
            }
            CommitEvent::TwinLeftBehind { domid, fault } => {
                self.state = State::Waiting;
                crate::log!(
                    "the twin could not be destroyed: {fault}: run `xl destroy {domid}` yourself"
                );
            }
            CommitEvent::Idle
            | CommitEvent::Working
            | CommitEvent::Complete(_)
            | CommitEvent::PrimaryLost { epoch: Some(_) } => {}
        }
    }

    /// The primary is lost: its guest goes on here.
    fn revive(mut self, epoch: u64) -> Result<(), StandByError> {
        let domid = self.commit.twin_domid().expect("a complete epoch has a twin");
        let name = heapless::String::<64>::try_from(self.commit.domain_name()).unwrap_or_default();
        crate::log!("{name}: the primary is LOST: reviving domain {domid} from epoch {epoch}");
        self.state = State::Reviving;
        self.status_due_us = 0;
        self.write_status_when_due();
        let events = self.events.as_mut().expect("a twin has a host");
        let mut observe = |event| crate::log!("{name}: {event}");
        let outcome = self.commit.revive(events, clock::monotonic_us, &mut observe);
        self.commit.ring().control().set_stop(GoodbyeReason::Failed);
        self.end_receive();
        match outcome {
            Ok(report) => {
                crate::log!("{name}: {report}");
                crate::log!(
                    "{name}: the guest lives here now, UNPROTECTED: start primary-helper to \
                     protect it again"
                );
                self.status.remove();
                Ok(())
            }
            Err(error) => Err(StandByError::Revive { domid, error }),
        }
    }

    /// The operator ends it: the primary hears so, the twin is destroyed.
    fn leave(mut self) -> Result<(), StandByError> {
        self.commit.ring().control().set_stop(GoodbyeReason::Ended);
        self.end_receive();
        if let Some(event) = self.commit.stand_by() {
            self.tell(&event);
        }
        self.status.remove();
        crate::log!("no longer standing by");
        Ok(())
    }

    /// The guest lives on the primary: the twin is of no use any more.
    fn give_up_twin(&mut self) {
        self.state = State::Waiting;
        if let Some(event) = self.commit.stand_by() {
            self.tell(&event);
        }
    }

    fn end_receive(&mut self) {
        let deadline_us = clock::monotonic_us() + GOODBYE_TIMEOUT_MS * 1000;
        while self.receive.end().is_none() {
            if clock::monotonic_us() > deadline_us {
                self.receive.kill();
                return;
            }
            clock::sleep_us(REST_US);
        }
    }

    fn rest(&mut self) -> Result<(), StandByError> {
        self.looks += 1;
        if self.looks >= LOOKS_PER_CHILD_CHECK {
            self.looks = 0;
            if let Some(end) = self.receive.end() {
                if let Some(event) = self.commit.stand_by() {
                    self.tell(&event);
                }
                return self.wait_for_receive(end);
            }
        }
        match self.idle.rest_us(clock::monotonic_us(), clock::processor_us()) {
            _ if self.is_dedicated => core::hint::spin_loop(),
            0 => clock::yield_now(),
            rest_us => clock::sleep_us(rest_us),
        }
        Ok(())
    }

    pub(super) fn write_status_when_due(&mut self) {
        let now_us = clock::monotonic_us();
        if now_us < self.status_due_us {
            return;
        }
        self.status_due_us = now_us + STATUS_PERIOD_US;
        let epoch = self.commit.newest_epoch().unwrap_or(0);
        let link = self.commit.ring().control().counters();
        self.status.write(&StatusRecord {
            domain: FixedText::new(self.commit.domain_name()),
            domid: self.commit.twin_domid().unwrap_or(0),
            term: self.commit.term(),
            epoch,
            acknowledged: epoch,
            ..StatusRecord::new(Role::Backup, self.state, process::own_pid()).with_link(&link)
        });
    }
}
