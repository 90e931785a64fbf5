//! A guest's state that passes every check, to start from.

use heapless::{String, Vec};
use pollux::codec::{
    CheckpointState, DomainDescription, EventChannel, EventChannelKind, TscInfo, VcpuState, encode,
};
use pollux::limits::CHECKPOINT_STATE_SIZE_MAX;
use pollux::revive::check::TwinPlaces;
use pollux::xen::hvm_context::{HvmContextWriter, HvmCpuRecord, RecordType};

/// The twin that [`state`] fits.
pub const TWIN: TwinPlaces = TwinPlaces {
    vcpu_count: 1,
    store_gfn: 0xfeffc,
    store_port: 1,
    console_gfn: 0xfefff,
    console_port: 2,
};

/// The state of a guest of one vCPU.
#[must_use]
pub fn state(epoch: u64, context_size: usize) -> CheckpointState {
    let dom0 = |remote_port| EventChannelKind::Interdomain { remote_domid: 0, remote_port };
    let channel = |port, kind| EventChannel { port, vcpu: 0, priority: 7, kind };
    let channels = [
        channel(1, dom0(20)),
        channel(2, dom0(21)),
        channel(3, EventChannelKind::Virq { virq: 0 }),
        channel(4, EventChannelKind::Ipi),
        channel(7, EventChannelKind::Unbound { remote_domid: 0 }),
    ];
    let vcpu = VcpuState {
        online: true,
        vcpu_info_gfn: 0x1000,
        vcpu_info_offset: 64,
        control_block_gfn: 0x2000,
        upcall_vector: 0xf3,
    };
    let params = [(0, 1), (1, 0xfeffc), (2, 1), (17, 0xfefff), (18, 2)];
    CheckpointState {
        epoch,
        hvm_context_size: u32::try_from(context_size).unwrap_or(u32::MAX),
        shared_info_gfn: 0x8f000,
        tsc: TscInfo { mode: 0, frequency_khz: 2_100_000, incarnation: 1, elapsed_ns: 9 },
        grant_frame_gfns: [0x9000, 0x9001].into_iter().collect(),
        event_array_gfns: [0x3000].into_iter().collect(),
        event_channels: channels.into_iter().collect(),
        vcpus: Vec::from_iter([vcpu]),
        hvm_params: params.into_iter().collect(),
        shutdown_watch_token: String::try_from("FFFFFFFF82A51F80").unwrap_or_default(),
    }
}

/// A state as it travels.
///
/// # Panics
/// When it is too large to travel.
#[must_use]
pub fn state_bytes(state: &CheckpointState) -> std::vec::Vec<u8> {
    let mut bytes = vec![0; CHECKPOINT_STATE_SIZE_MAX];
    let size = encode(state, &mut bytes).expect("a state fits");
    bytes.truncate(size);
    bytes
}

/// The HVM context of one vCPU.
///
/// # Panics
/// Never: the records fit.
#[must_use]
pub fn hvm_context() -> std::vec::Vec<u8> {
    let mut bytes = vec![0; 4096];
    let cpu = HvmCpuRecord::long_mode_entry(0x1000, 0x2000, 0x3000).to_bytes();
    let mut writer = HvmContextWriter::new(&mut bytes);
    let records: [(RecordType, &[u8]); 4] = [
        (RecordType::Header, &[7; 24]),
        (RecordType::Cpu, &cpu),
        (RecordType::LapicRegs, &[0; 1024]),
        (RecordType::TscAdjust, &77u64.to_le_bytes()),
    ];
    for (kind, data) in records {
        writer.push(kind, 0, data).expect("there is room");
    }
    let size = writer.finish().expect("there is room");
    bytes.truncate(size);
    bytes
}

/// A domain as a session's first entry describes it.
#[must_use]
pub fn description(config_size: u32) -> DomainDescription {
    DomainDescription {
        name: String::try_from("web").unwrap_or_default(),
        vcpu_count: 1,
        gfn_count: 0x10_0000,
        page_count: 0x8000,
        grant_version: 1,
        interval_ms: 25,
        config_size,
        term: 3,
        is_rehearsal: false,
    }
}
