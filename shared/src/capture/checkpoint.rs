//! A checkpoint: pause, copy what changed, unpause. The guest is not asked.
//!
//! In the pause: the gate's next epoch begins, pages that log-dirty does not see are copied, the
//! dirty bitmap is read, dirty pages are copied, the HVM context is taken. The log is left as it is:
//! where it pays to clean it, and where pages would take too long, a pass went before
//! (`predrain`), or the pause cleans it where none was possible. What changes seldom (ports, grant frames, amount of memory) is asked for after the pause and
//! compared with what was known before: equal on both sides means equal in the pause. Where it
//! differs the pause is repeated within the same epoch; pages sent twice do no harm, the last
//! one counts.

use super::drain::Copied;
use super::due::PreDrainReport;
use super::error::CaptureError;
use super::inquiry::{ask_grant_frames, ask_ports};
use super::logged_guest::Reading;
use super::memory::pages_of;
use super::output::EpochOutput;
use super::page::GuestPages as _;
use super::pause::Pause;
use super::session::{Capture, PerVcpu};
use super::shared_pages::FixedPages;
use super::surroundings::Surroundings;
use super::xenstore_traffic::Traffic;
use super::{discovery, inquiry};
use crate::codec::{CheckpointState, GFN_NONE, TscInfo, VcpuState, encode};
use crate::limits::{CHECKPOINT_PAUSE_COUNT_MAX, PAGE_SIZE, VCPU_COUNT_MAX};
use crate::ring::EntryKind;

/// What a checkpoint cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// The epoch it ended.
    pub epoch: u64,
    /// When the pause began, the last one if it was repeated, in nanoseconds of the surroundings'
    /// clock.
    pub pause_start_ns: u64,
    /// Nanoseconds from before the guest was paused to after it ran again; the longest, when the
    /// pause was repeated.
    pub pause_ns: u64,
    /// Pauses it took, 1 as a rule.
    pub pause_count: u32,
    /// Dirty pages sent in the pause.
    pub dirty_page_count: u64,
    /// Pages sent before the pause, in passes over the log.
    pub early: PreDrainReport,
    /// Pages sent because log-dirty does not see them.
    pub shared_page_count: u64,
    /// Dirty pages that had to be mapped in the pause: memory that is new to the guest.
    pub remapped_page_count: u64,
    /// Entries of the whole epoch.
    pub entry_count: u64,
}

