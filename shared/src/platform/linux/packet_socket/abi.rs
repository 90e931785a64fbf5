//! The kernel's structures for packet sockets, as x86-64 lays them out.

use super::PACKET_BATCH_MAX;
use crate::limits::PAGE_SIZE;
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

/// `struct virtio_net_hdr` (include/uapi/linux/virtio_net.h), 10 bytes: goes before each frame that
/// is sent, and asks for no work on it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OffloadHeader {
    flags: u8,
    segmentation: u8,
    /// Bytes that the kernel keeps in one piece; the others it may keep in pages.
    header_size: u16,
    segment_size: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

const _: () = assert!(size_of::<OffloadHeader>() == 10);

impl OffloadHeader {
    pub const EMPTY: Self = Self {
        flags: 0,
        segmentation: 0,
        header_size: 0,
        segment_size: 0,
        checksum_start: 0,
        checksum_offset: 0,
    };

    /// The header of a frame of so many bytes.
    ///
    /// Without it the kernel copies a frame into one piece of memory, of 16 KiB for the largest ones.
    /// With it only what does not fill whole pages goes there.
    pub fn of_frame(size: usize) -> Self {
        const HEADER_SIZE_MIN: usize = 64;
        let odd = (size % PAGE_SIZE).max(HEADER_SIZE_MIN).min(size);
        Self { header_size: u16::try_from(odd).unwrap_or(u16::MAX), ..Self::EMPTY }
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
    const EMPTY: Self = Self {
        name: ptr::null_mut(),
        name_size: 0,
        vectors: ptr::null_mut(),
        vector_count: 0,
        control: ptr::null_mut(),
        control_size: 0,
        flags: 0,
        flags_padding: 0,
        size: 0,
    };

    /// A message for each of at most [`PACKET_BATCH_MAX`] groups of vectors; the others are empty.
    pub fn for_each<const PART_COUNT: usize>(
        groups: &mut [[IoVector; PART_COUNT]],
    ) -> [Self; PACKET_BATCH_MAX] {
        let mut messages = [Self::EMPTY; PACKET_BATCH_MAX];
        for (message, group) in messages.iter_mut().zip(groups) {
            (message.vectors, message.vector_count) = (group.as_mut_ptr(), PART_COUNT);
        }
        messages
    }
}
