//! vcpu_info of each vCPU: the pending byte and the vCPU's clock.
//!
//! 64 bytes, 64-byte aligned (struct vcpu_info and struct vcpu_time_info, xen.h and
//! arch-x86/xen.h, Xen 4.17): pending byte at 0, mask byte at 1, a selector at 8, cr2 and a pad
//! at 16 that HVM leaves zero, and from 32 the clock: version, zero, TSC stamp, system time, multiplier, shift,
//! flags. The clock is what cannot be there by chance: its frequency is the guest's, and with the
//! guest's TSC it tells the time that all other vCPUs' clocks tell.

use crate::capture::page::{GuestPages, PageWords, low_half, word};

/// Bytes of a vcpu_info, and its alignment as Linux and shared_info keep it.
pub const VCPU_INFO_SIZE: u64 = 64;
/// 64-bit words of a vcpu_info.
pub const VCPU_INFO_WORD_COUNT: usize = 8;

/// How far a clock's frequency may be from the domain's, one part in this many.
const FREQUENCY_TOLERANCE: u64 = 100;

/// Largest shift either way: beyond it no multiplier stands for a frequency.
const TSC_SHIFT_MAX: u8 = 31;

/// The clock of a vCPU as Xen last wrote it (struct vcpu_time_info).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Odd while Xen writes.
    pub version: u32,
    /// Guest TSC at the stamp.
    pub tsc_timestamp: u64,
    /// Nanoseconds since the host's boot at the stamp.
    pub system_time_ns: u64,
    /// Nanoseconds per TSC tick, times 2^32, after the shift.
    pub tsc_to_system_mul: u32,
    /// Left shift of the TSC difference, right when negative.
    pub tsc_shift: i8,
}

impl Clock {
    /// The time in nanoseconds at TSC `tsc`; `None` when the stamp lies after it, or beyond reason.
    #[must_use]
    pub fn time_at_ns(&self, tsc: u64) -> Option<u64> {
        if self.tsc_shift.unsigned_abs() > TSC_SHIFT_MAX {
            return None;
        }
        let ticks = u128::from(tsc.checked_sub(self.tsc_timestamp)?);
        let shifted = if self.tsc_shift >= 0 {
            ticks << self.tsc_shift.unsigned_abs()
        } else {
            ticks >> self.tsc_shift.unsigned_abs()
        };
        let passed = shifted.checked_mul(u128::from(self.tsc_to_system_mul))? >> 32;
        self.system_time_ns.checked_add(u64::try_from(passed).ok()?)
    }

    /// The frequency in kHz that multiplier and shift stand for; 0 when they stand for none.
    #[must_use]
    pub fn frequency_khz(&self) -> u64 {
        if self.tsc_to_system_mul == 0 || self.tsc_shift.unsigned_abs() > TSC_SHIFT_MAX {
            return 0;
        }
        let unshifted = (1_000_000 << 32) / u128::from(self.tsc_to_system_mul);
        let khz = if self.tsc_shift >= 0 {
            unshifted >> self.tsc_shift.unsigned_abs()
        } else {
            unshifted << self.tsc_shift.unsigned_abs()
        };
        u64::try_from(khz).unwrap_or(0)
    }
}

/// Reads word `slot` * 8 and following as a vcpu_info of a domain whose TSC runs at `khz`.
///
/// With `strict` unset (the guest runs) a version that is odd for the moment is let pass.
#[must_use]
pub fn clock_in(page: &PageWords, slot: usize, khz: u64, strict: bool) -> Option<Clock> {
    let at = |index: usize| word(page, slot * VCPU_INFO_WORD_COUNT + index);
    let version = at(4);
    if version == 0 || version >> 32 != 0 || (strict && version & 1 == 1) {
        return None;
    }
    let scale = at(7);
    if scale >> 48 != 0 || at(0) & !0x101 != 0 || at(2) != 0 || at(3) != 0 {
        return None;
    }
    let clock = Clock {
        version: low_half(version),
        tsc_timestamp: at(5),
        system_time_ns: at(6),
        tsc_to_system_mul: low_half(scale),
        tsc_shift: scale.to_le_bytes()[4].cast_signed(),
    };
    let near = clock.frequency_khz().abs_diff(khz) <= khz / FREQUENCY_TOLERANCE;
    (near && clock.tsc_timestamp != 0).then_some(clock)
}

/// The clock of the vcpu_info at guest-physical `address` of a paused guest.
#[must_use]
pub fn clock_at(pages: &impl GuestPages, address: u64, khz: u64) -> Option<Clock> {
    assert!(address.is_multiple_of(VCPU_INFO_SIZE), "vcpu_info is 64-byte aligned");
    let slot = usize::try_from(address % 4096 / VCPU_INFO_SIZE).ok()?;
    clock_in(pages.page(address / 4096)?, slot, khz, true)
}

