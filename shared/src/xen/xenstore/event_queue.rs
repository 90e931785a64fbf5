//! Watch events that arrived while a reply was awaited, in order, in bounded space.

use heapless::{Deque, Vec};

use super::message::split_watch_event;

/// Bytes of an event's path and token that are kept; longer events are counted as lost.
pub const EVENT_SIZE_MAX: usize = 256;
/// Events that wait.
const EVENT_COUNT_MAX: usize = 32;

/// Path that changed, and the token that its watch was set with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    payload: Vec<u8, EVENT_SIZE_MAX>,
}

impl WatchEvent {
    /// None when the payload is too long or no event.
    pub(super) fn from_payload(payload: &[u8]) -> Option<WatchEvent> {
        split_watch_event(payload)?;
        Some(WatchEvent { payload: Vec::from_slice(payload).ok()? })
    }

    fn parts(&self) -> (&str, &str) {
        split_watch_event(&self.payload).expect("checked when it was made")
    }

    /// The node that changed: the watched one or one below it.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts().0
    }

    /// The watch's token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.parts().1
    }
}

/// The events, oldest first.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    events: Deque<WatchEvent, EVENT_COUNT_MAX>,
    lost: bool,
}

impl EventQueue {
    /// Keeps an event; when there is no room, or it is too long, remembers that one is lost.
    pub(super) fn push(&mut self, payload: &[u8]) {
        let kept = WatchEvent::from_payload(payload)
            .is_some_and(|event| self.events.push_back(event).is_ok());
        self.lost |= !kept;
    }

    pub(super) fn pop(&mut self) -> Option<WatchEvent> {
        self.events.pop_front()
    }

    /// Whether events were lost since this was asked last.
    pub(super) fn take_lost(&mut self) -> bool {
        core::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_order_and_losses_show() {
        let mut queue = EventQueue::default();
        queue.push(b"a\0first\0");
        queue.push(b"b\0second\0");
        assert!(!queue.take_lost());
        assert_eq!(queue.pop().unwrap().token(), "first");
        let second = queue.pop().unwrap();
        assert_eq!((second.path(), second.token()), ("b", "second"));
        assert_eq!(queue.pop(), None);
        for _ in 0..=EVENT_COUNT_MAX {
            queue.push(b"a\0b\0");
        }
        assert!(queue.take_lost());
        assert!(!queue.take_lost());
        queue.push(&[b'x'; EVENT_SIZE_MAX + 1]);
        assert!(queue.take_lost());
    }
}
