//! Epoch after epoch: the beat, the pre-drain, the checkpoint, the acknowledgement.
//!
//! What is checkpointed, a domain or a rehearsed guest, is behind [`Checkpointed`].

use super::error::ProtectError;
use super::protection::{EpochFigures, SessionEnd};
use super::schedule::Schedule;
use crate::capture::due::{Due, Step};
use crate::capture::{CheckpointReport, EpochOutput};
use crate::idle::Idle;
use crate::limits::EPOCH_REVIVABLE_FIRST;
use crate::options::Interval;
use crate::platform::linux::clock;
use crate::ring::Phase;

/// Microseconds between two looks at everything else while only the beat is waited for.
const BEAT_REST_US_MAX: u64 = 5_000;
/// Timeouts for which a backup may be waited for that is heard but takes nothing and acknowledges
/// nothing. One that takes longer does not get on, and the guest's output waits for it.
const STANDSTILL_TIMEOUTS: u64 = 20;

/// What has checkpoints taken of it.
pub(super) trait Checkpointed {
    /// Does a bounded amount of what is to be done before the next checkpoint.
    fn pre_drain(&mut self, output: &mut EpochOutput<'_>, due: Due) -> Result<Step, ProtectError>;

    /// Takes the checkpoint that ends the output's epoch.
    fn checkpoint(
        &mut self,
        output: &mut EpochOutput<'_>,
    ) -> Result<CheckpointReport, ProtectError>;

    /// The backup has `acknowledged.epoch`: its output may leave.
    fn release(
        &mut self,
        output: &EpochOutput<'_>,
        acknowledged: &Acknowledged,
    ) -> Result<(), ProtectError>;

    /// Waits for about `rest_us`; an end when somebody wants one.
    fn interruption(&mut self, rest_us: u64) -> Result<Option<SessionEnd>, ProtectError>;

    /// Is called about as often as `interruption`, with how the epochs go.
    fn tick(
        &mut self,
        output: &EpochOutput<'_>,
        figures: &EpochFigures,
    ) -> Result<(), ProtectError>;

    /// Tells the operator that the backup is heard but of no use.
    fn say_given_up(&self, epoch: u64);
}

/// An epoch that the backup has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    /// Its checkpoint.
    pub report: CheckpointReport,
    /// When the acknowledgement was seen, in microseconds.
    pub at_us: u64,
    /// Its checkpoint began later than one interval after it was due.
    pub is_stretched: bool,
}

/// The epochs of one session.
pub(super) struct Epochs<'t> {
    target: &'t mut dyn Checkpointed,
    timeout_ms: u32,
    schedule: Schedule,
    started_us: u64,
    is_stretched: bool,
    ended_epoch: u64,
    released_epoch: u64,
    acknowledged_at_us: u64,
    last: CheckpointReport,
}

impl<'t> Epochs<'t> {
    pub fn new(target: &'t mut dyn Checkpointed, interval: Interval, timeout_ms: u32) -> Self {
        Self {
            target,
            timeout_ms,
            schedule: Schedule::new(interval, clock::monotonic_us()),
            started_us: 0,
            is_stretched: false,
            ended_epoch: 0,
            released_epoch: 0,
            acknowledged_at_us: 0,
            last: CheckpointReport::default(),
        }
    }

    /// Takes checkpoints until something ends the session.
    pub fn run(mut self, output: &mut EpochOutput<'_>) -> Result<SessionEnd, ProtectError> {
        loop {
            if let Some(end) = self.wait_until_due(output)? {
                return Ok(end);
            }
            self.started_us = clock::monotonic_us();
            let late_us = self.started_us.saturating_sub(self.schedule.due_us());
            self.is_stretched = late_us > self.schedule.interval_us();
            self.schedule.started(self.started_us);
            self.last = self.target.checkpoint(output)?;
            self.ended_epoch = self.last.epoch;
        }
    }

    /// Waits for the beat, for the acknowledgement of the epoch before (only one may be under way),
    /// and for the pre-drain. Acknowledged output leaves as soon as the acknowledgement is seen.
    fn wait_until_due(
        &mut self,
        output: &mut EpochOutput<'_>,
    ) -> Result<Option<SessionEnd>, ProtectError> {
        let mut idle = Idle::default();
        let (mut free_entry_count, mut moved_us) = (0, clock::monotonic_us());
        loop {
            let free_before = core::mem::replace(&mut free_entry_count, output.free_entry_count()?);
            self.take_acknowledgement(output)?;
            if output.control().peer_phase() == Phase::Refused {
                return Err(ProtectError::Refused(output.control().peer_refusal()));
            }
            let now_us = clock::monotonic_us();
            let due = Due {
                now_us,
                at_us: self.schedule.due_us(),
                interval_us: self.schedule.interval_us(),
                is_acknowledged: self.released_epoch == self.ended_epoch,
            };
            if free_entry_count != free_before || now_us < due.at_us {
                moved_us = now_us;
            }
            let rest_us = match self.target.pre_drain(output, due)? {
                Step::Ready => return Ok(None),
                Step::Working => {
                    idle.interrupt();
                    continue;
                }
                Step::Wait { until_us } if until_us > now_us && due.is_acknowledged => {
                    (until_us - now_us).min(BEAT_REST_US_MAX)
                }
                // An acknowledgement, or room in the ring.
                Step::Wait { .. } if self.is_standing_still(now_us, moved_us) => {
                    self.target.say_given_up(self.ended_epoch);
                    return Ok(Some(SessionEnd::GivenUp));
                }
                Step::Wait { .. } => idle.rest_us(now_us, clock::processor_us()),
            };
            if let Some(end) = self.target.interruption(rest_us)? {
                return Ok(Some(end));
            }
            self.tick(output)?;
        }
    }

    /// Before an epoch can be revived nothing is held that could wait for the backup.
    fn is_standing_still(&self, now_us: u64, moved_us: u64) -> bool {
        let patience_us = u64::from(self.timeout_ms) * 1000 * STANDSTILL_TIMEOUTS;
        now_us > moved_us + patience_us && self.ended_epoch >= EPOCH_REVIVABLE_FIRST
    }

    fn take_acknowledgement(&mut self, output: &EpochOutput<'_>) -> Result<(), ProtectError> {
        let epoch = output.control().acked_epoch();
        // An acknowledgement of anything but the epoch under way is no reason to release frames.
        if self.released_epoch == self.ended_epoch || epoch != self.ended_epoch {
            return Ok(());
        }
        let at_us = clock::monotonic_us();
        let Self { last: report, is_stretched, .. } = *self;
        self.target.release(output, &Acknowledged { report, at_us, is_stretched })?;
        self.schedule.acknowledged(report.pause_ns / 1000, at_us - self.started_us);
        self.released_epoch = epoch;
        self.acknowledged_at_us = at_us;
        Ok(())
    }

    fn tick(&mut self, output: &EpochOutput<'_>) -> Result<(), ProtectError> {
        let figures = EpochFigures {
            epoch: self.ended_epoch,
            acknowledged_epoch: self.released_epoch,
            acknowledged_us: self.acknowledged_at_us,
            interval_us: self.schedule.period_mean_us(),
            dirty_page_count: self.last.dirty_page_count + self.last.early.page_count,
        };
        self.target.tick(output, &figures)
    }
}
