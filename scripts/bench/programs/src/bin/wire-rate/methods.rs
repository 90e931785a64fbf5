//! What the link is compared with.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use pollux::limits::{FRAME_SIZE_MAX, PAGE_SIZE, RING_ENTRY_COUNT_PRIMARY};
use pollux::platform::linux::packet_socket::{PACKET_BATCH_MAX, PacketSocket};

use super::namespaces::{INTERFACE, RECEIVING_IP};
use super::receiver_process::ReceiverProcess;

/// Another EtherType than the link's: IEEE 802 "local experimental 2".
pub const BARE_ETHERTYPE: u16 = 0x88b6;
pub const TCP_PORT: u16 = 4242;

/// A way to carry bytes.
pub trait Method {
    fn name(&self) -> &'static str;

    /// Carries `frames` frames that have `bytes` bytes together, and returns the seconds it took.
    fn run(&mut self, frames: u64, bytes: u64, receiver: &mut ReceiverProcess) -> f64;
}

/// Packets without any protocol, in the largest batches that the kernel takes.
pub struct Bare {
    name: &'static str,
    socket: PacketSocket,
    area: Vec<u8>,
}

impl Bare {
    const SIZE: usize = 14 + FRAME_SIZE_MAX;

    /// Frames as many as carry a ring of pages, one after the other: like the link's, they come from
    /// memory that no cache holds.
    pub fn new(receiver_mac: [u8; 6]) -> Self {
        let ring_size = PAGE_SIZE as u64 * RING_ENTRY_COUNT_PRIMARY;
        Self::of_frames(
            "bare",
            usize::try_from(ring_size).expect("64 MiB") / FRAME_SIZE_MAX,
            receiver_mac,
        )
    }

    /// The same few frames again and again, which stay in the cache: what the kernel alone costs.
    pub fn cached(receiver_mac: [u8; 6]) -> Self {
        Self::of_frames("bare_cached", PACKET_BATCH_MAX, receiver_mac)
    }

    fn of_frames(name: &'static str, frame_count: usize, receiver_mac: [u8; 6]) -> Self {
        let socket = PacketSocket::open(INTERFACE, BARE_ETHERTYPE);
        let mut socket = socket.expect("an interface of ours");
        socket.send_in_one_piece().expect("packet sockets begin so");
        let mut area = vec![1; frame_count * Self::SIZE];
        for frame in area.chunks_exact_mut(Self::SIZE) {
            frame[..6].copy_from_slice(&receiver_mac);
            frame[6..12].copy_from_slice(&socket.mac());
            frame[12..14].copy_from_slice(&BARE_ETHERTYPE.to_be_bytes());
        }
        Self { name, socket, area }
    }
}

impl Method for Bare {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, frames: u64, _: u64, receiver: &mut ReceiverProcess) -> f64 {
        receiver.switch("bare");
        let all: Vec<&[u8]> = self.area.chunks_exact(Self::SIZE).collect();
        let frame_count = usize::try_from(frames).expect("fewer than memory has bytes");
        let start = Instant::now();
        let mut sent = 0;
        while sent < frame_count {
            let first = sent % all.len();
            let count = PACKET_BATCH_MAX.min(all.len() - first).min(frame_count - sent);
            let batch = &all[first..first + count];
            sent += self.socket.send_batch(batch).expect("the interface stays");
        }
        let seconds = start.elapsed().as_secs_f64();
        receiver.switch("idle");
        seconds
    }
}

/// One TCP stream.
pub struct Tcp {
    stream: Option<TcpStream>,
    bytes: Vec<u8>,
}

impl Tcp {
    pub fn new() -> Self {
        Self { stream: None, bytes: vec![1; 1 << 18] }
    }
}

impl Method for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn run(&mut self, _: u64, bytes: u64, receiver: &mut ReceiverProcess) -> f64 {
        let call = || TcpStream::connect((RECEIVING_IP, TCP_PORT)).expect("it listens");
        let stream = self.stream.get_or_insert_with(call);
        receiver.switch("tcp");
        let start = Instant::now();
        stream.write_all(&bytes.to_le_bytes()).expect("the stream stays");
        let mut left = bytes;
        while left > 0 {
            let count =
                usize::try_from(left).map_or(self.bytes.len(), |it| it.min(self.bytes.len()));
            stream.write_all(&self.bytes[..count]).expect("the stream stays");
            left -= count as u64;
        }
        stream.read_exact(&mut [0]).expect("the stream stays");
        let seconds = start.elapsed().as_secs_f64();
        receiver.switch("idle");
        seconds
    }
}

/// A copy from one place of memory to another, both as large as the ring.
pub struct Memory {
    source: Vec<u8>,
    target: Vec<u8>,
}

impl Memory {
    pub fn new() -> Self {
        let size = usize::try_from(RING_ENTRY_COUNT_PRIMARY).expect("it fits memory") * PAGE_SIZE;
        Self { source: vec![1; size], target: vec![2; size] }
    }
}

impl Method for Memory {
    fn name(&self) -> &'static str {
        "memcpy"
    }

    fn run(&mut self, _: u64, bytes: u64, _: &mut ReceiverProcess) -> f64 {
        let start = Instant::now();
        let mut left = usize::try_from(bytes).expect("it fits memory");
        while left > 0 {
            let count = left.min(self.source.len());
            self.target[..count].copy_from_slice(&black_box(&self.source)[..count]);
            black_box(&mut self.target);
            left -= count;
        }
        start.elapsed().as_secs_f64()
    }
}
