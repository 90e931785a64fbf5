//! What calls about event channels are given and answer (event_channel.h).

use xen_sys::{
    EVTCHNSTAT_closed as CLOSED, EVTCHNSTAT_interdomain as INTERDOMAIN, EVTCHNSTAT_ipi as IPI,
    EVTCHNSTAT_pirq as PIRQ, EVTCHNSTAT_unbound as UNBOUND, EVTCHNSTAT_virq as VIRQ,
};

use super::{Domid, Plain};

/// struct evtchn_status; the union is two words, whose meaning the status tells.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct StatusArgument {
    domid: Domid,
    padding: u16,
    port: u32,
    status: u32,
    pub vcpu: u32,
    union_first: u32,
    union_second: u32,
}

const _: () = assert!(size_of::<StatusArgument>() == 24);
const _: () = assert!(size_of::<xen_sys::evtchn_status>() == 24);
const _: () = assert!(core::mem::offset_of!(StatusArgument, union_first) == 16);

// SAFETY: integers only.
unsafe impl Plain for StatusArgument {}

/// struct evtchn_alloc_unbound.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct AllocUnboundArgument {
    pub domid: Domid,
    pub remote_domid: Domid,
    pub port: u32,
}

const _: () =
    assert!(size_of::<AllocUnboundArgument>() == size_of::<xen_sys::evtchn_alloc_unbound>());

// SAFETY: integers only.
unsafe impl Plain for AllocUnboundArgument {}

/// A port's state (EVTCHNOP_status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventChannelStatus {
    /// vCPU that the port notifies.
    pub vcpu: u32,
    /// What it is bound to.
    pub kind: EventChannelStatusKind,
}

/// What a port is bound to (EVTCHNSTAT_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventChannelStatusKind {
    /// Not in use.
    Closed,
    /// Waits for a domain to bind to it.
    Unbound {
        /// The domain that may.
        remote_domid: Domid,
    },
    /// Connected to a port of another domain.
    Interdomain {
        /// The other domain.
        remote_domid: Domid,
        /// Its port.
        remote_port: u32,
    },
    /// A physical interrupt.
    Pirq {
        /// Its number.
        pirq: u32,
    },
    /// A virtual interrupt.
    Virq {
        /// `xen_sys::VIRQ_*`.
        virq: u32,
    },
    /// From vCPU to vCPU of the domain itself.
    Ipi,
}

impl StatusArgument {
    /// To be asked about a port.
    pub fn of(domid: Domid, port: u32) -> Self {
        Self { domid, port, ..Self::default() }
    }

    /// None for a status that the header does not know.
    pub fn kind(&self) -> Option<EventChannelStatusKind> {
        let [low, high, ..] = self.union_first.to_le_bytes();
        let remote_domid = Domid::from_le_bytes([low, high]);
        Some(match self.status {
            CLOSED => EventChannelStatusKind::Closed,
            UNBOUND => EventChannelStatusKind::Unbound { remote_domid },
            INTERDOMAIN => {
                EventChannelStatusKind::Interdomain { remote_domid, remote_port: self.union_second }
            }
            PIRQ => EventChannelStatusKind::Pirq { pirq: self.union_first },
            VIRQ => EventChannelStatusKind::Virq { virq: self.union_first },
            IPI => EventChannelStatusKind::Ipi,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_union_is_read_by_status() {
        let with = |status, union_first, union_second| {
            StatusArgument { status, union_first, union_second, ..StatusArgument::default() }.kind()
        };
        assert_eq!(with(0, 9, 9), Some(EventChannelStatusKind::Closed));
        assert_eq!(with(1, 7, 9), Some(EventChannelStatusKind::Unbound { remote_domid: 7 }));
        assert_eq!(
            with(2, 0xffff_0003, 31),
            Some(EventChannelStatusKind::Interdomain { remote_domid: 3, remote_port: 31 })
        );
        assert_eq!(with(3, 16, 0), Some(EventChannelStatusKind::Pirq { pirq: 16 }));
        assert_eq!(with(4, 0, 0), Some(EventChannelStatusKind::Virq { virq: 0 }));
        assert_eq!(with(5, 0, 0), Some(EventChannelStatusKind::Ipi));
        assert_eq!(with(6, 0, 0), None);
    }
}
