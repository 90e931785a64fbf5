//! The ports that a stub domain waits at: xenstore's, the one that dom0 is offered, and its interfaces'.
//!
//! Whatever is waited for, xenstore and dom0 wake it too: an event says only that it is worth looking, and after
//! each wait everything is looked at.

use core::cell::Cell;

use heapless::Vec;

use super::machine::Machine;
use crate::limits::LINK_COUNT_MAX;
use crate::xen::netif::EventPorts;
use crate::xen::xenstore::RingHost;
use crate::xen::{DOMID_DOM0, Domid, Errno, XenError};

/// The ports, for everybody in the domain who uses one.
#[derive(Debug)]
pub struct Ports<M> {
    machine: M,
    store: u32,
    dom0: Cell<Option<u32>>,
    /// Microseconds that were spent waiting.
    waited_us: Cell<u64>,
    /// A wait was refused, and that was said.
    is_refusal_told: Cell<bool>,
}

impl<M: Machine> Ports<M> {
    /// The ports of a domain whose xenstore has this one.
    pub const fn new(machine: M, store: u32) -> Self {
        let (dom0, waited_us, is_refusal_told) = (Cell::new(None), Cell::new(0), Cell::new(false));
        Self { machine, store, dom0, waited_us, is_refusal_told }
    }

    /// The machine.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Microseconds that were not spent waiting: of the core, as far as others have left it to this domain.
    pub fn worked_us(&self) -> u64 {
        self.machine.now_us().saturating_sub(self.waited_us.get())
    }

    /// A new port for dom0 to bind to, in place of the last one.
    ///
    /// # Errors
    /// Xen's.
    pub fn open_for_dom0(&self) -> Result<u32, XenError> {
        if let Some(last) = self.dom0.take() {
            self.machine.close_port(last)?;
        }
        let port = self.machine.open_port(DOMID_DOM0)?;
        self.dom0.set(Some(port));
        Ok(port)
    }

    /// Whether a process of dom0 is bound to the port that was opened for it. When it ends, however it does, dom0's
    /// kernel closes its end, and ours waits for somebody to bind to it again.
    pub fn is_dom0_there(&self) -> bool {
        let is_bound = |port| self.machine.is_bound_to_dom0(port).unwrap_or(false);
        self.dom0.get().is_some_and(is_bound)
    }

    /// Tells the process of dom0, if there is one, that something is to be looked at.
    pub fn notify_dom0(&self) {
        if let Some(port) = self.dom0.get() {
            // One that is gone needs no event.
            let _ = self.machine.notify(port);
        }
    }

    /// Waits until one of `others` has an event, xenstore has, or dom0 has sent one, about `duration_us` at most, and
    /// forgets the events.
    pub fn wait_at(&self, others: &[u32], duration_us: u64) {
        let mut ports = Vec::<u32, { LINK_COUNT_MAX + 2 }>::new();
        ports.extend([self.store].into_iter().chain(self.dom0.get()));
        ports.extend(others.iter().copied().take(LINK_COUNT_MAX));
        self.wait_at_all(&ports, duration_us);
    }

    fn wait_at_all(&self, ports: &[u32], duration_us: u64) {
        let before_us = self.machine.now_us();
        if let Err(error) = self.machine.poll(ports, duration_us) {
            self.machine.yield_core();
            if !self.is_refusal_told.replace(true) {
                crate::log!("waiting takes the whole core from now on: {error}");
            }
        }
        let waited_us = self.machine.now_us().saturating_sub(before_us);
        self.waited_us.set(self.waited_us.get() + waited_us);
        ports.iter().for_each(|port| self.machine.forget_event(*port));
    }
}

impl<M: Machine> EventPorts for &Ports<M> {
    fn open(&mut self, remote_domid: Domid) -> Result<u32, Errno> {
        self.machine.open_port(remote_domid).map_err(|error| error.errno)
    }

    fn close(&mut self, port: u32) {
        if let Err(error) = self.machine.close_port(port) {
            crate::log!("a port of the interface stays open: {error}");
        }
    }

    fn notify(&mut self, port: u32) {
        // One whose other end is closed takes it all the same.
        let _ = self.machine.notify(port);
    }

    fn wait(&mut self, ports: &[u32], duration_us: u64) {
        self.wait_at(ports, duration_us);
    }

    fn now_us(&mut self) -> u64 {
        self.machine.now_us()
    }
}

impl<M: Machine> RingHost for &Ports<M> {
    fn now_us(&mut self) -> u64 {
        self.machine.now_us()
    }

    fn notify(&mut self) {
        let _ = self.machine.notify(self.store);
    }

    /// At xenstore's port alone: what it is asked for is waited for, whoever else has something to say.
    fn wait(&mut self, duration_us: u64) {
        self.wait_at_all(&[self.store], duration_us);
    }
}

#[cfg(test)]
mod tests {
    use super::super::model_machine::ModelMachine;
    use super::*;

    #[test]
    fn a_wait_is_at_everything_that_may_wake() {
        let ports = Ports::new(ModelMachine::default(), 3);
        EventPorts::wait(&mut &ports, &[7, 8], 50);
        let dom0 = ports.open_for_dom0().unwrap();
        EventPorts::wait(&mut &ports, &[7], 50);
        RingHost::wait(&mut &ports, 60);
        let waits = ports.machine().0.borrow().waits.clone();
        assert_eq!(waits, [(vec![3, 7, 8], 50), (vec![3, dom0, 7], 50), (vec![3], 60)]);
        let forgotten = ports.machine().0.borrow().forgotten.clone();
        assert_eq!(forgotten, [3, 7, 8, 3, dom0, 7, 3]);
    }

    #[test]
    fn a_wait_is_no_work() {
        let ports = Ports::new(ModelMachine::default(), 3);
        let before_us = ports.worked_us();
        EventPorts::wait(&mut &ports, &[7], 5_000);
        assert!((before_us..before_us + 1_000).contains(&ports.worked_us()));
    }

    #[test]
    fn dom0_is_there_as_long_as_it_is_bound() {
        let ports = Ports::new(ModelMachine::default(), 3);
        assert!(!ports.is_dom0_there());
        let first = ports.open_for_dom0().unwrap();
        assert!(!ports.is_dom0_there());
        ports.machine().bind(first);
        assert!(ports.is_dom0_there());
        ports.machine().unbind(first);
        assert!(!ports.is_dom0_there());
        let second = ports.open_for_dom0().unwrap();
        assert_ne!(first, second);
        assert_eq!(ports.machine().0.borrow().open, [second].into(), "the first one is closed");
        ports.notify_dom0();
        assert_eq!(ports.machine().0.borrow().notified, [second]);
    }

    #[test]
    fn a_refused_wait_yields_the_core() {
        let ports = Ports::new(ModelMachine::default(), 3);
        ports.machine().0.borrow_mut().refuses_to_wait = true;
        EventPorts::wait(&mut &ports, &[], 50);
        EventPorts::wait(&mut &ports, &[], 50);
        assert_eq!(ports.machine().0.borrow().yield_count, 2);
    }
}
