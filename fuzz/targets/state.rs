//! The state beside memory, and the description of a domain: read, checked, written again.

#![no_main]

use fuzz::sample;
use fuzz::seeds::Seeds;
use pollux::codec::{CheckpointState, DomainDescription, decode, encode};
use pollux::limits::{CHECKPOINT_STATE_SIZE_MAX, DESCRIPTION_SIZE_MAX};
use pollux::revive::check::{TwinPlaces, check_state, hvm_param};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    if let Ok(state) = decode::<CheckpointState>(data) {
        let mut bytes = vec![0; CHECKPOINT_STATE_SIZE_MAX];
        let size = encode(&state, &mut bytes).expect("the largest state fits");
        assert_eq!(decode(&bytes[..size]), Ok(state.clone()));
        try_check(&state);
    }
    if let Ok(description) = decode::<DomainDescription>(data) {
        let mut bytes = [0; DESCRIPTION_SIZE_MAX];
        let size = encode(&description, &mut bytes).expect("the largest description fits");
        assert_eq!(decode(&bytes[..size]), Ok(description));
    }
}

/// Checks the state against the sample's twin, and against the one that fits it best.
fn try_check(state: &CheckpointState) {
    let port = |param| u32::try_from(hvm_param(state, param)).unwrap_or(0);
    let fitting = TwinPlaces {
        vcpu_count: state.vcpus.len(),
        store_gfn: hvm_param(state, 1),
        store_port: port(2),
        console_gfn: hvm_param(state, 17),
        console_port: port(18),
    };
    let context_size = usize::try_from(state.hvm_context_size).unwrap_or(0);
    for twin in [sample::TWIN, fitting] {
        let Ok(()) = check_state(state, state.epoch, context_size, &twin) else { continue };
        // What revival relies on without looking.
        assert!(state.vcpus[0].online && !state.event_array_gfns.is_empty());
        assert!(state.event_channels.is_sorted_by(|one, other| one.port < other.port));
        for channel in &state.event_channels {
            assert!(state.vcpus.get(channel.vcpu as usize).is_some() && channel.priority < 16);
            assert!((1..1024).contains(&channel.port));
        }
        for vcpu in state.vcpus.iter().filter(|vcpu| vcpu.online) {
            assert!(vcpu.vcpu_info_offset <= 4096 - 64 && vcpu.upcall_vector >= 16);
        }
    }
}

fn seeds() -> Seeds {
    let mut description = [0; DESCRIPTION_SIZE_MAX];
    let size = encode(&sample::description(11), &mut description).expect("a description fits");
    Seeds::from([
        ("state", sample::state_bytes(&sample::state(3, 2200))),
        ("description", description[..size].to_vec()),
    ])
}
