//! One hypercall of the stub's table: how it is written down, and what its result says.
//!
//! Numbers and argument structures are those of xen/include/public/{xen,event_channel,vcpu}.h and
//! hvm/hvm_op.h of Xen 4.17; none of them changed up to 4.22.

use core::fmt;

/// The calling domain itself (DOMID_SELF, xen.h).
pub const DOMID_SELF: u16 = 0x7ff0;

/// 64-bit words of a table entry: number, three arguments, result, and 24 bytes that the last
/// argument points at. The code of the stub knows the first five.
pub const STUB_ENTRY_WORD_COUNT: usize = 8;
/// Bytes of a table entry.
pub const STUB_ENTRY_SIZE: u64 = 64;
const RESULT: usize = 4;
const STRUCTURE: usize = 5;
/// Bytes from the start of an entry to its argument structure.
const STRUCTURE_OFFSET: u64 = 40;

const HYPERCALL_VCPU_OP: u64 = 24;
const HYPERCALL_EVENT_CHANNEL_OP: u64 = 32;
const HYPERCALL_HVM_OP: u64 = 34;

const EVTCHNOP_BIND_VIRQ: u64 = 1;
const EVTCHNOP_CLOSE: u64 = 3;
const EVTCHNOP_SEND: u64 = 4;
const EVTCHNOP_ALLOC_UNBOUND: u64 = 6;
const EVTCHNOP_BIND_IPI: u64 = 7;
const EVTCHNOP_BIND_VCPU: u64 = 8;
const EVTCHNOP_INIT_CONTROL: u64 = 11;
const EVTCHNOP_EXPAND_ARRAY: u64 = 12;
const EVTCHNOP_SET_PRIORITY: u64 = 13;
const VCPUOP_REGISTER_VCPU_INFO: u64 = 10;
const HVMOP_SET_EVTCHN_UPCALL_VECTOR: u64 = 23;

/// A table entry as the twin sees it, word by word.
pub type StubEntry = [u64; STUB_ENTRY_WORD_COUNT];

/// A hypercall that the twin is made to make. Where Xen chooses a port, `port` is the one that it
/// must choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StubCall {
    /// EVTCHNOP_alloc_unbound: a port that `remote_domid` may bind.
    AllocUnbound {
        /// Port that must result.
        port: u32,
        /// Domain that may bind.
        remote_domid: u16,
    },
    /// EVTCHNOP_bind_virq.
    BindVirq {
        /// Port that must result.
        port: u32,
        /// VIRQ_* number.
        virq: u32,
        /// vCPU that is notified.
        vcpu: u32,
    },
    /// EVTCHNOP_bind_ipi.
    BindIpi {
        /// Port that must result.
        port: u32,
        /// vCPU that is notified.
        vcpu: u32,
    },
    /// EVTCHNOP_close.
    Close {
        /// Port to close.
        port: u32,
    },
    /// EVTCHNOP_bind_vcpu.
    BindVcpu {
        /// Port to move.
        port: u32,
        /// vCPU that is notified from now on.
        vcpu: u32,
    },
    /// EVTCHNOP_init_control, control block at offset 0 of its page.
    InitControl {
        /// vCPU the control block is for.
        vcpu: u32,
        /// Page of the control block.
        gfn: u64,
    },
    /// EVTCHNOP_expand_array: one more page of event words.
    ExpandArray {
        /// The page.
        gfn: u64,
    },
    /// EVTCHNOP_set_priority.
    SetPriority {
        /// Port to set.
        port: u32,
        /// 0 highest, 15 lowest.
        priority: u8,
    },
    /// EVTCHNOP_send.
    Send {
        /// Port to notify through.
        port: u32,
    },
    /// VCPUOP_register_vcpu_info.
    RegisterVcpuInfo {
        /// vCPU: the calling one, or one that is down.
        vcpu: u32,
        /// Page of the structure.
        gfn: u64,
        /// Byte offset in that page.
        offset: u32,
    },
    /// HVMOP_set_evtchn_upcall_vector.
    SetUpcallVector {
        /// vCPU to set.
        vcpu: u32,
        /// Vector, at least 16.
        vector: u8,
    },
}

