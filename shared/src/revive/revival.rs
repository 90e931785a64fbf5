//! One revival, from a paused twin to a guest that is back to normal.

use core::fmt;

use super::Clock;
use super::check::TwinPlaces;
use super::error::{ReviveError, While};
use super::interlude::Interlude;
use super::memory::{clear_events, page, put_in_place};
use super::reconnect::Suspended;
use super::report::ReviveReport;
use super::stub::Stub;
use super::watch::WatchRequest;
use super::xenstore::{Store, ask_to_suspend};
use crate::commit::aside::AsidePages;
use crate::commit::staging::CompleteEpoch;
use crate::platform::linux::evtchn::EventChannels;
use crate::xen::hvm_context::HvmContext;
use crate::xen::{Domid, GuestMemory, Xen};

/// What a revival tells while it goes on; none of it ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviveEvent {
    /// The guest runs; from here on it is alive, though without network until it has resumed.
    Running {
        /// Since the revival began, in microseconds.
        after_us: u64,
    },
    /// The guest has not suspended; it is asked once more.
    NotSuspended {
        /// How often it was asked before.
        attempt: u32,
        /// How long ago, in microseconds.
        waited_us: u64,
        /// Whether it has seen the request.
        noticed: bool,
    },
}

impl fmt::Display for ReviveEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { after_us } => {
                write!(
                    f,
                    "the guest runs {}.{:03} ms after the decision",
                    after_us / 1000,
                    after_us % 1000
                )
            }
            Self::NotSuspended { attempt, waited_us, noticed } => {
                let state = if *noticed { "is still suspending" } else { "has not noticed it" };
                write!(
                    f,
                    "the revived guest was asked to suspend {} s ago (request {attempt}) and \
                     {state}: asking again",
                    waited_us / 1_000_000
                )
            }
        }
    }
}

/// All that a revival needs. The twin is paused, and every page of the epoch is in its memory.
#[derive(Debug)]
pub struct Revival<'a> {
    /// The hypervisor.
    pub xen: &'a Xen,
    /// dom0's event channels.
    pub events: &'a mut EventChannels,
    /// This host's xenstored.
    pub store: &'a mut Store,
    /// The twin.
    pub domid: Domid,
    /// What the toolstack fixed when it built the twin.
    pub places: TwinPlaces,
    /// The twin's memory.
    pub memory: &'a GuestMemory,
    /// The epoch that shall live on.
    pub epoch: &'a CompleteEpoch,
    /// The pages of that epoch that are not in memory.
    pub aside: &'a AsidePages,
    /// The host's monotonic clock in microseconds.
    pub now_us: Clock,
}

impl Revival<'_> {
    /// Brings the guest to life and back to normal. Everything that takes long is waited for
    /// here, and told to `observe`.
    ///
    /// # Errors
    /// [`ReviveError`] says which step failed and why. A twin that did not run yet is paused.
    pub fn run(self, observe: &mut dyn FnMut(ReviveEvent)) -> Result<ReviveReport, ReviveError> {
        let (xen, domid, now_us) = (self.xen, self.domid, self.now_us);
        let (memory, state) = (self.memory, &self.epoch.state);
        let mut report = ReviveReport { epoch: state.epoch, domid, ..Default::default() };
        let mut lap = Lap { now_us, start_us: now_us() };
        let begun_us = lap.start_us;

        let shared_info = put_in_place(xen, domid, memory, &self.places, state, self.aside)?;
        let priorities = clear_events(memory, state)?;
        let store_page = page(memory, self.places.store_gfn)?;
        let watch = WatchRequest::put(store_page, &state.shutdown_watch_token)?;
        report.memory_us = lap.end();

        let stub = Stub::put(xen, domid, memory, state, &self.places, priorities)?;
        stub.run(xen, domid, now_us)?;
        stub.check(state, &self.places, priorities)?;
        stub.take_away(xen, domid)?;
        report.stub_us = lap.end();

        watch.finish(now_us)?;
        ask_to_suspend(self.store, domid)?;
        report.watch_us = lap.end();

        let interlude = load(xen, domid, self.events, self.epoch, &stub)?;
        report.load_us = lap.end();
        observe(ReviveEvent::Running { after_us: now_us() - begun_us });
        let counts = interlude.run(self.store, now_us, observe)?;
        (report.tick_count, report.upcall_count) = (counts.ticks, counts.upcalls);
        report.suspend_request_count = counts.suspend_requests;
        report.suspend_us = lap.end();

        let (page, clocks) = (shared_info.page(), shared_info.clocks);
        let suspended =
            Suspended { xen, domid, places: self.places, store_page, shared_info: page, clocks };
        suspended.reconnect(&stub, self.store)?;
        report.reconnect_us = lap.end();
        // The reserve of a twin is not needed any more; left over it would cost little.
        let _ = xen.claim_pages(domid, 0);
        Ok(report)
    }
}

/// Loads the guest's processors and lets them run.
fn load<'a>(
    xen: &'a Xen,
    domid: Domid,
    events: &'a mut EventChannels,
    epoch: &CompleteEpoch,
    stub: &'a Stub,
) -> Result<Interlude<'a>, ReviveError> {
    let bytes = epoch.hvm_context();
    let context = HvmContext::parse(bytes).map_err(|_| ReviveError::Context)?;
    let interlude = Interlude::begin(xen, domid, events, stub.decoy(), &epoch.state, context)?;
    xen.sethvmcontext(domid, bytes).while_doing("loading the guest's processors")?;
    xen.unpausedomain(domid).while_doing("letting the guest run")?;
    Ok(interlude)
}

/// A stop watch for consecutive steps.
#[derive(Debug)]
struct Lap {
    now_us: Clock,
    start_us: u64,
}

impl Lap {
    /// Microseconds since the step before ended.
    fn end(&mut self) -> u64 {
        let now_us = (self.now_us)();
        let lap_us = now_us.saturating_sub(self.start_us);
        self.start_us = now_us;
        lap_us
    }
}
