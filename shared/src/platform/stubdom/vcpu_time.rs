//! Xen's clock: how a count of the processor's cycles becomes time (struct vcpu_time_info, xen.h).

use core::sync::atomic::{Ordering, fence};

use crate::xen::GuestPage;

/// Where vCPU 0's is in shared_info, and where its parts are in it (xen.h, x86-64, Xen 4.17).
const TIME: usize = 32;
const VERSION: usize = TIME;
const TSC_TIMESTAMP: usize = TIME + 8;
const SYSTEM_TIME: usize = TIME + 16;
const TSC_TO_SYSTEM_MUL: usize = TIME + 24;
const TSC_SHIFT: usize = TIME + 28;

const _: () = assert!(core::mem::offset_of!(xen_sys::vcpu_info, time) == TIME);
const _: () =
    assert!(TIME + core::mem::offset_of!(xen_sys::vcpu_time_info, tsc_shift) == TSC_SHIFT);

/// What Xen said last of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct VcpuTime {
    tsc_timestamp: u64,
    system_time_ns: u64,
    tsc_to_system_mul: u32,
    tsc_shift: i8,
}

impl VcpuTime {
    /// The time at a count of cycles.
    fn at_ns(self, cycles: u64) -> u64 {
        // Xen may have said it after the cycles were counted.
        let since = cycles.saturating_sub(self.tsc_timestamp);
        let shift = u32::from(self.tsc_shift.unsigned_abs()).min(63);
        let shifted = if self.tsc_shift < 0 { since >> shift } else { since << shift };
        let passed = (u128::from(shifted) * u128::from(self.tsc_to_system_mul)) >> 32;
        self.system_time_ns.wrapping_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

/// Nanoseconds of Xen's time now. Xen writes while this domain does not run, so that what is read is torn
/// seldom, and whole at the second try. `cycles` counts the processor's, in order with what is read.
pub fn now_ns(shared_info: GuestPage<'_>, cycles: impl Fn() -> u64) -> u64 {
    loop {
        let version = shared_info.read_u32(VERSION);
        let time = VcpuTime {
            tsc_timestamp: shared_info.read_u64(TSC_TIMESTAMP),
            system_time_ns: shared_info.read_u64(SYSTEM_TIME),
            tsc_to_system_mul: shared_info.read_u32(TSC_TO_SYSTEM_MUL),
            tsc_shift: i8::from_le_bytes([shared_info.read_u32(TSC_SHIFT).to_le_bytes()[0]]),
        };
        let cycles = cycles();
        fence(Ordering::Acquire);
        // Odd while it is written.
        if version.is_multiple_of(2) && shared_info.read_u32(VERSION) == version {
            return time.at_ns(cycles);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    const TIME: VcpuTime = VcpuTime {
        tsc_timestamp: 1000,
        system_time_ns: 5_000_000,
        // A quarter, after shifting by one: half a nanosecond per cycle.
        tsc_to_system_mul: 0x4000_0000,
        tsc_shift: 1,
    };

    #[test]
    fn cycles_become_nanoseconds() {
        assert_eq!(TIME.at_ns(1000), 5_000_000);
        assert_eq!(TIME.at_ns(3000), 5_001_000);
        assert_eq!(TIME.at_ns(999), 5_000_000);
        assert_eq!(VcpuTime { tsc_shift: -1, ..TIME }.at_ns(9000), 5_001_000);
        let hour = VcpuTime { tsc_timestamp: 0, tsc_shift: 0, tsc_to_system_mul: 1 << 31, ..TIME };
        assert_eq!(hour.at_ns(7_200_000_000_000), 3_600_005_000_000);
    }

    /// Cycles are counted while Xen writes: what was read before is not used.
    #[test]
    fn a_torn_reading_is_repeated() {
        let words = [const { AtomicU64::new(0) }; 512];
        let page = GuestPage::from_words(&words);
        let put = |version: u32, time: VcpuTime| {
            page.word32(VERSION).store(version, Ordering::Relaxed);
            page.word64(TSC_TIMESTAMP).store(time.tsc_timestamp, Ordering::Relaxed);
            page.word64(SYSTEM_TIME).store(time.system_time_ns, Ordering::Relaxed);
            page.word32(TSC_TO_SYSTEM_MUL).store(time.tsc_to_system_mul, Ordering::Relaxed);
            page.byte(TSC_SHIFT).store(time.tsc_shift.to_le_bytes()[0], Ordering::Relaxed);
        };
        put(5, VcpuTime { system_time_ns: 1, ..TIME });
        let readings = core::cell::Cell::new(0);
        let now = now_ns(page, || {
            readings.set(readings.get() + 1);
            match readings.get() {
                1 => put(6, VcpuTime { system_time_ns: 2, ..TIME }),
                2 => put(8, TIME),
                _ => {}
            }
            3000
        });
        assert_eq!((now, readings.get()), (5_001_000, 3));
    }
}
