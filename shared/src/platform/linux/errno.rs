//! The kernel's error numbers in English.

use core::fmt;
use rustix::io::Errno;

/// Displays an error number as a few words for people; one without words here by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrnoText(pub Errno);

impl fmt::Display for ErrnoText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match text(self.0) {
            Some(text) => formatter.write_str(text),
            None => write!(formatter, "error number {}", self.0.raw_os_error()),
        }
    }
}

fn text(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::PERM => "not permitted: this needs root",
        Errno::NOENT => "does not exist",
        Errno::SRCH => "no such process",
        Errno::INTR => "interrupted by a signal",
        Errno::IO => "input/output error",
        Errno::NXIO | Errno::NODEV => "no such device",
        Errno::TOOBIG => "argument list too long",
        Errno::NOEXEC => "not a program this machine can run",
        Errno::BADF => "bad file descriptor",
        Errno::AGAIN => "not available just now",
        Errno::NOMEM => "out of memory",
        Errno::ACCESS => "permission denied",
        Errno::FAULT => "bad address",
        Errno::BUSY => "busy",
        Errno::EXIST => "exists already",
        Errno::NOTDIR => "a part of the path is not a directory",
        Errno::ISDIR => "is a directory",
        Errno::INVAL => "invalid argument",
        Errno::NFILE | Errno::MFILE => "too many open files",
        Errno::TXTBSY => "the program is being written",
        Errno::FBIG => "file too large",
        Errno::NOSPC => "no space left on the device",
        Errno::ROFS => "the file system is read-only",
        Errno::PIPE => "the other end has closed",
        Errno::RANGE => "out of range",
        Errno::NAMETOOLONG => "name too long",
        Errno::NOSYS => "this kernel does not know the system call",
        Errno::LOOP => "too many symbolic links",
        Errno::MSGSIZE => "message too long",
        Errno::OPNOTSUPP => "not supported",
        Errno::AFNOSUPPORT => "this kernel lacks the address family",
        Errno::ADDRINUSE => "address in use",
        Errno::NETDOWN => "the network interface is down",
        Errno::NOBUFS => "no buffer space",
        Errno::TIMEDOUT => "timed out",
        Errno::DQUOT => "disk quota exceeded",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Errno, ErrnoText};

    #[test]
    fn known_numbers_have_words_and_others_a_number() {
        assert_eq!(ErrnoText(Errno::NOSPC).to_string(), "no space left on the device");
        assert_eq!(ErrnoText(Errno::from_raw_os_error(4000)).to_string(), "error number 4000");
    }
}
