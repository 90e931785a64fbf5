//! The process at the other end: drains whatever comes by the method it is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use pollux::limits::{FRAME_SIZE_MAX, RING_ENTRY_COUNT_PRIMARY};
use pollux::link::receive::Receive;
use pollux::link::{LinkOptions, MultiPort};
use pollux::platform::linux::affinity::pin_to_core;
use pollux::platform::linux::clock;
use pollux::platform::linux::packet_socket::{PACKET_BATCH_MAX, PacketSocket};
use pollux::platform::linux::priority::take_precedence;
use pollux::platform::vector;
use pollux::ring::{Consumer, Phase, Producer, Ring};
use pollux::wire::{ETHERTYPE_DEFAULT, EthernetAddress};

use super::methods::{BARE_ETHERTYPE, TCP_PORT};
use super::namespaces::{INTERFACE, RECEIVING_IP};
use super::shipping::link_options;

/// The argument that makes a process this one.
pub const ROLE: &str = "receive";
/// Turns between two looks for a new order.
const TURNS_PER_LOOK: u32 = 64;
/// Address of the sending end.
const SENDER: EthernetAddress = EthernetAddress(super::shipping::SENDER_MAC);
/// Bytes for each frame.
const FRAME_AREA_SIZE: usize = (14 + FRAME_SIZE_MAX).next_multiple_of(64);

/// Receives until told to end: an order begins a method, the next one, whatever it is, ends it.
pub fn run() {
    let orders = read_orders();
    vector::choose();
    let bare = PacketSocket::open(INTERFACE, BARE_ETHERTYPE).expect("an interface of ours");
    let link = PacketSocket::open(INTERFACE, ETHERTYPE_DEFAULT).expect("an interface of ours");
    let listener = TcpListener::bind((RECEIVING_IP, TCP_PORT)).expect("an address of ours");
    pin_to_core(1).expect("there is a second core");
    take_precedence();
    let mac = link.mac();
    println!("{}", mac.map(|byte| byte.to_string()).join(" "));
    let mut receiver = LinkReceiver::new(link);
    let mut stream = None;
    for order in &orders {
        answer(0);
        let count = match order.as_str() {
            "bare" => drain_bare(&bare, &orders),
            "shipping" => receiver.drain(&orders),
            "tcp" => {
                let stream = stream.get_or_insert_with(|| listener.accept().expect("it calls").0);
                let bytes = drain_tcp(stream);
                let _ = orders.recv();
                bytes
            }
            _ => return,
        };
        answer(count);
    }
}

/// Orders as they come, read by a thread of its own: a look for one costs the drain no system call.
fn read_orders() -> Receiver<String> {
    let (sender, orders) = channel();
    thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let order = line.expect("the sender writes text");
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    orders
}

fn answer(number: u64) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{number}").and_then(|()| output.flush()).expect("the sender lives");
}

fn drain_bare(socket: &PacketSocket, orders: &Receiver<String>) -> u64 {
    let mut area = vec![0; PACKET_BATCH_MAX * FRAME_AREA_SIZE];
    let mut sizes = [0; PACKET_BATCH_MAX];
    let mut frames = 0;
    loop {
        for _ in 0..TURNS_PER_LOOK {
            let came = socket.receive_batch(&mut area, FRAME_AREA_SIZE, &mut sizes);
            frames += came.expect("the interface stays") as u64;
        }
        if orders.try_recv().is_ok() {
            return frames;
        }
    }
}

fn drain_tcp(stream: &mut TcpStream) -> u64 {
    let mut head = [0; 8];
    stream.read_exact(&mut head).expect("the size comes first");
    let expected = u64::from_le_bytes(head);
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    while bytes < expected {
        let rest =
            usize::try_from(expected - bytes).map_or(buffer.len(), |it| it.min(buffer.len()));
        let count = stream.read(&mut buffer[..rest]).expect("the stream stays");
        assert!(count > 0, "the stream ended early");
        bytes += count as u64;
    }
    stream.write_all(&[1]).expect("the stream stays");
    bytes
}

/// The real receiving end, and a commit that is always done at once.
struct LinkReceiver {
    port: MultiPort<PacketSocket>,
    own: EthernetAddress,
    receive: Option<Box<Receive>>,
    ring: Producer,
    commit: Consumer,
    session: u64,
    is_raised: bool,
}

impl LinkReceiver {
    fn new(socket: PacketSocket) -> Self {
        let ring = Ring::create(RING_ENTRY_COUNT_PRIMARY).expect("address space");
        let (mut ring, commit) = ring.into_both().expect("address space");
        ring.populate(RING_ENTRY_COUNT_PRIMARY).expect("64 MiB");
        let own = EthernetAddress(socket.mac());
        let mut port = MultiPort::default();
        port.add(socket, own, SENDER);
        Self { port, own, receive: None, ring, commit, session: 0, is_raised: false }
    }

    fn drain(&mut self, orders: &Receiver<String>) -> u64 {
        let mut turns = 0_u32;
        loop {
            let now_us = clock::monotonic_us();
            let receive = self.receive.get_or_insert_with(|| {
                let options: LinkOptions = link_options(self.own, SENDER);
                Box::new(Receive::new(options, now_us))
            });
            let turn = receive.turn(now_us, &mut self.port, &mut self.ring);
            turn.expect("the interface stays");
            self.commit();
            turns += 1;
            if turns.is_multiple_of(TURNS_PER_LOOK) && orders.try_recv().is_ok() {
                return self.commit.available().map_or(0, |range| range.end);
            }
        }
    }

    fn commit(&mut self) {
        if self.session == 0 {
            let Some(session) = self.commit.control().join_session() else { return };
            self.session = session;
            self.commit.begin().expect("a ring of ours");
        }
        let available = self.commit.available().expect("a ring of ours");
        if available.is_empty() {
            return;
        }
        if !self.is_raised {
            self.is_raised = true;
            self.commit.raise_capacity(RING_ENTRY_COUNT_PRIMARY);
            self.commit.control().set_phase(Phase::Receiving);
        }
        self.commit.release(available.end);
    }
}
