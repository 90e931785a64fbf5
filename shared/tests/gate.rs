//! The gate over real interfaces: what a guest sends through its vif, a bridge passes on or not.
//!
//! The kernel must have `sch_plug`; where it has not, the tests check the refusal and say that they
//! skipped the rest.

mod namespace;

use pollux::platform::linux::clock::sleep_us;
use pollux::platform::linux::output_gate::{GateError, OutputGate};
use pollux::platform::linux::packet_socket::PacketSocket;
use std::process::Command;

const DOMID: u16 = 7;
const ETHERTYPE: u16 = 0x88B5;
const VLAN_ETHERTYPE: u16 = 0x8100;
/// Every EtherType (ETH_P_ALL), which is what the LAN listens to.
const ANY_ETHERTYPE: u16 = 3;
const FRAME_SIZE: usize = 60;

/// A guest with interfaces `vif7.N`, whose other ends the test holds, on a bridge.
struct Network {
    guest: Vec<PacketSocket>,
    lan: PacketSocket,
}

impl Network {
    fn new(interface_count: usize) -> Self {
        namespace::ip("link add bridge type bridge");
        namespace::ip("link set bridge up");
        namespace::veth_pair("port", "lan");
        namespace::ip("link set port master bridge");
        let guest = (0..interface_count).map(|number| {
            let name = format!("guest{number}");
            namespace::veth_pair(&format!("vif{DOMID}.{number}"), &name);
            namespace::ip(&format!("link set vif{DOMID}.{number} master bridge"));
            PacketSocket::open(&name, ETHERTYPE).unwrap()
        });
        let guest = guest.collect();
        let lan = PacketSocket::open("lan", ANY_ETHERTYPE).unwrap();
        let network = Self { guest, lan };
        // A new port of a bridge takes a moment until it forwards.
        for number in 0..interface_count {
            while network.passed(number, 0).is_empty() {
                sleep_us(10_000);
            }
            network.arrived();
        }
        network
    }

    fn send(&self, number: usize, ethertype: u16, mark: u8) {
        let mut frame = [mark; FRAME_SIZE];
        frame[..6].copy_from_slice(&self.lan.mac());
        frame[6..12].copy_from_slice(&self.guest[number].mac());
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        assert_eq!(self.guest[number].send_batch(&[&frame]).unwrap(), 1);
    }

    /// The marks of the guest's frames that have arrived on the LAN, once none has come for a
    /// while. (The bridge may have talked by itself.)
    fn arrived(&self) -> Vec<u8> {
        let mut marks = Vec::new();
        while self.lan.wait_readable(50_000) {
            let mut area = [0; 2048];
            let mut sizes = [0];
            if self.lan.receive_batch(&mut area, 2048, &mut sizes).unwrap() == 1 {
                let is_guests = self.guest.iter().any(|guest| area[6..12] == guest.mac());
                marks.extend(is_guests.then(|| area[sizes[0] - 1]));
            }
        }
        marks
    }

    fn passed(&self, number: usize, mark: u8) -> Vec<u8> {
        self.send(number, ETHERTYPE, mark);
        self.arrived()
    }
}

fn left_overs() -> usize {
    let links = Command::new("ip").arg("link").output().unwrap();
    let qdiscs = Command::new("tc").arg("qdisc").output();
    let mut text = String::from_utf8(links.stdout).unwrap();
    if let Ok(qdiscs) = qdiscs {
        text += &String::from_utf8(qdiscs.stdout).unwrap();
    }
    text.lines().filter(|line| line.contains("pollux") || line.contains("ingress")).count()
}

