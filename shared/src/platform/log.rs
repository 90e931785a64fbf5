//! Log lines: one event, one line, one write, so that lines of two processes never mix.
//!
//! The lines carry neither a time nor a name: whatever collects them (an init, a journal, a terminal,
//! xenconsoled) adds its own.

use core::fmt::{self, Write};

#[cfg(not(stubdom))]
use super::linux::log::write_log;
#[cfg(stubdom)]
use super::stubdom::console::write_log;

/// Bytes of a log line; what is longer is cut, and the cut is shown by three dots.
pub const LOG_LINE_SIZE_MAX: usize = 512;

const CUT: &[u8] = b"...\n";

/// Writes one log line: `log!("epoch {epoch} was acknowledged")`.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::platform::log::write_line(core::format_args!($($argument)*))
    };
}

/// Writes one line where this platform's log goes.
pub fn write_line(line: fmt::Arguments<'_>) {
    write_log(LineBuffer::format(line).bytes());
}

struct LineBuffer {
    bytes: [u8; LOG_LINE_SIZE_MAX],
    size: usize,
}

impl LineBuffer {
    fn format(line: fmt::Arguments<'_>) -> Self {
        let mut buffer = Self { bytes: [0; LOG_LINE_SIZE_MAX], size: 0 };
        if buffer.write_fmt(line).is_ok() {
            buffer.bytes[buffer.size] = b'\n';
            buffer.size += 1;
        } else {
            let start = buffer.size.min(LOG_LINE_SIZE_MAX - CUT.len());
            buffer.bytes[start..start + CUT.len()].copy_from_slice(CUT);
            buffer.size = start + CUT.len();
        }
        buffer
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

impl Write for LineBuffer {
    /// A line break inside a line would make two events of one, so it becomes a space.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LOG_LINE_SIZE_MAX - 1 - self.size;
        for byte in text.bytes().take(room) {
            self.bytes[self.size] = if byte == b'\n' { b' ' } else { byte };
            self.size += 1;
        }
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{LOG_LINE_SIZE_MAX, LineBuffer};

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(LineBuffer::format(format_args!("a\nb {}", 7)).bytes(), b"a b 7\n");
    }

    #[test]
    fn the_longest_line_is_whole_and_a_longer_one_is_cut() {
        let whole = "x".repeat(LOG_LINE_SIZE_MAX - 1);
        let line = LineBuffer::format(format_args!("{whole}"));
        assert_eq!(line.bytes(), format!("{whole}\n").as_bytes());
        let line = LineBuffer::format(format_args!("{whole}y"));
        assert_eq!(line.bytes().len(), LOG_LINE_SIZE_MAX);
        assert!(line.bytes().ends_with(b"x...\n"));
    }
}
