//! Discovery on synthetic guests: what is found, and what is refused.

use super::guest_image::{
    EVENT_ARRAY_GFN, Guest, LINEAR, SHARED_INFO_GFN, TSC, VCPU_INFO_OFFSET, area,
    control_block_gfn, guest,
};
use super::probe::{Probe, read_priorities};
use super::vcpu_info::testing::place;
use super::{DiscoveryError, Structures, VcpuStructures, identify};
use crate::capture::discovery::evidence::Registers;
use crate::capture::page::image::Image;

fn found(guest: &Guest) -> Result<Structures, DiscoveryError> {
    identify(&guest.image, &guest.survey(), &guest.evidence())
}

fn expected(vcpu: u32) -> VcpuStructures {
    VcpuStructures {
        vcpu_info: area(vcpu) + VCPU_INFO_OFFSET,
        control_block_gfn: control_block_gfn(vcpu),
    }
}

fn assert_found(guest: &Guest) {
    let structures = found(guest).unwrap();
    assert_eq!(structures.event_array_gfn, EVENT_ARRAY_GFN);
    assert_eq!(structures.vcpus.len(), usize::try_from(guest.vcpu_count).unwrap());
    for (vcpu, places) in (0..).zip(&structures.vcpus) {
        let up = guest.registers[usize::try_from(vcpu).unwrap()].is_some();
        assert_eq!(*places, up.then(|| expected(vcpu)), "vCPU {vcpu}");
    }
}

/// Takes the Linux proofs away: no page tables.
fn blind(guest: &mut Guest) {
    guest.image.set(0x2000, 0);
}

#[test]
fn finds_all_with_and_without_linux_proofs() {
    for vcpu_count in [1, 2, 4, 16] {
        let mut guest = guest(vcpu_count);
        assert_found(&guest);
        blind(&mut guest);
        assert_found(&guest);
    }
}

#[test]
fn a_vcpu_that_is_down_has_none() {
    for down in [1, 3] {
        let mut guest = guest(4);
        guest.registers[down] = None;
        assert_found(&guest);
    }
}

#[test]
fn copies_are_told_apart_by_the_kernels_pointers_only() {
    let mut guest = guest(2);
    for vcpu in 0..2 {
        place(&mut guest.image, area(vcpu) + 0x5000, TSC, 9000);
        let port = 6 * vcpu + 1;
        guest.image.set_half((0x70 + u64::from(vcpu)) * 4096 + 8, port);
    }
    assert_found(&guest);
    blind(&mut guest);
    assert_eq!(found(&guest), Err(DiscoveryError::ControlBlock { vcpu: 0, found: 2 }));
    guest.image.set_half(0x70 * 4096 + 8, 0);
    guest.image.set_half(0x71 * 4096 + 8, 0);
    assert_eq!(found(&guest), Err(DiscoveryError::VcpuInfo { found: 2 }));
}

#[test]
fn clocks_that_tell_another_time_are_no_answer() {
    let mut guest = guest(2);
    blind(&mut guest);
    for vcpu in 0..2 {
        place(&mut guest.image, area(vcpu) + 0x5000, TSC / (u64::from(vcpu) + 1), 9000);
    }
    assert_found(&guest);
    guest.image.set(area(1) + VCPU_INFO_OFFSET + 48, 1);
    assert_eq!(found(&guest), Err(DiscoveryError::VcpuInfo { found: 0 }));
}

#[test]
fn a_guest_that_registered_none_uses_shared_info() {
    let mut guest = guest(2);
    for vcpu in 0..2 {
        guest.image.set(area(vcpu) + VCPU_INFO_OFFSET + 32, 0);
        place(&mut guest.image, SHARED_INFO_GFN * 4096 + u64::from(vcpu) * 64, TSC, 77);
    }
    let structures = found(&guest).unwrap();
    assert_eq!(structures.vcpus[1].unwrap().vcpu_info, SHARED_INFO_GFN * 4096 + 64);
}

#[test]
fn what_is_missing_or_double_is_named() {
    let mut doubled = guest(1);
    for index in 0..512 {
        doubled.image.set(0x90 * 4096 + index * 8, 0x4000_0000_4000_0000);
    }
    doubled.image.set_half(0x90 * 4096 + 4, 0);
    assert_eq!(found(&doubled), Err(DiscoveryError::EventArray { found: 2 }));

    let mut without = guest(1);
    without.image.set(control_block_gfn(0) * 4096 + 8, 0);
    assert_eq!(found(&without), Err(DiscoveryError::ControlBlock { vcpu: 0, found: 0 }));

    let mut two_level = guest(1);
    two_level.image.set(EVENT_ARRAY_GFN * 4096, 1);
    two_level.image.set(EVENT_ARRAY_GFN * 4096 + 8, 1);
    assert_eq!(found(&two_level), Err(DiscoveryError::EventArray { found: 0 }));
    for index in 0..64 {
        two_level.image.set(SHARED_INFO_GFN * 4096 + 2560 + index * 8, u64::MAX);
    }
    assert_eq!(found(&two_level), Err(DiscoveryError::TwoLevelEvents));

    let mut swapping = guest(2);
    let registers = swapping.registers[1].as_mut().unwrap();
    registers.gs_base = LINEAR;
    assert_eq!(found(&swapping), Err(DiscoveryError::GsBase { vcpu: 1 }));
}

