//! The gate at work: the guest's interfaces, their `ifb`s and plugs, and the socket that tells them.
//!
//! The gate outlives this process on purpose: if the process crashes, the guest's frames stay held,
//! since the backup may be about to revive the guest. Opening the gate for the same domain again
//! releases and removes what was left behind; so does [`OutputGate::remove_left_overs`].

mod error;
mod install;

pub use error::{GateError, GateStep};

use super::netlink::NetlinkSocket;
use crate::gate::message::Request;
use crate::gate::names::InterfaceName;
use crate::gate::{EpochOrder, PlugAction, replies, requests};
use crate::limits::GATE_INTERFACE_COUNT_MAX;
use heapless::Vec;

/// How often the first epoch is begun again because frames from before it were still on their way.
const FIRST_EPOCH_TRIES: u32 = 50;

/// One of the guest's interfaces, and the `ifb` that holds its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GatedInterface {
    guest_name: InterfaceName,
    guest_index: u32,
    ifb_index: u32,
}

/// What the gate holds and has lost, over all interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateCounters {
    /// Frames held now.
    pub frames_held: u64,
    /// Bytes held now.
    pub bytes_held: u64,
    /// Frames dropped since the gate was opened, because too much was held.
    pub frames_dropped: u64,
}

/// The gate of one domain, or, for a domain whose output shall not be held, none: then every
/// operation keeps the order of epochs and does nothing else.
#[derive(Debug)]
pub struct OutputGate {
    order: EpochOrder,
    domid: u16,
    socket: Option<NetlinkSocket>,
    interfaces: Vec<GatedInterface, GATE_INTERFACE_COUNT_MAX>,
    /// Why an epoch could not be ended: nothing may be acknowledged any more.
    hold_error: Option<GateError>,
}

impl OutputGate {
    /// A gate that holds nothing, for `--gate none`.
    pub fn none() -> Self {
        Self {
            order: EpochOrder::new(),
            domid: 0,
            socket: None,
            interfaces: Vec::new(),
            hold_error: None,
        }
    }

    /// Installs the gate at all interfaces of a running domain. Frames pass through it until the
    /// first [`OutputGate::end_epoch`]. What an earlier process left for the same domain is
    /// released and removed first.
    ///
    /// # Errors
    /// If the domain has no interface, or more than the gate can hold, or the kernel refuses a
    /// step; then nothing of the gate is left.
    pub fn open(domid: u16) -> Result<Self, GateError> {
        let mut gate = Self { order: EpochOrder::new(), domid, ..Self::none() };
        let mut socket = install::open_socket()?;
        install::remove(&mut socket, domid)?;
        gate.interfaces = install::install(&mut socket, domid)?;
        gate.socket = Some(socket);
        Ok(gate)
    }

    /// Releases and removes what an earlier process left for a domain, so that its frames flow.
    ///
    /// # Errors
    /// If the kernel refuses a step.
    pub fn remove_left_overs(domid: u16) -> Result<(), GateError> {
        install::remove(&mut install::open_socket()?, domid)
    }

