//! Checks of a checkpoint's state, before anything is done with it.
//!
//! The state comes from the authenticated peer, yet every number in it becomes an index, a gfn or
//! an argument to Xen, so each is held against the limits and against the twin first. A state
//! that passes can be revived as far as its own words go; it is checked when its epoch arrives,
//! so that an acknowledged epoch is one that passed.

use core::fmt;

use crate::codec::{CheckpointState, EventChannel, EventChannelKind, GFN_NONE, VcpuState};
use crate::limits::PAGE_SIZE;

/// HVM_PARAM_STORE_PFN, _STORE_EVTCHN, _CONSOLE_PFN, _CONSOLE_EVTCHN (hvm/params.h, Xen 4.17).
const PARAM_STORE_PFN: u32 = 1;
const PARAM_STORE_EVTCHN: u32 = 2;
const PARAM_CONSOLE_PFN: u32 = 17;
const PARAM_CONSOLE_EVTCHN: u32 = 18;

/// Guest frame numbers end below this: 48 bits of guest-physical address (x86, save.h and p2m).
const GFN_LIMIT: u64 = 1 << 36;
/// Bytes of struct vcpu_info, and its alignment (xen.h, Xen 4.17).
const VCPU_INFO_SIZE: usize = 64;
const VCPU_INFO_ALIGNMENT: u32 = 8;
/// Words in a page of the FIFO event array.
const EVENT_WORDS_PER_PAGE: usize = PAGE_SIZE / 4;
/// EVTCHN_FIFO_MAX_QUEUES (event_channel.h).
const PRIORITY_COUNT: u8 = 16;
/// NR_VIRQS (xen.h).
const VIRQ_COUNT: u32 = 24;
/// Vectors below are the processor's exceptions.
const VECTOR_FIRST: u8 = 16;

/// What the toolstack fixed when it built the twin, and the guest's state must agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinPlaces {
    /// vCPUs of the twin.
    pub vcpu_count: usize,
    /// gfn of the xenstore ring (HVM_PARAM_STORE_PFN).
    pub store_gfn: u64,
    /// Port of the xenstore ring (HVM_PARAM_STORE_EVTCHN).
    pub store_port: u32,
    /// gfn of the console ring (HVM_PARAM_CONSOLE_PFN).
    pub console_gfn: u64,
    /// Port of the console ring (HVM_PARAM_CONSOLE_EVTCHN).
    pub console_port: u32,
}

/// Why a checkpoint's state cannot be revived in this twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFault {
    /// The state is that of another epoch than its entries.
    OtherEpoch {
        /// Epoch of the entries.
        wanted: u64,
        /// Epoch that the state names.
        found: u64,
    },
    /// The HVM context has another length than the state says.
    ContextSize {
        /// Bytes that came.
        bytes: usize,
        /// Bytes that the state names.
        wanted: u32,
    },
    /// The twin has another number of vCPUs.
    VcpuCount {
        /// vCPUs of the guest.
        guest: usize,
        /// vCPUs of the twin.
        twin: usize,
    },
    /// vCPU 0 was not online.
    BootVcpuDown,
    /// A structure of a vCPU lies where none can.
    VcpuPlace {
        /// The vCPU.
        vcpu: usize,
    },
    /// A vCPU has no upcall vector of its own: the guest uses an event ABI that is not supported.
    NoUpcallVector {
        /// The vCPU.
        vcpu: usize,
    },
    /// A gfn is beyond the guest-physical address space.
    Gfn {
        /// The gfn.
        gfn: u64,
    },
    /// The guest has no FIFO event array.
    NoEventArray,
    /// An event channel is out of order, or names what cannot be.
    EventChannel {
        /// Its port.
        port: u32,
    },
    /// The guest's xenstore or console ring lies elsewhere than the twin's.
    OtherRing {
        /// Index of the HVM param that differs.
        param: u32,
        /// The guest's value; 0 when it has none.
        guest: u64,
        /// The twin's value.
        twin: u64,
    },
    /// The token of the watch on control/shutdown is empty or not printable.
    WatchToken,
}

