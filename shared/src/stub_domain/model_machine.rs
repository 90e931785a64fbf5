//! A machine for tests of a stub domain: its time passes when it is looked at and when it is waited for, and whoever
//! else there is acts in the waits.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::machine::Machine;
use crate::platform::stubdom::entropy::EntropyError;
use crate::xen::{Domid, Errno, Operation, XenError};

type Act = Box<dyn FnMut(&ModelMachine)>;

#[derive(Default)]
pub struct State {
    now_us: u64,
    last_port: u32,
    pub open: BTreeSet<u32>,
    bound: BTreeSet<u32>,
    pub notified: Vec<u32>,
    pub waits: Vec<(Vec<u32>, u64)>,
    pub forgotten: Vec<u32>,
    pub refuses_to_wait: bool,
    pub yield_count: u32,
    pub memory_left: usize,
    /// What the others do in each wait.
    pub others: Option<Act>,
}

#[derive(Clone, Default)]
pub struct ModelMachine(pub Rc<RefCell<State>>);

impl ModelMachine {
    pub fn bind(&self, port: u32) {
        let state = &mut *self.0.borrow_mut();
        assert!(state.open.contains(&port) && state.bound.insert(port), "{port} waits");
    }

    pub fn unbind(&self, port: u32) {
        assert!(self.0.borrow_mut().bound.remove(&port), "{port} is bound");
    }
}

impl Machine for ModelMachine {
    fn now_us(&self) -> u64 {
        self.0.borrow_mut().now_us += 10;
        self.0.borrow().now_us
    }

    fn yield_core(&self) {
        self.0.borrow_mut().yield_count += 1;
    }

    fn open_port(&self, _: Domid) -> Result<u32, XenError> {
        let state = &mut *self.0.borrow_mut();
        state.last_port += 1;
        state.open.insert(state.last_port);
        Ok(state.last_port)
    }

    fn close_port(&self, port: u32) -> Result<(), XenError> {
        let state = &mut *self.0.borrow_mut();
        assert!(state.open.remove(&port), "{port} is open");
        state.bound.remove(&port);
        Ok(())
    }

    fn notify(&self, port: u32) -> Result<(), XenError> {
        self.0.borrow_mut().notified.push(port);
        Ok(())
    }

    fn is_bound_to_dom0(&self, port: u32) -> Result<bool, XenError> {
        assert!(self.0.borrow().open.contains(&port), "{port} is open");
        Ok(self.0.borrow().bound.contains(&port))
    }

    fn poll(&self, ports: &[u32], duration_us: u64) -> Result<(), XenError> {
        let state = &mut *self.0.borrow_mut();
        state.now_us += duration_us;
        state.waits.push((ports.to_vec(), duration_us));
        assert!(state.waits.len() < 100_000, "nobody does what is waited for");
        if state.refuses_to_wait {
            return Err(XenError::of_host(Operation::Poll, Errno::EINVAL));
        }
        Ok(())
    }

    fn forget_event(&self, port: u32) {
        self.0.borrow_mut().forgotten.push(port);
        // Once in a wait: at xenstore's port, which is first.
        let is_first = self.0.borrow().waits.last().is_some_and(|(ports, _)| ports[0] == port);
        if is_first {
            let others = self.0.borrow_mut().others.take();
            if let Some(mut act) = others {
                act(self);
                self.0.borrow_mut().others = Some(act);
            }
        }
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(4);
        Ok(())
    }

    fn memory_left(&self) -> usize {
        self.0.borrow().memory_left
    }
}
