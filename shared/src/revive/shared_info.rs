//! shared_info: the guest's contents in Xen's page, and whose wall clock is in it.
//!
//! While the guest runs on its old host's time, its wall clock must be the one that goes with
//! that time; before it resumes on this host's time, this host's. Offsets are those of struct
//! shared_info in xen/include/public/xen.h (x86-64), Xen 4.17.

use core::sync::atomic::Ordering;

use crate::limits::PAGE_SIZE;
use crate::xen::GuestPage;

/// evtchn_pending, 64 words of eight bytes: the older event ABI's.
const EVTCHN_PENDING: core::ops::Range<usize> = 2048..2560;
/// wc_version, wc_sec, wc_nsec, wc_sec_hi, 32 bits each.
const WC_VERSION: usize = 3072;
const WC_SEC: usize = 3076;
const WC_NSEC: usize = 3080;
const WC_SEC_HI: usize = 3084;

/// The wall clock's time when the system time was 0, as a domain is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    sec: u32,
    nsec: u32,
    sec_hi: u32,
}

impl WallClock {
    /// What the page says; Xen does not change it while the domain is paused.
    #[must_use]
    pub fn read(page: GuestPage<'_>) -> Self {
        let [sec, nsec, sec_hi] = [WC_SEC, WC_NSEC, WC_SEC_HI].map(|at| page.read_u32(at));
        Self { sec, nsec, sec_hi }
    }

    /// Puts this wall clock into the page, as Xen does it: the version is odd meanwhile.
    pub fn write(self, page: GuestPage<'_>) {
        let version = page.word32(WC_VERSION);
        let before = version.load(Ordering::Relaxed) & !1;
        version.store(before.wrapping_add(1), Ordering::SeqCst);
        page.word32(WC_SEC).store(self.sec, Ordering::Relaxed);
        page.word32(WC_NSEC).store(self.nsec, Ordering::Relaxed);
        page.word32(WC_SEC_HI).store(self.sec_hi, Ordering::Relaxed);
        version.store(before.wrapping_add(2), Ordering::SeqCst);
    }
}

/// Puts the guest's shared_info into Xen's page, without pending bits: with FIFO channels Xen
/// takes them for events that came too early, and raises them.
pub fn put(page: GuestPage<'_>, image: &[u8; PAGE_SIZE]) {
    page.write(0, &image[..EVTCHN_PENDING.start]);
    page.write(EVTCHN_PENDING.start, &[0; EVTCHN_PENDING.end - EVTCHN_PENDING.start]);
    page.write(EVTCHN_PENDING.end, &image[EVTCHN_PENDING.end..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn contents_come_without_pending_bits() {
        let words = [const { AtomicU64::new(0x5555_5555_5555_5555) }; 512];
        let page = GuestPage::from_words(&words);
        put(page, &[0xaa; PAGE_SIZE]);
        let mut bytes = [0; PAGE_SIZE];
        page.copy_out(&mut bytes);
        assert!(bytes[EVTCHN_PENDING].iter().all(|byte| *byte == 0));
        assert!(bytes[..2048].iter().chain(&bytes[2560..]).all(|byte| *byte == 0xaa));
    }

    #[test]
    fn a_wall_clock_goes_there_and_back() {
        let words = [const { AtomicU64::new(0) }; 512];
        let page = GuestPage::from_words(&words);
        let clock = WallClock { sec: 1, nsec: 2, sec_hi: 3 };
        page.word32(WC_VERSION).store(7, Ordering::Relaxed);
        clock.write(page);
        assert_eq!(WallClock::read(page), clock);
        assert_eq!(page.read_u32(WC_VERSION), 8);
    }
}
