//! Packet sockets over a real pair of interfaces.

mod namespace;

use pollux::platform::linux::packet_socket::{
    PACKET_BATCH_MAX, PacketSocket, PacketSocketErrorKind,
};

const ETHERTYPE: u16 = 0x88B5;
const FRAME_SIZE_MAX: usize = 9018;

fn frame(target: &PacketSocket, source: &PacketSocket, ethertype: u16, fill: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&target.mac());
    frame.extend_from_slice(&source.mac());
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.resize(14 + usize::from(fill) + 50, fill);
    frame
}

fn open_pair() -> (PacketSocket, PacketSocket) {
    namespace::veth_pair("left", "right");
    namespace::ip("link set left mtu 9000");
    namespace::ip("link set right mtu 9000");
    (
        PacketSocket::open("left", ETHERTYPE).unwrap(),
        PacketSocket::open("right", ETHERTYPE).unwrap(),
    )
}

/// The kernel tells of a carrier's change up to a second after it (`linkwatch`), so this waits.
fn wait_for_link(socket: &PacketSocket, is_up: bool) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while socket.is_link_up() != is_up {
        assert!(std::time::Instant::now() < patience, "the link never became up={is_up}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn batches_arrive_whole_and_in_order() {
    namespace::run("batches_arrive_whole_and_in_order", || {
        let (left, right) = open_pair();
        assert_eq!(left.mtu(), 9000);
        assert_ne!(left.mac(), right.mac());
        wait_for_link(&left, true);

        let other = frame(&right, &left, 0x0800, 1);
        let frames: Vec<_> = (0..70).map(|fill| frame(&right, &left, ETHERTYPE, fill)).collect();
        let mut borrowed: Vec<&[u8]> = vec![&other];
        borrowed.extend(frames.iter().map(Vec::as_slice));
        let sent = left.send_batch(&borrowed).unwrap();
        assert_eq!(sent, PACKET_BATCH_MAX);
        assert_eq!(left.send_batch(&borrowed[sent..]).unwrap(), borrowed.len() - sent);

        assert!(right.wait_readable(10_000_000));
        let mut area = vec![0; 16 * FRAME_SIZE_MAX];
        let mut sizes = [0; 16];
        let mut received = Vec::new();
        while received.len() < frames.len() {
            let count = right.receive_batch(&mut area, FRAME_SIZE_MAX, &mut sizes).unwrap();
            assert!(count > 0, "frames on a veth are there as soon as they are sent");
            for (room, size) in area.chunks(FRAME_SIZE_MAX).zip(&sizes[..count]) {
                received.push(room[..*size].to_vec());
            }
        }
        assert_eq!(received, frames);
        assert_eq!(right.receive_batch(&mut area, FRAME_SIZE_MAX, &mut sizes).unwrap(), 0);
        let statistics = right.take_statistics().unwrap();
        assert_eq!((statistics.received, statistics.dropped), (70, 0));
        assert!(!right.wait_readable(1000));
    });
}

#[test]
fn a_lost_link_is_seen_and_is_no_error() {
    namespace::run("a_lost_link_is_seen_and_is_no_error", || {
        let (left, right) = open_pair();
        let one = frame(&right, &left, ETHERTYPE, 3);
        namespace::ip("link set right down");
        wait_for_link(&left, false);
        left.send_batch(&[&one]).unwrap();
        namespace::ip("link set left down");
        assert_eq!(left.send_batch(&[&one]).unwrap(), 0);
        let mut area = vec![0; FRAME_SIZE_MAX];
        // The first call after the loss reports it, the second finds nothing.
        for _ in 0..2 {
            assert_eq!(left.receive_batch(&mut area, FRAME_SIZE_MAX, &mut [0]).unwrap(), 0);
        }
        namespace::ip("link set left up");
        namespace::ip("link set right up");
        wait_for_link(&left, true);
        assert_eq!(left.send_batch(&[&one]).unwrap(), 1);
        assert!(right.wait_readable(10_000_000));
        let mut sizes = [0];
        while right.receive_batch(&mut area, FRAME_SIZE_MAX, &mut sizes).unwrap() == 0 {}
        assert_eq!(area[..sizes[0]], one);
    });
}

#[test]
fn interfaces_that_cannot_carry_a_link_are_refused() {
    namespace::run("interfaces_that_cannot_carry_a_link_are_refused", || {
        let refusal = |name| PacketSocket::open(name, ETHERTYPE).unwrap_err();
        for name in ["absent", "", "a-name-that-is-too-long"] {
            assert_eq!(refusal(name).kind, PacketSocketErrorKind::NoInterface);
        }
        namespace::veth_pair("left", "right");
        namespace::ip("link set left down");
        assert_eq!(refusal("left").to_string(), "left is down: `ip link set left up`");
        namespace::ip("link add bridge type bridge");
        namespace::ip("link set right master bridge");
        assert_eq!(refusal("right").kind, PacketSocketErrorKind::BridgePort);
    });
}