impl fmt::Display for StateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherEpoch { wanted, found } => {
                write!(f, "epoch {wanted} came with the state of epoch {found}")
            }
            Self::ContextSize { bytes, wanted } => {
                write!(f, "the HVM context has {bytes} bytes where its state names {wanted}")
            }
            Self::VcpuCount { guest, twin } => write!(
                f,
                "the guest has {guest} vCPUs and the twin {twin}: use the same xl configuration"
            ),
            Self::BootVcpuDown => f.write_str("vCPU 0 of the guest is offline"),
            Self::VcpuPlace { vcpu } => {
                write!(f, "the structures of vCPU {vcpu} lie where none can")
            }
            Self::NoUpcallVector { vcpu } => write!(
                f,
                "vCPU {vcpu} has no upcall vector: the guest's kernel is too old to be revived"
            ),
            Self::Gfn { gfn } => write!(f, "gfn {gfn:#x} is beyond the address space"),
            Self::NoEventArray => f.write_str("the guest does not use FIFO event channels"),
            Self::EventChannel { port } => write!(f, "event channel {port} cannot be as described"),
            Self::OtherRing { param, guest, twin } => write!(
                f,
                "HVM param {param} is {guest:#x} in the guest and {twin:#x} in the twin: \
                 build both with the same xl version and configuration"
            ),
            Self::WatchToken => {
                f.write_str("the token of the watch on control/shutdown is unusable")
            }
        }
    }
}

/// Checks the state of `epoch`, which came with `context_size` bytes of HVM context, against the
/// limits and the twin.
///
/// # Errors
/// [`StateFault`] names the first thing that cannot be.
pub fn check_state(
    state: &CheckpointState,
    epoch: u64,
    context_size: usize,
    twin: &TwinPlaces,
) -> Result<(), StateFault> {
    if state.epoch != epoch {
        return Err(StateFault::OtherEpoch { wanted: epoch, found: state.epoch });
    }
    if usize::try_from(state.hvm_context_size) != Ok(context_size) {
        let wanted = state.hvm_context_size;
        return Err(StateFault::ContextSize { bytes: context_size, wanted });
    }
    check_vcpus(state, twin)?;
    if state.event_array_gfns.is_empty() {
        return Err(StateFault::NoEventArray);
    }
    let gfns = state.grant_frame_gfns.iter().chain(&state.event_array_gfns);
    for gfn in gfns.chain([&state.shared_info_gfn]) {
        check_gfn(*gfn)?;
    }
    check_event_channels(state)?;
    check_rings(state, twin)?;
    let token = state.shutdown_watch_token.as_bytes();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(StateFault::WatchToken);
    }
    Ok(())
}

/// The value of an HVM param of the guest, 0 when it is not set.
#[must_use]
pub fn hvm_param(state: &CheckpointState, param: u32) -> u64 {
    let found = state.hvm_params.iter().find(|(index, _)| *index == param);
    found.map_or(0, |(_, value)| *value)
}

fn check_gfn(gfn: u64) -> Result<(), StateFault> {
    if gfn == 0 || gfn >= GFN_LIMIT { Err(StateFault::Gfn { gfn }) } else { Ok(()) }
}

fn check_vcpus(state: &CheckpointState, twin: &TwinPlaces) -> Result<(), StateFault> {
    if state.vcpus.len() != twin.vcpu_count {
        return Err(StateFault::VcpuCount { guest: state.vcpus.len(), twin: twin.vcpu_count });
    }
    if !state.vcpus.first().is_some_and(|vcpu| vcpu.online) {
        return Err(StateFault::BootVcpuDown);
    }
    for (index, vcpu) in state.vcpus.iter().enumerate() {
        check_vcpu(index, vcpu)?;
        let others = &state.vcpus[..index];
        let same = |other: &VcpuState| other.control_block_gfn == vcpu.control_block_gfn;
        if vcpu.control_block_gfn != GFN_NONE && others.iter().any(same) {
            return Err(StateFault::VcpuPlace { vcpu: index });
        }
    }
    Ok(())
}

fn check_vcpu(index: usize, vcpu: &VcpuState) -> Result<(), StateFault> {
    let offset = vcpu.vcpu_info_offset;
    let fits = offset as usize <= PAGE_SIZE - VCPU_INFO_SIZE;
    let placed = |gfn: u64| gfn != 0 && gfn < GFN_LIMIT;
    // A vCPU that never came up has neither structure.
    let absent = |gfn: u64| gfn == GFN_NONE && !vcpu.online;
    let possible = (placed(vcpu.vcpu_info_gfn) || absent(vcpu.vcpu_info_gfn))
        && (placed(vcpu.control_block_gfn) || absent(vcpu.control_block_gfn));
    if !fits || !offset.is_multiple_of(VCPU_INFO_ALIGNMENT) || !possible {
        return Err(StateFault::VcpuPlace { vcpu: index });
    }
    if vcpu.upcall_vector < VECTOR_FIRST && (vcpu.online || vcpu.upcall_vector != 0) {
        return Err(StateFault::NoUpcallVector { vcpu: index });
    }
    Ok(())
}

