//! The turn that both link processes repeat, and how they rest between turns.

use core::fmt;

use super::LinkEvent;
use super::port::{FrameBatch, FramePort, Host};
use crate::idle::Idle;
use crate::ring::{LinkCounters, ProcessFigures, RingError};

/// Batches that are received in one turn at most, so that sending is not forgotten.
const RECEIVE_BATCHES_MAX: usize = 8;
/// Turns in a row that may leave frames waiting before what is due is done nevertheless. What waits may be the
/// peer's sign of life that a timer asks for; but where somebody floods the link there is no end to it.
const UNDRAINED_TURNS_MAX: u32 = 64;
/// Batches that are sent in one turn at most, so that acknowledgements are not forgotten.
const SEND_BATCHES_MAX: usize = 4;
/// How often a process looks after the other half and shows its counters.
const LOOK_INTERVAL_US: u64 = 10_000;
/// How often it prepares what lies ahead, a little each time.
const PREPARE_INTERVAL_US: u64 = 1_000;

/// Why a link process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The other half asked for it, and the peer was told.
    Asked,
    /// The process at the other side of the ring is gone.
    OtherHalfGone,
    /// It broke the ring's rules.
    RingBroken(RingError),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("ended as asked"),
            Self::OtherHalfGone => f.write_str("the other half of this helper is gone: restart it"),
            Self::RingBroken(error) => error.fmt(f),
        }
    }
}

/// One end of the link as a state machine: time, frames and its end of the ring come in as
/// arguments.
pub trait LinkProcess {
    /// Its end of the ring.
    type Ring;

    /// Takes a frame in that was received on a path, decrypting it in place. Any bytes may come.
    fn handle_frame(&mut self, now_us: u64, path: usize, bytes: &mut [u8], ring: &mut Self::Ring);

    /// Does what is due by the time or by the control words. To be called when every frame that
    /// has come was taken in: silence is judged here.
    fn poll_timers(&mut self, now_us: u64, ring: &mut Self::Ring);

    /// Builds the next frame to be sent and returns its size; none if there is nothing to send.
    fn poll_transmit(
        &mut self,
        now_us: u64,
        ring: &mut Self::Ring,
        out: &mut [u8],
    ) -> Option<usize>;

    /// The path that data takes; everything else takes all of them.
    fn data_path(&self) -> usize {
        0
    }

    /// Takes leave of the peer because this side cannot go on.
    fn fail(&mut self, now_us: u64, ending: Ending, ring: &mut Self::Ring);

    /// Why it has ended, once it has.
    fn ending(&self) -> Option<Ending>;

    /// The next event to report.
    fn poll_event(&mut self) -> Option<LinkEvent>;

    /// Notes what the process has used so far.
    fn note_usage(&mut self, usage: ProcessFigures);

    /// Does what makes later turns shorter, a bounded amount.
    fn prepare(&mut self, _ring: &mut Self::Ring) {}

    /// Shows the counters in the control words.
    fn show_counters(&mut self, ring: &Self::Ring);

    /// The counters.
    fn counters(&self) -> &LinkCounters;
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Frames came or went.
    Busy,
    /// Nothing happened.
    Idle,
    /// The process has ended.
    Ended(Ending),
}

/// A link process: an end of the link with its buffers. It is a [`Ship`](super::ship::Ship) or a
/// [`Receive`](super::receive::Receive).
#[derive(Debug)]
pub struct Turns<L> {
    link: L,
    incoming: FrameBatch,
    outgoing: FrameBatch,
    /// Frames of the outgoing batch that the port has taken.
    sent: usize,
    /// Turns in a row that have left frames waiting.
    undrained_turns: u32,
}

impl<L: LinkProcess> Turns<L> {
    pub(super) fn of(link: L) -> Self {
        Self {
            link,
            incoming: FrameBatch::default(),
            outgoing: FrameBatch::default(),
            sent: 0,
            undrained_turns: 0,
        }
    }

