//! The plan: which hypercalls rebuild the guest's event channels inside the twin, in which order.
//!
//! Xen gives out the lowest free port, so channels are bound in ascending order and closed ports
//! are filled for a moment. Three channels are not what they were:
//!
//! * **Timers** (VIRQ_TIMER) become ports that dom0 binds and kicks, since the guest's deadlines
//!   are in the old host's time.
//! * **Channels to other domains** wait unbound: their backends are new, and late cooperation
//!   connects them. What the guest sends there meanwhile is lost, as on any resume.
//! * **Priorities** are such that the guest never used. Its handler may be in the middle of a
//!   queue, and remembers the next port of each priority where we cannot see it; a queue of that
//!   priority, started anew by Xen, would be read from the wrong end and its events lost. An unused
//!   priority has nothing remembered. Resuming resets all of this.

use crate::codec::{CheckpointState, EventChannel, EventChannelKind, GFN_NONE};
use crate::xen::stub::{DOMID_SELF, StubCall};

use super::check::TwinPlaces;

/// VIRQ_TIMER (xen.h, Xen 4.17).
const VIRQ_TIMER: u32 = 0;
/// The twin's toolstack domain, in whose name backends run.
const DOMID_DOM0: u16 = 0;
/// Bytes between the vCPUs' structures in the decoy page: those of struct vcpu_info.
pub const DECOY_STRIDE: u32 = 64;

/// The FIFO priorities that the revived guest's channels get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshPriorities {
    /// Of the timers: served first.
    pub timer: u8,
    /// Of all others.
    pub other: u8,
}

impl FreshPriorities {
    /// The two highest of the priorities that are not in `used` (bit n for priority n); `None`
    /// when the guest has used too many.
    #[must_use]
    pub fn choose(used: u16) -> Option<Self> {
        let mut unused = (0..16u8).filter(|priority| used >> priority & 1 == 0);
        Some(Self { timer: unused.next()?, other: unused.next()? })
    }
}

/// Whether dom0 must kick this channel in place of the guest's timer.
#[must_use]
pub fn is_timer(channel: &EventChannel) -> bool {
    channel.kind == EventChannelKind::Virq { virq: VIRQ_TIMER }
}

/// Calls `emit` with each hypercall in turn. `state` has been checked against `twin`.
pub fn for_each_call(
    state: &CheckpointState,
    twin: &TwinPlaces,
    priorities: FreshPriorities,
    decoy_gfn: u64,
    emit: &mut dyn FnMut(StubCall),
) {
    bind_ports(state, twin, emit);
    set_up_vcpus(state, decoy_gfn, emit);
    for channel in &state.event_channels {
        let priority = if is_timer(channel) { priorities.timer } else { priorities.other };
        emit(StubCall::SetPriority { port: channel.port, priority });
    }
    // An IPI on its way at the checkpoint is lost with the old queues, and its sender may be
    // waiting for the answer: every IPI is sent once more. One too many does no harm.
    for channel in &state.event_channels {
        let online = state.vcpus[channel.vcpu as usize].online;
        if channel.kind == EventChannelKind::Ipi && online {
            emit(StubCall::Send { port: channel.port });
        }
    }
    emit(StubCall::Send { port: twin.store_port });
}

/// Binds every port up to the guest's highest, then closes those that fill a gap.
fn bind_ports(state: &CheckpointState, twin: &TwinPlaces, emit: &mut dyn FnMut(StubCall)) {
    let mut next_port = 1;
    for channel in &state.event_channels {
        for port in next_port..channel.port {
            emit(StubCall::AllocUnbound { port, remote_domid: DOMID_SELF });
        }
        next_port = channel.port + 1;
        // The toolstack allocated these two when it built the twin.
        if channel.port == twin.store_port || channel.port == twin.console_port {
            continue;
        }
        emit(bind(channel));
        if moves(channel) {
            emit(StubCall::BindVcpu { port: channel.port, vcpu: channel.vcpu });
        }
    }
    next_port = 1;
    for channel in &state.event_channels {
        for port in next_port..channel.port {
            emit(StubCall::Close { port });
        }
        next_port = channel.port + 1;
    }
}

/// The call that makes this channel's port.
fn bind(channel: &EventChannel) -> StubCall {
    let EventChannel { port, vcpu, kind, .. } = *channel;
    match kind {
        EventChannelKind::Ipi => StubCall::BindIpi { port, vcpu },
        EventChannelKind::Virq { virq } if virq != VIRQ_TIMER => {
            StubCall::BindVirq { port, virq, vcpu }
        }
        EventChannelKind::Virq { .. }
        | EventChannelKind::Unbound { .. }
        | EventChannelKind::Interdomain { .. } => {
            StubCall::AllocUnbound { port, remote_domid: DOMID_DOM0 }
        }
    }
}

/// Whether the port, once made, must be moved to its vCPU: ports to other domains start at 0.
fn moves(channel: &EventChannel) -> bool {
    let made_there = matches!(bind(channel), StubCall::BindIpi { .. } | StubCall::BindVirq { .. });
    !made_there && channel.vcpu != 0
}

