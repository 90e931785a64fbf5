//! Text of bounded size that can be copied: names and paths inside errors and records.

use core::fmt;

/// Up to `SIZE` bytes of UTF-8, kept in place. Longer text is cut at a character's border.
///
/// `SIZE` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FixedText<const SIZE: usize> {
    bytes: [u8; SIZE],
    size: u8,
}

impl<const SIZE: usize> FixedText<SIZE> {
    const SIZE_FITS: () = assert!(SIZE <= u8::MAX as usize, "the size is kept in one byte");

    /// The text, or as much of its beginning as fits.
    pub fn new(text: &str) -> Self {
        let () = Self::SIZE_FITS;
        let mut size = text.len().min(SIZE);
        while !text.is_char_boundary(size) {
            size -= 1;
        }
        let mut bytes = [0; SIZE];
        bytes[..size].copy_from_slice(&text.as_bytes()[..size]);
        Self { bytes, size: u8::try_from(size).unwrap_or(u8::MAX) }
    }

    /// Formats straight into a fixed text, cutting what does not fit.
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self::new("");
        // An error only says that the text was cut, which this type allows.
        let _ = fmt::Write::write_fmt(&mut text, arguments);
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.size)]).unwrap_or("")
    }
}

impl<const SIZE: usize> fmt::Write for FixedText<SIZE> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = usize::from(self.size);
        let mut count = text.len().min(SIZE - start);
        while !text.is_char_boundary(count) {
            count -= 1;
        }
        self.bytes[start..start + count].copy_from_slice(&text.as_bytes()[..count]);
        self.size = u8::try_from(start + count).unwrap_or(u8::MAX);
        if count < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl<const SIZE: usize> fmt::Display for FixedText<SIZE> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl<const SIZE: usize> fmt::Debug for FixedText<SIZE> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

/// Reads six pairs of hexadecimal digits with colons.
#[must_use]
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::FixedText;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn keeps_what_fits() {
        assert_eq!(FixedText::<4>::new("vif1").as_str(), "vif1");
        assert_eq!(FixedText::<4>::new("vif1.0").as_str(), "vif1");
        assert_eq!(FixedText::<4>::new("ééé").as_str(), "éé");
        assert_eq!(FixedText::<5>::format(format_args!("{}-{}", 12, 3456)).as_str(), "12-34");
    }

    proptest! {
        #[test]
        fn is_always_a_prefix(text in ".*") {
            let fixed = FixedText::<7>::new(&text);
            prop_assert!(text.starts_with(fixed.as_str()));
            prop_assert!(fixed.as_str().len() + 3 >= text.len().min(7));
        }
    }
}
