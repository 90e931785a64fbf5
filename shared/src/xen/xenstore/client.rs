//! A conversation with xenstored: one request at a time, watch events in between.
//!
//! The stream blocks as its `embedded_io` implementation does; this file neither opens streams nor
//! waits with a time limit. Payloads are at most 4096 bytes by the protocol, so are the buffers.

use core::fmt;

use embedded_io::{Error as _, ErrorKind, Read, ReadExactError, Write};
use heapless::Vec;

use super::client_domain::{push_number, until_nul};
use super::error::XenstoreError;
use super::event_queue::{EventQueue, WatchEvent};
use super::message::{HEADER_SIZE, Header, MessageKind, PAYLOAD_SIZE_MAX, RefusalReason};
use crate::text::parse_number;
use crate::xen::Domid;

/// Permissions that one node is given at once.
const PERMISSION_COUNT_MAX: usize = 8;

/// A transaction's number; requests outside one use [`Transaction::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction(u32);

impl Transaction {
    /// No transaction: each request takes effect by itself.
    pub const NONE: Transaction = Transaction(0);
}

/// Who may do what with a node. The first one of a list names the owner and everyone's right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// `n`: neither read nor write.
    None(Domid),
    /// `r`.
    Read(Domid),
    /// `w`.
    Write(Domid),
    /// `b`.
    ReadWrite(Domid),
}

/// A client of xenstored over the stream `T`.
pub struct Xenstore<T> {
    transport: T,
    request_id: u32,
    reply: [u8; PAYLOAD_SIZE_MAX],
    events: EventQueue,
}