fn set_up_vcpus(state: &CheckpointState, decoy_gfn: u64, emit: &mut dyn FnMut(StubCall)) {
    for (vcpu, info) in (0u32..).zip(&state.vcpus) {
        if info.control_block_gfn != GFN_NONE {
            emit(StubCall::InitControl { vcpu, gfn: info.control_block_gfn });
        }
    }
    for gfn in &state.event_array_gfns {
        emit(StubCall::ExpandArray { gfn: *gfn });
    }
    for (vcpu, info) in (0u32..).zip(&state.vcpus) {
        if info.vcpu_info_gfn != GFN_NONE {
            let offset = vcpu * DECOY_STRIDE;
            emit(StubCall::RegisterVcpuInfo { vcpu, gfn: decoy_gfn, offset });
        }
        if info.upcall_vector != 0 {
            emit(StubCall::SetUpcallVector { vcpu, vector: info.upcall_vector });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::sample::{TWIN, state};
    use super::*;
    use crate::xen::stub::STUB_CALL_COUNT_MAX;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Event channels as Xen gives them out: the lowest free port.
    fn run(calls: &[StubCall]) -> BTreeMap<u32, (StubCall, u32)> {
        let mut ports = BTreeMap::new();
        let store = StubCall::AllocUnbound { port: TWIN.store_port, remote_domid: 0 };
        let console = StubCall::AllocUnbound { port: TWIN.console_port, remote_domid: 0 };
        ports.insert(TWIN.store_port, (store, 0));
        ports.insert(TWIN.console_port, (console, 0));
        for call in calls {
            let (wanted, vcpu) = match *call {
                StubCall::AllocUnbound { port, .. } => (port, 0),
                StubCall::BindIpi { port, vcpu } | StubCall::BindVirq { port, vcpu, .. } => {
                    (port, vcpu)
                }
                StubCall::Close { port } => {
                    assert!(ports.remove(&port).is_some());
                    continue;
                }
                StubCall::BindVcpu { port, vcpu } => {
                    ports.get_mut(&port).unwrap().1 = vcpu;
                    continue;
                }
                _ => continue,
            };
            let free = (1..).find(|port| !ports.contains_key(port)).unwrap();
            assert_eq!(free, wanted, "{call:?}");
            ports.insert(wanted, (*call, vcpu));
        }
        ports
    }

    fn calls(state: &CheckpointState) -> Vec<StubCall> {
        let mut calls = Vec::new();
        let priorities = FreshPriorities { timer: 1, other: 2 };
        for_each_call(state, &TWIN, priorities, 0xfe004, &mut |call| calls.push(call));
        calls
    }

    #[test]
    fn the_sample_gets_its_ports_back() {
        let calls = calls(&state(1));
        let ports = run(&calls);
        let numbers: Vec<u32> = ports.keys().copied().collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 7, 8, 9, 10]);
        // The timers are ports for dom0, at their vCPUs.
        assert_eq!(ports[&3].0, StubCall::AllocUnbound { port: 3, remote_domid: 0 });
        assert_eq!(ports[&5], (StubCall::AllocUnbound { port: 5, remote_domid: 0 }, 1));
        assert_eq!(ports[&8].1, 1);
        assert!(calls.contains(&StubCall::SetPriority { port: 3, priority: 1 }));
        assert!(calls.contains(&StubCall::SetPriority { port: 7, priority: 2 }));
        assert!(calls.contains(&StubCall::Send { port: 7 }));
        assert_eq!(calls.last(), Some(&StubCall::Send { port: 1 }));
    }

    #[test]
    fn nothing_is_sent_before_vcpu_info_and_array_are_there() {
        let calls = calls(&state(1));
        let at = |wanted: &dyn Fn(&StubCall) -> bool| calls.iter().position(wanted);
        let send = at(&|call| matches!(call, StubCall::Send { .. })).unwrap();
        let control = calls.iter().rposition(|c| matches!(c, StubCall::InitControl { .. }));
        let array = at(&|call| matches!(call, StubCall::ExpandArray { .. }));
        let info = calls.iter().rposition(|c| matches!(c, StubCall::RegisterVcpuInfo { .. }));
        assert!(control < array);
        assert!(array < Some(send) && info < Some(send));
    }

    #[test]
    fn fresh_priorities_are_unused_ones() {
        let fresh = |timer, other| Some(FreshPriorities { timer, other });
        assert_eq!(FreshPriorities::choose(1 << 7 | 1), fresh(1, 2));
        assert_eq!(FreshPriorities::choose(0), fresh(0, 1));
        assert_eq!(FreshPriorities::choose(0x3fff), fresh(14, 15));
        assert_eq!(FreshPriorities::choose(0x7fff), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_set_of_ports_comes_back(
            ports in proptest::collection::btree_set(3u32..200, 0..100),
            kinds: [u8; 8],
        ) {
            let mut wanted = state(1);
            wanted.event_channels.truncate(2);
            for port in ports.iter().copied() {
                let vcpu = port % 2;
                let kind = match kinds[port as usize % 8] % 3 {
                    0 => EventChannelKind::Ipi,
                    1 => EventChannelKind::Interdomain { remote_domid: 0, remote_port: port },
                    _ => EventChannelKind::Virq { virq: 0 },
                };
                let channel = EventChannel { port, vcpu, priority: 7, kind };
                wanted.event_channels.push(channel).unwrap();
            }
            let calls = calls(&wanted);
            prop_assert!(calls.len() <= STUB_CALL_COUNT_MAX);
            let made = run(&calls);
            let expected: BTreeSet<u32> = ports.iter().copied().chain([1, 2]).collect();
            prop_assert_eq!(made.keys().copied().collect::<BTreeSet<u32>>(), expected);
            for (port, (_, vcpu)) in made {
                prop_assert!(port < 3 || vcpu == port % 2);
            }
        }
    }
}
