//! Raw Ethernet: an AF_PACKET socket on one interface and one EtherType.
//!
//! Frames go out and come in whole, Ethernet header included and checksum excluded. The socket
//! never waits: what cannot be sent now is told, and [`PacketSocket::wait_readable`] waits for
//! frames where the caller wants to. What the frames mean is the link's business.

mod abi;
mod error;
mod interface;

pub use error::{PacketSocketError, PacketSocketErrorKind};

use super::syscall::{
    SYSCALL_GETSOCKOPT, SYSCALL_RECVMMSG, SYSCALL_SENDMMSG, SYSCALL_SETSOCKOPT, syscall,
};
use crate::limits::LINK_COUNT_MAX;
use crate::text::FixedText;
use abi::{IoVector, MessageHeader, OffloadHeader, SockaddrLl};
use core::mem::size_of;
use core::ptr;
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Bytes of an interface name (include/uapi/linux/if.h: IFNAMSIZ is 16 with the final zero).
pub const INTERFACE_NAME_SIZE_MAX: usize = 15;

/// Frames that one call sends or receives at most.
pub const PACKET_BATCH_MAX: usize = 64;

/// Bytes the kernel is asked to buffer in each direction: an epoch of 4000 pages.
const SOCKET_BUFFER_SIZE: usize = 32 * 1024 * 1024;

// include/uapi/linux/if_packet.h, include/linux/socket.h
const SOL_PACKET: usize = 263;
const PACKET_STATISTICS: usize = 6;
const PACKET_VNET_HDR: usize = 15;
const PACKET_QDISC_BYPASS: usize = 20;
const MSG_DONTWAIT: usize = 0x40;

/// What the kernel counted for a socket since the last question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketStatistics {
    /// Frames that arrived for the socket, the dropped ones included.
    pub received: u32,
    /// Frames that found the socket's buffer full.
    pub dropped: u32,
}

/// A raw Ethernet socket. It does not block.
#[derive(Debug)]
pub struct PacketSocket {
    /// Receives.
    fd: OwnedFd,
    /// Sends: a socket of its own, since what goes before a frame that is sent would also come
    /// before one that is received.
    sending_fd: OwnedFd,
    /// Bytes of the header before each frame that is sent: none if frames go in one piece.
    offload_header_size: usize,
    interface: FixedText<INTERFACE_NAME_SIZE_MAX>,
    mac: [u8; 6],
    mtu: u16,
}

impl PacketSocket {
    /// Opens a socket that receives the interface's frames of one EtherType (in host order, such
    /// as 0x88B5) and sends frames of any, without a queue in between. Needs CAP_NET_RAW; what is
    /// opened stays usable without it.
    ///
    /// # Errors
    /// If the interface does not exist, is down, is a bridge's port or carries no Ethernet.
    pub fn open(interface: &str, ethertype: u16) -> Result<Self, PacketSocketError> {
        let socket = Self::open_up_or_down(interface, ethertype)?;
        socket.check_up()?;
        Ok(socket)
    }

