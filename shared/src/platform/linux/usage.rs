//! What a process has used of the machine so far: processor time, page faults, switches.
//!
//! Differences of two readings tell what happened in between: whether the hot path met a page
//! fault, and how much of a core it took.

use core::mem::size_of;

use rustix::io::Errno;

use super::file::{FileError, FileOperation, read_small};
use super::syscall::{SYSCALL_GETRUSAGE, syscall};
use crate::text::FixedText;

/// Bytes of the largest file that is read here: `/proc/<pid>/status` has less than two thousand.
const FILE_SIZE_MAX: usize = 4096;
/// Microseconds of the clock tick in `/proc/<pid>/stat` (USER_HZ is 100 on x86).
const TICK_US: u64 = 10_000;

/// What a process has used since it began, all its threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Microseconds of processor time in the program itself.
    pub user_us: u64,
    /// Microseconds of processor time in the kernel, for the program.
    pub system_us: u64,
    /// Page faults that the kernel answered from memory.
    pub minor_faults: u64,
    /// Page faults for which something was read from a disk.
    pub major_faults: u64,
    /// How often the process waited and let others run.
    pub voluntary_switches: u64,
}

impl Usage {
    /// This process's own.
    #[must_use]
    pub fn own() -> Self {
        const RUSAGE_SELF: usize = 0;
        // struct rusage: two struct timeval, then 14 longs (include/uapi/linux/resource.h).
        let mut words = [0_i64; 18];
        const { assert!(size_of::<[i64; 18]>() == 144) };
        let arguments = [RUSAGE_SELF, words.as_mut_ptr().expose_provenance(), 0, 0, 0, 0];
        // SAFETY: the kernel writes one `struct rusage` of 144 bytes.
        let answer = unsafe { syscall(SYSCALL_GETRUSAGE, arguments) };
        assert!(answer.is_ok(), "a process can always ask for its own usage");
        let word = |number: usize| words[number].cast_unsigned();
        Self {
            user_us: word(0) * 1_000_000 + word(1),
            system_us: word(2) * 1_000_000 + word(3),
            minor_faults: word(8),
            major_faults: word(9),
            voluntary_switches: word(16),
        }
    }

    /// Another process's, such as a child's while it runs. Its times are counted in ticks of
    /// 10 milliseconds.
    ///
    /// # Errors
    /// [`FileError`] when there is no such process, or `/proc` is not mounted.
    pub fn of_process(pid: i32) -> Result<Self, FileError> {
        let mut buffer = [0; FILE_SIZE_MAX];
        let path = FixedText::<32>::format(format_args!("/proc/{pid}/stat"));
        let stat = read_small(path.as_str(), &mut buffer)?;
        let odd = |path: &str| FileError::new(FileOperation::Read, path, Errno::INVAL);
        let usage = parse_stat(stat).ok_or_else(|| odd(path.as_str()))?;
        let path = FixedText::<32>::format(format_args!("/proc/{pid}/status"));
        let status = read_small(path.as_str(), &mut buffer)?;
        let voluntary_switches =
            parse_voluntary_switches(status).ok_or_else(|| odd(path.as_str()))?;
        Ok(Self { voluntary_switches, ..usage })
    }

    /// What was used since an `earlier` reading of the same process.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
            minor_faults: self.minor_faults.saturating_sub(earlier.minor_faults),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
        }
    }
}

/// Reads what proc_pid_stat(5) describes; everything but the switches is in it.
fn parse_stat(text: &[u8]) -> Option<Usage> {
    // The program's name is in parentheses, and may contain spaces and parentheses itself.
    let name_end = text.iter().rposition(|&byte| byte == b')')?;
    let text = core::str::from_utf8(&text[name_end + 1..]).ok()?;
    // Field 3 is the first one behind the name.
    let field = |number: usize| text.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
    Some(Usage {
        minor_faults: field(10)?,
        major_faults: field(12)?,
        user_us: field(14)? * TICK_US,
        system_us: field(15)? * TICK_US,
        voluntary_switches: 0,
    })
}

/// Finds the line `voluntary_ctxt_switches:` of proc_pid_status(5).
fn parse_voluntary_switches(text: &[u8]) -> Option<u64> {
    let mut lines = text.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"voluntary_ctxt_switches:"))?;
    core::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::process::own_pid;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_used_is_counted() {
        let before = Usage::own();
        let fresh = std::hint::black_box(vec![1_u8; 64 << 20]);
        drop(fresh);
        let used = Usage::own().since(&before);
        assert!(used.minor_faults >= 16 && used.user_us + used.system_us > 0, "{used:?}");
    }

    #[test]
    fn a_process_is_seen_from_outside_as_from_inside() {
        let seen = Usage::of_process(own_pid()).unwrap();
        let own = Usage::own();
        assert!(seen.minor_faults > 0 && seen.minor_faults <= own.minor_faults);
        assert!(seen.user_us <= own.user_us + 2 * TICK_US);
        assert!(Usage::of_process(i32::MAX).unwrap_err().is_not_found());
    }

    #[test]
    fn a_name_may_look_like_the_fields_behind_it() {
        let text = b"7 (a) S 1 (b)) R 1 7 7 0 -1 4194304 1234 5 6 7 80 90 0 0 20 0 1 0";
        let expected = Usage {
            user_us: 800_000,
            system_us: 900_000,
            minor_faults: 1234,
            major_faults: 6,
            voluntary_switches: 0,
        };
        assert_eq!(parse_stat(text), Some(expected));
        let text = b"Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(parse_voluntary_switches(text), Some(12));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (parse_stat(&bytes), parse_voluntary_switches(&bytes));
        }
    }
}
