//! Two hosts of network namespaces with a relay between them, joined by veth pairs. They are this
//! process's own: named after it, and removed when the value is dropped.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pollux::platform::linux::packet_socket::PacketSocket;
use pollux::wire::ETHERTYPE_DEFAULT;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Three namespaces: `primary -- relay -- backup`.
#[derive(Debug)]
pub struct Hosts {
    name: String,
}

impl Hosts {
    /// None if this process may not make namespaces.
    pub fn new(mtu: usize) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not run: it needs root for network namespaces");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let hosts = Self { name: format!("pollux-{}-{count}", std::process::id()) };
        for role in ["primary", "relay", "backup"] {
            ip(&format!("netns add {}", hosts.namespace(role)));
        }
        let relay = hosts.namespace("relay");
        for role in ["primary", "backup"] {
            let host = hosts.namespace(role);
            ip(&format!("-n {host} link add link0 type veth peer name {role} netns {relay}"));
            ip(&format!("-n {host} link set link0 mtu {mtu} up"));
            ip(&format!("-n {relay} link set {role} mtu {mtu} up"));
        }
        Some(hosts)
    }

    fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }

    /// Opens a packet socket in a namespace, and leaves this thread there.
    pub fn open(&self, role: &str, interface: &str) -> PacketSocket {
        let path = format!("/run/netns/{}", self.namespace(role));
        let file = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        PacketSocket::open(interface, ETHERTYPE_DEFAULT).unwrap()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for role in ["primary", "relay", "backup"] {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(role)]).status();
        }
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}
