//! Event channels as dom0 can ask of and make them by hypercall (event_channel.h).
//!
//! Ports that this process itself is to be woken by are `platform::linux::evtchn`'s.

use xen_sys::{
    EVTCHNOP_alloc_unbound, EVTCHNOP_close, EVTCHNOP_send, EVTCHNOP_status,
    EVTCHNSTAT_closed as CLOSED, EVTCHNSTAT_interdomain as INTERDOMAIN, EVTCHNSTAT_ipi as IPI,
    EVTCHNSTAT_pirq as PIRQ, EVTCHNSTAT_unbound as UNBOUND, EVTCHNSTAT_virq as VIRQ,
};

use super::{Domid, Errno, Operation, Plain, Xen, XenError};

/// struct evtchn_status; the union is two words, whose meaning the status tells.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct StatusArgument {
    domid: Domid,
    padding: u16,
    port: u32,
    status: u32,
    vcpu: u32,
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
struct AllocUnboundArgument {
    domid: Domid,
    remote_domid: Domid,
    port: u32,
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
    /// None for a status that the header does not know.
    fn kind(&self) -> Option<EventChannelStatusKind> {
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

impl Xen {
    /// The state of `port` of domain `domid`.
    ///
    /// # Errors
    /// EINVAL for a port beyond those that the domain has ever used: a walk over all ports from
    /// 0 ends there. EACCES for a port that Xen itself serves (ioreq ports of HVM guests). ESRCH
    /// when there is no such domain.
    pub fn evtchn_status(&self, domid: Domid, port: u32) -> Result<EventChannelStatus, XenError> {
        let fail = |errno| XenError::of_domain(Operation::EventChannelStatus, domid, errno);
        let mut status = StatusArgument { domid, port, ..StatusArgument::default() };
        self.event_channel_op(EVTCHNOP_status, &mut status).map_err(fail)?;
        let kind = status.kind().ok_or(fail(Errno::EOPNOTSUPP))?;
        Ok(EventChannelStatus { vcpu: status.vcpu, kind })
    }

    /// Allocates the lowest free port of `domid`, for `remote_domid` to bind to.
    ///
    /// # Errors
    /// ENOSPC when the domain has no port left; ESRCH when there is no such domain.
    pub fn evtchn_alloc_unbound(&self, domid: Domid, remote_domid: Domid) -> Result<u32, XenError> {
        let mut argument = AllocUnboundArgument { domid, remote_domid, port: 0 };
        self.event_channel_op(EVTCHNOP_alloc_unbound, &mut argument).map_err(|errno| {
            XenError::of_domain(Operation::EventChannelAllocUnbound, domid, errno)
        })?;
        Ok(argument.port)
    }

    /// Sends an event from dom0's port `local_port` to its other end, whichever process of dom0
    /// bound it.
    ///
    /// # Errors
    /// EINVAL when dom0 has no such port.
    pub fn evtchn_send(&self, local_port: u32) -> Result<(), XenError> {
        let mut port = local_port;
        self.event_channel_op(EVTCHNOP_send, &mut port)
            .map(|_| ())
            .map_err(|errno| XenError::of_host(Operation::EventChannelSend, errno))
    }

    /// Closes dom0's port `local_port`. Only for ports that no driver of dom0's kernel knows.
    ///
    /// # Errors
    /// EINVAL when dom0 has no such port.
    pub fn evtchn_close(&self, local_port: u32) -> Result<(), XenError> {
        let mut port = local_port;
        self.event_channel_op(EVTCHNOP_close, &mut port)
            .map(|_| ())
            .map_err(|errno| XenError::of_host(Operation::EventChannelClose, errno))
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
