//! How much memory this host can give, asked before much is taken: a kernel that promises more than
//! it has kills a process for it later, and seldom the one that asked.

use rustix::io::Errno;

use super::file::read_small;
use super::memory::MemoryError;
use crate::text::parse_number;

/// Bytes of /proc/meminfo: it has less than two thousand.
const FILE_SIZE_MAX: usize = 4096;

/// Refuses `size` bytes that the host does not have. Where it does not tell what it has, nothing is
/// refused.
///
/// # Errors
/// [`MemoryError::Populate`] when less is available.
pub fn check_available(size: u64) -> Result<(), MemoryError> {
    let mut buffer = [0; FILE_SIZE_MAX];
    let text = read_small("/proc/meminfo", &mut buffer).unwrap_or_default();
    match available_kib(text) {
        Some(available_kib) if available_kib < size / 1024 => Err(MemoryError::Populate {
            size: usize::try_from(size).unwrap_or(usize::MAX),
            errno: Errno::NOMEM,
        }),
        _ => Ok(()),
    }
}

/// The line `MemAvailable:` of proc_meminfo(5), in KiB.
fn available_kib(text: &[u8]) -> Option<u64> {
    let mut lines = text.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"MemAvailable:"))?;
    parse_number(core::str::from_utf8(value).ok()?.trim_ascii().strip_suffix(" kB")?)
}

#[cfg(test)]
mod tests {
    use super::{available_kib, check_available};

    #[test]
    fn more_than_there_is_is_refused() {
        assert!(check_available(1 << 20).is_ok());
        let refused = check_available(1 << 60).unwrap_err();
        assert!(refused.to_string().contains("give dom0 more memory"));
    }

    #[test]
    fn only_the_line_of_its_own_counts() {
        let text = b"MemTotal:       24684 kB\nMemAvailable:   19443 kB\nBuffers: 1 kB\n";
        assert_eq!(available_kib(text), Some(19_443));
        assert_eq!(available_kib(b"MemAvailable: x kB"), None);
        assert_eq!(available_kib(b""), None);
    }
}
