//! An interface and its negotiation with the backend through xenstore (io/xenbus.h, io/netif.h).
//!
//! ```text
//!           backend in InitWait                 backend Connected
//!   [Idle] --------------------> [Offered] ------------------------> [Connected]
//!     ^      pages granted, keys written,  |                               |
//!     |      own state Connected           |  backend closes or goes, lies |
//!     |                                    v                               v
//!     +-- every grant ended, Closed -- [Withdrawing] <--- own state Closing
//! ```
//!
//! Pages are offered to one backend at a time: while one keeps a page mapped, no other gets it. After a
//! backend has closed in order the interface comes back by itself; after a lie only when the toolstack
//! attaches it anew, which it shows by its `state`, 1.
//!
//! Xenstore is asked only when a watch says that something changed, and not more often than every few
//! milliseconds, however often a backend changes something. A request to it may take as long as the store
//! waits for an answer, in which no frame is looked at; it happens when the interface changes, not while
//! it works.

use core::cell::RefCell;
use core::fmt;

use super::granted_memory::{GrantedMemory, InterfacePages};
use super::rings::{RingCounts, Rings};
use super::{BackendLie, VifError};
use crate::limits::VIF_LOOK_INTERVAL_US;
use crate::text::parse_number;
use crate::wire::EthernetAddress;
use crate::xen::grant_access::GrantTable;
use crate::xen::xenbus::{DeviceStore, Value, XenbusState};
use crate::xen::xenstore::XenstoreError;
use crate::xen::xenstore::domains::Path;
use crate::xen::{Domid, Errno};

/// What an interface asks of Xen: event channels (event_channel.h, sched.h).
pub trait EventPorts {
    /// A port for `remote_domid` to bind to (EVTCHNOP_alloc_unbound).
    ///
    /// # Errors
    /// Xen's.
    fn open(&mut self, remote_domid: Domid) -> Result<u32, Errno>;

    /// Closes a port that was opened (EVTCHNOP_close).
    fn close(&mut self, port: u32);

    /// Sends an event; a port that nobody is bound to any more is none of the caller's business
    /// (EVTCHNOP_send).
    fn notify(&mut self, port: u32);

    /// Waits until one of the ports has an event, or xenstore has, about `duration_us` at most, and
    /// forgets the events (SCHEDOP_poll). There may be no ports.
    fn wait(&mut self, ports: &[u32], duration_us: u64);

    /// Microseconds of a clock that never goes back.
    fn now_us(&mut self) -> u64;
}

/// What a backend is offered.
#[derive(Debug)]
pub(super) struct Offer<'m> {
    pub memory: GrantedMemory<'m>,
    pub rings: Rings<'m>,
    pub port: u32,
}