    /// Whether an earlier process has left a gate at a domain's interfaces.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn is_left_over(domid: u16) -> Result<bool, GateError> {
        Ok(!install::find(&mut install::open_socket()?, domid)?.ifb.is_empty())
    }

    /// How many of the guest's interfaces are held.
    pub fn interface_count(&self) -> usize {
        self.interfaces.len()
    }

    /// Whether frames pass as if there were no gate.
    pub fn is_pass_through(&self) -> bool {
        self.order.is_pass_through()
    }

    /// Ends an epoch: to be called while the guest is paused, and one system call long. The first
    /// call also begins to hold frames, and makes sure that none from before stays in a plug, which
    /// would shift its counts.
    ///
    /// What the kernel answered is looked at before anything else is asked of it, so before the
    /// epoch can be released; after the pause, [`OutputGate::confirm`] does it at once.
    ///
    /// # Panics
    /// If the epoch before was not acknowledged.
    ///
    /// # Errors
    /// If a plug could not be told: then frames may be held too long, and none leaves too early.
    pub fn end_epoch(&mut self, epoch: u64) -> Result<(), GateError> {
        self.confirm()?;
        let is_first = self.order.is_pass_through();
        let action = self.order.end_epoch(epoch);
        if is_first { self.begin_to_hold(action) } else { self.send_to_all(action) }
    }

    /// Looks whether every plug has taken the last [`OutputGate::end_epoch`].
    ///
    /// # Errors
    /// If one has not: its frames of the next epoch would count for the one that ended, so nothing
    /// is acknowledged any more, and this error stays, until [`OutputGate::release_all`].
    pub fn confirm(&mut self) -> Result<(), GateError> {
        if let Some(Err(error)) = self.socket.as_mut().map(|socket| socket.collect(&mut |_| {})) {
            self.hold_error = Some(self.refused(GateStep::Hold, error));
        }
        self.hold_error.map_or(Ok(()), Err)
    }

    fn begin_to_hold(&mut self, action: PlugAction) -> Result<(), GateError> {
        for _ in 0..FIRST_EPOCH_TRIES {
            self.tell_all(action)?;
            if self.counters()?.frames_held == 0 {
                return Ok(());
            }
            self.tell_all(PlugAction::ReleaseIndefinite)?;
            super::clock::yield_now();
        }
        Err(GateError::NeverEmpty)
    }

    /// The backup has the epoch in flight: its frames may leave.
    ///
    /// # Panics
    /// If `epoch` is not in flight.
    ///
    /// # Errors
    /// If a plug could not be told, or had not taken the end of the epoch: then frames stay held.
    pub fn acknowledge(&mut self, epoch: u64) -> Result<(), GateError> {
        self.confirm()?;
        let action = self.order.acknowledge(epoch);
        self.tell_all(action)
    }

    /// Protection ends, or the backup is lost: all frames leave, and new ones pass through.
    ///
    /// # Errors
    /// If a plug could not be told.
    pub fn release_all(&mut self) -> Result<(), GateError> {
        // All frames may leave, so it does not matter to which epoch they were counted.
        let _ = self.confirm();
        self.hold_error = None;
        let action = self.order.release_all();
        self.tell_all(action)
    }

    /// Removes the gate: held frames leave, and the guest's traffic flows as if it never was.
    ///
    /// # Errors
    /// If the kernel refuses a step.
    pub fn close(mut self) -> Result<(), GateError> {
        let _ = self.confirm();
        let _ = self.order.release_all();
        match self.socket.as_mut() {
            Some(socket) => install::remove(socket, self.domid),
            None => Ok(()),
        }
    }

    /// What the plugs hold and have dropped.
    ///
    /// # Errors
    /// If the kernel refuses to tell.
    pub fn counters(&mut self) -> Result<GateCounters, GateError> {
        self.confirm()?;
        let Some(socket) = self.socket.as_mut() else {
            return Ok(GateCounters::default());
        };
        let mut request = Request::new();
        for interface in &self.interfaces {
            requests::query_plug(&mut request, interface.ifb_index);
        }
        let mut sum = GateCounters::default();
        let asked = socket.ask(&request, &mut |reply| {
            if let Some(counters) = replies::queue_counters(reply) {
                sum.frames_held += u64::from(counters.frames_held);
                sum.bytes_held += u64::from(counters.bytes_held);
                sum.frames_dropped += u64::from(counters.frames_dropped);
            }
        });
        asked.map_err(|error| self.refused(GateStep::Query, error)).map(|()| sum)
    }

    /// Checks that the guest has the interfaces it had when the gate was opened: one that was added
    /// or made anew since would not be held. Nor is one that this host knows by another name, or not
    /// at all, which only the number of the guest's vifs tells. To be called now and then.
    ///
    /// # Errors
    /// [`GateError::InterfacesChanged`], [`GateError::NotAll`], or what the kernel says.
    pub fn verify(&mut self, vif_count: Option<usize>) -> Result<(), GateError> {
        self.confirm()?;
        let Some(socket) = self.socket.as_mut() else {
            return Ok(());
        };
        let found = install::find(socket, self.domid)?;
        let is_held = |guest: &install::FoundInterface| {
            self.interfaces.iter().any(|held| held.guest_index == guest.link.index)
        };
        let are_all_held = found.guest.iter().all(is_held);
        if !are_all_held || found.guest.len() != self.interfaces.len() {
            return Err(GateError::InterfacesChanged { domid: self.domid });
        }
        match vif_count {
            Some(count) if count != self.interfaces.len() => {
                Err(GateError::NotAll { domid: self.domid })
            }
            _ => Ok(()),
        }
    }

    fn tell_all(&mut self, action: PlugAction) -> Result<(), GateError> {
        self.send_to_all(action)?;
        let step = match action {
            PlugAction::Buffer => GateStep::Hold,
            _ => GateStep::Release,
        };
        match self.socket.as_mut().map(|socket| socket.collect(&mut |_| {})) {
            Some(Err(error)) => Err(self.refused(step, error)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn send_to_all(&mut self, action: PlugAction) -> Result<(), GateError> {
        let Some(socket) = self.socket.as_mut() else {
            return Ok(());
        };
        let mut request = Request::new();
        for interface in &self.interfaces {
            requests::tell_plug(&mut request, interface.ifb_index, action);
        }
        socket.send(&request).map_err(|error| self.refused(GateStep::Hold, error))
    }

    /// Each request here has one message per interface, in their order.
    fn refused(&self, step: GateStep, error: super::netlink::NetlinkError) -> GateError {
        let index = error.message.unwrap_or(0) as usize;
        let name = self.interfaces.get(index).map(|interface| interface.guest_name);
        GateError::refused(step, name.unwrap_or(InterfaceName::new("the gate")), error)
    }
}
