//! What Xen answers when asked, as discovery uses it: the ports, and each vCPU's registers.

use heapless::Vec;

use crate::codec::{EventChannel, EventChannelKind};
use crate::limits::{EVENT_CHANNEL_COUNT_MAX, VCPU_COUNT_MAX};

/// First address of the upper half of the canonical address space, where kernels live.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU (xen.h, Xen 4.17): bound to one vCPU each,
/// for as long as the port lives.
const VIRQS_OF_A_VCPU: [u32; 4] = [0, 1, 7, 13];

/// The guest's open ports, ascending, as EVTCHNOP_status gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortTable(Vec<EventChannel, EVENT_CHANNEL_COUNT_MAX>);

impl PortTable {
    /// Appends the next open port.
    ///
    /// # Errors
    /// Gives the channel back when its port is beyond [`EVENT_CHANNEL_COUNT_MAX`].
    pub fn push(&mut self, channel: EventChannel) -> Result<(), EventChannel> {
        assert!(self.0.last().is_none_or(|last| last.port < channel.port), "ports ascend");
        if usize::try_from(channel.port).is_ok_and(|port| port < EVENT_CHANNEL_COUNT_MAX) {
            self.0.push(channel)
        } else {
            Err(channel)
        }
    }

    /// Forgets every port.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The channel at `port`, unless it is closed.
    #[must_use]
    pub fn get(&self, port: u32) -> Option<&EventChannel> {
        self.0.binary_search_by_key(&port, |channel| channel.port).ok().map(|at| &self.0[at])
    }

    /// Whether `port` is open.
    #[must_use]
    pub fn is_open(&self, port: usize) -> bool {
        u32::try_from(port).is_ok_and(|port| self.get(port).is_some())
    }

    /// Whether the guest cannot move `port` to another vCPU (EVTCHNOP_bind_vcpu, event_channel.h).
    #[must_use]
    pub fn is_bound_for_good(&self, port: u32) -> bool {
        self.get(port).is_some_and(|channel| match channel.kind {
            EventChannelKind::Ipi => true,
            EventChannelKind::Virq { virq } => VIRQS_OF_A_VCPU.contains(&virq),
            EventChannelKind::Unbound { .. } | EventChannelKind::Interdomain { .. } => false,
        })
    }

    /// The channels, ascending by port.
    #[must_use]
    pub fn channels(&self) -> &[EventChannel] {
        &self.0
    }

    /// Whether `other` has the same ports, bound to the same vCPUs and peers.
    #[must_use]
    pub fn has_same_bindings(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(own, other)| {
                (own.port, own.vcpu, own.kind) == (other.port, other.vcpu, other.kind)
            })
    }

    /// Sets the priority of an open port; a closed one is left alone.
    pub fn set_priority(&mut self, port: u32, priority: u8) {
        if let Some(channel) = self.0.iter_mut().find(|channel| channel.port == port) {
            channel.priority = priority;
        }
    }

    /// Ports of `vcpu` that connect to `remote_domid`, each with the port at the other end.
    pub fn peers_of(&self, vcpu: u32, remote_domid: u16) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().filter(move |channel| channel.vcpu == vcpu).filter_map(move |channel| {
            match channel.kind {
                EventChannelKind::Interdomain { remote_domid: domid, remote_port }
                    if domid == remote_domid =>
                {
                    Some((channel.port, remote_port))
                }
                _ => None,
            }
        })
    }
}

/// What discovery reads of one vCPU that is up, from its HVM context records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuRegisters {
    /// Page table root, with its flag bits.
    pub cr3: u64,
    /// GS base in use.
    pub gs_base: u64,
    /// GS base that `swapgs` would load.
    pub shadow_gs: u64,
    /// The guest's TSC at the time of the record.
    pub tsc: u64,
    /// Interrupt request register of the local APIC, vector 0 in bit 0 of word 0.
    pub interrupt_request: [u32; 8],
}

impl VcpuRegisters {
    /// The GS base of the guest's kernel, on Linux its per-CPU base.
    ///
    /// Chosen by value, since around `swapgs` the privilege level does not tell which is which.
    /// `None` when none or both are kernel addresses.
    #[must_use]
    pub fn kernel_gs_base(&self) -> Option<u64> {
        match (self.gs_base >= KERNEL_HALF, self.shadow_gs >= KERNEL_HALF) {
            (true, false) => Some(self.gs_base),
            (false, true) => Some(self.shadow_gs),
            _ => None,
        }
    }
}

/// Registers of every vCPU; `None` for a vCPU that is down (Xen writes no CPU record for it).
pub type Registers = [Option<VcpuRegisters>; VCPU_COUNT_MAX];

/// The vCPUs that are up, with their registers.
pub fn online(registers: &Registers) -> impl Iterator<Item = (u32, &VcpuRegisters)> {
    (0u32..).zip(registers).filter_map(|(vcpu, registers)| Some((vcpu, registers.as_ref()?)))
}

#[cfg(test)]
pub(in crate::capture) mod testing {
    use super::*;

    /// Ports with their vCPUs: IPIs below 100, connections to port+1000 of dom0 from there on.
    pub fn ports(list: &[(u32, u32)]) -> PortTable {
        let mut table = PortTable::default();
        for (port, vcpu) in list {
            let kind = if *port < 100 {
                EventChannelKind::Ipi
            } else {
                EventChannelKind::Interdomain { remote_domid: 0, remote_port: port + 1000 }
            };
            let channel = EventChannel { port: *port, vcpu: *vcpu, priority: 7, kind };
            table.push(channel).unwrap();
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::testing::ports;
    use super::*;

    #[test]
    fn the_table_finds_ports_and_peers() {
        let mut table = ports(&[(3, 0), (7, 1), (101, 1)]);
        assert_eq!(table.get(7).unwrap().vcpu, 1);
        assert!(table.get(4).is_none() && table.is_open(101));
        assert!(table.is_bound_for_good(3) && !table.is_bound_for_good(101));
        assert!(!table.is_bound_for_good(4));
        assert_eq!(table.peers_of(1, 0).collect::<std::vec::Vec<_>>(), [(101, 1101)]);
        assert_eq!(table.peers_of(0, 0).count() + table.peers_of(1, 5).count(), 0);
        table.set_priority(7, 0);
        assert_eq!(table.get(7).unwrap().priority, 0);
        let beyond = EventChannel { port: 1024, vcpu: 0, priority: 7, kind: EventChannelKind::Ipi };
        assert_eq!(table.push(beyond), Err(beyond));
    }

    #[test]
    fn the_kernels_gs_base_is_known_by_its_half() {
        let kernel = 0xffff_8880_0740_0000;
        let with = |gs_base, shadow_gs| VcpuRegisters { gs_base, shadow_gs, ..Default::default() };
        assert_eq!(with(kernel, 0).kernel_gs_base(), Some(kernel));
        assert_eq!(with(0x7fff_0000_1000, kernel).kernel_gs_base(), Some(kernel));
        assert_eq!(with(0, 0).kernel_gs_base(), None);
        assert_eq!(with(kernel, kernel + 1).kernel_gs_base(), None);
    }
}
