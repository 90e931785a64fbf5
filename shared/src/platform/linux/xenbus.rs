//! The way to xenstored: its socket in dom0, or /dev/xen/xenbus when xenstored runs elsewhere.

use core::fmt;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::clock::monotonic_us;
use super::evtchn::wait_readable;
use super::file::open_with_mode;
use super::privcmd::errno;
use crate::xen::xenstore::Xenstore;
use crate::xen::{Errno, XenOpenError};

/// Where xenstored listens: by default, and where /run is not /var/run.
const SOCKET_PATHS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];
/// The kernel's own connection, shared with its drivers.
const DEVICE_PATH: &str = "/dev/xen/xenbus";
const PROVIDER: &str = "xenstored running (or the kernel's /dev/xen/xenbus)";

/// A byte stream to xenstored. A read waits for it no longer than it was told to.
#[derive(Debug)]
pub struct XenstoreConnection {
    stream: OwnedFd,
    is_socket: bool,
    answer_ms_max: u32,
}

/// Linux's errno on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError(pub Errno);

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection to xenstored failed ({}): check that xenstored runs", self.0)
    }
}

impl core::error::Error for StreamError {}

impl embedded_io::Error for StreamError {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self.0 {
            Errno::ETIMEDOUT => embedded_io::ErrorKind::TimedOut,
            _ => embedded_io::ErrorKind::Other,
        }
    }
}

impl XenstoreConnection {
    /// Connects to xenstored: by its socket if there is one, else through the kernel.
    ///
    /// # Errors
    /// [`XenOpenError`] when neither is there, or not for this caller.
    pub fn open(answer_ms_max: u32) -> Result<XenstoreConnection, XenOpenError> {
        for path in SOCKET_PATHS {
            match connect(path) {
                Ok(stream) => {
                    return Ok(XenstoreConnection { stream, is_socket: true, answer_ms_max });
                }
                Err(Errno::EPERM | Errno::EACCES) => {
                    return Err(XenOpenError::NotPermitted { path });
                }
                // Missing, or left over from a xenstored that ended.
                Err(_) => {}
            }
        }
        open_with_mode(DEVICE_PATH, OFlags::RDWR, Mode::empty())
            .map(|stream| XenstoreConnection { stream, is_socket: false, answer_ms_max })
            .map_err(|error| XenOpenError::from_errno(DEVICE_PATH, PROVIDER, errno(error)))
    }

    fn wait_for_answer(&self) -> Result<(), StreamError> {
        let deadline_us = monotonic_us() + u64::from(self.answer_ms_max) * 1000;
        loop {
            let left_us = deadline_us.saturating_sub(monotonic_us());
            let left_ms = u32::try_from(left_us.div_ceil(1000)).unwrap_or(u32::MAX);
            // A signal ends a wait early.
            match wait_readable(self.stream.as_fd(), left_ms) {
                Ok(true) => return Ok(()),
                Ok(false) if left_us > 0 => {}
                Ok(false) => return Err(StreamError(Errno::ETIMEDOUT)),
                Err(errno) => return Err(StreamError(errno)),
            }
        }
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
        self.wait_for_answer()?;
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

/// Connects to xenstored and returns a client, which waits `answer_ms_max` for each answer.
///
/// # Errors
/// As for [`XenstoreConnection::open`].
pub fn open_xenstore(answer_ms_max: u32) -> Result<Xenstore<XenstoreConnection>, XenOpenError> {
    XenstoreConnection::open(answer_ms_max).map(Xenstore::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::xenstore::{Transaction, XenstoreError};

    fn pair(answer_ms_max: u32) -> (OwnedFd, Xenstore<XenstoreConnection>) {
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let (xenstored, stream) =
            rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap();
        (xenstored, Xenstore::new(XenstoreConnection { stream, is_socket: true, answer_ms_max }))
    }

    #[test]
    fn a_xenstored_that_does_not_answer_is_not_waited_for() {
        let (xenstored, mut store) = pair(20);
        assert_eq!(store.read(Transaction::NONE, "domid"), Err(XenstoreError::Silent));
        drop(xenstored);
        assert_eq!(store.read(Transaction::NONE, "domid"), Err(XenstoreError::Disconnected));
    }

    #[test]
    fn a_late_answer_is_not_taken_for_the_next_one() {
        let (xenstored, mut store) = pair(20);
        assert_eq!(store.read(Transaction::NONE, "domid"), Err(XenstoreError::Silent));
        let answers = b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\x001\
            \x02\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\x002";
        assert_eq!(rustix::io::write(&xenstored, answers), Ok(answers.len()));
        assert_eq!(store.read_number(Transaction::NONE, "domid"), Ok(2));
    }

    #[test]
    fn an_answer_in_parts_is_put_together() {
        let (xenstored, mut store) = pair(60_000);
        let answer = b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\x0042";
        let writer = std::thread::spawn(move || {
            for part in answer.chunks(5) {
                assert_eq!(rustix::io::write(&xenstored, part), Ok(part.len()));
                std::thread::yield_now();
            }
            xenstored
        });
        assert_eq!(store.read_number(Transaction::NONE, "domid"), Ok(42));
        drop(writer.join().unwrap());
    }
}