/// What Xen does when an event is sent on port 100, seen by the guest's vCPU 0.
fn deliver(image: &mut Image, registers: &mut Registers, queue: u64) {
    image.set_half(EVENT_ARRAY_GFN * 4096 + 400, 0xa000_0000);
    image.set_half(control_block_gfn(0) * 4096, 1 << queue);
    image.set_half(control_block_gfn(0) * 4096 + 8 + queue * 4, 100);
    image.set(area(0) + VCPU_INFO_OFFSET, 1);
    registers[0].as_mut().unwrap().interrupt_request[7] |= 1 << 19;
}

#[test]
fn a_probe_confirms_and_tells_vector_and_priority() {
    let mut guest = guest(2);
    let structures = found(&guest).unwrap();
    let before = guest.registers[0].unwrap();
    let probe = Probe::prepare(&guest.image, &structures, &before, 0, 100).unwrap();
    deliver(&mut guest.image, &mut guest.registers, 7);
    let after = guest.registers[0].unwrap();
    let confirmation = probe.conclude(&guest.image, &after).unwrap();
    assert_eq!(confirmation.upcall_vector, Some(0xf3));
    assert_eq!(confirmation.priority, Some(7));
    assert!(Probe::prepare(&guest.image, &structures, &after, 0, 100).is_none(), "already pending");
}

#[test]
fn no_new_request_is_no_vector_only_when_none_was_there() {
    for (request_before, expected) in [(0, Some(0)), (1 << 19, None)] {
        let mut guest = guest(1);
        let structures = found(&guest).unwrap();
        guest.registers[0].as_mut().unwrap().interrupt_request[7] = request_before;
        let before = guest.registers[0].unwrap();
        let probe = Probe::prepare(&guest.image, &structures, &before, 0, 100).unwrap();
        deliver(&mut guest.image, &mut guest.registers, 7);
        guest.registers[0].as_mut().unwrap().interrupt_request[7] = request_before;
        let after = guest.registers[0].unwrap();
        let confirmation = probe.conclude(&guest.image, &after).unwrap();
        assert_eq!(confirmation.upcall_vector, expected);
    }
}

#[test]
fn a_probe_beside_a_pending_upcall_shows_in_the_queue() {
    let mut guest = guest(1);
    let structures = found(&guest).unwrap();
    guest.image.set(area(0) + VCPU_INFO_OFFSET, 1);
    guest.image.set_half(control_block_gfn(0) * 4096, 0x81);
    guest.image.set_half(control_block_gfn(0) * 4096 + 8 + 7 * 4, 1);
    guest.registers[0].as_mut().unwrap().interrupt_request[7] = 1 << 19;
    let before = guest.registers[0].unwrap();
    let probe = Probe::prepare(&guest.image, &structures, &before, 0, 100).unwrap();
    assert!(probe.conclude(&guest.image, &before).is_err(), "nothing was sent");
    guest.image.set_half(EVENT_ARRAY_GFN * 4096 + 400, 0xa000_0000);
    assert!(probe.conclude(&guest.image, &before).is_err(), "linked nowhere");
    guest.image.set_half(EVENT_ARRAY_GFN * 4096 + 4, 0xa000_0000 | 100);
    let confirmation = probe.conclude(&guest.image, &before).unwrap();
    assert_eq!(confirmation.upcall_vector, Some(0xf3));
    assert_eq!(confirmation.priority, Some(0), "both queues lead to it here");
    assert!(!confirmation.is_complete);
}

#[test]
fn a_probe_that_does_not_show_contradicts() {
    let contradiction = Err(DiscoveryError::ProbeContradicts { vcpu: 0 });
    for omitted in 0..4 {
        let mut guest = guest(1);
        let structures = found(&guest).unwrap();
        let before = guest.registers[0].unwrap();
        let probe = Probe::prepare(&guest.image, &structures, &before, 0, 100).unwrap();
        deliver(&mut guest.image, &mut guest.registers, 7);
        match omitted {
            0 => guest.image.set_half(EVENT_ARRAY_GFN * 4096 + 400, 0),
            1 => guest.image.set_half(control_block_gfn(0) * 4096, 0),
            2 => guest.image.set(area(0) + VCPU_INFO_OFFSET, 0),
            _ => guest.registers[0].as_mut().unwrap().interrupt_request[1] = 3,
        }
        let after = guest.registers[0].unwrap();
        assert_eq!(probe.conclude(&guest.image, &after), contradiction, "case {omitted}");
    }
}

#[test]
fn priorities_are_read_from_the_heads() {
    let mut guest = guest(2);
    let structures = found(&guest).unwrap();
    read_priorities(&guest.image, &structures, &mut guest.ports);
    let priority = |port| guest.ports.get(port).unwrap().priority;
    assert_eq!((priority(1), priority(7), priority(100)), (0, 0, 7));
}
