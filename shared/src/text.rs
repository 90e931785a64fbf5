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
    // Called, as the next one, not copied to every place that keeps a text.
    #[inline(never)]
    pub fn new(text: &str) -> Self {
        Self::filled(|room| {
            let _ = fmt::Write::write_str(room, text);
        })
    }

    /// Formats straight into a fixed text, cutting what does not fit.
    #[inline(never)]
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        Self::filled(|room| {
            // An error only says that the text was cut, which this type allows.
            let _ = fmt::Write::write_fmt(room, arguments);
        })
    }

    /// Puts one ASCII character in another's place, from a byte on.
    pub fn replace(&mut self, start: usize, old: u8, new: u8) {
        for byte in self.bytes.iter_mut().skip(start) {
            if *byte == old {
                *byte = new;
            }
        }
    }

    fn filled(fill: impl FnOnce(&mut Room<'_>)) -> Self {
        let () = Self::SIZE_FITS;
        let mut bytes = [0; SIZE];
        let mut room = Room { bytes: &mut bytes, size: 0 };
        fill(&mut room);
        let size = room.size;
        Self { bytes, size: u8::try_from(size).unwrap_or(u8::MAX) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        text_of(&self.bytes, self.size)
    }
}

/// What a fixed text is written into. One for all sizes, so that the code for it is there once.
struct Room<'a> {
    bytes: &'a mut [u8],
    size: usize,
}

impl fmt::Write for Room<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.size..).unwrap_or_default();
        let count = text.floor_char_boundary(room.len());
        for (place, byte) in room.iter_mut().zip(text.bytes().take(count)) {
            *place = byte;
        }
        self.size += count;
        if count < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl<const SIZE: usize> fmt::Display for FixedText<SIZE> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl<const SIZE: usize> fmt::Debug for FixedText<SIZE> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

// Called, not copied to every place that reads a text.
#[inline(never)]
fn text_of(bytes: &[u8], size: u8) -> &str {
    valid_beginning(bytes.get(..usize::from(size)).unwrap_or_default())
}

/// The text that the bytes begin with: all of them unless one of them is wrong.
#[must_use]
pub fn valid_beginning(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => match bytes.get(..error.valid_up_to()).map(core::str::from_utf8) {
            Some(Ok(text)) => text,
            _ => "",
        },
    }
}

/// What is before the first of an ASCII separator, and what is after it. In place of `split_once`, whose
/// search for any character is large.
#[must_use]
pub fn split_at_first(text: &str, separator: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == separator)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// Reads a decimal number: digits alone, no sign. In place of `parse`, which is there once for each
/// type and takes a sign.
#[must_use]
pub fn parse_number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    T::try_from(parse_decimal(text)?).ok()
}

fn parse_decimal(text: &str) -> Option<u64> {
    let mut number: u64 = 0;
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    (!text.is_empty()).then_some(number)
}

/// A size in bytes: digits, and K, M or G for the powers of 1024.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let with_unit = |(unit, shift)| Some((text.strip_suffix(unit)?, shift));
    let (digits, shift) = units.into_iter().find_map(with_unit).unwrap_or((text, 0));
    parse_number::<u64>(digits)?.checked_mul(1 << shift)
}

/// Reads six pairs of hexadecimal digits with colons.
#[must_use]
// Called, not copied to each of its callers.
#[inline(never)]
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    const TEXT_SIZE: usize = 17;
    if text.len() != TEXT_SIZE {
        return None;
    }
    let mut mac = [0; 6];
    for (byte, part) in mac.iter_mut().zip(text.as_bytes().chunks(3)) {
        let ([high, low] | [high, low, b':']) = part else { return None };
        *byte = hexadecimal(*high)? << 4 | hexadecimal(*low)?;
    }
    Some(mac)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{FixedText, parse_number, parse_size, split_at_first, valid_beginning};
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn keeps_what_fits() {
        assert_eq!(FixedText::<4>::new("vif1").as_str(), "vif1");
        assert_eq!(FixedText::<4>::new("vif1.0").as_str(), "vif1");
        assert_eq!(FixedText::<4>::new("ééé").as_str(), "éé");
        assert_eq!(FixedText::<5>::format(format_args!("{}-{}", 12, 3456)).as_str(), "12-34");
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(parse_number("0"), Some(0_u8));
        assert_eq!(parse_number("007"), Some(7_u16));
        assert_eq!(parse_number("18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "+1", "-1", " 1", "1 ", "0x1", "\u{661}", "18446744073709551616"] {
            assert_eq!(parse_number::<u64>(wrong), None, "{wrong}");
        }
        assert_eq!(parse_number::<u8>("256"), None);
    }

    #[test]
    fn sizes_have_a_unit_or_none() {
        for (text, size) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("64K", Some(64 << 10)),
            ("64M", Some(64 << 20)),
            ("1G", Some(1 << 30)),
            ("17179869183G", Some(17_179_869_183 << 30)),
            ("17179869184G", None),
            ("", None),
            ("M", None),
            ("1m", None),
            ("1MB", None),
            ("+1M", None),
            ("-1", None),
            ("1.5G", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }

    #[test]
    fn texts_are_split_and_cut_where_they_can_be() {
        assert_eq!(split_at_first("a=b=c", b'='), Some(("a", "b=c")));
        assert_eq!(split_at_first("é=", b'='), Some(("é", "")));
        assert_eq!(split_at_first("a", b'='), None);
        assert_eq!(valid_beginning(b"ab\xffc"), "ab");
        assert_eq!(valid_beginning("é".as_bytes()), "é");
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
