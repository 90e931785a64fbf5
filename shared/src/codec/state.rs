//! The messages: what a checkpoint holds beside pages, and the description of the domain.

use core::fmt;

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::limits::{
    CHECKPOINT_STATE_SIZE_MAX, DOMAIN_NAME_SIZE_MAX, EVENT_ARRAY_PAGE_COUNT_MAX,
    EVENT_CHANNEL_COUNT_MAX, GRANT_FRAME_COUNT_MAX, HVM_PARAM_COUNT_MAX, VCPU_COUNT_MAX,
    WATCH_TOKEN_SIZE_MAX,
};

/// Stands for the gfn of a structure that a vCPU does not have (INVALID_GFN of Xen's mm.h).
pub const GFN_NONE: u64 = u64::MAX;

/// What the backup must know of the domain before its first page arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainDescription {
    /// The domain's name, as xl knows it; the twin gets it from the same configuration.
    pub name: String<DOMAIN_NAME_SIZE_MAX>,
    /// vCPUs the domain may bring online (getdomaininfo.max_vcpu_id + 1).
    pub vcpu_count: u32,
    /// One more than the highest gfn in use (XENMEM_maximum_gpfn + 1).
    pub gfn_count: u64,
    /// Pages the domain owns now (getdomaininfo.tot_pages).
    pub page_count: u64,
    /// Grant-table version the domain uses, 1 or 2 (GNTTABOP_get_version).
    pub grant_version: u32,
    /// Milliseconds between checkpoints that the primary aims at.
    pub interval_ms: u32,
    /// Bytes of the xl configuration that follows.
    pub config_size: u32,
    /// The arbiter's term in which the session begins; 0 when there is no arbiter.
    pub term: u64,
    /// A rehearsal: the guest is no domain, and no twin is built for it.
    pub is_rehearsal: bool,
}

/// The state beside memory at the end of one epoch: with the pages, all that revival needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointState {
    /// The epoch this state ends; must equal the epoch of the entries that carry it.
    pub epoch: u64,
    /// Bytes of the HVM context that accompanies this state (XEN_DOMCTL_gethvmcontext).
    pub hvm_context_size: u32,
    /// Where the guest mapped shared_info.
    pub shared_info_gfn: u64,
    /// XEN_DOMCTL_gettscinfo of the guest.
    pub tsc: TscInfo,
    /// Where the guest mapped each grant-table frame, by frame number.
    pub grant_frame_gfns: Vec<u64, GRANT_FRAME_COUNT_MAX>,
    /// FIFO event array pages, in order (EVTCHNOP_expand_array's array_gfn).
    pub event_array_gfns: Vec<u64, EVENT_ARRAY_PAGE_COUNT_MAX>,
    /// Every port that is not closed, ascending.
    pub event_channels: Vec<EventChannel, EVENT_CHANNEL_COUNT_MAX>,
    /// Every vCPU, by vCPU number.
    pub vcpus: Vec<VcpuState, VCPU_COUNT_MAX>,
    /// HVM params that are set (index, value), as HVMOP_get_param reads them.
    pub hvm_params: Vec<(u32, u64), HVM_PARAM_COUNT_MAX>,
    /// Token of the guest's own watch on `control/shutdown`, as the guest wrote it.
    pub shutdown_watch_token: String<WATCH_TOKEN_SIZE_MAX>,
}

/// TSC settings of the domain (struct xen_domctl_tsc_info, domctl.h, Xen 4.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TscInfo {
    /// XEN_CPUID_TSC_MODE_*: 0 default, 1 always emulate, 2 never emulate.
    pub mode: u32,
    /// Guest TSC frequency in kHz.
    pub frequency_khz: u32,
    /// Counts the domain's migrations.
    pub incarnation: u32,
    /// Guest time that has passed, in nanoseconds.
    pub elapsed_ns: u64,
}

/// Where one vCPU's Xen-side structures lie in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuState {
    /// Whether the vCPU was up (VCPUOP_is_up, getvcpuinfo.online).
    pub online: bool,
    /// gfn of the registered vcpu_info (VCPUOP_register_vcpu_info).
    pub vcpu_info_gfn: u64,
    /// Byte offset of vcpu_info in that page.
    pub vcpu_info_offset: u32,
    /// gfn of the FIFO control block (EVTCHNOP_init_control), at offset 0 of its page.
    pub control_block_gfn: u64,
    /// Upcall vector (HVMOP_set_evtchn_upcall_vector); 0 when none is set.
    pub upcall_vector: u8,
}

