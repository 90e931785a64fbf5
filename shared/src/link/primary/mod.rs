//! The primary's end of the link: takes entries from the ring and carries them to the backup.

mod encoding;
mod incoming;
mod outgoing;
mod sessions;

use super::calling::{Calling, Offer};
use super::channel::Channel;
use super::endpoint::{Endpoint, LinkOptions};
use super::event::{EventQueue, LinkEvent};
use super::flight::Flight;
use super::leaving::{Leaving, Then};
use super::paths::Paths;
use super::process::{Ending, LinkProcess};
use crate::codec::page::PageEncoder;
use crate::ring::{Consumer, GoodbyeReason, LinkCounters, ProcessFigures, RefusalText};
use crate::wire::{Confirm, FrameType, Malformed};

#[derive(Clone, Copy, Debug)]
enum State {
    /// capture has not left the last session.
    Waiting,
    /// Hellos go out.
    Calling(Calling),
    /// Confirms go out, until the backup's first sealed frame.
    Confirming {
        confirm: Confirm,
        offer: Offer,
        next_us: u64,
        until_us: u64,
    },
    /// The session is announced to capture.
    Up,
    /// Goodbyes go out.
    Leaving(Leaving),
    Ended(Ending),
}

/// The primary's end. See the [room](super) for what it does.
#[derive(Debug)]
pub struct PrimaryLink {
    endpoint: Endpoint,
    state: State,
    /// The session's, and afterwards the last session's, for answering its Goodbye.
    channel: Option<Channel>,
    flight: Flight,
    paths: Paths,
    session_number: u64,
    /// capture has joined this session.
    is_joined: bool,
    /// Entries before this index may be sent.
    credit: u64,
    encoder: PageEncoder,
    /// Entries before this index are encoded.
    encoded_index: u64,
    /// The backup's refusal, once its text has come in this session.
    refusal: Option<RefusalText>,
    /// Packet number of the newest Ack or Refuse; one that comes late says nothing of the phase.
    newest_ack: Option<u64>,
    farewell_due: bool,
    counters: LinkCounters,
    events: EventQueue,
}

impl PrimaryLink {
    /// An end that calls as soon as capture is in no session.
    ///
    /// # Panics
    /// If the options break their own rules.
    #[must_use]
    pub fn new(options: LinkOptions, encoder: PageEncoder, now_us: u64) -> Self {
        Self {
            paths: Paths::new(options.path_count),
            endpoint: Endpoint::new(options),
            state: State::Waiting,
            channel: None,
            flight: Flight::new(now_us),
            session_number: 0,
            is_joined: false,
            credit: 0,
            encoder,
            encoded_index: 0,
            refusal: None,
            newest_ack: None,
            farewell_due: false,
            counters: LinkCounters::default(),
            events: EventQueue::default(),
        }
    }

    fn timeout_us(&self) -> u64 {
        u64::from(self.endpoint.options.timeout_ms) * 1000
    }

    fn is_in_session(&self) -> bool {
        matches!(self.state, State::Up | State::Confirming { .. } | State::Leaving(_))
    }
}

impl LinkProcess for PrimaryLink {
    type Ring = Consumer;

    fn handle_frame(&mut self, now_us: u64, path: usize, bytes: &mut [u8], ring: &mut Consumer) {
        let handled = match self.endpoint.parse(bytes) {
            Ok(frame) if frame.header.frame_type == FrameType::HelloReply => {
                if self.endpoint.is_signed(&frame, &mut self.events) {
                    self.handle_reply(&frame)
                } else {
                    self.counters.frames_unauthentic += 1;
                    Ok(())
                }
            }
            Ok(frame) if frame.header.frame_type.is_handshake() => Err(Malformed),
            Ok(frame) => self.handle_sealed(now_us, path, frame, ring),
            Err(malformed) => Err(malformed),
        };
        self.counters.frames_malformed += u64::from(handled.is_err());
    }

    fn poll_timers(&mut self, now_us: u64, ring: &mut Consumer) {
        if matches!(self.state, State::Waiting | State::Calling(_))
            && self.endpoint.renew_key(ring.control(), &mut self.events)
        {
            self.state = State::Waiting;
        }
        let stop = ring.control().stop();
        match self.state {
            State::Ended(_) => {}
            State::Leaving(leaving) if leaving.is_over(now_us) => self.left(leaving.then, ring),
            State::Leaving(Leaving { then: Then::End(_), .. }) => {}
            _ if stop.is_some() => {
                let reason = stop.expect("just seen");
                self.take_leave(now_us, reason, Then::End(Ending::Asked), ring);
            }
            State::Leaving(_) => {}
            State::Waiting => self.call_when_free(now_us, ring),
            State::Calling(calling) => {
                if let Some(offer) = calling.decided() {
                    self.confirm(now_us, &calling, offer);
                }
            }
            State::Confirming { until_us, .. } if now_us >= until_us => self.state = State::Waiting,
            State::Confirming { .. } => {}
            State::Up => self.poll_session(now_us, ring),
        }
    }

    fn poll_transmit(&mut self, now_us: u64, ring: &mut Consumer, out: &mut [u8]) -> Option<usize> {
        let size = self
            .transmit_notice(now_us, out)
            .or_else(|| self.transmit_hello(now_us, out))
            .or_else(|| self.transmit_confirm(now_us, out));
        let size = match (size, self.state) {
            (None, State::Up) => match self.transmit_data(now_us, ring, out) {
                Ok(size) => size,
                Err(error) => {
                    self.fail(now_us, Ending::RingBroken(error), ring);
                    None
                }
            },
            (size, _) => size,
        }?;
        self.counters.frames_sent += 1;
        self.counters.bytes_sent += size as u64;
        Some(size)
    }

    fn data_path(&self) -> usize {
        self.paths.data()
    }

    fn fail(&mut self, now_us: u64, ending: Ending, ring: &mut Consumer) {
        let ends = matches!(self.state, State::Leaving(Leaving { then: Then::End(_), .. }));
        if ends || matches!(self.state, State::Ended(_)) {
            return;
        }
        match ending {
            // Capture may have left the guest paused, or without anybody who lets its output go: the backup is
            // to take over, as where all of this host is lost, and not to hear of a leave and drop the twin.
            Ending::OtherHalfGone => self.left(Then::End(ending), ring),
            _ => self.take_leave(now_us, GoodbyeReason::Failed, Then::End(ending), ring),
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

    fn show_counters(&mut self, ring: &Consumer) {
        let is_up = matches!(self.state, State::Up);
        self.counters.links = if is_up { self.paths.shown() } else { 0 };
        ring.control().set_counters(&self.counters);
    }

    fn counters(&self) -> &LinkCounters {
        &self.counters
    }
}