/// Two 32-bit fields that follow each other in a structure.
fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

/// The upper of two 32-bit fields.
fn second(word: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl StubCall {
    /// The entry for this call, when it lies at guest-virtual `address`.
    #[must_use]
    pub fn entry(self, address: u64) -> StubEntry {
        let pointer = address + STRUCTURE_OFFSET;
        let (number, arguments) = match self.command() {
            (HYPERCALL_VCPU_OP, command, vcpu) => (HYPERCALL_VCPU_OP, [command, vcpu, pointer]),
            (number, command, _) => (number, [command, pointer, 0]),
        };
        let [structure0, structure1, structure2] = self.structure();
        let [argument0, argument1, argument2] = arguments;
        // A result of 1 cannot come from Xen: it means that the stub never got here.
        [number, argument0, argument1, argument2, 1, structure0, structure1, structure2]
    }

    /// Hypercall, command, and the vCPU for vcpu_op.
    fn command(self) -> (u64, u64, u64) {
        let command = match self {
            Self::AllocUnbound { .. } => EVTCHNOP_ALLOC_UNBOUND,
            Self::BindVirq { .. } => EVTCHNOP_BIND_VIRQ,
            Self::BindIpi { .. } => EVTCHNOP_BIND_IPI,
            Self::Close { .. } => EVTCHNOP_CLOSE,
            Self::BindVcpu { .. } => EVTCHNOP_BIND_VCPU,
            Self::InitControl { .. } => EVTCHNOP_INIT_CONTROL,
            Self::ExpandArray { .. } => EVTCHNOP_EXPAND_ARRAY,
            Self::SetPriority { .. } => EVTCHNOP_SET_PRIORITY,
            Self::Send { .. } => EVTCHNOP_SEND,
            Self::RegisterVcpuInfo { vcpu, .. } => {
                return (HYPERCALL_VCPU_OP, VCPUOP_REGISTER_VCPU_INFO, u64::from(vcpu));
            }
            Self::SetUpcallVector { .. } => {
                return (HYPERCALL_HVM_OP, HVMOP_SET_EVTCHN_UPCALL_VECTOR, 0);
            }
        };
        (HYPERCALL_EVENT_CHANNEL_OP, command, 0)
    }

    /// The argument structure, as three little-endian words.
    fn structure(self) -> [u64; 3] {
        match self {
            // struct evtchn_alloc_unbound: dom u16, remote_dom u16, port u32 (out).
            Self::AllocUnbound { remote_domid, .. } => {
                [u64::from(DOMID_SELF) | u64::from(remote_domid) << 16, 0, 0]
            }
            // struct evtchn_bind_virq: virq u32, vcpu u32, port u32 (out).
            Self::BindVirq { virq, vcpu, .. } => [pair(virq, vcpu), 0, 0],
            // struct evtchn_bind_ipi: vcpu u32, port u32 (out).
            Self::BindIpi { vcpu, .. } => [pair(vcpu, 0), 0, 0],
            // struct evtchn_close, struct evtchn_send: port u32.
            Self::Close { port } | Self::Send { port } => [pair(port, 0), 0, 0],
            // struct evtchn_bind_vcpu: port u32, vcpu u32.
            Self::BindVcpu { port, vcpu } => [pair(port, vcpu), 0, 0],
            // struct evtchn_init_control: control_gfn u64, offset u32, vcpu u32, link_bits u8 (out).
            Self::InitControl { vcpu, gfn } => [gfn, pair(0, vcpu), 0],
            // struct evtchn_expand_array: array_gfn u64.
            Self::ExpandArray { gfn } => [gfn, 0, 0],
            // struct evtchn_set_priority: port u32, priority u32.
            Self::SetPriority { port, priority } => [pair(port, u32::from(priority)), 0, 0],
            // struct vcpu_register_vcpu_info: mfn u64, offset u32, rsvd u32.
            Self::RegisterVcpuInfo { gfn, offset, .. } => [gfn, pair(offset, 0), 0],
            // struct xen_hvm_evtchn_upcall_vector: vcpu u32, vector u8.
            Self::SetUpcallVector { vcpu, vector } => [pair(vcpu, u32::from(vector)), 0, 0],
        }
    }

    /// What the entry says once the stub has run.
    ///
    /// # Errors
    /// [`StubFault`] when the call was not made, failed, or chose another port.
    pub fn check(self, entry: &StubEntry) -> Result<(), StubFault> {
        if entry[RESULT] != 0 {
            return Err(StubFault::Refused { call: self, result: entry[RESULT].cast_signed() });
        }
        let chosen = match self {
            Self::AllocUnbound { port, .. } | Self::BindIpi { port, .. } => {
                Some((port, second(entry[STRUCTURE])))
            }
            Self::BindVirq { port, .. } => Some((port, second(entry[STRUCTURE + 1] << 32))),
            _ => None,
        };
        match chosen {
            Some((wanted, got)) if wanted != got => {
                Err(StubFault::OtherPort { call: self, port: got })
            }
            _ => Ok(()),
        }
    }
}

/// Why the stub's work cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StubFault {
    /// Xen returned an error; 1 means that the call was never made.
    Refused {
        /// The call.
        call: StubCall,
        /// What Xen returned: minus an errno.
        result: i64,
    },
    /// Xen chose a port that is not the guest's.
    OtherPort {
        /// The call.
        call: StubCall,
        /// The port that Xen chose.
        port: u32,
    },
}