impl<T: fmt::Debug> fmt::Debug for Xenstore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xenstore")
            .field("transport", &self.transport)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl<T: Read + Write> Xenstore<T> {
    /// A client on a fresh connection.
    pub fn new(transport: T) -> Xenstore<T> {
        Xenstore {
            transport,
            request_id: 0,
            reply: [0; PAYLOAD_SIZE_MAX],
            events: EventQueue::default(),
        }
    }

    /// The stream, to wait on it.
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// The stream, where more can be done with it than to read and write.
    pub(super) const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The value of the node at `path`. Paths without a leading slash begin at dom0's own.
    ///
    /// # Errors
    /// [`XenstoreError::is_not_found`] when there is no node.
    pub fn read(&mut self, transaction: Transaction, path: &str) -> Result<&[u8], XenstoreError> {
        let length = self.request(transaction, MessageKind::Read, &[path.as_bytes(), b"\0"])?;
        Ok(&self.reply[..length])
    }

    /// The value of the node at `path` as text.
    ///
    /// # Errors
    /// As for [`Xenstore::read`]; [`XenstoreError::Malformed`] when it is no UTF-8.
    pub fn read_text(
        &mut self,
        transaction: Transaction,
        path: &str,
    ) -> Result<&str, XenstoreError> {
        core::str::from_utf8(self.read(transaction, path)?).map_err(|_| XenstoreError::Malformed)
    }

    /// The value of the node at `path` as a decimal number.
    ///
    /// # Errors
    /// As for [`Xenstore::read`]; [`XenstoreError::Malformed`] when it is no number.
    pub fn read_number(
        &mut self,
        transaction: Transaction,
        path: &str,
    ) -> Result<u64, XenstoreError> {
        parse_number(self.read_text(transaction, path)?).ok_or(XenstoreError::Malformed)
    }

    /// Sets the value of the node at `path`, which is made with its parents when missing.
    ///
    /// # Errors
    /// [`XenstoreError`].
    pub fn write(
        &mut self,
        transaction: Transaction,
        path: &str,
        value: &[u8],
    ) -> Result<(), XenstoreError> {
        let parts = [path.as_bytes(), b"\0", value];
        self.request(transaction, MessageKind::Write, &parts).map(|_| ())
    }

    /// Removes the node at `path` and all below it.
    ///
    /// # Errors
    /// [`XenstoreError::is_not_found`] when its parent is missing.
    pub fn remove(&mut self, transaction: Transaction, path: &str) -> Result<(), XenstoreError> {
        self.request(transaction, MessageKind::Remove, &[path.as_bytes(), b"\0"]).map(|_| ())
    }

    /// Makes an empty node at `path`; one that exists stays as it is.
    ///
    /// # Errors
    /// [`XenstoreError`].
    pub fn make_directory(
        &mut self,
        transaction: Transaction,
        path: &str,
    ) -> Result<(), XenstoreError> {
        let parts = [path.as_bytes(), b"\0"];
        self.request(transaction, MessageKind::MakeDirectory, &parts).map(|_| ())
    }

    /// The names of the nodes below `path`.
    ///
    /// # Errors
    /// [`XenstoreError::is_not_found`] when there is no node; [`RefusalReason::TooBig`] when the
    /// names need more than 4096 bytes.
    pub fn directory(
        &mut self,
        transaction: Transaction,
        path: &str,
    ) -> Result<impl Iterator<Item = &str>, XenstoreError> {
        let parts = [path.as_bytes(), b"\0"];
        let length = self.request(transaction, MessageKind::Directory, &parts)?;
        let names =
            core::str::from_utf8(&self.reply[..length]).map_err(|_| XenstoreError::Malformed)?;
        Ok(names.split_terminator('\0'))
    }

    /// Sets who may use the node at `path`; at most 8 permissions, the owner's first.
    ///
    /// # Errors
    /// [`XenstoreError`].
    pub fn set_permissions(
        &mut self,
        transaction: Transaction,
        path: &str,
        permissions: &[Permission],
    ) -> Result<(), XenstoreError> {
        let mut list = Vec::<u8, { PERMISSION_COUNT_MAX * 7 }>::new();
        for permission in permissions {
            let (letter, domid) = match *permission {
                Permission::None(domid) => (b'n', domid),
                Permission::Read(domid) => (b'r', domid),
                Permission::Write(domid) => (b'w', domid),
                Permission::ReadWrite(domid) => (b'b', domid),
            };
            list.push(letter).map_err(|_| XenstoreError::TooLong)?;
            push_number(&mut list, u64::from(domid))?;
            list.push(0).map_err(|_| XenstoreError::TooLong)?;
        }
        let parts = [path.as_bytes(), b"\0", &list];
        self.request(transaction, MessageKind::SetPermissions, &parts).map(|_| ())
    }

    /// Watches the node at `path` and all below it; the first event comes at once.
    ///
    /// # Errors
    /// [`RefusalReason::Exists`] when the same path and token are watched already.
    pub fn watch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        let parts = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
        self.request(Transaction::NONE, MessageKind::Watch, &parts).map(|_| ())
    }

    /// Ends a watch; events of it may still be queued.
    ///
    /// # Errors
    /// [`XenstoreError::is_not_found`] when there is no such watch.
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        let parts = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
        self.request(Transaction::NONE, MessageKind::Unwatch, &parts).map(|_| ())
    }

    /// A watch event that has arrived already, or none; does not wait.
    pub fn take_event(&mut self) -> Option<WatchEvent> {
        self.events.pop()
    }

    /// Whether events were dropped for want of room since this was asked last. Whoever watches
    /// must then look at everything again.
    pub fn take_events_lost(&mut self) -> bool {
        self.events.take_lost()
    }

    /// The next watch event; waits for it as long as it takes.
    ///
    /// # Errors
    /// [`XenstoreError::Disconnected`] or [`XenstoreError::Malformed`].
    pub fn next_event(&mut self) -> Result<WatchEvent, XenstoreError> {
        loop {
            if let Some(event) = self.take_event() {
                return Ok(event);
            }
            self.receive_event()?;
        }
    }

    /// Receives one message, which must be a watch event, and queues it.
    ///
    /// # Errors
    /// [`XenstoreError::Disconnected`] or [`XenstoreError::Malformed`].
    pub fn receive_event(&mut self) -> Result<(), XenstoreError> {
        match self.receive()? {
            (header, _) if header.kind == MessageKind::WatchEvent.code() => Ok(()),
            _ => Err(XenstoreError::Malformed),
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`RefusalReason::NoSpace`] when too many are open.
    pub fn transaction_start(&mut self) -> Result<Transaction, XenstoreError> {
        let length = self.request(Transaction::NONE, MessageKind::TransactionStart, &[b"\0"])?;
        let text = until_nul(&self.reply[..length])?;
        parse_number(text).map(Transaction).ok_or(XenstoreError::Malformed)
    }

    /// Ends a transaction, and makes its changes if `commit`. False when another's changes came
    /// between: nothing was changed then, and the transaction is to be run again.
    ///
    /// # Errors
    /// [`XenstoreError`].
    pub fn transaction_end(
        &mut self,
        transaction: Transaction,
        commit: bool,
    ) -> Result<bool, XenstoreError> {
        let verdict: &[u8] = if commit { b"T\0" } else { b"F\0" };
        match self.request(transaction, MessageKind::TransactionEnd, &[verdict]) {
            Ok(_) => Ok(true),
            Err(XenstoreError::Refused { reason: RefusalReason::Again, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The first `length` bytes of the reply that was received last.
    pub(super) fn reply(&self, length: usize) -> &[u8] {
        &self.reply[..length]
    }

    /// Sends a request and receives its reply into `self.reply`; returns its length.
    pub(super) fn request(
        &mut self,
        transaction: Transaction,
        kind: MessageKind,
        parts: &[&[u8]],
    ) -> Result<usize, XenstoreError> {
        let payload_length = parts.iter().map(|part| part.len()).sum::<usize>();
        if payload_length > PAYLOAD_SIZE_MAX {
            return Err(XenstoreError::TooLong);
        }
        self.request_id = self.request_id.wrapping_add(1);
        let mut message = Vec::<u8, { HEADER_SIZE + PAYLOAD_SIZE_MAX }>::new();
        let header = Header {
            kind: kind.code(),
            request_id: self.request_id,
            transaction_id: transaction.0,
            length: u32::try_from(payload_length).map_err(|_| XenstoreError::TooLong)?,
        };
        for part in core::iter::once(&header.to_bytes()[..]).chain(parts.iter().copied()) {
            message.extend_from_slice(part).map_err(|_| XenstoreError::TooLong)?;
        }
        // In one piece: /dev/xen/xenbus and xenstored take a message best when it is whole.
        self.transport.write_all(&message).map_err(|_| XenstoreError::Disconnected)?;
        self.transport.flush().map_err(|_| XenstoreError::Disconnected)?;
        loop {
            let (header, length) = self.receive()?;
            if header.kind == MessageKind::WatchEvent.code() {
                continue;
            }
            if header.request_id != self.request_id {
                // The answer to a request that was not waited for any longer.
                if header.request_id < self.request_id {
                    continue;
                }
                return Err(XenstoreError::Malformed);
            }
            if header.kind == MessageKind::Error.code() {
                let reason = RefusalReason::from_payload(&self.reply[..length]);
                return Err(XenstoreError::Refused { request: kind, reason });
            }
            if header.kind != kind.code() {
                return Err(XenstoreError::Malformed);
            }
            return Ok(length);
        }
    }

    /// Receives one message into `self.reply`; a watch event is queued as well.
    pub(super) fn receive(&mut self) -> Result<(Header, usize), XenstoreError> {
        let mut header = [0; HEADER_SIZE];
        read_exact(&mut self.transport, &mut header)?;
        let header = Header::from_bytes(&header);
        let length = header.payload_length().ok_or(XenstoreError::Malformed)?;
        read_exact(&mut self.transport, &mut self.reply[..length])?;
        if header.kind == MessageKind::WatchEvent.code() {
            self.events.push(&self.reply[..length]);
        }
        Ok((header, length))
    }
}

fn read_exact<T: Read>(transport: &mut T, target: &mut [u8]) -> Result<(), XenstoreError> {
    transport.read_exact(target).map_err(|error| match error {
        ReadExactError::Other(error) if error.kind() == ErrorKind::TimedOut => {
            XenstoreError::Silent
        }
        ReadExactError::UnexpectedEof | ReadExactError::Other(_) => XenstoreError::Disconnected,
    })
}
