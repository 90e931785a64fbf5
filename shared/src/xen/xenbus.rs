//! What the two ends of a device agree on through xenstore (io/xenbus.h), and what that takes of a store.

use core::cell::RefCell;

use heapless::String;

use super::xenstore::{XenstoreError, domains::PATH_SIZE_MAX};

/// Bytes of a value that a device reads, a path being the longest.
pub const VALUE_SIZE_MAX: usize = PATH_SIZE_MAX;

/// A value in xenstore.
pub type Value = String<VALUE_SIZE_MAX>;

/// Where an end of a device stands (enum xenbus_state).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XenbusState {
    /// There is no such end, or it says nothing that has a meaning.
    Unknown = 0,
    /// It is made.
    Initialising = 1,
    /// It waits for what the other end offers.
    InitWait = 2,
    /// It waits for the other end's connection.
    Initialised = 3,
    /// It works.
    Connected = 4,
    /// It ends.
    Closing = 5,
    /// It has ended.
    Closed = 6,
    /// It is being changed.
    Reconfiguring = 7,
    /// It was changed.
    Reconfigured = 8,
}

impl XenbusState {
    const ALL: [Self; 8] = [
        Self::Initialising,
        Self::InitWait,
        Self::Initialised,
        Self::Connected,
        Self::Closing,
        Self::Closed,
        Self::Reconfiguring,
        Self::Reconfigured,
    ];

    /// The state with this number.
    #[must_use]
    pub fn of(number: Option<u64>) -> Self {
        let is_it = |state: &Self| Some(state.number()) == number;
        Self::ALL.into_iter().find(is_it).unwrap_or(Self::Unknown)
    }

    /// The number that stands in xenstore.
    #[must_use]
    pub const fn number(self) -> u64 {
        self as u64
    }
}

/// Xenstore, as a device's end uses it: values one by one, and watches by token.
///
/// No transactions: what an end writes before its `state` is read by the other end after that, and what
/// it reads is looked at again when it changes.
pub trait DeviceStore {
    /// The value at `path`, if there is one that can be read and is text of at most [`VALUE_SIZE_MAX`]
    /// bytes: the other end may write what it likes.
    ///
    /// # Errors
    /// [`XenstoreError`].
    fn read(&mut self, path: &str) -> Result<Option<Value>, XenstoreError>;

    /// Sets the value at `path`.
    ///
    /// # Errors
    /// [`XenstoreError`].
    fn write(&mut self, path: &str, value: &str) -> Result<(), XenstoreError>;

    /// Watches `path`, which may not exist yet; it counts as changed.
    ///
    /// # Errors
    /// [`XenstoreError`].
    fn watch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError>;

    /// Ends a watch, if there is one.
    ///
    /// # Errors
    /// [`XenstoreError`].
    fn unwatch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError>;

    /// Whether anything that is watched with `token` may have changed since this was asked last. Does
    /// not wait.
    ///
    /// # Errors
    /// [`XenstoreError`].
    fn take_changed(&mut self, token: &str) -> Result<bool, XenstoreError>;
}

/// One store for several devices of one thread.
impl<S: DeviceStore> DeviceStore for &RefCell<S> {
    fn read(&mut self, path: &str) -> Result<Option<Value>, XenstoreError> {
        self.borrow_mut().read(path)
    }

    fn write(&mut self, path: &str, value: &str) -> Result<(), XenstoreError> {
        self.borrow_mut().write(path, value)
    }

    fn watch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        self.borrow_mut().watch(path, token)
    }

    fn unwatch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        self.borrow_mut().unwatch(path, token)
    }

    fn take_changed(&mut self, token: &str) -> Result<bool, XenstoreError> {
        self.borrow_mut().take_changed(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_header_s_numbers() {
        assert_eq!(XenbusState::of(Some(1)), XenbusState::Initialising);
        assert_eq!(XenbusState::of(Some(4)), XenbusState::Connected);
        assert_eq!(XenbusState::of(Some(6)), XenbusState::Closed);
        assert_eq!(XenbusState::of(Some(8)), XenbusState::Reconfigured);
        for nonsense in [None, Some(0), Some(9), Some(u64::MAX)] {
            assert_eq!(XenbusState::of(nonsense), XenbusState::Unknown);
        }
    }
}
