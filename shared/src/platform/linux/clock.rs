//! The monotonic clock, and waiting.

use super::errno::ErrnoText;
use rustix::thread::NanosleepRelativeResult;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC, read without entering the kernel where the vdso allows.
// Called, not copied to the dozens of places that ask; so is the next one.
#[inline(never)]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Microseconds of CLOCK_MONOTONIC: the time that the core takes as an argument.
#[inline(never)]
pub fn monotonic_us() -> u64 {
    monotonic_ns() / 1000
}

/// Microseconds of processor time that this thread has used, its system calls included.
pub fn processor_us() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec.cast_unsigned() * 1_000_000 + used.tv_nsec.cast_unsigned() / 1000
}

/// Seconds since 1970 (UTC), for records that another process reads later.
pub fn unix_time_s() -> u64 {
    clock_gettime(ClockId::Realtime).tv_sec.cast_unsigned()
}

/// Sleeps; ends early when a signal arrives, so that the caller can look at it.
pub fn sleep_us(duration_us: u64) {
    let request = Timespec {
        tv_sec: (duration_us / 1_000_000).cast_signed(),
        tv_nsec: (duration_us % 1_000_000 * 1000).cast_signed(),
    };
    match rustix::thread::nanosleep(&request) {
        NanosleepRelativeResult::Ok | NanosleepRelativeResult::Interrupted(_) => {}
        NanosleepRelativeResult::Err(errno) => {
            panic!("nanosleep refused {duration_us} microseconds: {}", ErrnoText(errno))
        }
    }
}

/// Lets another process of this core run; returns at once if there is none.
pub fn yield_now() {
    rustix::thread::sched_yield();
}

#[cfg(test)]
mod tests {
    use super::{monotonic_ns, monotonic_us, sleep_us};

    #[test]
    fn time_goes_on_and_a_sleep_is_not_shorter_than_asked() {
        let start_ns = monotonic_ns();
        sleep_us(2000);
        assert!(monotonic_ns() >= start_ns + 2_000_000);
        assert!(monotonic_us() >= start_ns / 1000 + 2000);
    }
}
