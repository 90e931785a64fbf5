//! Tests of `multi_port`.

use super::*;
use crate::wire::{ETHERNET_HEADER_SIZE, FrameHeader, FrameType};

/// An interface with `room` for frames, or one that has failed.
#[derive(Debug, Default)]
struct Wire {
    inbox: std::vec::Vec<std::vec::Vec<u8>>,
    outbox: std::vec::Vec<std::vec::Vec<u8>>,
    room: usize,
    has_failed: bool,
}

impl FramePort for Wire {
    type Error = &'static str;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Self::Error> {
        while !batch.is_full() && !self.inbox.is_empty() {
            let frame = self.inbox.remove(0);
            batch.add(|out| {
                out[..frame.len()].copy_from_slice(&frame);
                Some(frame.len())
            });
        }
        if self.has_failed { Err("failed") } else { Ok(()) }
    }

    fn send(
        &mut self,
        _: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        _: usize,
    ) -> Result<usize, Self::Error> {
        if self.has_failed {
            return Err("failed");
        }
        let count = which.len().min(self.room - self.outbox.len());
        self.outbox.extend(batch.frames_of(which).take(count).map(<[u8]>::to_vec));
        Ok(count)
    }

    fn wait(&mut self, _: u64) -> Result<(), Self::Error> {
        unreachable!("several are waited for")
    }
}

impl Interface for Wire {
    fn wait_for_any(_: &mut [Self], _: u64) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn address(path: u8, host: u8) -> EthernetAddress {
    EthernetAddress([2, 0, 0, 0, path, host])
}

fn port(count: u8) -> MultiPort<Wire> {
    let wire = |path| Wire { room: 100 * usize::from(path + 1), ..Wire::default() };
    let mut port = MultiPort::default();
    (0..count).for_each(|path| port.add(wire(path), address(path, 1), address(path, 2)));
    port
}

fn batch(types: &[FrameType]) -> FrameBatch {
    let mut batch = FrameBatch::default();
    for &frame_type in types {
        batch.add(|out| {
            out[..12].copy_from_slice(&addresses(address(0, 2), address(0, 1)));
            let header = FrameHeader { frame_type, body_size: 0, session: 1, packet_number: 1 };
            header.emit(&mut out[ETHERNET_HEADER_SIZE..]);
            Some(Frame::size(0))
        });
    }
    batch
}

const MIXED: [FrameType; 5] =
    [FrameType::Heartbeat, FrameType::Data, FrameType::Data, FrameType::Goodbye, FrameType::Data];

/// The types of the frames that went out on each link.
fn sent(port: &MultiPort<Wire>) -> std::vec::Vec<std::vec::Vec<u8>> {
    let frame_type = |frame: &std::vec::Vec<u8>| frame[ETHERNET_HEADER_SIZE + 1];
    port.ports.iter().map(|wire| wire.outbox.iter().map(frame_type).collect()).collect()
}

#[test]
fn data_goes_out_on_one_link_and_all_else_on_each_with_its_addresses() {
    let mut port = port(3);
    assert_eq!(port.send(0, &mut batch(&MIXED), 0..5, 1), Ok(5));
    assert_eq!(sent(&port), [vec![6, 8], vec![6, 4, 4, 8, 4], vec![6, 8]]);
    for (path, wire) in (0..).zip(&port.ports) {
        let expected = addresses(address(path, 2), address(path, 1));
        assert!(wire.outbox.iter().all(|frame| frame[..12] == expected));
    }
}

#[test]
fn a_full_queue_holds_data_up_but_nothing_else() {
    let mut port = port(2);
    port.ports[0].room = 2;
    let mut batch = batch(&MIXED);
    assert_eq!(port.send(0, &mut batch, 0..5, 0), Ok(2), "the second data frame has no room");
    assert_eq!(port.send(0, &mut batch, 2..5, 0), Ok(0));
    assert_eq!(port.send(0, &mut batch, 2..5, 1), Ok(3), "by another path it goes on");
    assert_eq!(sent(&port), [vec![6, 4], vec![6, 4, 8, 4]]);
}

#[test]
fn an_interface_that_takes_nothing_for_long_holds_nothing_up() {
    let mut port = port(2);
    port.ports[0].room = 0;
    let mut batch = batch(&[FrameType::Data, FrameType::Heartbeat]);
    // However seldom the process has its turn.
    let taken = [10_000, 10_900, 14_900, 15_000]
        .map(|now_us| port.send(now_us, &mut batch, 0..2, 0).unwrap());
    assert_eq!(taken, [0, 0, 0, 2]);
    assert_eq!(sent(&port), [vec![], vec![6]]);
    port.ports[0].room = 1;
    assert_eq!(port.send(0, &mut batch, 0..2, 0), Ok(2));
    assert_eq!(sent(&port), [vec![4], vec![6, 6]]);
    assert_eq!(port.send(20_000, &mut batch, 0..2, 0), Ok(0), "it is only busy");
}

#[test]
fn an_interface_that_fails_is_an_error_only_when_all_do() {
    let mut port = port(2);
    port.ports[0].has_failed = true;
    assert_eq!(port.send(0, &mut batch(&MIXED[..2]), 0..2, 0), Ok(1));
    assert_eq!(port.receive(&mut FrameBatch::default()), Ok(()));
    port.ports[1].has_failed = true;
    assert_eq!(port.send(0, &mut batch(&MIXED[..2]), 0..2, 0), Err("failed"));
    assert_eq!(port.receive(&mut FrameBatch::default()), Err("failed"));
}

#[test]
fn frames_come_in_with_the_first_link_s_addresses_and_their_path() {
    let mut port = port(2);
    let frame = |path, from, to| {
        let mut frame = std::vec![7; 60];
        frame[..12].copy_from_slice(&addresses(address(path, to), address(path, from)));
        frame
    };
    // From its peer; of the other link, which shares a switch; and too short to tell.
    port.ports[1].inbox = vec![frame(1, 2, 1), frame(0, 2, 1), vec![2; 5]];
    port.ports[0].inbox = vec![frame(0, 2, 1)];
    let mut batch = FrameBatch::default();
    port.receive(&mut batch).unwrap();
    let came: std::vec::Vec<_> =
        batch.arrivals_mut().map(|(path, frame)| (path, frame.to_vec())).collect();
    let good = frame(0, 2, 1);
    assert_eq!(came[..2], [(0, good.clone()), (1, good)]);
    assert!(came[2..].iter().all(|(_, frame)| frame.is_empty()) && came.len() == 4);
}

#[test]
fn a_link_with_many_frames_hides_no_other() {
    let mut port = port(2);
    port.ports[0].inbox = vec![vec![1; 60]; 100];
    port.ports[1].inbox = vec![vec![2; 60]; 2];
    for _ in 0..2 {
        port.receive(&mut FrameBatch::default()).unwrap();
    }
    assert!(port.ports[1].inbox.is_empty());
}
