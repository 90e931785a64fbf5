//! The backup's end of the link: puts what comes into the ring and says what has come.

mod incoming;
mod outgoing;
mod sessions;

use heapless::Deque;

use super::acknowledging::Acknowledging;
use super::assembly::Assembly;
use super::channel::Channel;
use super::endpoint::{Attempt, Endpoint, LinkOptions};
use super::event::{EventQueue, LinkEvent};
use super::leaving::{Leaving, Then};
use super::paths::Paths;
use super::process::{Ending, LinkProcess};
use crate::ring::{GoodbyeReason, LinkCounters, ProcessFigures, Producer};
use crate::wire::{FrameType, HelloReply, Malformed};

/// Hellos that wait for their answer; more are dropped, the primary repeats itself.
const REPLY_COUNT_MAX: usize = 4;

#[derive(Clone, Copy, Debug)]
enum State {
    /// commit has not left the last session.
    Waiting,
    /// Hellos are answered, with this nonce and public key; a Confirm that has the nonce opens a session.
    Listening(Attempt),
    /// The session is announced to commit.
    Up,
    /// Goodbyes go out.
    Leaving(Leaving),
    Ended(Ending),
}

/// The backup's end. See the [room](super) for what it does.
#[derive(Debug)]
pub struct BackupLink {
    endpoint: Endpoint,
    state: State,
    /// The session's, and afterwards the last session's, for answering its Goodbye.
    channel: Option<Channel>,
    assembly: Assembly,
    acknowledging: Acknowledging,
    paths: Paths,
    session_number: u64,
    /// The answers to the last Hellos, and their Ethernet payloads in bytes. There is room for one
    /// Hello of each size: answering only the last one would hide which sizes pass.
    replies: Deque<(HelloReply, usize), REPLY_COUNT_MAX>,
    farewell_due: bool,
    /// The goodbye that the last session ended with, the peer's or our own; none when it was lost by
    /// silence and commit may take over: then a goodbye comes too late.
    ended_by: Option<GoodbyeReason>,
    refuse_due: bool,
    /// When the primary is told next how a rehearsal goes.
    figures_due_us: u64,
    counters: LinkCounters,
    events: EventQueue,
}

impl BackupLink {
    /// An end that listens as soon as commit is in no session.
    ///
    /// # Panics
    /// If the options break their own rules.
    #[must_use]
    pub fn new(options: LinkOptions, now_us: u64) -> Self {
        Self {
            paths: Paths::new(options.path_count),
            endpoint: Endpoint::new(options),
            state: State::Waiting,
            channel: None,
            assembly: Assembly::new(),
            acknowledging: Acknowledging::new(now_us),
            session_number: 0,
            replies: Deque::new(),
            farewell_due: false,
            ended_by: None,
            refuse_due: false,
            figures_due_us: 0,
            counters: LinkCounters::default(),
            events: EventQueue::default(),
        }
    }

    fn is_in_session(&self) -> bool {
        matches!(self.state, State::Up | State::Leaving(_))
    }
}

impl LinkProcess for BackupLink {
    type Ring = Producer;

    fn handle_frame(&mut self, now_us: u64, path: usize, bytes: &mut [u8], ring: &mut Producer) {
        let handled = match self.endpoint.parse(bytes) {
            Ok(frame) => match frame.header.frame_type {
                FrameType::HelloReply => Err(Malformed),
                FrameType::Hello | FrameType::Confirm
                    if !self.endpoint.is_signed(&frame, &mut self.events) =>
                {
                    self.counters.frames_unauthentic += 1;
                    Ok(())
                }
                FrameType::Hello => self.handle_hello(&frame),
                FrameType::Confirm => self.handle_confirm(now_us, &frame, ring),
                _ => self.handle_sealed(now_us, path, frame, ring),
            },
            Err(malformed) => Err(malformed),
        };
        self.counters.frames_malformed += u64::from(handled.is_err());
    }

    fn poll_timers(&mut self, now_us: u64, ring: &mut Producer) {
        if matches!(self.state, State::Waiting | State::Listening(_))
            && self.endpoint.renew_key(ring.control(), &mut self.events)
        {
            self.replies.clear();
            self.state = State::Waiting;
        }
        let stop = ring.control().stop();
        match self.state {
            State::Ended(_) => {}
            State::Leaving(leaving) if leaving.is_over(now_us) => self.left(leaving.then),
            State::Leaving(Leaving { then: Then::End(_), .. }) => {}
            _ if stop.is_some() => {
                let reason = stop.expect("just seen");
                self.take_leave(now_us, reason, Then::End(Ending::Asked), ring);
            }
            State::Leaving(_) | State::Listening(_) => {}
            State::Waiting => self.listen_when_free(ring),
            State::Up => self.poll_session(now_us, ring),
        }
    }

    fn poll_transmit(&mut self, now_us: u64, ring: &mut Producer, out: &mut [u8]) -> Option<usize> {
        let size = self
            .transmit_notice(now_us, out)
            .or_else(|| self.transmit_reply(out))
            .or_else(|| self.transmit_acknowledgement(now_us, ring, out))
            .or_else(|| self.transmit_figures(now_us, ring, out))?;
        self.counters.frames_sent += 1;
        self.counters.bytes_sent += size as u64;
        Some(size)
    }

    fn fail(&mut self, now_us: u64, ending: Ending, ring: &mut Producer) {
        let ends = matches!(self.state, State::Leaving(Leaving { then: Then::End(_), .. }));
        if !ends && !matches!(self.state, State::Ended(_)) {
            self.take_leave(now_us, GoodbyeReason::Failed, Then::End(ending), ring);
        }
    }

    fn ending(&self) -> Option<Ending> {
        match self.state {
            State::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop()
    }

    fn note_usage(&mut self, usage: ProcessFigures) {
        self.counters.usage = usage;
    }

    fn prepare(&mut self, ring: &mut Producer) {
        if matches!(self.state, State::Up) {
            ring.fault_in_more();
        }
    }

    fn show_counters(&mut self, ring: &Producer) {
        let is_up = matches!(self.state, State::Up);
        // The primary does not tell on which links it hears us.
        self.counters.links = if is_up { self.paths.shown() & !0xff00 } else { 0 };
        ring.control().set_counters(&self.counters);
    }

    fn counters(&self) -> &LinkCounters {
        &self.counters
    }
}
