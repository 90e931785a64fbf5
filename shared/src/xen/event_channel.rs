//! Event channels as dom0 can ask of and make them by hypercall (event_channel.h); a domain's own:
//! `own_event_channels`.
//!
//! Ports that this process itself is to be woken by are `platform::linux::evtchn`'s.

use xen_sys::{EVTCHNOP_alloc_unbound, EVTCHNOP_close, EVTCHNOP_send, EVTCHNOP_status};

use super::event_channel_op::{AllocUnboundArgument, EventChannelStatus, StatusArgument};
use super::{Domid, Errno, Operation, Xen, XenError};

impl Xen {
    /// The state of `port` of domain `domid`.
    ///
    /// # Errors
    /// EINVAL for a port beyond those that the domain has ever used: a walk over all ports from
    /// 0 ends there. EACCES for a port that Xen itself serves (ioreq ports of HVM guests). ESRCH
    /// when there is no such domain.
    pub fn evtchn_status(&self, domid: Domid, port: u32) -> Result<EventChannelStatus, XenError> {
        let fail = |errno| XenError::of_domain(Operation::EventChannelStatus, domid, errno);
        let mut status = StatusArgument::of(domid, port);
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
