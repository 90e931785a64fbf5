//! Running the stub inside the twin: pages in, a table of hypercalls through, results checked.

use core::sync::atomic::Ordering;

use super::Clock;
use super::check::TwinPlaces;
use super::error::{ReviveError, While};
use super::plan::{FreshPriorities, for_each_call};
use crate::codec::CheckpointState;
use crate::limits::HVM_CONTEXT_SIZE_MAX;
use crate::platform::linux::clock::yield_now;
use crate::xen::hvm_context::{HvmContext, HvmContextWriter, HvmCpuRecord, RecordType};
use crate::xen::stub::{
    HypercallInstruction, STUB_BASE_GFNS, STUB_PAGE_COUNT_MAX, StubLayout, stub_code,
};
use crate::xen::{Access, Domid, FrameMapping, GuestMemory, GuestPage, Xen};

/// How long the stub may take. It needs milliseconds; a host that swaps or an emulator needs more.
const STUB_TIMEOUT_US: u64 = 5_000_000;

/// The stub's pages in a twin. They are mapped here as long as this lives; the decoy page is
/// needed as long as Xen reports the guest's upcalls there.
#[derive(Debug)]
pub struct Stub {
    layout: StubLayout,
    mapping: FrameMapping,
}

impl Stub {
    /// Gives the paused twin the stub's pages, and writes the table for `state` into them.
    ///
    /// # Errors
    /// When the twin has no place for the pages, or Xen has no memory for them.
    pub fn put(
        xen: &Xen,
        domid: Domid,
        memory: &GuestMemory,
        state: &CheckpointState,
        twin: &TwinPlaces,
        priorities: FreshPriorities,
    ) -> Result<Self, ReviveError> {
        let mut call_count = 0;
        for_each_call(state, twin, priorities, 0, &mut |_| call_count += 1);
        let layout = STUB_BASE_GFNS
            .into_iter()
            .map(|base| StubLayout::new(base, call_count))
            .find(|layout| layout.gfns().all(|gfn| is_free(memory, state, gfn)))
            .ok_or(ReviveError::NoRoomForStub)?;
        let gfns: heapless::Vec<u64, STUB_PAGE_COUNT_MAX> = layout.gfns().collect();
        xen.populate_physmap(domid, &gfns).while_doing("giving the twin pages for its start")?;
        let mapping = FrameMapping::map(xen, domid, &gfns, Access::ReadWrite)
            .while_doing("mapping the pages of its start")?;
        let stub = Self { layout, mapping };
        stub.write(state, twin, priorities);
        Ok(stub)
    }

