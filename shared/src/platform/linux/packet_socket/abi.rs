//! The kernel's structures for packet sockets, as x86-64 lays them out.

use super::PACKET_BATCH_MAX;
use core::mem::{offset_of, size_of};
use core::ptr;
use rustix::net::AddressFamily;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// Bytes of the union in `struct ifreq` on x86-64 (include/uapi/linux/if.h).
pub const INTERFACE_ANSWER_SIZE: usize = 24;

/// `struct ifreq`: 40 bytes on x86-64.
#[repr(C, align(8))]
pub struct InterfaceRequest {
    pub name: [u8; 16],
    pub answer: [u8; INTERFACE_ANSWER_SIZE],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

/// `struct sockaddr_ll` (include/uapi/linux/if_packet.h): 20 bytes.
#[repr(C)]
pub struct SockaddrLl {
    family: u16,
    /// In network order.
    protocol: u16,
    interface_index: i32,
    hardware_type: u16,
    packet_type: u8,
    address_size: u8,
    address: [u8; 8],
}

const _: () = assert!(size_of::<SockaddrLl>() == 20);

impl SockaddrLl {
    pub fn new(interface_index: u32, ethertype: u16) -> Self {
        Self {
            family: AddressFamily::PACKET.as_raw(),
            protocol: ethertype.to_be(),
            interface_index: interface_index.cast_signed(),
            hardware_type: 0,
            packet_type: 0,
            address_size: 0,
            address: [0; 8],
        }
    }
}

// SAFETY: the pointer is to a whole `sockaddr_ll`, with its size.
unsafe impl SocketAddrArg for SockaddrLl {
    unsafe fn with_sockaddr<R>(
        &self,
        call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        const SIZE: SocketAddrLen = 20;
        call(ptr::from_ref(self).cast(), SIZE)
    }
}

/// `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoVector {
    pub base: *mut u8,
    pub size: usize,
}

impl IoVector {
    pub const EMPTY: Self = Self { base: ptr::null_mut(), size: 0 };
}

/// `struct mmsghdr` (include/linux/socket.h): a `struct msghdr` of 56 bytes, then the size that
/// was sent or received, 64 bytes in all on x86-64.
#[repr(C)]
pub struct MessageHeader {
    name: *mut u8,
    name_size: u32,
    vectors: *mut IoVector,
    vector_count: usize,
    control: *mut u8,
    control_size: usize,
    flags: u32,
    flags_padding: u32,
    pub size: u32,
}

const _: () = assert!(offset_of!(MessageHeader, vectors) == 16);
const _: () = assert!(offset_of!(MessageHeader, size) == 56);
const _: () = assert!(size_of::<MessageHeader>() == 64);

impl MessageHeader {
    pub fn for_each(vectors: &mut [IoVector; PACKET_BATCH_MAX]) -> [Self; PACKET_BATCH_MAX] {
        vectors.each_mut().map(|vector| Self {
            name: ptr::null_mut(),
            name_size: 0,
            vectors: vector,
            vector_count: 1,
            control: ptr::null_mut(),
            control_size: 0,
            flags: 0,
            flags_padding: 0,
            size: 0,
        })
    }
}
