//! The way to xenstored: its socket in dom0, or /dev/xen/xenbus when xenstored runs elsewhere.

use core::fmt;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::evtchn::wait_readable;
use super::privcmd::errno;
use crate::xen::xenstore::{WatchEvent, Xenstore, XenstoreError};
use crate::xen::{Errno, XenOpenError};

/// Where xenstored listens: by default, and where /run is not /var/run.
const SOCKET_PATHS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];
/// The kernel's own connection, shared with its drivers.
const DEVICE_PATH: &str = "/dev/xen/xenbus";
const PROVIDER: &str = "xenstored running (or the kernel's /dev/xen/xenbus)";

/// A byte stream to xenstored. Reads block.
#[derive(Debug)]
pub struct XenstoreConnection {
    stream: OwnedFd,
    is_socket: bool,
}

/// Linux's errno on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError(pub Errno);

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection to xenstored broke ({}): check that xenstored runs", self.0)
    }
}

impl core::error::Error for StreamError {}

impl embedded_io::Error for StreamError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl XenstoreConnection {
    /// Connects to xenstored: by its socket if there is one, else through the kernel.
    ///
    /// # Errors
    /// [`XenOpenError`] when neither is there, or not for this caller.
    pub fn open() -> Result<XenstoreConnection, XenOpenError> {
        for path in SOCKET_PATHS {
            match connect(path) {
                Ok(stream) => return Ok(XenstoreConnection { stream, is_socket: true }),
                Err(Errno::EPERM | Errno::EACCES) => {
                    return Err(XenOpenError::NotPermitted { path });
                }
                // Missing, or left over from a xenstored that ended.
                Err(_) => {}
            }
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(DEVICE_PATH, flags, Mode::empty())
            .map(|stream| XenstoreConnection { stream, is_socket: false })
            .map_err(|error| XenOpenError::from_errno(DEVICE_PATH, PROVIDER, errno(error)))
    }
}

fn connect(path: &str) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path).map_err(errno)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(errno)?;
    rustix::net::connect(&socket, &address).map_err(errno)?;
    Ok(socket)
}

impl embedded_io::ErrorType for XenstoreConnection {
    type Error = StreamError;
}

impl embedded_io::Read for XenstoreConnection {
    fn read(&mut self, target: &mut [u8]) -> Result<usize, StreamError> {
        loop {
            match rustix::io::read(&self.stream, &mut *target).map_err(errno) {
                Err(Errno::EINTR) => {}
                result => return result.map_err(StreamError),
            }
        }
    }
}

impl embedded_io::Write for XenstoreConnection {
    fn write(&mut self, source: &[u8]) -> Result<usize, StreamError> {
        loop {
            // A xenstored that ended is to be an error, not the end of this process by SIGPIPE.
            let result = if self.is_socket {
                rustix::net::send(&self.stream, source, SendFlags::NOSIGNAL)
            } else {
                rustix::io::write(&self.stream, source)
            };
            match result.map_err(errno) {
                Err(Errno::EINTR) => {}
                result => return result.map_err(StreamError),
            }
        }
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

impl AsFd for XenstoreConnection {
    /// Readable when a message is there.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Connects to xenstored and returns a client.
///
/// # Errors
/// As for [`XenstoreConnection::open`].
pub fn open_xenstore() -> Result<Xenstore<XenstoreConnection>, XenOpenError> {
    XenstoreConnection::open().map(Xenstore::new)
}

impl Xenstore<XenstoreConnection> {
    /// The next watch event, or none when there is none within `timeout_ms`.
    ///
    /// # Errors
    /// [`XenstoreError::Disconnected`] or [`XenstoreError::Malformed`].
    pub fn wait_event(&mut self, timeout_ms: u32) -> Result<Option<WatchEvent>, XenstoreError> {
        if let Some(event) = self.take_event() {
            return Ok(Some(event));
        }
        let readable = wait_readable(self.transport().as_fd(), timeout_ms)
            .map_err(|_| XenstoreError::Disconnected)?;
        if readable {
            self.receive_event()?;
        }
        Ok(self.take_event())
    }
}
