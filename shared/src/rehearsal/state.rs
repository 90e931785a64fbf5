//! State and HVM context of a guest that has none: as large as those of a domain with one vCPU, and
//! such that the backup's checks have the same to do.

use heapless::{String, Vec};

use crate::codec::{CheckpointState, EventChannel, EventChannelKind, TscInfo, VcpuState};
use crate::revive::check::TwinPlaces;
use crate::xen::hvm::params;
use crate::xen::hvm_context::{HvmContextError, HvmContextWriter, RecordType};

/// Bytes of the HVM context of a domain with one vCPU on Xen 4.17.
pub const CONTEXT_SIZE: usize = CONTEXT_SIZE_TOLD as usize;
/// The same, as the state tells it.
const CONTEXT_SIZE_TOLD: u32 = 4568;

/// Bytes of struct hvm_hw_cpu.
const CPU_RECORD_SIZE: usize = 1032;
/// Bytes before each record.
const DESCRIPTOR_SIZE: usize = 8;
/// Ports of the rings and of a handful of timers, IPIs and devices.
const PORT_COUNT: u32 = 12;
/// The lowest vector that Linux uses for upcalls.
const UPCALL_VECTOR: u8 = 0xf3;

/// Where the structures of a guest with `gfn_count` gfns would be: beyond its memory, so that the
/// backup puts none of its pages aside.
#[must_use]
pub const fn places(gfn_count: u64) -> TwinPlaces {
    TwinPlaces {
        vcpu_count: 1,
        store_gfn: gfn_count,
        store_port: 1,
        console_gfn: gfn_count + 1,
        console_port: 2,
    }
}

/// The state at the end of `epoch`.
pub fn state(epoch: u64, gfn_count: u64) -> CheckpointState {
    let places = places(gfn_count);
    let beyond = |number: u64| gfn_count + 2 + number;
    let channel = |port| EventChannel {
        port,
        vcpu: 0,
        priority: 7,
        kind: EventChannelKind::Interdomain { remote_domid: 0, remote_port: port },
    };
    let params = [
        (params::STORE_PFN, places.store_gfn),
        (params::STORE_EVTCHN, places.store_port.into()),
        (params::CONSOLE_PFN, places.console_gfn),
        (params::CONSOLE_EVTCHN, places.console_port.into()),
    ];
    CheckpointState {
        epoch,
        hvm_context_size: CONTEXT_SIZE_TOLD,
        shared_info_gfn: beyond(0),
        tsc: TscInfo { mode: 0, frequency_khz: 0, incarnation: 0, elapsed_ns: epoch },
        grant_frame_gfns: Vec::new(),
        event_array_gfns: core::iter::once(beyond(1)).collect(),
        event_channels: (1..=PORT_COUNT).map(channel).collect(),
        vcpus: core::iter::once(VcpuState {
            online: true,
            vcpu_info_gfn: beyond(2),
            vcpu_info_offset: 0,
            control_block_gfn: beyond(3),
            upcall_vector: UPCALL_VECTOR,
        })
        .collect(),
        hvm_params: params.into_iter().collect(),
        shutdown_watch_token: String::try_from("FFFFFFFF82A51F80").unwrap_or_default(),
    }
}

/// An HVM context.
///
/// # Errors
/// None: it fits.
pub fn context() -> Result<[u8; CONTEXT_SIZE], HvmContextError> {
    const REST_SIZE: usize = CONTEXT_SIZE - CPU_RECORD_SIZE - 3 * DESCRIPTOR_SIZE;
    let mut bytes = [0; CONTEXT_SIZE];
    let mut writer = HvmContextWriter::new(&mut bytes);
    writer.push(RecordType::Cpu, 0, &[0; CPU_RECORD_SIZE])?;
    writer.push(RecordType::CpuXsave, 0, &[0; REST_SIZE])?;
    let size = writer.finish()?;
    assert!(size == CONTEXT_SIZE, "the records were sized for it");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revive::check::check_state;
    use crate::xen::hvm_context::HvmContext;

    #[test]
    fn both_pass_the_checks_of_a_domain() {
        for gfn_count in [1, 262_144] {
            let checked = check_state(&state(7, gfn_count), 7, CONTEXT_SIZE, &places(gfn_count));
            assert_eq!(checked, Ok(()));
        }
        let bytes = context().unwrap();
        assert!(HvmContext::parse(&bytes).unwrap().cpu(0).is_some());
    }
}