    /// The same of an interface that may be down: it is used once it is up.
    ///
    /// # Errors
    /// If the interface does not exist, is a bridge's port or carries no Ethernet.
    pub fn open_up_or_down(interface: &str, ethertype: u16) -> Result<Self, PacketSocketError> {
        let name = FixedText::new(interface);
        let error = |kind| PacketSocketError { interface: name, kind };
        let step = |step| move |errno| error(PacketSocketErrorKind::System(step, errno));
        if name.as_str() != interface || interface.is_empty() {
            return Err(error(PacketSocketErrorKind::NoInterface));
        }
        // Protocol 0 receives nothing until the socket is bound to its interface.
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
                .map_err(step("open a packet socket"))
        };
        let (fd, sending_fd) = (open()?, open()?);
        let index = rustix::net::netdevice::name_to_index(&fd, interface)
            .map_err(|_| error(PacketSocketErrorKind::NoInterface))?;
        let mut socket = Self {
            fd,
            sending_fd,
            offload_header_size: size_of::<OffloadHeader>(),
            interface: name,
            mac: [0; 6],
            mtu: 0,
        };
        socket.read_interface()?;
        socket.enlarge_buffers().map_err(step("enlarge the buffers"))?;
        for (option, what) in
            [(PACKET_QDISC_BYPASS, "bypass the queue"), (PACKET_VNET_HDR, "send in pages")]
        {
            socket.set_sending_option(option, 1).map_err(step(what))?;
        }
        for (fd, ethertype) in [(&socket.fd, ethertype), (&socket.sending_fd, 0)] {
            let address = SockaddrLl::new(index, ethertype);
            rustix::net::bind(fd, &address).map_err(step("bind to the interface"))?;
        }
        Ok(socket)
    }

    /// The interface's own address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Bytes that a frame may carry after its Ethernet header of 14 bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The interface's name.
    pub fn interface(&self) -> &str {
        self.interface.as_str()
    }

    /// The descriptors, to keep them open when others are closed.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.fd.as_fd(), self.sending_fd.as_fd()]
    }

    /// Has the kernel keep each frame that is sent in one piece of memory from now on, and not in
    /// pages, which are cheaper to get.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send_in_one_piece(&mut self) -> Result<(), PacketSocketError> {
        let set = self.set_sending_option(PACKET_VNET_HDR, 0);
        set.map_err(|errno| self.error("send in one piece", errno))?;
        self.offload_header_size = 0;
        Ok(())
    }

    /// Sends frames, in order, and returns how many the interface took. Fewer than given, also
    /// none, means that its queue is full or that it is down: try the rest later, or treat them as
    /// lost. At most [`PACKET_BATCH_MAX`] are sent.
    ///
    /// # Errors
    /// What else the kernel says; a frame that is too long is `MSGSIZE`.
    pub fn send_batch(&self, frames: &[&[u8]]) -> Result<usize, PacketSocketError> {
        let count = frames.len().min(PACKET_BATCH_MAX);
        let mut headers = [OffloadHeader::EMPTY; PACKET_BATCH_MAX];
        let mut vectors = [[IoVector::EMPTY; 2]; PACKET_BATCH_MAX];
        for ((parts, header), frame) in vectors.iter_mut().zip(&mut headers).zip(frames) {
            *header = OffloadHeader::of_frame(frame.len());
            let base = core::ptr::from_mut(header).cast();
            parts[0] = IoVector { base, size: self.offload_header_size };
            parts[1] = IoVector { base: frame.as_ptr().cast_mut(), size: frame.len() };
        }
        let mut messages = MessageHeader::for_each(&mut vectors[..count]);
        let arguments = [
            self.sending_fd.as_raw_fd().cast_unsigned() as usize,
            messages.as_mut_ptr().expose_provenance(),
            count,
            MSG_DONTWAIT,
            0,
            0,
        ];
        // SAFETY: `count` headers, each with two vectors that point at a header and a frame borrowed
        // here; the kernel only reads them.
        match unsafe { syscall(SYSCALL_SENDMMSG, arguments) } {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR | Errno::NETDOWN | Errno::NXIO) => Ok(0),
            Err(errno) => Err(self.error("send", errno)),
        }
    }

    /// Receives the frames that are there into `area`, each at a multiple of `frame_size_max`, and
    /// writes their sizes to `sizes`. Returns how many came: none if none is there. A frame longer
    /// than `frame_size_max` is cut, which its seal then shows.
    ///
    /// # Panics
    /// If `frame_size_max` is 0.
    ///
    /// # Errors
    /// What the kernel says; an interface that went down is not an error.
    pub fn receive_batch(
        &self,
        area: &mut [u8],
        frame_size_max: usize,
        sizes: &mut [usize],
    ) -> Result<usize, PacketSocketError> {
        let mut vectors = [[IoVector::EMPTY]; PACKET_BATCH_MAX];
        let count = (area.len() / frame_size_max).min(sizes.len()).min(PACKET_BATCH_MAX);
        for (vector, room) in vectors[..count].iter_mut().zip(area.chunks_exact_mut(frame_size_max))
        {
            *vector = [IoVector { base: room.as_mut_ptr(), size: frame_size_max }];
        }
        let mut messages = MessageHeader::for_each(&mut vectors[..count]);
        let arguments = [
            self.fd.as_raw_fd().cast_unsigned() as usize,
            messages.as_mut_ptr().expose_provenance(),
            count,
            MSG_DONTWAIT,
            ptr::null::<()>().addr(),
            0,
        ];
        // SAFETY: `count` headers, each with one vector that points at its own part of `area`.
        match unsafe { syscall(SYSCALL_RECVMMSG, arguments) } {
            Ok(received) => {
                for (size, message) in sizes.iter_mut().zip(&messages[..received]) {
                    *size = message.size as usize;
                }
                Ok(received)
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::NETDOWN) => Ok(0),
            Err(errno) => Err(self.error("receive", errno)),
        }
    }

    /// Waits until a frame is there, or the time is over, or a signal came; tells whether one is.
    pub fn wait_readable(&self, timeout_us: u64) -> bool {
        Self::wait_any_readable(core::slice::from_ref(self), timeout_us)
    }

    /// The same for any of several sockets.
    ///
    /// # Panics
    /// If there are more than [`LINK_COUNT_MAX`].
    pub fn wait_any_readable(sockets: &[Self], timeout_us: u64) -> bool {
        let timeout = Timespec {
            tv_sec: (timeout_us / 1_000_000).cast_signed(),
            tv_nsec: (timeout_us % 1_000_000 * 1000).cast_signed(),
        };
        let mut events: Vec<_, LINK_COUNT_MAX> =
            sockets.iter().map(|socket| PollFd::new(&socket.fd, PollFlags::IN)).collect();
        let answer = poll(&mut events, Some(&timeout));
        answer.is_ok() && events.iter().any(|event| event.revents().contains(PollFlags::IN))
    }

    /// What was received and dropped since the last call.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_statistics(&self) -> Result<PacketStatistics, PacketSocketError> {
        // struct tpacket_stats: packets, drops (include/uapi/linux/if_packet.h).
        let mut counts = [0_u32; 2];
        let mut size = u32::try_from(size_of_val(&counts)).unwrap_or(0);
        let arguments = [
            self.fd.as_raw_fd().cast_unsigned() as usize,
            SOL_PACKET,
            PACKET_STATISTICS,
            counts.as_mut_ptr().expose_provenance(),
            (&raw mut size).expose_provenance(),
            0,
        ];
        // SAFETY: the kernel writes at most `size` bytes to `counts`, and the size back.
        unsafe { syscall(SYSCALL_GETSOCKOPT, arguments) }
            .map_err(|errno| self.error("read statistics", errno))?;
        let [received, dropped] = counts;
        Ok(PacketStatistics { received, dropped })
    }

    /// The kernel bounds what a process may ask for, unless it has CAP_NET_ADMIN.
    fn enlarge_buffers(&self) -> Result<(), Errno> {
        use rustix::net::sockopt;
        sockopt::set_socket_recv_buffer_size_force(&self.fd, SOCKET_BUFFER_SIZE)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&self.fd, SOCKET_BUFFER_SIZE))?;
        sockopt::set_socket_send_buffer_size_force(&self.sending_fd, SOCKET_BUFFER_SIZE)
            .or_else(|_| sockopt::set_socket_send_buffer_size(&self.sending_fd, SOCKET_BUFFER_SIZE))
    }

    fn set_sending_option(&self, option: usize, value: i32) -> Result<(), Errno> {
        let arguments = [
            self.sending_fd.as_raw_fd().cast_unsigned() as usize,
            SOL_PACKET,
            option,
            (&raw const value).expose_provenance(),
            size_of::<i32>(),
            0,
        ];
        // SAFETY: the kernel reads one int.
        unsafe { syscall(SYSCALL_SETSOCKOPT, arguments) }.map(|_| ())
    }

    // Called, not copied to every step.
    #[cold]
    #[inline(never)]
    fn error(&self, step: &'static str, errno: Errno) -> PacketSocketError {
        let kind = PacketSocketErrorKind::System(step, errno);
        PacketSocketError { interface: self.interface, kind }
    }
}