impl Capture<'_> {
    /// Ends the output's epoch with the guest's state at one instant, and publishes it.
    ///
    /// The guest runs again when this returns, whatever it returns. With
    /// `ignores_open_requests` a guest that never ends talking to xenstored is captured anyway,
    /// and may wait for one answer for ever when it is revived.
    ///
    /// # Errors
    /// [`CaptureError::XenstoreBusy`] and [`CaptureError::NeverStill`]: nothing is lost, call
    /// again. [`CaptureError::StructuresMoved`]: call [`Capture::rediscover`], then again. All
    /// others end the session.
    pub fn checkpoint(
        &mut self,
        output: &mut EpochOutput<'_>,
        ignores_open_requests: bool,
        surroundings: &mut impl Surroundings,
    ) -> Result<CheckpointReport, CaptureError> {
        assert!(self.is_logging, "a full copy was started");
        if !ignores_open_requests && self.observe_xenstore() != Some(Traffic::Quiet) {
            return Err(CaptureError::XenstoreBusy);
        }
        let (mut log, drain, _) = self.log();
        drain.finish_pass(&mut log, output, surroundings)?;
        let mut report = CheckpointReport { epoch: output.epoch(), ..Default::default() };
        let mut reading = None;
        while report.pause_count < CHECKPOINT_PAUSE_COUNT_MAX {
            self.check_domain()?;
            let tsc = self.xen.gettscinfo(self.domid)?;
            surroundings.set_urgent(true);
            let paused_part =
                self.paused_part(output, reading, ignores_open_requests, surroundings, &mut report);
            surroundings.set_urgent(false);
            let context_size = paused_part?;
            let is_still = self.learn_changes()?;
            if !self.structures_hold(context_size)? {
                output.publish();
                return Err(CaptureError::StructuresMoved);
            }
            if is_still {
                report.early = self.drain.take_report();
                self.push_state(output, tsc, context_size, surroundings)?;
                report.entry_count = output.entry_count() + 1;
                output.end_epoch(surroundings)?;
                output.publish();
                return Ok(report);
            }
            // A further pause copies only what was written since this one.
            reading = Some(Reading::Clean);
        }
        output.publish();
        Err(CaptureError::NeverStill)
    }

    /// Everything that the guest must stand still for. Gives the size of the HVM context.
    fn paused_part(
        &mut self,
        output: &mut EpochOutput<'_>,
        reading: Option<Reading>,
        ignores_open_requests: bool,
        surroundings: &mut impl Surroundings,
        report: &mut CheckpointReport,
    ) -> Result<usize, CaptureError> {
        let start_ns = surroundings.now_ns();
        report.pause_start_ns = start_ns;
        let pause = Pause::begin(self.xen, self.domid)?;
        let is_quiet = self.observe_xenstore() == Some(Traffic::Quiet);
        if !ignores_open_requests && !is_quiet {
            return Err(CaptureError::XenstoreBusy);
        }
        if self.gate_epoch != output.epoch() {
            if !surroundings.begin_gate_epoch(output.epoch()) {
                return Err(CaptureError::GateFailed);
            }
            self.gate_epoch = output.epoch();
        }
        report.shared_page_count += self.push_shared_pages(output, surroundings)?;
        if core::mem::take(&mut self.was_memory_renewed) {
            // Pages of the pause before may have been copied from frames that the guest had given
            // back by then; its bitmap is still here.
            self.push_dirty_pages(output, surroundings, report)?;
        }
        let (mut log, drain, _) = self.log();
        drain.read_log(&mut log, reading)?;
        let copied = self.push_dirty_pages(output, surroundings, report)?;
        let context = self.context.ask(self.xen, self.domid)?;
        output.push_parts(EntryKind::HvmContext, context, surroundings)?;
        let context_size = context.len();
        pause.end()?;
        let pause_ns = surroundings.now_ns().saturating_sub(start_ns);
        self.drain.note_pause(pause_ns, copied);
        report.pause_ns = report.pause_ns.max(pause_ns);
        report.pause_count += 1;
        Ok(context_size)
    }

    fn push_shared_pages(
        &mut self,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
    ) -> Result<u64, CaptureError> {
        let fixed = FixedPages {
            shared_info_gfn: self.shared_info_gfn,
            grant_frames: &self.grant_frames,
            structures: &self.structures,
        };
        let gfns = self.shared_pages.collect(&self.memory, &fixed)?;
        for gfn in gfns {
            if let Some(page) = self.memory.page(*gfn) {
                output.push_page(*gfn, page, surroundings)?;
            }
        }
        Ok(gfns.len() as u64)
    }

    fn push_dirty_pages(
        &mut self,
        output: &mut EpochOutput<'_>,
        surroundings: &mut impl Surroundings,
        report: &mut CheckpointReport,
    ) -> Result<Copied, CaptureError> {
        self.shared_pages.correct(self.bitmap.words_mut());
        let (mut log, drain, _) = self.log();
        let copied = drain.copy(&mut log, output, surroundings)?;
        report.dirty_page_count += copied.page_count;
        report.remapped_page_count += log.remapped_page_count;
        Ok(copied)
    }

    /// Asks for what changes seldom; true when all is as it was known before the pause.
    fn learn_changes(&mut self) -> Result<bool, CaptureError> {
        ask_ports(self.xen, self.domid, &mut self.ports_now)?;
        let ports_hold = self.ports.has_same_bindings(&self.ports_now);
        if !ports_hold {
            core::mem::swap(&mut self.ports, &mut self.ports_now);
        }
        let frame_count = self.xen.gnttab_query_size(self.domid)?.frame_count;
        let grants_hold = usize::try_from(frame_count) == Ok(self.grant_frames.len());
        if !grants_hold {
            self.grant_frames = ask_grant_frames(self.xen, self.domid)?;
            self.map_xen_frames()?;
        }
        let info = self.check_domain()?;
        let memory_holds = info.page_count == self.page_count;
        if !memory_holds {
            self.renew_memory()?;
            self.was_memory_renewed = true;
        }
        Ok(ports_hold && grants_hold && memory_holds)
    }

    /// Whether the structures are still what they were found to be, and still those of the vCPUs
    /// that are up. The guest runs, so this looks only at what never changes.
    pub(super) fn structures_hold(&self, context_size: usize) -> Result<bool, CaptureError> {
        let registers = inquiry::registers(self.context.last(context_size))?;
        let is_up = |vcpu: usize| registers.get(vcpu).is_some_and(Option::is_some);
        let has_places = |vcpu: usize| matches!(self.structures.vcpus.get(vcpu), Some(Some(_)));
        if (0..VCPU_COUNT_MAX).any(|vcpu| is_up(vcpu) != has_places(vcpu)) {
            return Ok(false);
        }
        let pages = pages_of(&self.memory);
        let array = pages.page(self.structures.event_array_gfn);
        if !array.is_some_and(discovery::event_array::looks_alike) {
            return Ok(false);
        }
        Ok(self.structures.vcpus.iter().flatten().all(|places| {
            let block = pages.page(places.control_block_gfn);
            block.is_some_and(discovery::control_block::looks_alike)
                && discovery::vcpu_info::is_at(&pages, places.vcpu_info, self.khz)
        }))
    }

    fn push_state(
        &mut self,
        output: &mut EpochOutput<'_>,
        tsc: TscInfo,
        context_size: usize,
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        let state = self.state(output.epoch(), tsc, context_size)?;
        let length =
            encode(&state, &mut self.state_bytes).map_err(|_| CaptureError::StateTooLong)?;
        output.push_parts(EntryKind::State, &self.state_bytes[..length], surroundings)
    }

    fn state(
        &mut self,
        epoch: u64,
        tsc: TscInfo,
        context_size: usize,
    ) -> Result<CheckpointState, CaptureError> {
        let pages = pages_of(&self.memory);
        discovery::probe::read_priorities(&pages, &self.structures, &mut self.ports);
        let hvm_context_size = u32::try_from(context_size).map_err(|_| CaptureError::HvmContext)?;
        Ok(CheckpointState {
            epoch,
            hvm_context_size,
            shared_info_gfn: self.shared_info_gfn,
            tsc,
            grant_frame_gfns: self.grant_frames.clone(),
            event_array_gfns: core::iter::once(self.structures.event_array_gfn).collect(),
            event_channels: self.ports.channels().iter().copied().collect(),
            vcpus: self.vcpu_states(),
            hvm_params: self.hvm_params.clone(),
            shutdown_watch_token: self.shutdown_watch_token.clone(),
        })
    }

    fn vcpu_states(&self) -> PerVcpu<VcpuState> {
        let vcpus = self.structures.vcpus.iter().zip(&self.upcall_vectors);
        vcpus
            .map(|(places, upcall_vector)| match places {
                Some(places) => VcpuState {
                    online: true,
                    vcpu_info_gfn: places.vcpu_info / PAGE_SIZE as u64,
                    vcpu_info_offset: u32::try_from(places.vcpu_info % PAGE_SIZE as u64)
                        .unwrap_or(0),
                    control_block_gfn: places.control_block_gfn,
                    upcall_vector: *upcall_vector,
                },
                None => VcpuState {
                    online: false,
                    vcpu_info_gfn: GFN_NONE,
                    vcpu_info_offset: 0,
                    control_block_gfn: GFN_NONE,
                    upcall_vector: 0,
                },
            })
            .collect()
    }
}
