//! The client's requests about domains: their rings, and their place in the tree.

use embedded_io::{Read, Write};
use heapless::Vec;

use super::client::{Transaction, Xenstore};
use super::error::XenstoreError;
use super::message::MessageKind;
use crate::xen::Domid;

impl<T: Read + Write> Xenstore<T> {
    /// Tells xenstored where a domain's ring is, and its port. Xenstored binds the port anew when
    /// the domain is introduced already.
    ///
    /// # Errors
    /// [`RefusalReason::Invalid`] when the page or port cannot be used.
    pub fn introduce(&mut self, domid: Domid, gfn: u64, port: u32) -> Result<(), XenstoreError> {
        let mut arguments = Vec::<u8, 64>::new();
        for number in [u64::from(domid), gfn, u64::from(port)] {
            push_number(&mut arguments, number)?;
            arguments.push(0).map_err(|_| XenstoreError::TooLong)?;
        }
        self.request(Transaction::NONE, MessageKind::Introduce, &[&arguments]).map(|_| ())
    }

    /// Makes xenstored forget a domain's ring.
    ///
    /// # Errors
    /// [`XenstoreError::is_not_found`] when it is not introduced.
    pub fn release(&mut self, domid: Domid) -> Result<(), XenstoreError> {
        self.domain_request(MessageKind::Release, domid).map(|_| ())
    }

    /// Makes xenstored forget that a domain has shut down, so that it will notice the next time.
    ///
    /// # Errors
    /// [`XenstoreError::is_not_found`] when it is not introduced.
    pub fn resume(&mut self, domid: Domid) -> Result<(), XenstoreError> {
        self.domain_request(MessageKind::Resume, domid).map(|_| ())
    }

    /// Whether xenstored serves a domain's ring.
    ///
    /// # Errors
    /// [`XenstoreError`].
    pub fn is_introduced(&mut self, domid: Domid) -> Result<bool, XenstoreError> {
        let length = self.domain_request(MessageKind::IsDomainIntroduced, domid)?;
        Ok(until_nul(self.reply(length))? == "T")
    }

    /// The domain's place in the tree: `/local/domain/N`. Made up, also when it does not exist.
    ///
    /// # Errors
    /// [`XenstoreError`].
    pub fn get_domain_path(&mut self, domid: Domid) -> Result<&str, XenstoreError> {
        let length = self.domain_request(MessageKind::GetDomainPath, domid)?;
        until_nul(self.reply(length))
    }

    fn domain_request(&mut self, kind: MessageKind, domid: Domid) -> Result<usize, XenstoreError> {
        let mut argument = Vec::<u8, 8>::new();
        push_number(&mut argument, u64::from(domid))?;
        self.request(Transaction::NONE, kind, &[&argument, b"\0"])
    }
}

/// The text before the first NUL.
pub(super) fn until_nul(payload: &[u8]) -> Result<&str, XenstoreError> {
    let text = payload.split(|byte| *byte == 0).next().unwrap_or_default();
    core::str::from_utf8(text).map_err(|_| XenstoreError::Malformed)
}

/// Appends a number in decimal.
pub(super) fn push_number<const N: usize>(
    target: &mut Vec<u8, N>,
    number: u64,
) -> Result<(), XenstoreError> {
    use core::fmt::Write as _;
    write!(target, "{number}").map_err(|_| XenstoreError::TooLong)
}
