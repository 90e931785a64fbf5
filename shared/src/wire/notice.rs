//! The short messages: a refusal's text, and a goodbye.

use super::Malformed;
use super::bytes::Reader;
use crate::limits::REFUSAL_TEXT_SIZE_MAX;
use crate::ring::GoodbyeReason;

/// Why the backup refuses the domain, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse<'a> {
    /// At most [`REFUSAL_TEXT_SIZE_MAX`] bytes.
    pub text: &'a str,
}

impl<'a> Refuse<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] when it is too long or no UTF-8.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        if body.len() > REFUSAL_TEXT_SIZE_MAX {
            return Err(Malformed);
        }
        core::str::from_utf8(body).map(|text| Self { text }).map_err(|_| Malformed)
    }

    /// Writes the text to the front of `body` and returns its size.
    pub fn emit(&self, body: &mut [u8]) -> usize {
        assert!(self.text.len() <= REFUSAL_TEXT_SIZE_MAX);
        body[..self.text.len()].copy_from_slice(self.text.as_bytes());
        self.text.len()
    }
}

/// The session ends by its sender's will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Why.
    pub reason: GoodbyeReason,
}

impl Goodbye {
    /// Bytes of the message.
    pub const SIZE: usize = 1;

    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] when it has another size or the reason is unknown.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let reason = GoodbyeReason::from_number(reader.u8()?).ok_or(Malformed)?;
        reader.end()?;
        Ok(Self { reason })
    }

    /// Writes the message to the front of `body`.
    pub fn emit(&self, body: &mut [u8]) {
        body[0] = self.reason as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_reasons_survive() {
        let mut body = [0; 300];
        let size = Refuse { text: "no memory for the twin" }.emit(&mut body);
        assert_eq!(Refuse::parse(&body[..size]).unwrap().text, "no memory for the twin");
        assert_eq!(Refuse::parse(&[0xff]), Err(Malformed));
        assert_eq!(Refuse::parse(&body[..=REFUSAL_TEXT_SIZE_MAX]), Err(Malformed));
        let goodbye = Goodbye { reason: GoodbyeReason::DomainRebooted };
        goodbye.emit(&mut body);
        assert_eq!(Goodbye::parse(&body[..1]), Ok(goodbye));
        for body in [&[][..], &[0], &[7], &[1, 0]] {
            assert_eq!(Goodbye::parse(body), Err(Malformed));
        }
    }
}
