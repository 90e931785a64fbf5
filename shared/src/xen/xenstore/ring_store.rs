//! A domain's own xenstore, for all of its devices: events go to whom they concern, by the watch's token.

use core::fmt;

use heapless::Vec;

use super::client::{Transaction, Xenstore};
use super::domains::Path;
use super::error::XenstoreError;
use super::event_queue::WatchEvent;
use super::message::RefusalReason;
use super::ring_transport::{RingHost, RingTransport};
use crate::xen::xenbus::{DeviceStore, Value};

/// Different tokens that watches have.
pub const WATCH_TOKEN_COUNT_MAX: usize = 8;
/// Messages that are taken at one look: more than the ring holds of the shortest events.
const POLLED_COUNT_MAX: usize = 64;

impl<H: RingHost> Xenstore<RingTransport<'_, H>> {
    /// The next watch event, if one is there. Does not wait.
    ///
    /// # Errors
    /// [`XenstoreError::Disconnected`] or [`XenstoreError::Malformed`].
    pub fn poll_event(&mut self) -> Result<Option<WatchEvent>, XenstoreError> {
        for _ in 0..POLLED_COUNT_MAX {
            if !self.transport_mut().poll().map_err(|_| XenstoreError::Disconnected)? {
                break;
            }
            // An answer that comes now is one that was not waited for any longer.
            self.receive()?;
        }
        Ok(self.take_event())
    }
}

#[derive(Debug)]
struct Watched {
    token: Path,
    is_changed: bool,
}

/// The store.
pub struct RingStore<'m, H> {
    client: Xenstore<RingTransport<'m, H>>,
    watched: Vec<Watched, WATCH_TOKEN_COUNT_MAX>,
}

impl<H: fmt::Debug> fmt::Debug for RingStore<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RingStore");
        debug.field("client", &self.client).field("watched", &self.watched).finish()
    }
}

impl<'m, H: RingHost> RingStore<'m, H> {
    /// The store at the other side of the ring.
    #[must_use]
    pub fn new(transport: RingTransport<'m, H>) -> Self {
        Self { client: Xenstore::new(transport), watched: Vec::new() }
    }

    /// The client, for requests. Events are to be left to [`DeviceStore::take_changed`].
    pub const fn client(&mut self) -> &mut Xenstore<RingTransport<'m, H>> {
        &mut self.client
    }

    fn sort_events(&mut self) -> Result<(), XenstoreError> {
        for _ in 0..POLLED_COUNT_MAX {
            let Some(event) = self.client.poll_event()? else { break };
            if let Some(watched) = self.watched.iter_mut().find(|it| it.token == event.token()) {
                watched.is_changed = true;
            }
        }
        if self.client.take_events_lost() {
            self.watched.iter_mut().for_each(|watched| watched.is_changed = true);
        }
        Ok(())
    }
}

/// Of this domain's own place in the tree, if a path has no leading slash.
impl<H: RingHost> DeviceStore for RingStore<'_, H> {
    fn read(&mut self, path: &str) -> Result<Option<Value>, XenstoreError> {
        match self.client.read_text(Transaction::NONE, path) {
            Ok(text) => Ok(Value::try_from(text).ok()),
            Err(XenstoreError::Refused {
                reason: RefusalReason::NotFound | RefusalReason::NotPermitted,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, path: &str, value: &str) -> Result<(), XenstoreError> {
        self.client.write(Transaction::NONE, path, value.as_bytes())
    }

    /// # Panics
    /// If there are more than [`WATCH_TOKEN_COUNT_MAX`] different tokens.
    fn watch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        if let Some(watched) = self.watched.iter_mut().find(|it| it.token == token) {
            watched.is_changed = true;
        } else {
            let token = Path::try_from(token).map_err(|_| XenstoreError::TooLong)?;
            let pushed = self.watched.push(Watched { token, is_changed: true });
            pushed.expect("a domain has few devices");
        }
        match self.client.watch(path, token) {
            Err(XenstoreError::Refused { reason: RefusalReason::Exists, .. }) => Ok(()),
            result => result,
        }
    }

    fn unwatch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        match self.client.unwatch(path, token) {
            Err(XenstoreError::Refused { reason: RefusalReason::NotFound, .. }) => Ok(()),
            result => result,
        }
    }

    fn take_changed(&mut self, token: &str) -> Result<bool, XenstoreError> {
        self.sort_events()?;
        let watched = self.watched.iter_mut().find(|it| it.token == token);
        Ok(watched.is_some_and(|watched| core::mem::take(&mut watched.is_changed)))
    }
}
