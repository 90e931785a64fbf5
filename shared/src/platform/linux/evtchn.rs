//! /dev/xen/evtchn: ports of dom0 that belong to this process, and waiting for them.
//!
//! The ioctls are those of Linux's include/uapi/xen/evtchn.h. A port that became pending is
//! masked until [`EventChannels::unmask`]. Closing the device closes its ports.

#![allow(unsafe_code)]

use core::ffi::CStr;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Direction, Opcode, opcode};

use super::privcmd::{StructureIoctl, errno};
use crate::xen::{Domid, Errno, Operation, XenError, XenOpenError};

const PATH: &str = "/dev/xen/evtchn";
const PATH_C: &CStr = c"/dev/xen/evtchn";

/// struct ioctl_evtchn_bind_interdomain.
#[repr(C)]
struct BindInterdomain {
    remote_domid: u32,
    remote_port: u32,
}

/// struct ioctl_evtchn_bind_unbound_port, _unbind and _notify: one number each.
#[repr(C)]
struct Number {
    number: u32,
}

const fn evtchn_opcode<T>(number: u8) -> Opcode {
    opcode::from_components(Direction::None, b'E', number, size_of::<T>())
}

const BIND_INTERDOMAIN: Opcode = evtchn_opcode::<BindInterdomain>(1);
const BIND_UNBOUND_PORT: Opcode = evtchn_opcode::<Number>(2);
const UNBIND: Opcode = evtchn_opcode::<Number>(3);
const NOTIFY: Opcode = evtchn_opcode::<Number>(4);

/// The open device, with the ports that were bound through it.
#[derive(Debug)]
pub struct EventChannels {
    device: OwnedFd,
}

impl EventChannels {
    /// Opens the device; it is closed on exec, and reads do not block.
    ///
    /// # Errors
    /// [`XenOpenError`] when it is missing (no xen-evtchn module) or forbidden.
    pub fn open() -> Result<EventChannels, XenOpenError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let device = rustix::fs::open(PATH_C, flags, Mode::empty()).map_err(|error| {
            let provider = "the kernel module xen-evtchn loaded (modprobe xen-evtchn)";
            XenOpenError::from_errno(PATH, provider, errno(error))
        })?;
        Ok(EventChannels { device })
    }

    /// Binds a new local port to `remote_port` of `remote_domid`, which must wait for dom0.
    ///
    /// # Errors
    /// EINVAL when the remote port does not wait for dom0; ESRCH when there is no such domain.
    pub fn bind_interdomain(&self, remote_domid: Domid, remote_port: u32) -> Result<u32, XenError> {
        let mut argument = BindInterdomain { remote_domid: u32::from(remote_domid), remote_port };
        // SAFETY: the opcode takes this structure, which holds no address.
        let ioctl = unsafe { StructureIoctl::new(BIND_INTERDOMAIN, &mut argument) };
        // SAFETY: as above.
        unsafe { rustix::ioctl::ioctl(&self.device, ioctl) }.map(i32::cast_unsigned).map_err(
            |error| {
                let operation = Operation::EventChannelBindInterdomain;
                XenError::of_domain(operation, remote_domid, errno(error))
            },
        )
    }

    /// Allocates a local port that `remote_domid` may bind to.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn bind_unbound_port(&self, remote_domid: Domid) -> Result<u32, XenError> {
        self.number_ioctl(BIND_UNBOUND_PORT, u32::from(remote_domid))
            .map(i32::cast_unsigned)
            .map_err(|errno| {
                XenError::of_domain(Operation::EventChannelBindUnbound, remote_domid, errno)
            })
    }

    /// Closes a local port.
    ///
    /// # Errors
    /// ENOTCONN when the port is not bound through this device.
    pub fn unbind(&self, port: u32) -> Result<(), XenError> {
        self.port_ioctl(Operation::EventChannelUnbind, UNBIND, port)
    }

    /// Sends an event to the other end of a local port.
    ///
    /// # Errors
    /// ENOTCONN when the port is not bound through this device.
    pub fn notify(&self, port: u32) -> Result<(), XenError> {
        self.port_ioctl(Operation::EventChannelNotify, NOTIFY, port)
    }

    /// Lets a port become pending again, after [`EventChannels::pending`] reported it.
    ///
    /// # Errors
    /// Linux's errno when the device refuses the write.
    pub fn unmask(&self, port: u32) -> Result<(), XenError> {
        rustix::io::write(&self.device, &port.to_ne_bytes())
            .map(|_| ())
            .map_err(|error| XenError::of_host(Operation::EventChannelUnmask, errno(error)))
    }

    /// A local port that became pending, or none; does not wait. The port is masked now.
    ///
    /// # Errors
    /// EFBIG when more events came than the device keeps: they are lost.
    pub fn pending(&self) -> Result<Option<u32>, XenError> {
        let mut port = [0; size_of::<u32>()];
        match rustix::io::read(&self.device, &mut port).map_err(errno) {
            Ok(length) if length == port.len() => Ok(Some(u32::from_ne_bytes(port))),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(XenError::of_host(Operation::EventChannelPending, errno)),
        }
    }

    /// Waits until a port is pending, at most `timeout_ms`, and returns it as
    /// [`EventChannels::pending`] does; none when there was none in time.
    ///
    /// # Errors
    /// As for [`EventChannels::pending`].
    pub fn wait(&self, timeout_ms: u32) -> Result<Option<u32>, XenError> {
        if let Some(port) = self.pending()? {
            return Ok(Some(port));
        }
        wait_readable(self.as_fd(), timeout_ms)
            .map_err(|errno| XenError::of_host(Operation::EventChannelPending, errno))?;
        self.pending()
    }

    fn number_ioctl(&self, opcode: Opcode, number: u32) -> Result<i32, Errno> {
        let mut argument = Number { number };
        // SAFETY: the opcodes passed here take one number, which is no address.
        let ioctl = unsafe { StructureIoctl::new(opcode, &mut argument) };
        // SAFETY: as above.
        unsafe { rustix::ioctl::ioctl(&self.device, ioctl) }.map_err(errno)
    }

    fn port_ioctl(&self, operation: Operation, opcode: Opcode, port: u32) -> Result<(), XenError> {
        self.number_ioctl(opcode, port)
            .map(|_| ())
            .map_err(|errno| XenError::of_host(operation, errno))
    }
}

impl AsFd for EventChannels {
    /// Readable when a port is pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Waits until `file` is readable, at most `timeout_ms`; true when it is.
pub(super) fn wait_readable(file: BorrowedFd<'_>, timeout_ms: u32) -> Result<bool, Errno> {
    let timeout = Timespec {
        tv_sec: i64::from(timeout_ms / 1000),
        tv_nsec: i64::from(timeout_ms % 1000) * 1_000_000,
    };
    let mut files = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
    match rustix::event::poll(&mut files, Some(&timeout)).map_err(errno) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_those_of_the_header() {
        assert_eq!(BIND_INTERDOMAIN, 0x0008_4501);
        assert_eq!(BIND_UNBOUND_PORT, 0x0004_4502);
        assert_eq!(UNBIND, 0x0004_4503);
        assert_eq!(NOTIFY, 0x0004_4504);
    }
}
