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

use super::channel::HEARTBEATS_PER_TIMEOUT;
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
const REFUSED_US_MAX: u64 = TIMEOUT_MS_MIN as u64 * 1000 / HEARTBEATS_PER_TIMEOUT;

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
#[path = "multi_port_tests.rs"]
mod tests;
