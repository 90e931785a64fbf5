//! Several interfaces as one port: what is no data goes out on all of them, data on one.
//!
//! The ends of the link know the addresses of the first interface alone: those are under the frames'
//! seals, and the keys come from them. The others' are put in their place when a frame goes out there,
//! and taken out again when one comes in. So both hosts must give their interfaces in the same order;
//! frames of hosts that do not are authentic at neither of them.
//!
//! An interface that fails is silent, as long as another one does not.

use core::ops::Range;

use heapless::Vec;

use super::port::{FrameBatch, FramePort};
use crate::limits::{LINK_COUNT_MAX, TIMEOUT_MS_MIN};
use crate::wire::{EthernetAddress, Frame};

/// A port that can be one of several.
pub trait Interface: FramePort + Sized {
    /// Waits until a frame is there to be received on any of them, about `duration_us` at most.
    ///
    /// # Errors
    /// None of them can be used any more.
    fn wait_for_any(interfaces: &mut [Self], duration_us: u64) -> Result<(), Self::Error>;
}

/// Both addresses of a frame that goes one way, in their order there.
type Addresses = [u8; 12];

/// An interface that has refused data for so long is cut off rather than busy: what it refuses from then
/// on is lost, since the heartbeats behind it, which other links would take, must not wait. It is a
/// heartbeat's interval of the shortest timeout.
const REFUSED_US_MAX: u64 = TIMEOUT_MS_MIN as u64 * 1000 / 10;

/// The interfaces, in the order in which both hosts were given them.
#[derive(Debug)]
pub struct MultiPort<P> {
    ports: Vec<P, LINK_COUNT_MAX>,
    outgoing: Vec<Addresses, LINK_COUNT_MAX>,
    incoming: Vec<Addresses, LINK_COUNT_MAX>,
    /// The interface that is asked first next time, so that one with many frames hides no other.
    first: usize,
    /// Since when no data was taken.
    refused_since_us: Option<u64>,
}

impl<P> Default for MultiPort<P> {
    /// A port without interfaces, which are to be added: it carries nothing.
    fn default() -> Self {
        let (ports, outgoing, incoming) = (Vec::new(), Vec::new(), Vec::new());
        Self { ports, outgoing, incoming, first: 0, refused_since_us: None }
    }
}

impl<P: Interface> MultiPort<P> {
    /// Adds an interface, with its own address and the peer's there.
    ///
    /// # Panics
    /// If there are more than [`LINK_COUNT_MAX`].
    pub fn add(&mut self, interface: P, own: EthernetAddress, peer: EthernetAddress) {
        let is_there_room = self.ports.push(interface).is_ok()
            && self.outgoing.push(addresses(peer, own)).is_ok()
            && self.incoming.push(addresses(own, peer)).is_ok();
        assert!(is_there_room, "there are {LINK_COUNT_MAX} links at most");
    }

    /// The interfaces.
    #[must_use]
    pub fn interfaces(&self) -> &[P] {
        &self.ports
    }

    /// Sends frames on one path, with its addresses.
    fn send_on(
        &mut self,
        now_us: u64,
        path: usize,
        batch: &mut FrameBatch,
        which: Range<usize>,
    ) -> Result<usize, P::Error> {
        for number in which.clone() {
            batch.frame_mut(number)[..size_of::<Addresses>()].copy_from_slice(&self.outgoing[path]);
        }
        self.ports[path].send(now_us, batch, which, 0)
    }

    /// Sends data on one path. A failure of the interface is none of the link's while there is another.
    fn send_data(
        &mut self,
        now_us: u64,
        path: usize,
        batch: &mut FrameBatch,
        which: Range<usize>,
    ) -> usize {
        let count = which.len();
        match self.send_on(now_us, path, batch, which) {
            Ok(0) | Err(_) => {
                let since_us = *self.refused_since_us.get_or_insert(now_us);
                if now_us.saturating_sub(since_us) >= REFUSED_US_MAX { count } else { 0 }
            }
            Ok(sent) => {
                self.refused_since_us = None;
                sent
            }
        }
    }

    /// Sends frames on every path; a path that does not take one that another takes has lost it.
    fn send_on_all(
        &mut self,
        now_us: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
    ) -> Result<usize, P::Error> {
        let mut sent = None;
        for path in 0..self.ports.len() {
            sent = Some(better(sent, self.send_on(now_us, path, batch, which.clone())));
        }
        sent.unwrap_or(Ok(0))
    }

    /// Puts the first path's addresses into frames that came on another one, from number `first` on.
    fn take_in(&self, path: usize, batch: &mut FrameBatch, first: usize) {
        for number in first..batch.count() {
            let addresses = batch.frame_mut(number).first_chunk_mut();
            let own = addresses.filter(|it| **it == self.incoming[path]);
            let is_own = own.map(|it| *it = self.incoming[0]).is_some();
            batch.set_path(number, is_own.then_some(path));
        }
    }
}

impl<P: Interface> FramePort for MultiPort<P> {
    type Error = P::Error;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), P::Error> {
        let count = self.ports.len();
        let mut received = None;
        for path in (self.first..count).chain(0..self.first) {
            if batch.is_full() {
                break;
            }
            let before = batch.count();
            received = Some(better(received, self.ports[path].receive(batch).map(|()| 0)));
            if count > 1 {
                self.take_in(path, batch, before);
            }
        }
        self.first = (self.first + 1) % count.max(1);
        received.unwrap_or(Ok(0)).map(drop)
    }

    fn send(
        &mut self,
        now_us: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        data_path: usize,
    ) -> Result<usize, P::Error> {
        if self.ports.len() == 1 {
            return self.send_on(now_us, 0, batch, which);
        }
        let mut at = which.start;
        while at < which.end {
            let is_data = Frame::is_data(batch.frame_mut(at));
            let alike = (at..which.end)
                .take_while(|&number| Frame::is_data(batch.frame_mut(number)) == is_data)
                .count();
            let sent = match is_data {
                true => self.send_data(now_us, data_path, batch, at..at + alike),
                false => self.send_on_all(now_us, batch, at..at + alike)?,
            };
            at += sent;
            if sent < alike {
                break;
            }
        }
        Ok(at - which.start)
    }

    fn wait(&mut self, duration_us: u64) -> Result<(), P::Error> {
        P::wait_for_any(&mut self.ports, duration_us)
    }
}

fn addresses(destination: EthernetAddress, source: EthernetAddress) -> Addresses {
    let mut addresses = Addresses::default();
    let (first, second) = addresses.split_at_mut(6);
    first.copy_from_slice(&destination.0);
    second.copy_from_slice(&source.0);
    addresses
}

/// The result of several interfaces so far and of one more: an error only if all have failed.
fn better<E>(so_far: Option<Result<usize, E>>, result: Result<usize, E>) -> Result<usize, E> {
    match (so_far, result) {
        (Some(Ok(before)), Ok(count)) => Ok(before.max(count)),
        (Some(Ok(before)), Err(_)) => Ok(before),
        (_, result) => result,
    }
}

#[cfg(test)]
mod tests {
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

    const MIXED: [FrameType; 5] = [
        FrameType::Heartbeat,
        FrameType::Data,
        FrameType::Data,
        FrameType::Goodbye,
        FrameType::Data,
    ];

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
}
