//! Xenstore, event channels, toolstack and backend driver for tests of an interface.

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use super::model_backend::{Memory, ModelBackend};
use super::{EventPorts, Vif};
use crate::limits::VIF_LOOK_INTERVAL_US;
use crate::xen::grant_access::GrantTable;
use crate::xen::xenbus::{DeviceStore, Value};
use crate::xen::xenstore::XenstoreError;
use crate::xen::{Domid, Errno, GuestPage};

const HOME: &str = "/local/domain/5/";
pub const FRONT: &str = "/local/domain/5/device/vif/0";
pub const BACK: &str = "/local/domain/3/backend/vif/5/0";
pub const ALL_GRANTS: usize = 2 * 512 - 8;

#[derive(Default)]
pub struct World {
    pub nodes: BTreeMap<String, String>,
    pub watches: Vec<(String, String)>,
    pub changed: BTreeSet<String>,
    pub is_silent: bool,
    pub ports: BTreeSet<u32>,
    pub notified: Vec<u32>,
    pub waits: Vec<Vec<u32>>,
    /// No port is to be had.
    pub is_full: bool,
    pub is_read_only: bool,
    pub read_count: u32,
    pub now_us: u64,
    /// How far the clock goes each time that it is read.
    pub tick_us: u64,
}

/// Store and event channels.
#[derive(Clone, Default)]
pub struct Host(pub Rc<RefCell<World>>);

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_string() } else { HOME.to_string() + path }
}

impl Host {
    pub fn set(&self, path: &str, value: &str) {
        self.0.borrow_mut().nodes.insert(path.to_string(), value.to_string());
        self.touch(path);
    }

    pub fn remove(&self, path: &str) {
        self.0.borrow_mut().nodes.retain(|node, _| !node.starts_with(path));
        self.touch(path);
    }

    pub fn touch(&self, path: &str) {
        let world = &mut *self.0.borrow_mut();
        let concerned = |watched: &str| path.starts_with(watched) || watched.starts_with(path);
        let tokens = world.watches.iter().filter(|(watched, _)| concerned(watched));
        world.changed.extend(tokens.map(|(_, token)| token.clone()));
    }

    pub fn get(&self, path: &str) -> String {
        self.0.borrow().nodes.get(path).cloned().unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> u32 {
        self.get(&std::format!("{FRONT}/{name}")).parse().unwrap()
    }

    pub fn states(&self) -> [String; 2] {
        [FRONT, BACK].map(|end| self.get(&std::format!("{end}/state")))
    }

    /// What the toolstack writes for a new interface.
    pub fn attach(&self) {
        for (name, value) in [
            ("backend", BACK),
            ("backend-id", "3"),
            ("mac", "00:16:3e:01:02:03"),
            ("mtu", "9000"),
            ("state", "1"),
        ] {
            self.set(&std::format!("{FRONT}/{name}"), value);
        }
        for (name, value) in
            [("online", "1"), ("feature-sg", "1"), ("feature-rx-copy", "1"), ("state", "1")]
        {
            self.set(&std::format!("{BACK}/{name}"), value);
        }
    }

    /// What a backend does when the frontend's state changes.
    pub fn react(&self) {
        let [front, back] = self.states();
        let new = match (front.as_str(), back.as_str()) {
            ("1", "1" | "6") => "2",
            ("4", "2") => "4",
            ("5", "2" | "4" | "5") => "5",
            ("6", _) => "6",
            _ => return,
        };
        if new != back {
            self.set(&std::format!("{BACK}/state"), new);
        }
    }
}

impl DeviceStore for Host {
    fn read(&mut self, path: &str) -> Result<Option<Value>, XenstoreError> {
        if self.0.borrow().is_silent {
            return Err(XenstoreError::Silent);
        }
        self.0.borrow_mut().read_count += 1;
        let value = self.0.borrow().nodes.get(&absolute(path)).cloned();
        Ok(value.and_then(|value| Value::try_from(value.as_str()).ok()))
    }

    fn write(&mut self, path: &str, value: &str) -> Result<(), XenstoreError> {
        if self.0.borrow().is_read_only {
            return Err(XenstoreError::Silent);
        }
        self.set(&absolute(path), value);
        Ok(())
    }

    fn watch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        let world = &mut *self.0.borrow_mut();
        world.watches.push((absolute(path), token.to_string()));
        world.changed.insert(token.to_string());
        Ok(())
    }

    fn unwatch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        let watch = (absolute(path), token.to_string());
        self.0.borrow_mut().watches.retain(|it| *it != watch);
        Ok(())
    }

    fn take_changed(&mut self, token: &str) -> Result<bool, XenstoreError> {
        Ok(self.0.borrow_mut().changed.remove(token))
    }
}

impl EventPorts for Host {
    fn open(&mut self, _: Domid) -> Result<u32, Errno> {
        let world = &mut *self.0.borrow_mut();
        if world.is_full {
            return Err(Errno::ENOSPC);
        }
        let port = world.ports.last().map_or(7, |last| last + 1);
        world.ports.insert(port);
        Ok(port)
    }

    fn close(&mut self, port: u32) {
        assert!(self.0.borrow_mut().ports.remove(&port));
    }

    fn notify(&mut self, port: u32) {
        assert!(self.0.borrow().ports.contains(&port));
        self.0.borrow_mut().notified.push(port);
    }

    fn wait(&mut self, ports: &[u32], _: u64) {
        self.0.borrow_mut().waits.push(ports.to_vec());
    }

    fn now_us(&mut self) -> u64 {
        let world = &mut *self.0.borrow_mut();
        world.now_us += world.tick_us;
        world.now_us
    }
}

pub type TestVif = Vif<'static, 'static, Host, Host>;

pub struct Scene {
    pub host: Host,
    pub memory: Memory,
    pub table: &'static RefCell<GrantTable<'static>>,
    pub vif: TestVif,
}

impl Scene {
    pub fn new(prepare: impl FnOnce(&Host)) -> Self {
        let (host, memory) = (Host::default(), Memory::new());
        host.0.borrow_mut().tick_us = VIF_LOOK_INTERVAL_US;
        prepare(&host);
        let table = RefCell::new(GrantTable::new(&memory.table));
        let table: &'static _ = std::boxed::Box::leak(std::boxed::Box::new(table));
        let vif = Vif::new(0, memory.interface(), table, host.clone(), host.clone()).unwrap();
        Self { host, memory, table, vif }
    }

    /// Lets both ends do what they have to do.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            self.vif.attend().unwrap();
            self.host.react();
        }
    }

    pub fn connected() -> Self {
        let mut scene = Self::new(Host::attach);
        scene.settle();
        assert!(scene.vif.is_connected());
        scene
    }

    pub fn backend(&self) -> ModelBackend {
        let references = ["tx-ring-ref", "rx-ring-ref"].map(|name| self.host.number(name));
        ModelBackend::at(self.memory, references, 0)
    }

    pub fn free_count(&self) -> usize {
        self.table.borrow().free_count()
    }

    /// The entry of the grant that `name` tells the backend of.
    pub fn entry(&self, name: &str) -> (GuestPage<'static>, usize) {
        let reference = self.host.number(name) as usize;
        (self.memory.table[reference / 512], reference % 512 * 8)
    }
}
