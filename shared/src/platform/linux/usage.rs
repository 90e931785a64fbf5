//! What a process has used of the machine so far: processor time, page faults, switches.
//!
//! Differences of two readings tell what happened in between: whether the hot path met a page
//! fault, and how much of a core it took.

use core::mem::size_of;

use super::syscall::{SYSCALL_GETRUSAGE, syscall};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_counted() {
        let before = Usage::own();
        let fresh = std::hint::black_box(vec![1_u8; 64 << 20]);
        drop(fresh);
        let used = Usage::own().since(&before);
        assert!(used.minor_faults >= 16 && used.user_us + used.system_us > 0, "{used:?}");
    }
}
