//! A socket to the kernel's network configuration: requests out, answers in.

use super::errno::ErrnoText;
use crate::gate::message::{
    NLMSG_DONE, NLMSG_ERROR, REQUEST_SIZE_MAX, Reply, Request, error_number, replies,
};
use core::fmt;
use core::time::Duration;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Bytes of one answer: the kernel fits listings into what was asked for before.
const ANSWER_SIZE_MAX: usize = 32 * 1024;

/// The kernel works on requests while they are sent, so an answer is late only if it was lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

const _: () = assert!(REQUEST_SIZE_MAX <= ANSWER_SIZE_MAX, "a refusal repeats its request");

/// A request that the kernel did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetlinkError {
    /// Which message of the request, from 0; nothing if the socket itself failed.
    pub message: Option<u32>,
    /// What the kernel said; `TIMEDOUT` if nothing.
    pub errno: Errno,
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message {
            Some(_) => ErrnoText(self.errno).fmt(formatter),
            None => write!(formatter, "the kernel did not answer: {}", ErrnoText(self.errno)),
        }
    }
}

impl core::error::Error for NetlinkError {}

/// A NETLINK_ROUTE socket, with room for one answer.
pub struct NetlinkSocket {
    fd: OwnedFd,
    answer: [u8; ANSWER_SIZE_MAX],
}

impl fmt::Debug for NetlinkSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NetlinkSocket").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl NetlinkSocket {
    /// Opens a socket; changing the network with it needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> Result<Self, NetlinkError> {
        let failed = |errno| NetlinkError { message: None, errno };
        // NETLINK_ROUTE is protocol 0, which rustix calls none.
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
            .map_err(failed)?;
        set_socket_timeout(&fd, Timeout::Recv, Some(ANSWER_TIMEOUT)).map_err(failed)?;
        Ok(Self { fd, answer: [0; ANSWER_SIZE_MAX] })
    }

    /// Makes the kernel do every message of `request`, and gives `read` what it sends besides
    /// acknowledgements. Messages after a refused one are done nevertheless.
    ///
    /// # Errors
    /// The first refusal.
    pub fn ask(
        &mut self,
        request: &Request,
        mut read: impl FnMut(&Reply<'_>),
    ) -> Result<(), NetlinkError> {
        let failed = |errno| NetlinkError { message: None, errno };
        rustix::net::send(&self.fd, request.bytes(), SendFlags::empty()).map_err(failed)?;
        let mut unanswered = request.message_count();
        let mut refusal = Ok(());
        while unanswered > 0 {
            let size = match rustix::net::recv(&self.fd, &mut self.answer, RecvFlags::empty()) {
                Ok((size, _)) => size,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(failed(Errno::TIMEDOUT)),
                Err(errno) => return Err(failed(errno)),
            };
            for reply in replies(&self.answer[..size]) {
                match reply.kind {
                    NLMSG_DONE => unanswered -= 1,
                    NLMSG_ERROR => {
                        unanswered -= 1;
                        let number = error_number(&reply).unwrap_or(Errno::BADMSG.raw_os_error());
                        if number != 0 && refusal.is_ok() {
                            let errno = Errno::from_raw_os_error(number);
                            refusal = Err(NetlinkError { message: Some(reply.sequence), errno });
                        }
                    }
                    _ => read(&reply),
                }
            }
        }
        refusal
    }

    /// Makes the kernel do every message of `request`, of which none has an answer to be read.
    ///
    /// # Errors
    /// The first refusal.
    pub fn tell(&mut self, request: &Request) -> Result<(), NetlinkError> {
        self.ask(request, |_| {})
    }
}

#[cfg(test)]
mod tests {
    use super::{Errno, NetlinkSocket};
    use crate::gate::message::Request;
    use crate::gate::{replies, requests};

    #[test]
    fn the_loopback_interface_is_listed() {
        let mut socket = NetlinkSocket::open().unwrap();
        let mut request = Request::new();
        requests::list_links(&mut request);
        let mut names = Vec::new();
        socket
            .ask(&request, |reply| {
                names.extend(replies::link(reply).map(|link| link.name.as_str().to_owned()));
            })
            .unwrap();
        assert!(names.contains(&"lo".to_owned()), "{names:?}");
    }

    #[test]
    fn the_first_refusal_is_reported_and_every_answer_is_taken() {
        let mut socket = NetlinkSocket::open().unwrap();
        let mut request = Request::new();
        requests::query_plug(&mut request, 0x7fff_fff0);
        requests::query_plug(&mut request, 0x7fff_fff1);
        let error = socket.tell(&request).unwrap_err();
        assert_eq!((error.message, error.errno), (Some(0), Errno::NODEV));
        let mut request = Request::new();
        requests::query_plug(&mut request, 0x7fff_fff2);
        assert_eq!(socket.tell(&request).unwrap_err().message, Some(0));
    }
}
