//! Probing: an event sent to the paused guest shows in the structures that were found.
//!
//! dom0 sends on a port that it shares with the guest (xenstore's or the console's; the guest's
//! handler finds nothing new there). Xen then sets PENDING in the port's word, links it into the
//! queue of the vCPU's control block, sets the vCPU's pending byte, and raises its upcall vector
//! in the local APIC (evtchn_fifo_set_pending, vcpu_mark_events_pending, Xen 4.17). Backends may
//! send meanwhile as well, so a probe can contradict what was found, and confirms it together
//! with the survey. Where an upcall was pending before, only word and queue can show the event;
//! the vector is then the one that is requested, if there is just one.

use super::control_block::{self, QUEUE_COUNT};
use super::event_array::{LINK_MASK, LINKED, MASKED, PENDING};
use super::evidence::{PortTable, VcpuRegisters};
use super::{DiscoveryError, Structures, VcpuStructures, vcpu_info};
use crate::capture::page::{GuestPages, PageWords, half_word};
use crate::limits::EVENT_CHANNEL_COUNT_MAX;

/// What was seen before an event is sent on a port of one vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    vcpu: u32,
    port: u32,
    event_array_gfn: u64,
    places: VcpuStructures,
    ready_before: u32,
    pending_before: bool,
    request_before: [u32; 8],
}

/// What a probe that agreed tells beside that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Upcall vector of the vCPU: 0 when the event raised none, `None` when that cannot be told
    /// (other vectors were requested already, and the upcall's may be among them).
    pub upcall_vector: Option<u8>,
    /// The pending byte was seen to change, too.
    pub is_complete: bool,
    /// Priority of the queue that the event went into.
    pub priority: Option<u8>,
}

impl Probe {
    /// Looks at the paused guest before the event is sent.
    ///
    /// `None` when an event on `port` would change nothing: it is masked, pending, or linked.
    #[must_use]
    pub fn prepare(
        pages: &impl GuestPages,
        structures: &Structures,
        registers: &VcpuRegisters,
        vcpu: u32,
        port: u32,
    ) -> Option<Self> {
        let places = (*structures.vcpus.get(usize::try_from(vcpu).ok()?)?)?;
        let array = pages.page(structures.event_array_gfn)?;
        let word_before = half_word(array, usize::try_from(port).ok()?);
        if word_before & (PENDING | MASKED | LINKED) != 0 {
            return None;
        }
        Some(Self {
            vcpu,
            port,
            event_array_gfn: structures.event_array_gfn,
            places,
            ready_before: control_block::ready(pages.page(places.control_block_gfn)?),
            pending_before: vcpu_info::is_upcall_pending(pages, places.vcpu_info)?,
            request_before: registers.interrupt_request,
        })
    }

    /// Looks at the still paused guest after the event was sent.
    ///
    /// # Errors
    /// [`DiscoveryError::ProbeContradicts`] when the event did not show in every structure, or
    /// more than one vector was raised.
    pub fn conclude(
        &self,
        pages: &impl GuestPages,
        registers: &VcpuRegisters,
    ) -> Result<Confirmation, DiscoveryError> {
        let contradiction = DiscoveryError::probe_contradicts(self.vcpu);
        let (word, ready, pending) = self.now(pages).ok_or(contradiction)?;
        if word & PENDING == 0 || word & LINKED == 0 || !pending {
            return Err(contradiction);
        }
        let block = pages.page(self.places.control_block_gfn).ok_or(contradiction)?;
        // Ready bits that were set stay set, and the port is in one of the ready queues.
        let priority = self.queue_of_port(pages, block, ready);
        if ready & self.ready_before != self.ready_before || priority.is_none() {
            return Err(contradiction);
        }
        let upcall_vector = self.vector(&registers.interrupt_request).ok_or(contradiction)?;
        Ok(Confirmation { upcall_vector, is_complete: !self.pending_before, priority })
    }

    /// What the requested vectors tell; `None` when they contradict.
    fn vector(&self, requested: &[u32; 8]) -> Option<Option<u8>> {
        if self.pending_before {
            let only = raised_vector(&[0; 8], requested);
            return Some(only.filter(|vector| *vector != 0));
        }
        match raised_vector(&self.request_before, requested)? {
            0 if self.request_before != [0; 8] => Some(None),
            vector => Some(Some(vector)),
        }
    }

    fn now(&self, pages: &impl GuestPages) -> Option<(u32, u32, bool)> {
        let word = half_word(pages.page(self.event_array_gfn)?, usize::try_from(self.port).ok()?);
        let ready = control_block::ready(pages.page(self.places.control_block_gfn)?);
        Some((word, ready, vcpu_info::is_upcall_pending(pages, self.places.vcpu_info)?))
    }

    /// The priority of the ready queue that the port is in, at its head or behind others.
    fn queue_of_port(&self, pages: &impl GuestPages, block: &PageWords, ready: u32) -> Option<u8> {
        let array = pages.page(self.event_array_gfn)?;
        let queues = (0u8..).zip(0..QUEUE_COUNT).filter(|(_, queue)| ready & 1 << queue != 0);
        let mut found = queues.filter(|(_, queue)| {
            let mut port = control_block::head(block, *queue);
            // A queue holds each port once, so it is no longer than the array.
            for _ in 0..EVENT_CHANNEL_COUNT_MAX {
                if port == self.port || port == 0 {
                    break;
                }
                let index = usize::try_from(port).ok().filter(|it| *it < EVENT_CHANNEL_COUNT_MAX);
                port = index.map_or(0, |index| half_word(array, index) & LINK_MASK);
            }
            port == self.port
        });
        found.next().map(|(priority, _)| priority)
    }
}

/// The one vector that was raised: 0 for none, `None` for more than one.
fn raised_vector(before: &[u32; 8], after: &[u32; 8]) -> Option<u8> {
    let mut raised = None;
    for (index, (before, after)) in (0u32..).zip(before.iter().zip(after)) {
        let new = after & !before;
        if new.count_ones() > 1 || (new != 0 && raised.is_some()) {
            return None;
        }
        if new != 0 {
            raised = u8::try_from(index * 32 + new.trailing_zeros()).ok();
        }
    }
    Some(raised.unwrap_or(0))
}

/// Reads the priorities that the control blocks show: a port in `head[q]` was queued at q.
///
/// Ports that no head names keep Xen's default of 7. Linux gives its timers priority 0, and
/// nothing else uses that queue, so those are always named.
pub fn read_priorities(pages: &impl GuestPages, structures: &Structures, ports: &mut PortTable) {
    for (vcpu, places) in (0u32..).zip(&structures.vcpus) {
        let Some(block) = places.and_then(|places| pages.page(places.control_block_gfn)) else {
            continue;
        };
        for (priority, queue) in (0u8..).zip(0..QUEUE_COUNT) {
            let port = control_block::head(block, queue);
            if ports.get(port).is_some_and(|channel| channel.vcpu == vcpu) {
                ports.set_priority(port, priority);
            }
        }
    }
}
