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
    /// Messages that were sent and whose acknowledgements were not read yet.
    unanswered: u32,
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
        Ok(Self { fd, answer: [0; ANSWER_SIZE_MAX], unanswered: 0 })
    }

    /// Makes the kernel do every message of `request`, and gives `read` what it sends besides
    /// acknowledgements. Messages after a refused one are done nevertheless.
    ///
    /// # Errors
    /// The first refusal.
    pub fn ask(
        &mut self,
        request: &Request,
        read: &mut dyn FnMut(&Reply<'_>),
    ) -> Result<(), NetlinkError> {
        self.send(request)?;
        self.collect(read)
    }

    /// Makes the kernel do every message of `request`: when this returns, it has done them, or
    /// refused some. Which, [`NetlinkSocket::collect`] tells later, for a caller in a hurry.
    ///
    /// # Panics
    /// If the answers to an earlier request were not collected.
    ///
    /// # Errors
    /// If the request could not be sent.
    pub fn send(&mut self, request: &Request) -> Result<(), NetlinkError> {
        assert!(self.unanswered == 0, "collect the answers before the next request");
        let sent = rustix::net::send(&self.fd, request.bytes(), SendFlags::empty());
        sent.map_err(|errno| NetlinkError { message: None, errno })?;
        self.unanswered = request.message_count();
        Ok(())
    }

    /// Reads the answers to what was sent, if any are due; gives `read` what is no acknowledgement.
    ///
    /// # Errors
    /// The first refusal.
    pub fn collect(&mut self, read: &mut dyn FnMut(&Reply<'_>)) -> Result<(), NetlinkError> {
        let mut refusal = Ok(());
        while self.unanswered > 0 {
            let size = match rustix::net::recv(&self.fd, &mut self.answer, RecvFlags::empty()) {
                Ok((size, _)) => size,
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    self.unanswered = 0;
                    let errno = if errno == Errno::AGAIN { Errno::TIMEDOUT } else { errno };
                    return Err(NetlinkError { message: None, errno });
                }
            };
            for reply in replies(&self.answer[..size]) {
                match reply.kind {
                    NLMSG_DONE => self.unanswered = self.unanswered.saturating_sub(1),
                    NLMSG_ERROR => {
                        self.unanswered = self.unanswered.saturating_sub(1);
                        refusal = refusal.and_then(|()| verdict(&reply));
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
        self.ask(request, &mut |_| {})
    }
}

/// What an acknowledgement says: error number 0 is none.
fn verdict(reply: &Reply<'_>) -> Result<(), NetlinkError> {
    match error_number(reply).unwrap_or(Errno::BADMSG.raw_os_error()) {
        0 => Ok(()),
        number => {
            let errno = Errno::from_raw_os_error(number);
            Err(NetlinkError { message: Some(reply.sequence), errno })
        }
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
            .ask(&request, &mut |reply| {
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
