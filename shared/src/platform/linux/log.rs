//! The standard streams: log lines go to stderr, text for people to stdout.

use core::fmt::{self, Write};

/// Writes a log line to stderr, in one write. What cannot be written is lost: there is nowhere left to
/// say so.
pub fn write_log(line: &[u8]) {
    // SAFETY: no part of the program closes the standard streams.
    let stderr = unsafe { rustix::stdio::stderr() };
    write_all(stderr, line);
}

/// Writes text for people, such as a help page, to stdout, in as many writes as it takes.
pub fn print(text: fmt::Arguments<'_>) {
    struct Stdout;
    impl Write for Stdout {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // SAFETY: no part of the program closes the standard streams.
            let stdout = unsafe { rustix::stdio::stdout() };
            write_all(stdout, text.as_bytes());
            Ok(())
        }
    }
    let _ = Stdout.write_fmt(text);
}

fn write_all(file: rustix::fd::BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
