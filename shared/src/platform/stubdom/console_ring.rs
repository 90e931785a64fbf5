//! The output of a domain's console (struct xencons_interface, io/console.h): a ring of bytes that xenconsoled
//! takes. What xenconsoled writes into the page is believed only as far as it makes sense.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::xen::GuestPage;

/// `out` and its indexes in the page; before it lies `in`, of 1024 bytes, which nobody here reads.
const OUT: usize = 1024;
const OUT_SIZE: u32 = 2048;
const OUT_CONSUMED: usize = 3080;
const OUT_PRODUCED: usize = 3084;

/// The producing end of the ring.
#[derive(Debug)]
pub struct ConsoleRing {
    page: GuestPage<'static>,
    produced: AtomicU32,
}

impl ConsoleRing {
    /// The ring in this page, from where whoever wrote there last has ended.
    #[must_use]
    pub fn new(page: GuestPage<'static>) -> Self {
        Self { page, produced: AtomicU32::new(page.read_u32(OUT_PRODUCED)) }
    }

    /// Bytes that can be written now; none, for good, when the other end claims to have taken what never
    /// was there.
    #[must_use]
    pub fn room(&self) -> usize {
        let held = self.held();
        OUT_SIZE.checked_sub(held).map_or(0, |room| room as usize)
    }

    /// Whether everything has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held() == 0
    }

    fn held(&self) -> u32 {
        let produced = self.produced.load(Ordering::Relaxed);
        produced.wrapping_sub(self.page.read_u32(OUT_CONSUMED))
    }

    /// Writes all of `bytes`, or nothing when there is no room for them; says whether it did.
    pub fn write(&self, bytes: &[u8]) -> bool {
        if bytes.len() > self.room() {
            return false;
        }
        // The room was read before; nothing is written before that.
        fence(Ordering::SeqCst);
        let mut produced = self.produced.load(Ordering::Relaxed);
        for byte in bytes {
            let place = OUT + (produced % OUT_SIZE) as usize;
            self.page.byte(place).store(*byte, Ordering::Relaxed);
            produced = produced.wrapping_add(1);
        }
        self.produced.store(produced, Ordering::Relaxed);
        self.page.word32(OUT_PRODUCED).store(produced, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    fn ring(produced: u32) -> (GuestPage<'static>, ConsoleRing) {
        let words = Box::leak(Box::new([const { AtomicU64::new(0) }; 512]));
        let page = GuestPage::from_words(words);
        page.word32(OUT_PRODUCED).store(produced, Ordering::Relaxed);
        page.word32(OUT_CONSUMED).store(produced, Ordering::Relaxed);
        (page, ConsoleRing::new(page))
    }

    /// What xenconsoled would take.
    fn take(page: GuestPage<'_>) -> Vec<u8> {
        let (mut consumed, produced) = (page.read_u32(OUT_CONSUMED), page.read_u32(OUT_PRODUCED));
        let mut taken = Vec::new();
        while consumed != produced {
            let place = OUT + (consumed % OUT_SIZE) as usize;
            taken.push(page.byte(place).load(Ordering::Relaxed));
            consumed = consumed.wrapping_add(1);
        }
        page.word32(OUT_CONSUMED).store(consumed, Ordering::Relaxed);
        taken
    }

    #[test]
    fn lines_are_whole_across_both_wraps() {
        let (page, ring) = ring(u32::MAX - 1000);
        for number in 0..1000 {
            let line = format!("line {number}\r\n");
            assert!(ring.write(line.as_bytes()));
            assert!(!ring.is_empty());
            assert_eq!(take(page), line.as_bytes());
            assert!(ring.is_empty());
        }
        assert_eq!(page.read_u32(0), 0, "the input is not touched");
    }

    #[test]
    fn a_full_ring_takes_nothing() {
        let (page, ring) = ring(7);
        assert!(ring.write(&[b'x'; 2000]));
        assert!(!ring.write(&[b'y'; 49]));
        assert!(ring.write(&[b'y'; 48]));
        assert_eq!(ring.room(), 0);
        assert_eq!(take(page).len(), 2048);
        assert_eq!(ring.room(), 2048);
    }

    #[test]
    fn a_consumer_that_lies_gets_nothing_more() {
        let (page, ring) = ring(0);
        page.word32(OUT_CONSUMED).store(1, Ordering::Relaxed);
        assert_eq!(ring.room(), 0);
        page.word32(OUT_CONSUMED).store(5000_u32.wrapping_neg(), Ordering::Relaxed);
        assert!(!ring.write(b"x"));
        // The producer's own index is not read back.
        page.word32(OUT_CONSUMED).store(0, Ordering::Relaxed);
        page.word32(OUT_PRODUCED).store(77, Ordering::Relaxed);
        assert!(ring.write(b"x"));
        assert_eq!(page.read_u32(OUT_PRODUCED), 1);
    }
}