/// Opens the gate, or says that this kernel cannot.
fn open(test: &str) -> Option<OutputGate> {
    match OutputGate::open(DOMID) {
        Ok(gate) => Some(gate),
        Err(error @ GateError::Missing { .. }) => {
            println!("{test}: skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_refused_gate_leaves_the_guest_as_it_was() {
    namespace::run("a_refused_gate_leaves_the_guest_as_it_was", || {
        let error = OutputGate::open(DOMID).unwrap_err();
        assert_eq!(error, GateError::NoInterface { domid: DOMID });
        let network = Network::new(2);
        // Another's hook at the second interface: the gate cannot have it, and must not remove it.
        let status = Command::new("tc").args(["qdisc", "add", "dev", "vif7.1", "ingress"]).status();
        if !status.is_ok_and(|status| status.success()) {
            println!("skipped: no tc");
            return;
        }
        match OutputGate::open(DOMID).unwrap_err() {
            GateError::IngressInUse { interface } => assert_eq!(interface.as_str(), "vif7.1"),
            error @ GateError::Missing { .. } => println!("partly skipped: {error}"),
            error => panic!("{error}"),
        }
        assert_eq!(left_overs(), 1, "the other's hook alone is there");
        assert_eq!(network.passed(0, 1), [1]);
        assert_eq!(network.passed(1, 2), [2]);
    });
}

#[test]
fn frames_wait_for_their_epochs_acknowledgement() {
    const NAME: &str = "frames_wait_for_their_epochs_acknowledgement";
    namespace::run(NAME, || {
        let network = Network::new(2);
        let Some(mut gate) = open(NAME) else { return };
        assert_eq!(gate.interface_count(), 2);
        assert_eq!(network.passed(0, 1), [1]);

        gate.end_epoch(1).unwrap();
        assert_eq!(network.passed(0, 2), []);
        network.send(1, VLAN_ETHERTYPE, 3);
        assert_eq!(network.arrived(), []);
        gate.acknowledge(1).unwrap();
        assert_eq!(network.arrived(), [], "epoch 1 ended before these frames were sent");

        gate.end_epoch(2).unwrap();
        assert_eq!(network.passed(0, 4), []);
        let counters = gate.counters().unwrap();
        assert_eq!((counters.frames_held, counters.frames_dropped), (3, 0));
        gate.acknowledge(2).unwrap();
        assert_eq!(network.arrived(), [2, 3], "frame 4 belongs to epoch 3");

        gate.end_epoch(3).unwrap();
        network.send(0, ETHERTYPE, 5);
        gate.release_all().unwrap();
        assert_eq!(network.arrived(), [4, 5]);
        assert_eq!(network.passed(1, 6), [6]);
        gate.verify(Some(1)).unwrap();
        gate.close().unwrap();
        assert_eq!(left_overs(), 0);
        assert_eq!(network.passed(0, 7), [7]);
    });
}

#[test]
fn what_a_killed_process_left_is_released_and_removed() {
    const NAME: &str = "what_a_killed_process_left_is_released_and_removed";
    namespace::run(NAME, || {
        let network = Network::new(1);
        let Some(mut gate) = open(NAME) else { return };
        gate.end_epoch(9).unwrap();
        network.send(0, ETHERTYPE, 1);
        // A gate that is dropped stays, as it does when its process is killed.
        drop(gate);
        assert_eq!(network.passed(0, 2), []);
        let mut gate = OutputGate::open(DOMID).unwrap();
        assert_eq!(network.arrived(), [1, 2]);
        gate.end_epoch(1).unwrap();
        assert_eq!(network.passed(0, 3), []);
        drop(gate);
        OutputGate::remove_left_overs(DOMID).unwrap();
        assert_eq!(network.arrived(), [3]);
        assert_eq!(left_overs(), 0);
    });
}

#[test]
fn an_interface_that_came_later_is_noticed() {
    const NAME: &str = "an_interface_that_came_later_is_noticed";
    namespace::run(NAME, || {
        let _network = Network::new(1);
        let Some(mut gate) = open(NAME) else { return };
        gate.verify(None).unwrap();
        namespace::veth_pair("vif7.1", "guest1");
        let changed = GateError::InterfacesChanged { domid: DOMID };
        assert_eq!(gate.verify(None).unwrap_err(), changed);
        namespace::ip("link del vif7.1");
        gate.verify(None).unwrap();
        // The guest has a vif that is called otherwise, or has its backend elsewhere.
        let not_all = GateError::NotAll { domid: DOMID };
        assert_eq!(gate.verify(Some(2)).unwrap_err(), not_all);
        gate.close().unwrap();
    });
}

#[test]
fn a_busy_guest_loses_no_frame_when_the_gate_comes_and_goes() {
    const NAME: &str = "a_busy_guest_loses_no_frame_when_the_gate_comes_and_goes";
    namespace::run(NAME, || {
        let network = Network::new(1);
        let Some(first) = open(NAME) else { return };
        let mut gate = Some(first);
        let mut sent = Vec::new();
        let mut arrived = Vec::new();
        for mark in 0..200_u8 {
            network.send(0, ETHERTYPE, mark);
            sent.push(mark);
            match mark % 20 {
                4 => gate.as_mut().unwrap().end_epoch(u64::from(mark / 20) + 1).unwrap(),
                9 => gate.as_mut().unwrap().acknowledge(u64::from(mark / 20) + 1).unwrap(),
                15 if mark > 100 => {
                    gate.take().unwrap().close().unwrap();
                    arrived.extend(network.arrived());
                    assert_eq!(arrived, sent);
                    gate = Some(OutputGate::open(DOMID).unwrap());
                    // Epochs are counted on by the guest's protection, not by the gate.
                }
                _ => {}
            }
        }
        gate.unwrap().close().unwrap();
        arrived.extend(network.arrived());
        assert_eq!(arrived, sent);
    });
}