    /// The end of the link.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    /// Receives, does what is due, and sends: a bounded amount of each.
    ///
    /// # Errors
    /// The port's.
    pub fn turn<P: FramePort>(
        &mut self,
        now_us: u64,
        port: &mut P,
        ring: &mut L::Ring,
    ) -> Result<Activity, P::Error> {
        let (received, drained) = self.receive(now_us, port, ring)?;
        self.undrained_turns = if drained { 0 } else { self.undrained_turns.saturating_add(1) };
        if drained || self.undrained_turns > UNDRAINED_TURNS_MAX {
            self.link.poll_timers(now_us, ring);
        }
        let sent = self.send(now_us, port, ring)?;
        Ok(match self.link.ending() {
            Some(ending) => Activity::Ended(ending),
            None if received || sent => Activity::Busy,
            None => Activity::Idle,
        })
    }

    /// Says whether frames came, and whether all of them were taken in.
    fn receive<P: FramePort>(
        &mut self,
        now_us: u64,
        port: &mut P,
        ring: &mut L::Ring,
    ) -> Result<(bool, bool), P::Error> {
        for number in 0..RECEIVE_BATCHES_MAX {
            self.incoming.clear();
            port.receive(&mut self.incoming)?;
            for (path, frame) in self.incoming.arrivals_mut() {
                self.link.handle_frame(now_us, path, frame, ring);
            }
            if !self.incoming.is_full() {
                let received = number > 0 || !self.incoming.is_empty();
                return Ok((received, true));
            }
        }
        Ok((true, false))
    }

    /// Says whether frames were sent.
    fn send<P: FramePort>(
        &mut self,
        now_us: u64,
        port: &mut P,
        ring: &mut L::Ring,
    ) -> Result<bool, P::Error> {
        let mut any = false;
        for _ in 0..SEND_BATCHES_MAX {
            while !self.outgoing.is_full() {
                let link = &mut self.link;
                if !self.outgoing.add(|out| link.poll_transmit(now_us, ring, out)) {
                    break;
                }
            }
            let count = self.outgoing.count();
            if self.sent == count {
                break;
            }
            let path = self.link.data_path();
            let taken = port.send(now_us, &mut self.outgoing, self.sent..count, path)?;
            any |= taken > 0;
            self.sent += taken;
            if self.sent < count {
                break;
            }
            self.outgoing.clear();
            self.sent = 0;
        }
        Ok(any)
    }

    /// Takes turns until the process has ended. With `dedicated`, the core is its own: it never
    /// rests.
    ///
    /// # Errors
    /// The port's.
    pub fn run<P: FramePort, H: Host>(
        &mut self,
        port: &mut P,
        ring: &mut L::Ring,
        host: &mut H,
        dedicated: bool,
    ) -> Result<Ending, P::Error> {
        let (mut idle, mut looked_us, mut prepared_us) = (Idle::default(), 0, 0);
        loop {
            let now_us = host.now_us();
            let activity = self.turn(now_us, port, ring)?;
            if now_us.saturating_sub(prepared_us) >= PREPARE_INTERVAL_US {
                prepared_us = now_us;
                self.link.prepare(ring);
            }
            if now_us.saturating_sub(looked_us) >= LOOK_INTERVAL_US {
                looked_us = now_us;
                self.look_around(now_us, ring, host);
            }
            match activity {
                Activity::Busy => idle.interrupt(),
                Activity::Idle if dedicated => core::hint::spin_loop(),
                Activity::Idle => match idle.rest_us(now_us, host.processor_us()) {
                    0 => host.yield_core(),
                    rest_us => port.wait(rest_us)?,
                },
                Activity::Ended(ending) => {
                    self.look_around(now_us, ring, host);
                    return Ok(ending);
                }
            }
        }
    }

    fn look_around<H: Host>(&mut self, now_us: u64, ring: &mut L::Ring, host: &mut H) {
        while let Some(event) = self.link.poll_event() {
            host.report(event);
        }
        self.link.note_usage(host.usage());
        self.link.show_counters(ring);
        if !host.is_other_half_alive() {
            self.link.fail(now_us, Ending::OtherHalfGone, ring);
        }
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