    /// Where Xen reports upcalls of the running guest.
    #[must_use]
    pub fn decoy(&self) -> GuestPage<'_> {
        self.mapping.page(StubLayout::DECOY_PAGE)
    }

    /// Starts the twin's first vCPU in the stub, waits until the table is worked off, and pauses
    /// the twin again.
    ///
    /// # Errors
    /// When Xen refuses, or the stub stays silent.
    pub fn run(&self, xen: &Xen, domid: Domid, now_us: Clock) -> Result<(), ReviveError> {
        self.enter(xen, domid)?;
        let (page, offset) = self.layout.done_place();
        let done = self.mapping.page(page).word32(offset);
        let deadline_us = now_us() + STUB_TIMEOUT_US;
        xen.unpausedomain(domid).while_doing("starting the twin's start-up code")?;
        while done.load(Ordering::Acquire) == 0 && now_us() < deadline_us {
            yield_now();
        }
        xen.pausedomain(domid).while_doing("pausing the twin after its start-up code")?;
        if done.load(Ordering::Acquire) == 0 { Err(ReviveError::StubSilent) } else { Ok(()) }
    }

    /// Checks the result of every call.
    ///
    /// # Errors
    /// [`ReviveError::Stub`] with the first call that did not do what it must.
    pub fn check(
        &self,
        state: &CheckpointState,
        twin: &TwinPlaces,
        priorities: FreshPriorities,
    ) -> Result<(), ReviveError> {
        let (mut index, mut outcome) = (0, Ok(()));
        for_each_call(state, twin, priorities, self.layout.decoy_gfn(), &mut |call| {
            let (page, word) = self.layout.call_place(index);
            let page = self.mapping.page(page);
            let entry = core::array::from_fn(|at| page.read_u64((word + at) * 8));
            if outcome.is_ok() {
                outcome = call.check(&entry).map_err(ReviveError::Stub);
            }
            index += 1;
        });
        outcome
    }

    /// Takes the pages from the twin again, all but the decoy.
    ///
    /// # Errors
    /// When Xen refuses.
    pub fn take_away(&self, xen: &Xen, domid: Domid) -> Result<(), ReviveError> {
        let decoy = self.layout.decoy_gfn();
        let gfns: heapless::Vec<u64, STUB_PAGE_COUNT_MAX> =
            self.layout.gfns().filter(|gfn| *gfn != decoy).collect();
        xen.decrease_reservation(domid, &gfns).while_doing("taking back the pages of its start")
    }

    /// Takes the decoy from the twin. Xen must have forgotten where vcpu_info is.
    ///
    /// # Errors
    /// When Xen refuses.
    pub fn take_decoy_away(&self, xen: &Xen, domid: Domid) -> Result<(), ReviveError> {
        xen.decrease_reservation(domid, &[self.layout.decoy_gfn()])
            .while_doing("taking back the decoy page")
    }

    fn write(&self, state: &CheckpointState, twin: &TwinPlaces, priorities: FreshPriorities) {
        for index in 0..self.layout.page_count() {
            self.mapping.page(index).zero();
        }
        for (page, word, value) in self.layout.page_table_words() {
            self.mapping.page(page).word64(word * 8).store(value, Ordering::Relaxed);
        }
        self.mapping.page(StubLayout::CODE_PAGE).write(0, stub_code());
        let mut index = 0;
        for_each_call(state, twin, priorities, self.layout.decoy_gfn(), &mut |call| {
            let (page, word) = self.layout.call_place(index);
            let entry = self.layout.call_entry(index, call);
            for (at, value) in entry.into_iter().enumerate() {
                self.mapping.page(page).word64((word + at) * 8).store(value, Ordering::Relaxed);
            }
            index += 1;
        });
        assert!(index <= self.layout.call_count(), "the plan has grown since it was counted");
    }

    /// Loads the twin's first vCPU with the stub's registers, and leaves everything else alone.
    fn enter(&self, xen: &Xen, domid: Domid) -> Result<(), ReviveError> {
        let mut bytes = [0; HVM_CONTEXT_SIZE_MAX];
        let size = xen.hvmcontext_size(domid).while_doing("sizing the twin's HVM context")?;
        let buffer = bytes.get_mut(..size).ok_or(ReviveError::Context)?;
        let size = xen.gethvmcontext(domid, buffer).while_doing("reading its HVM context")?;
        let context = HvmContext::parse(&bytes[..size]).map_err(|_| ReviveError::Context)?;
        let header = context.record(RecordType::Header, 0).ok_or(ReviveError::Context)?;
        let layout = &self.layout;
        let registers = HvmCpuRecord {
            rbx: layout.table_address(),
            r12: layout.call_count() as u64,
            r13: layout.done_address(),
            r14: HypercallInstruction::of_this_processor().selector(),
            ..HvmCpuRecord::long_mode_entry(layout.code_address(), 0, layout.page_table_root())
        };
        let mut entry = [0; 4096];
        let mut writer = HvmContextWriter::new(&mut entry);
        let size = writer
            .push(RecordType::Header, 0, header)
            .and_then(|()| writer.push(RecordType::Cpu, 0, &registers.to_bytes()))
            .and_then(|()| writer.finish())
            .map_err(|_| ReviveError::Context)?;
        xen.sethvmcontext(domid, &entry[..size]).while_doing("entering its start-up code")
    }
}

/// Whether neither the twin nor the guest's state has a page at `gfn`.
fn is_free(memory: &GuestMemory, state: &CheckpointState, gfn: u64) -> bool {
    let present = gfn < memory.gfn_count() && memory.is_present(gfn);
    !present && gfn != state.shared_info_gfn && !state.grant_frame_gfns.contains(&gfn)
}