fn check_event_channels(state: &CheckpointState) -> Result<(), StateFault> {
    let word_count = state.event_array_gfns.len() * EVENT_WORDS_PER_PAGE;
    let mut previous = 0;
    for channel in &state.event_channels {
        let EventChannel { port, vcpu, priority, kind } = *channel;
        let target = state.vcpus.get(vcpu as usize);
        let possible = port > previous
            && (port as usize) < word_count
            && target.is_some_and(|vcpu| vcpu.control_block_gfn != GFN_NONE)
            && priority < PRIORITY_COUNT
            && !matches!(kind, EventChannelKind::Virq { virq } if virq >= VIRQ_COUNT);
        if !possible {
            return Err(StateFault::EventChannel { port });
        }
        previous = port;
    }
    Ok(())
}

/// The rings must lie at the same gfns and ports, since xenstored and xenconsoled are connected
/// to the twin's already, and the guest has its own numbers in its memory.
fn check_rings(state: &CheckpointState, twin: &TwinPlaces) -> Result<(), StateFault> {
    let wanted = [
        (PARAM_STORE_PFN, twin.store_gfn),
        (PARAM_STORE_EVTCHN, u64::from(twin.store_port)),
        (PARAM_CONSOLE_PFN, twin.console_gfn),
        (PARAM_CONSOLE_EVTCHN, u64::from(twin.console_port)),
    ];
    for (param, twin) in wanted {
        let guest = hvm_param(state, param);
        if guest != twin {
            return Err(StateFault::OtherRing { param, guest, twin });
        }
    }
    for port in [twin.store_port, twin.console_port] {
        let bound = |channel: &EventChannel| {
            channel.port == port && matches!(channel.kind, EventChannelKind::Interdomain { .. })
        };
        if !state.event_channels.iter().any(bound) {
            return Err(StateFault::EventChannel { port });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod sample {
    //! A state that passes, for the tests of this room and of its neighbours.

    use super::{TwinPlaces, check_state};
    use crate::codec::{CheckpointState, EventChannel, EventChannelKind, TscInfo, VcpuState};
    use heapless::{String, Vec};

    pub const TWIN: TwinPlaces = TwinPlaces {
        vcpu_count: 2,
        store_gfn: 0xfeffc,
        store_port: 1,
        console_gfn: 0xfefff,
        console_port: 2,
    };

    fn channel(port: u32, vcpu: u32, kind: EventChannelKind) -> EventChannel {
        EventChannel { port, vcpu, priority: 7, kind }
    }

    /// Two vCPUs; port 6 is closed, and port 8 was moved to vCPU 1.
    pub fn state(epoch: u64) -> CheckpointState {
        let dom0 = |remote_port| EventChannelKind::Interdomain { remote_domid: 0, remote_port };
        let channels = [
            channel(1, 0, dom0(20)),
            channel(2, 0, dom0(21)),
            channel(3, 0, EventChannelKind::Virq { virq: 0 }),
            channel(4, 0, EventChannelKind::Ipi),
            channel(5, 1, EventChannelKind::Virq { virq: 0 }),
            channel(7, 1, EventChannelKind::Ipi),
            channel(8, 1, dom0(30)),
            channel(9, 1, EventChannelKind::Virq { virq: 1 }),
            channel(10, 0, EventChannelKind::Unbound { remote_domid: 0 }),
        ];
        let vcpu = |number: u64| VcpuState {
            online: true,
            vcpu_info_gfn: 0x1000 + number,
            vcpu_info_offset: 64,
            control_block_gfn: 0x2000 + number,
            upcall_vector: 0xf3,
        };
        CheckpointState {
            epoch,
            hvm_context_size: 4568,
            shared_info_gfn: 0x8f000,
            tsc: TscInfo { mode: 0, frequency_khz: 2_100_000, incarnation: 1, elapsed_ns: 9 },
            grant_frame_gfns: Vec::from_slice(&[0x9000, 0x9001]).unwrap(),
            event_array_gfns: Vec::from_slice(&[0x3000]).unwrap(),
            event_channels: Vec::from_slice(&channels).unwrap(),
            vcpus: Vec::from_slice(&[vcpu(0), vcpu(1)]).unwrap(),
            hvm_params: Vec::from_slice(&[(0, 1), (1, 0xfeffc), (2, 1), (17, 0xfefff), (18, 2)])
                .unwrap(),
            shutdown_watch_token: String::try_from("FFFFFFFF82A51F80").unwrap(),
        }
    }

    #[test]
    fn the_sample_passes() {
        assert_eq!(check_state(&state(3), 3, 4568, &TWIN), Ok(()));
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
