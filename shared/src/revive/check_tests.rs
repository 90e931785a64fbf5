//! Tests of `check`.

use super::sample::{TWIN, state};
use super::*;

fn fault(change: impl Fn(&mut CheckpointState)) -> StateFault {
    let mut changed = state(3);
    change(&mut changed);
    check_state(&changed, 3, 4568, &TWIN).expect_err("the change must be noticed")
}

#[test]
fn what_cannot_be_is_refused() {
    use StateFault as F;
    assert_eq!(fault(|s| s.epoch = 4), F::OtherEpoch { wanted: 3, found: 4 });
    assert_eq!(fault(|s| s.hvm_context_size = 1), F::ContextSize { bytes: 4568, wanted: 1 });
    assert_eq!(fault(|s| s.vcpus.truncate(1)), F::VcpuCount { guest: 1, twin: 2 });
    assert_eq!(fault(|s| s.vcpus[0].online = false), F::BootVcpuDown);
    assert_eq!(fault(|s| s.vcpus[1].vcpu_info_offset = 4095), F::VcpuPlace { vcpu: 1 });
    assert_eq!(fault(|s| s.vcpus[1].vcpu_info_gfn = 0), F::VcpuPlace { vcpu: 1 });
    assert_eq!(fault(|s| s.vcpus[1].control_block_gfn = 0x2000), F::VcpuPlace { vcpu: 1 });
    assert_eq!(fault(|s| s.vcpus[1].upcall_vector = 0), F::NoUpcallVector { vcpu: 1 });
    assert_eq!(fault(|s| s.grant_frame_gfns[1] = 1 << 36), F::Gfn { gfn: 1 << 36 });
    assert_eq!(fault(|s| s.shared_info_gfn = 0), F::Gfn { gfn: 0 });
    assert_eq!(fault(|s| s.event_array_gfns.clear()), F::NoEventArray);
    assert_eq!(fault(|s| s.event_channels[1].port = 1), F::EventChannel { port: 1 });
    assert_eq!(fault(|s| s.event_channels[8].port = 1024), F::EventChannel { port: 1024 });
    assert_eq!(fault(|s| s.event_channels[3].vcpu = 2), F::EventChannel { port: 4 });
    assert_eq!(fault(|s| s.event_channels[3].priority = 16), F::EventChannel { port: 4 });
    assert_eq!(
        fault(|s| s.event_channels[2].kind = EventChannelKind::Virq { virq: 24 }),
        F::EventChannel { port: 3 }
    );
    assert_eq!(
        fault(|s| s.event_channels[0].kind = EventChannelKind::Ipi),
        F::EventChannel { port: 1 }
    );
    assert_eq!(fault(|s| s.hvm_params[2].1 = 5), F::OtherRing { param: 2, guest: 5, twin: 1 });
    assert_eq!(fault(|s| s.shutdown_watch_token.clear()), F::WatchToken);
}

#[test]
fn a_vcpu_that_never_came_up_passes() {
    let mut other = state(3);
    let vcpu = &mut other.vcpus[1];
    vcpu.online = false;
    (vcpu.vcpu_info_gfn, vcpu.control_block_gfn) = (GFN_NONE, GFN_NONE);
    (vcpu.vcpu_info_offset, vcpu.upcall_vector) = (0, 0);
    other.event_channels.retain(|channel| channel.vcpu == 0);
    assert_eq!(check_state(&other, 3, 4568, &TWIN), Ok(()));
}
