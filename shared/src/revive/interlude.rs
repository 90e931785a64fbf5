//! The interlude: the guest runs on its old host's time until it has suspended itself.
//!
//! Two things that Xen does for a domain are done from here meanwhile:
//!
//! * **Ticks.** The guest's timer deadlines mean nothing on this host, so its timer ports belong
//!   to dom0 and are notified in turn, each at least 250 times a second; the guest's handler looks
//!   at its own clock and does what is due.
//! * **Upcalls.** Xen sets a byte in the vcpu_info that it knows of, the decoy, and asserts the
//!   upcall vector only when the byte was clear. The guest clears the byte in *its* vcpu_info,
//!   which is another. So the decoy's byte is cleared here as soon as it is set, and the vector is
//!   then injected: an event that came while the byte was set had been queued without an upcall,
//!   and IPIs among them have a sender that waits. An upcall too many finds nothing to do.
//!
//! No sleeping: with every microsecond that a byte stays set the guest's vCPUs wait for each other.

use core::sync::atomic::Ordering;

use heapless::Vec;

use super::error::{ReviveError, While};
use super::plan::{DECOY_STRIDE, is_timer};
use super::xenstore::{Store, ask_to_suspend, has_noticed};
use super::{Clock, ReviveEvent};
use crate::codec::CheckpointState;
use crate::limits::{EVENT_CHANNEL_COUNT_MAX, VCPU_COUNT_MAX};
use crate::platform::linux::clock::yield_now;
use crate::platform::linux::evtchn::EventChannels;
use crate::xen::hvm_context::HvmContext;
use crate::xen::{Domid, GuestPage, Xen};

/// Microseconds between two ticks, which go to the vCPUs in turn; fewer with more than four of them.
const TICK_US: u64 = 1000;
/// Microseconds within which each vCPU has had its tick: the period of a kernel with HZ=250.
const TICK_ROUND_US: u64 = 4000;
/// How long the guest may take to notice that it is asked to suspend.
const NOTICE_US: u64 = 2_000_000;
/// How long it may take to suspend once it has noticed: Linux gives up freezing after 20 s.
const SUSPEND_US: u64 = 25_000_000;
/// SHUTDOWN_suspend (sched.h, Xen 4.17).
const SHUTDOWN_SUSPEND: u8 = 2;
/// Stands for a domain that is not there any more.
const SHUTDOWN_GONE: u8 = 255;

const _: () = assert!(VCPU_COUNT_MAX <= EVENT_CHANNEL_COUNT_MAX);

/// What must be done for one vCPU.
#[derive(Clone, Copy, Debug)]
struct RunningVcpu {
    number: usize,
    apic_id: u8,
    upcall_vector: u8,
}

/// What the interlude did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterludeCounts {
    /// Ticks given.
    pub ticks: u64,
    /// Upcalls passed on.
    pub upcalls: u64,
    /// Times the guest was asked to suspend.
    pub suspend_requests: u32,
}

/// The guest's time and upcalls in dom0's hands. Dropping it lets the timer ports go.
#[derive(Debug)]
pub struct Interlude<'a> {
    xen: &'a Xen,
    domid: Domid,
    events: &'a mut EventChannels,
    decoy: GuestPage<'a>,
    vcpus: Vec<RunningVcpu, VCPU_COUNT_MAX>,
    /// dom0's ends of the guest's timer ports.
    tick_ports: Vec<u32, VCPU_COUNT_MAX>,
    /// Which of them is the next to be notified.
    turn: usize,
    counts: InterludeCounts,
}

impl<'a> Interlude<'a> {
    /// Takes up the timer ports of the twin, which is still paused.
    ///
    /// # Errors
    /// When the ports cannot be bound.
    pub fn begin(
        xen: &'a Xen,
        domid: Domid,
        events: &'a mut EventChannels,
        decoy: GuestPage<'a>,
        state: &CheckpointState,
        context: HvmContext<'_>,
    ) -> Result<Self, ReviveError> {
        let online = |number: usize| state.vcpus[number].online;
        let vcpus = (0..state.vcpus.len())
            .filter(|number| online(*number))
            .map(|number| RunningVcpu {
                number,
                apic_id: apic_id(context, number),
                upcall_vector: state.vcpus[number].upcall_vector,
            })
            .collect();
        let mut interlude = Self {
            xen,
            domid,
            events,
            decoy,
            vcpus,
            tick_ports: Vec::new(),
            turn: 0,
            counts: InterludeCounts::default(),
        };
        let timers = state
            .event_channels
            .iter()
            .filter(|channel| is_timer(channel) && online(channel.vcpu as usize));
        for channel in timers {
            let port = interlude
                .events
                .bind_interdomain(domid, channel.port)
                .while_doing("binding the guest's timer")?;
            // Xen knows one timer per vCPU, so a state that passed its checks fits.
            interlude.tick_ports.push(port).map_err(|_| ReviveError::Context)?;
        }
        Ok(interlude)
    }