impl fmt::Display for StubFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { call, result: 1 } => write!(f, "the twin never made {call:?}"),
            Self::Refused { call, result } => {
                write!(f, "Xen refused {call:?} of the twin (error {result})")
            }
            Self::OtherPort { call, port } => {
                write!(f, "Xen answered {call:?} of the twin with port {port}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_the_headers_lay_them_out() {
        let call = StubCall::BindVirq { port: 9, virq: 1, vcpu: 3 };
        assert_eq!(call.entry(0x1000), [32, 1, 0x1028, 0, 1, 1 | 3 << 32, 0, 0]);
        let call = StubCall::RegisterVcpuInfo { vcpu: 2, gfn: 0xfe004, offset: 128 };
        assert_eq!(call.entry(0x40), [24, 10, 2, 0x68, 1, 0xfe004, 128, 0]);
        let call = StubCall::AllocUnbound { port: 3, remote_domid: 5 };
        assert_eq!(call.entry(0), [32, 6, 40, 0, 1, 0x0005_7ff0, 0, 0]);
        let call = StubCall::InitControl { vcpu: 1, gfn: 77 };
        assert_eq!(call.entry(0), [32, 11, 40, 0, 1, 77, 1 << 32, 0]);
        let call = StubCall::SetUpcallVector { vcpu: 1, vector: 0xf3 };
        assert_eq!(call.entry(0), [34, 23, 40, 0, 1, 1 | 0xf3 << 32, 0, 0]);
    }

    #[test]
    fn results_are_judged() {
        let call = StubCall::BindIpi { port: 6, vcpu: 1 };
        let mut entry = call.entry(0);
        assert_eq!(call.check(&entry), Err(StubFault::Refused { call, result: 1 }));
        entry[RESULT] = (-22i64).cast_unsigned();
        assert_eq!(call.check(&entry), Err(StubFault::Refused { call, result: -22 }));
        entry[RESULT] = 0;
        entry[STRUCTURE] = pair(1, 7);
        assert_eq!(call.check(&entry), Err(StubFault::OtherPort { call, port: 7 }));
        entry[STRUCTURE] = pair(1, 6);
        assert_eq!(call.check(&entry), Ok(()));

        let call = StubCall::BindVirq { port: 4, virq: 1, vcpu: 0 };
        let mut entry = call.entry(0);
        entry[RESULT] = 0;
        entry[STRUCTURE + 1] = 4;
        assert_eq!(call.check(&entry), Ok(()));
        entry[STRUCTURE + 1] = 5;
        assert_eq!(call.check(&entry), Err(StubFault::OtherPort { call, port: 5 }));
    }
}
