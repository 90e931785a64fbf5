//! Two network namespaces and the veth pair between them.

use std::process::Command;

use pollux::wire::EthernetAddress;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::shipping::SENDER_MAC;

/// Role of the namespace that sends, and of the other one.
pub const SENDING: &str = "sending";
pub const RECEIVING: &str = "receiving";
/// The interface in either of them.
pub const INTERFACE: &str = "link0";
/// Their addresses for TCP.
pub const SENDING_IP: &str = "192.0.2.1";
pub const RECEIVING_IP: &str = "192.0.2.2";

/// The namespaces, named after this process; they go with the value.
pub struct Veth {
    prefix: String,
}

impl Veth {
    pub fn new(mtu: u16) -> Self {
        let veth = Self { prefix: format!("wire-rate-{}", std::process::id()) };
        let [sending, receiving] = [SENDING, RECEIVING].map(|role| veth.name(role));
        for name in [&sending, &receiving] {
            ip(&format!("netns add {name}"));
            // Neighbour discovery would send frames of its own.
            ip(&format!("netns exec {name} sysctl -qw net.ipv6.conf.default.disable_ipv6=1"));
        }
        let peer = format!("peer name {INTERFACE} netns {receiving}");
        ip(&format!("-n {sending} link add {INTERFACE} mtu {mtu} type veth {peer}"));
        let mac = EthernetAddress(SENDER_MAC);
        ip(&format!("-n {sending} link set {INTERFACE} address {mac}"));
        for (name, address) in [(&sending, SENDING_IP), (&receiving, RECEIVING_IP)] {
            ip(&format!("-n {name} address add {address}/24 dev {INTERFACE}"));
            ip(&format!("-n {name} link set {INTERFACE} mtu {mtu} up"));
        }
        veth
    }

    pub fn name(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    /// Moves this thread into a namespace.
    pub fn enter(&self, role: &str) {
        let path = format!("/run/netns/{}", self.name(role));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file =
            rustix::fs::open(path.as_str(), flags, Mode::empty()).expect("the namespace is there");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may enter its namespaces");
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        for role in [SENDING, RECEIVING] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(role)]).status();
        }
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {arguments} failed");
}