/// Whether a running guest still has a vcpu_info at guest-physical `address`.
#[must_use]
pub fn is_at(pages: &impl GuestPages, address: u64, khz: u64) -> bool {
    let slot = usize::try_from(address % 4096 / VCPU_INFO_SIZE).unwrap_or(0);
    pages.page(address / 4096).is_some_and(|page| clock_in(page, slot, khz, false).is_some())
}

/// Whether an upcall is pending (evtchn_upcall_pending).
#[must_use]
pub fn is_upcall_pending(pages: &impl GuestPages, address: u64) -> Option<bool> {
    pages.word_at(address).map(|first| first & 0xff != 0)
}

#[cfg(test)]
pub(in crate::capture) mod testing {
    use crate::capture::page::image::Image;

    /// 2.1 GHz: 2^32 / 2.1 with shift 0.
    pub const MUL: u32 = 2_045_222_521;
    pub const KHZ: u64 = 2_100_000;

    /// A vcpu_info whose clock says 10 s at TSC `tsc`, stamped `age_ticks` before.
    pub fn place(image: &mut Image, address: u64, tsc: u64, age_ticks: u64) {
        image.set(address + 32, 8);
        image.set(address + 40, tsc - age_ticks);
        let age_ns = u64::try_from((u128::from(age_ticks) * u128::from(MUL)) >> 32).unwrap();
        image.set(address + 48, 10_000_000_000 - age_ns);
        image.set(address + 56, u64::from(MUL));
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{KHZ, place};
    use super::*;
    use crate::capture::page::image::Image;
    use proptest::prelude::*;

    #[test]
    fn reads_a_clock_and_tells_its_time() {
        let mut image = Image::default();
        place(&mut image, 0x5080, 21_000_000_000, 2_100_000);
        image.set(0x5088, u64::MAX);
        let clock = clock_at(&image, 0x5080, KHZ).unwrap();
        assert!(clock.frequency_khz().abs_diff(KHZ) < 2);
        assert!(clock.time_at_ns(21_000_000_000).unwrap().abs_diff(10_000_000_000) < 10);
        assert_eq!(clock.time_at_ns(1), None);
        assert_eq!(clock_at(&image, 0x5040, KHZ), None);
        assert_eq!(clock_at(&image, 0x5080, KHZ * 2), None);
        assert_eq!(is_upcall_pending(&image, 0x5080), Some(false));
    }

    #[test]
    fn every_field_that_must_be_zero_is_looked_at() {
        for (offset, value) in [(0, 2), (4, 1), (16, 1), (24, 1), (36, 1), (60, 1 << 16)] {
            let mut image = Image::default();
            place(&mut image, 0x40, 1 << 40, 5);
            let address = 0x40 + (offset & !3);
            let old = image.word_at(address & !7).unwrap() >> (address % 8 * 8);
            image.set_half(address, low_half(old) | value);
            assert_eq!(clock_at(&image, 0x40, KHZ), None, "offset {offset}");
        }
    }

    #[test]
    fn an_odd_version_passes_only_while_the_guest_runs() {
        let mut image = Image::default();
        place(&mut image, 0, 1 << 40, 5);
        image.set(32, 9);
        assert!(clock_in(image.page_mut(0), 0, KHZ, false).is_some());
        assert!(clock_in(image.page_mut(0), 0, KHZ, true).is_none());
    }

    proptest! {
        #[test]
        fn no_words_make_it_stumble(words: [u64; 8], tsc: u64) {
            let mut image = Image::default();
            for (index, value) in (0u64..).zip(words) {
                image.set(index * 8, value);
            }
            image.set(32, words[4] & 0xffff_fffe | 2);
            image.set(0, 0);
            image.set(16, 0);
            image.set(24, 0);
            image.set(56, words[7] & 0xffff_ffff_ffff);
            if let Some(clock) = clock_in(image.page_mut(0), 0, KHZ, true) {
                let _ = clock.time_at_ns(tsc);
            }
            let clock = Clock {
                version: 2,
                tsc_timestamp: words[5],
                system_time_ns: words[6],
                tsc_to_system_mul: low_half(words[0]),
                tsc_shift: words[1].to_le_bytes()[0].cast_signed(),
            };
            let _ = clock.frequency_khz();
            if clock.frequency_khz() != 0 {
                let _ = clock.time_at_ns(tsc);
            }
        }
    }

    #[test]
    fn a_negative_shift_divides() {
        let clock = Clock {
            version: 2,
            tsc_timestamp: 0,
            system_time_ns: 0,
            tsc_to_system_mul: 1 << 31,
            tsc_shift: -1,
        };
        assert_eq!(clock.time_at_ns(4000), Some(1000));
        assert_eq!(clock.frequency_khz(), 4_000_000);
    }
}
