//! The command line as the domain's builder leaves it: bytes up to a zero.

/// The text up to the first zero; none if there is no zero, or the bytes are no text.
#[must_use]
pub fn as_text(bytes: &[u8]) -> Option<&str> {
    let size = bytes.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(bytes.get(..size)?).ok()
}

#[cfg(test)]
mod tests {
    use super::as_text;

    #[test]
    fn a_text_ends_with_a_zero() {
        assert_eq!(as_text(b"self-check\0rest"), Some("self-check"));
        assert_eq!(as_text(b"\0"), Some(""));
        assert_eq!(as_text(b"never ends"), None);
        assert_eq!(as_text(b"\xff\0"), None);
    }
}