/// One event channel of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventChannel {
    /// The guest's port.
    pub port: u32,
    /// vCPU that is notified.
    pub vcpu: u32,
    /// FIFO priority, 0 highest to 15; 7 is Xen's default.
    pub priority: u8,
    /// What the port is bound to.
    pub kind: EventChannelKind,
}

/// What a port is bound to (EVTCHNOP_status, event_channel.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventChannelKind {
    /// EVTCHNSTAT_unbound: waits for `remote_domid`.
    Unbound {
        /// Domain that may bind.
        remote_domid: u16,
    },
    /// EVTCHNSTAT_interdomain: connected to `remote_port` of `remote_domid`.
    Interdomain {
        /// Domain at the other end.
        remote_domid: u16,
        /// Port at the other end.
        remote_port: u32,
    },
    /// EVTCHNSTAT_virq.
    Virq {
        /// VIRQ_* number; VIRQ_TIMER is 0.
        virq: u32,
    },
    /// EVTCHNSTAT_ipi.
    Ipi,
}

/// Why a message could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError;

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the domain's state needs more than {CHECKPOINT_STATE_SIZE_MAX} bytes")
    }
}

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError;

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer's message is malformed: run the same Pollux version on both hosts")
    }
}

/// Writes a message into `buffer` and returns its length in bytes.
///
/// # Errors
/// [`EncodeError`] when the buffer is too small; nothing useful is in it then.
// Large, and called once an epoch at most: one copy of it for each message.
#[inline(never)]
pub fn encode<T: Serialize>(message: &T, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    postcard::to_slice(message, buffer).map(|used| used.len()).map_err(|_| EncodeError)
}

/// Reads a message that must fill `bytes` exactly.
///
/// # Errors
/// [`DecodeError`] when the bytes are short, malformed, beyond a limit, or too many.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(DecodeError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(epoch: u64, port_count: u32) -> CheckpointState {
        CheckpointState {
            epoch,
            hvm_context_size: 4568,
            shared_info_gfn: 0xfe_ffff,
            tsc: TscInfo { mode: 0, frequency_khz: 2_100_000, incarnation: 3, elapsed_ns: 7 },
            grant_frame_gfns: Vec::from_slice(&[1, 2, 3]).unwrap(),
            event_array_gfns: Vec::from_slice(&[77]).unwrap(),
            event_channels: (1..=port_count)
                .map(|port| EventChannel {
                    port,
                    vcpu: port % 4,
                    priority: 7,
                    kind: match port % 4 {
                        0 => EventChannelKind::Ipi,
                        1 => EventChannelKind::Virq { virq: 0 },
                        2 => EventChannelKind::Unbound { remote_domid: 0 },
                        _ => EventChannelKind::Interdomain { remote_domid: 0, remote_port: port },
                    },
                })
                .collect(),
            vcpus: Vec::new(),
            hvm_params: Vec::from_slice(&[(1, 0xfefff)]).unwrap(),
            shutdown_watch_token: String::try_from("FFFFFFFF82A51F80").unwrap(),
        }
    }

    #[test]
    fn largest_state_fits_the_limit() {
        let mut state = sample(u64::MAX, 0);
        state.event_channels = (0..1024)
            .map(|_| EventChannel {
                port: u32::MAX,
                vcpu: u32::MAX,
                priority: u8::MAX,
                kind: EventChannelKind::Interdomain {
                    remote_domid: u16::MAX,
                    remote_port: u32::MAX,
                },
            })
            .collect();
        let mut buffer = [0; CHECKPOINT_STATE_SIZE_MAX];
        assert!(encode(&state, &mut buffer).is_ok());
    }

    proptest! {
        #[test]
        fn states_survive_the_way(epoch: u64, port_count in 0u32..1000) {
            let state = sample(epoch, port_count);
            let mut buffer = [0; CHECKPOINT_STATE_SIZE_MAX];
            let length = encode(&state, &mut buffer).unwrap();
            prop_assert_eq!(decode::<CheckpointState>(&buffer[..length]).unwrap(), state);
            prop_assert_eq!(decode::<CheckpointState>(&buffer[..length + 1]), Err(DecodeError));
            prop_assert_eq!(decode::<CheckpointState>(&buffer[..length - 1]), Err(DecodeError));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<CheckpointState>(&bytes);
            let _ = decode::<DomainDescription>(&bytes);
        }
    }
}
