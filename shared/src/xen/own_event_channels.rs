//! A domain's own event channels (event_channel.h): the calls of a stub domain. Events are not delivered; where they are
//! looked for: `platform::stubdom::shared_info`.

use xen_sys::{
    __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, EVTCHNOP_close, EVTCHNOP_send,
    EVTCHNOP_status,
};

use super::event_channel_op::{AllocUnboundArgument, EventChannelStatusKind, StatusArgument};
use super::{DOMID_SELF, Domid, Errno, Hypervisor, Operation, Plain, XenError};

impl Hypervisor {
    fn event_channel_call<T: Plain>(
        self,
        operation: Operation,
        command: u32,
        argument: &mut T,
    ) -> Result<(), XenError> {
        self.structure_call(__HYPERVISOR_event_channel_op, command, argument)
            .map(drop)
            .map_err(|errno| XenError::of_host(operation, errno))
    }

    /// A port of this domain that `remote_domid` may bind to.
    ///
    /// # Errors
    /// ENOSPC when this domain has no port left.
    pub fn alloc_unbound(self, remote_domid: Domid) -> Result<u32, XenError> {
        let mut argument = AllocUnboundArgument { domid: DOMID_SELF, remote_domid, port: 0 };
        let operation = Operation::EventChannelAllocUnbound;
        self.event_channel_call(operation, EVTCHNOP_alloc_unbound, &mut argument)?;
        Ok(argument.port)
    }

    /// Closes a port of this domain. The other end, if there is one, waits to be bound to again.
    ///
    /// # Errors
    /// EINVAL when this domain has no such port.
    pub fn close_event_channel(self, port: u32) -> Result<(), XenError> {
        let mut port = port;
        self.event_channel_call(Operation::EventChannelClose, EVTCHNOP_close, &mut port)
    }

    /// Sends an event to the other end of `port`.
    ///
    /// # Errors
    /// EINVAL when this domain has no such port.
    pub fn send_event(self, port: u32) -> Result<(), XenError> {
        let mut port = port;
        self.event_channel_call(Operation::EventChannelSend, EVTCHNOP_send, &mut port)
    }

    /// What a port of this domain is bound to. One whose other end was closed is unbound again.
    ///
    /// # Errors
    /// EINVAL when this domain has no such port.
    pub fn event_channel_kind(self, port: u32) -> Result<EventChannelStatusKind, XenError> {
        let operation = Operation::EventChannelStatus;
        let mut argument = StatusArgument::of(DOMID_SELF, port);
        self.event_channel_call(operation, EVTCHNOP_status, &mut argument)?;
        argument.kind().ok_or(XenError::of_host(operation, Errno::EOPNOTSUPP))
    }
}