    /// Serves the running guest until it has suspended, and asks it again where it does not.
    ///
    /// # Errors
    /// When Xen or xenstored refuse, or the guest ends in another way.
    pub fn run(
        mut self,
        store: &mut Store,
        now_us: Clock,
        observe: &mut dyn FnMut(ReviveEvent),
    ) -> Result<InterludeCounts, ReviveError> {
        self.counts.suspend_requests = 1;
        let mut asked_us = now_us();
        let tick_interval_us = self.tick_interval_us();
        let mut tick_us = asked_us;
        let mut look_us = asked_us + NOTICE_US;
        loop {
            self.pass_upcalls_on()?;
            let now = now_us();
            if now >= tick_us {
                if self.has_suspended()? {
                    return self.end();
                }
                self.tick()?;
                tick_us = now.max(tick_us + tick_interval_us);
            }
            if now >= look_us {
                let noticed = has_noticed(store, self.domid)?;
                if !noticed || now - asked_us >= SUSPEND_US {
                    observe(ReviveEvent::NotSuspended {
                        attempt: self.counts.suspend_requests,
                        waited_us: now - asked_us,
                        noticed,
                    });
                    ask_to_suspend(store, self.domid)?;
                    self.counts.suspend_requests += 1;
                    asked_us = now;
                }
                look_us = now + NOTICE_US;
            }
            yield_now();
        }
    }

    fn pass_upcalls_on(&mut self) -> Result<(), ReviveError> {
        for vcpu in &self.vcpus {
            let pending = self.decoy.byte(vcpu.number * DECOY_STRIDE as usize);
            if pending.load(Ordering::Relaxed) != 0 && pending.swap(0, Ordering::SeqCst) != 0 {
                self.xen
                    .inject_vector(self.domid, vcpu.apic_id, vcpu.upcall_vector)
                    .while_doing("passing an upcall on to the guest")?;
                self.counts.upcalls += 1;
            }
        }
        Ok(())
    }

    /// Microseconds between two ticks.
    fn tick_interval_us(&self) -> u64 {
        TICK_US.min(TICK_ROUND_US / self.tick_ports.len().max(1) as u64)
    }

    /// Gives one vCPU its tick, each in turn: ticks for all at once would leave a guest whose vCPUs
    /// share a core no time between them.
    fn tick(&mut self) -> Result<(), ReviveError> {
        if let Some(port) = self.tick_ports.get(self.turn) {
            self.turn = (self.turn + 1) % self.tick_ports.len();
            self.events.notify(*port).while_doing("giving the guest a tick")?;
            self.counts.ticks += 1;
        }
        Ok(())
    }

    fn has_suspended(&self) -> Result<bool, ReviveError> {
        let info = match self.xen.getdomaininfo(self.domid) {
            Err(error) if error.is_domain_missing() => {
                return Err(ReviveError::Ended(SHUTDOWN_GONE));
            }
            result => result.while_doing("looking whether the guest has suspended")?,
        };
        match info.shutdown_reason() {
            Some(SHUTDOWN_SUSPEND) => Ok(true),
            Some(reason) => Err(ReviveError::Ended(reason)),
            None if info.is_dying() => Err(ReviveError::Ended(SHUTDOWN_GONE)),
            None => Ok(false),
        }
    }

    /// Lets the timer ports go: a tick after this would be the resumed guest's.
    fn end(self) -> Result<InterludeCounts, ReviveError> {
        for port in &self.tick_ports {
            self.events.unbind(*port).while_doing("letting the guest's timer go")?;
        }
        Ok(self.counts)
    }
}

/// The local APIC's id, which Xen gives as twice the vCPU's number unless the guest changed it.
fn apic_id(context: HvmContext<'_>, vcpu: usize) -> u8 {
    let number = u16::try_from(vcpu).ok();
    let found = number.and_then(|number| context.lapic_id(number));
    found.unwrap_or_else(|| u8::try_from(vcpu * 2).unwrap_or(u8::MAX))
}