#[derive(Debug)]
pub(super) enum Phase<'m> {
    Idle,
    Offered(Offer<'m>),
    Connected(Offer<'m>),
    Withdrawing(GrantedMemory<'m>),
}

/// An interface.
pub struct Vif<'g, 'm, S, E> {
    pub(super) store: S,
    pub(super) events: E,
    pub(super) grants: &'g RefCell<GrantTable<'m>>,
    pub(super) pages: InterfacePages<'m>,
    /// This end's part of xenstore, below the domain's own.
    pub(super) path: Path,
    /// The other end's.
    backend_path: Option<Value>,
    pub(super) phase: Phase<'m>,
    /// Something may have changed since xenstore was looked at.
    is_changed: bool,
    /// Not before is it looked at again.
    look_from_us: u64,
    lie: Option<BackendLie>,
    /// The backend has lied since the toolstack attached the interface.
    is_distrusted: bool,
    pub(super) mac: Option<EthernetAddress>,
    pub(super) mtu: u16,
    /// What was lost in connections that have ended.
    counts: RingCounts,
}

impl<S, E> fmt::Debug for Vif<'_, '_, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Vif");
        debug.field("path", &self.path).field("backend_path", &self.backend_path);
        debug.field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl<'g, 'm, S: DeviceStore, E: EventPorts> Vif<'g, 'm, S, E> {
    /// The interface with this number (0 is the first of the configuration's `vif=`), over pages that
    /// serve nothing else.
    ///
    /// # Errors
    /// [`VifError::Store`].
    pub fn new(
        number: u32,
        pages: InterfacePages<'m>,
        grants: &'g RefCell<GrantTable<'m>>,
        store: S,
        events: E,
    ) -> Result<Self, VifError> {
        let mut vif = Self {
            store,
            events,
            grants,
            pages,
            path: joined(format_args!("device/vif/{number}"))?,
            backend_path: None,
            phase: Phase::Idle,
            is_changed: true,
            look_from_us: 0,
            lie: None,
            is_distrusted: false,
            mac: None,
            mtu: 0,
            counts: RingCounts::default(),
        };
        let watched = vif.node("backend")?;
        // The path is the token.
        vif.store.watch(&watched, &vif.path)?;
        Ok(vif)
    }

    /// Does what is to be done of the negotiation. To be called often; costs next to nothing when there
    /// is nothing to do.
    ///
    /// # Errors
    /// [`VifError`]; the interface may come back when this is called again.
    pub fn attend(&mut self) -> Result<(), VifError> {
        if let Phase::Withdrawing(memory) = &mut self.phase
            && memory.withdraw(&mut self.grants.borrow_mut())
        {
            self.phase = Phase::Idle;
            self.is_changed = true;
            self.set_state(XenbusState::Closed)?;
        }
        self.is_changed |= self.store.take_changed(&self.path)?;
        if self.is_changed {
            let now_us = self.events.now_us();
            if now_us >= self.look_from_us {
                self.look_from_us = now_us.saturating_add(VIF_LOOK_INTERVAL_US);
                // Before, since a step may want another look.
                self.is_changed = false;
                self.look().inspect_err(|_| self.is_changed = true)?;
            }
        }
        Ok(())
    }

    /// Whether frames go and come.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected(_))
    }

    /// The interface's own address, once it has been offered to a backend.
    #[must_use]
    pub const fn mac(&self) -> Option<EthernetAddress> {
        self.mac
    }

    /// Bytes that a frame may carry after its Ethernet header, once offered to a backend.
    #[must_use]
    pub const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// How the backend has lied, if it has since this was asked last.
    pub fn take_lie(&mut self) -> Option<BackendLie> {
        self.lie.take()
    }

    /// What was lost since the interface was made.
    #[must_use]
    pub fn counts(&self) -> RingCounts {
        match &self.phase {
            Phase::Offered(offer) | Phase::Connected(offer) => self.counts + offer.rings.counts(),
            Phase::Idle | Phase::Withdrawing(_) => self.counts,
        }
    }

    /// Looks at both ends in xenstore, and takes one step if there is one.
    fn look(&mut self) -> Result<(), VifError> {
        let is_replaced = self.follow_backend()?;
        let backend_state = match &self.backend_path {
            Some(path) => state_at(&mut self.store, path)?,
            None => XenbusState::Unknown,
        };
        match (&self.phase, backend_state) {
            (Phase::Idle, _) => self.look_idle(backend_state),
            (Phase::Withdrawing(_), _) => Ok(()),
            (Phase::Offered(_), XenbusState::InitWait) if !is_replaced => Ok(()),
            (Phase::Offered(_), XenbusState::Connected) if !is_replaced => {
                self.connect();
                Ok(())
            }
            (
                Phase::Connected(_),
                XenbusState::Connected | XenbusState::Reconfiguring | XenbusState::Reconfigured,
            ) if !is_replaced => Ok(()),
            (Phase::Offered(_) | Phase::Connected(_), _) => self.withdraw(),
        }
    }

    fn connect(&mut self) {
        self.phase = match core::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Offered(offer) => {
                // The backend may have looked at the rings before it was ready.
                self.events.notify(offer.port);
                Phase::Connected(offer)
            }
            other => other,
        };
    }

    fn look_idle(&mut self, backend_state: XenbusState) -> Result<(), VifError> {
        match state_at(&mut self.store, &self.path)? {
            XenbusState::Unknown => Ok(()),
            XenbusState::Initialising => {
                self.is_distrusted = false;
                if backend_state == XenbusState::InitWait { self.offer() } else { Ok(()) }
            }
            XenbusState::Closed => {
                let may_come_back = !self.is_distrusted
                    && matches!(backend_state, XenbusState::Closed | XenbusState::InitWait)
                    && self.read_backend_number("online")? == Some(1);
                if may_come_back {
                    self.is_changed = true;
                    self.set_state(XenbusState::Initialising)?;
                }
                Ok(())
            }
            // Left by an earlier life of this domain.
            _ => {
                self.is_changed = true;
                self.set_state(XenbusState::Closed)
            }
        }
    }

    /// Ends the interface for what its backend did.
    ///
    /// # Errors
    /// [`VifError::Store`].
    pub(super) fn close_for(&mut self, lie: BackendLie) -> Result<(), VifError> {
        self.lie = Some(lie);
        self.is_distrusted = true;
        self.withdraw()
    }

    /// Begins to take back what is offered, if anything is.
    pub(super) fn withdraw(&mut self) -> Result<(), VifError> {
        match core::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Offered(offer) | Phase::Connected(offer) => {
                self.counts = self.counts + offer.rings.counts();
                self.events.close(offer.port);
                self.phase = Phase::Withdrawing(offer.memory);
                self.set_state(XenbusState::Closing)
            }
            other => {
                self.phase = other;
                Ok(())
            }
        }
    }

    /// Watches the backend that the toolstack names; whether it is another one than before.
    fn follow_backend(&mut self) -> Result<bool, VifError> {
        let node = self.node("backend")?;
        let path = self.store.read(&node)?;
        if path == self.backend_path {
            return Ok(false);
        }
        if let Some(old) = self.backend_path.take() {
            self.store.unwatch(&joined(format_args!("{old}/state"))?, &self.path)?;
        }
        if let Some(new) = &path {
            self.store.watch(&joined(format_args!("{new}/state"))?, &self.path)?;
        }
        self.backend_path = path;
        Ok(true)
    }

    /// Sets this end's state, unless the toolstack has taken the interface away.
    pub(super) fn set_state(&mut self, state: XenbusState) -> Result<(), VifError> {
        let node = self.node("state")?;
        if self.store.read(&node)?.is_some() {
            let number: Path = joined(format_args!("{}", state.number()))?;
            self.store.write(&node, &number)?;
        }
        Ok(())
    }

    /// A node of this end.
    pub(super) fn node(&self, name: &str) -> Result<Path, XenstoreError> {
        joined(format_args!("{}/{name}", self.path))
    }

    /// A number that the backend has written, if it has.
    pub(super) fn read_backend_number(&mut self, name: &str) -> Result<Option<u64>, XenstoreError> {
        let Some(backend_path) = &self.backend_path else { return Ok(None) };
        let value = self.store.read(&joined(format_args!("{backend_path}/{name}"))?)?;
        Ok(value.and_then(|value| parse_number(&value)))
    }
}

/// The state of the end at `path`.
fn state_at(store: &mut impl DeviceStore, path: &str) -> Result<XenbusState, XenstoreError> {
    let value = store.read(&joined(format_args!("{path}/state"))?)?;
    Ok(XenbusState::of(value.and_then(|value| parse_number(&value))))
}

pub(super) fn joined(parts: fmt::Arguments<'_>) -> Result<Path, XenstoreError> {
    let mut path = Path::new();
    fmt::Write::write_fmt(&mut path, parts).map_err(|_| XenstoreError::TooLong)?;
    Ok(path)
}
