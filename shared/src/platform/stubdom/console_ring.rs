//! The output of a domain's console (struct xencons_interface, io/console.h): a ring of bytes that xenconsoled
//! takes. What xenconsoled writes into the page is believed only as far as it makes sense.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::platform::log::LOG_LINE_SIZE_MAX;
use crate::text::FixedText;
use crate::xen::GuestPage;

/// `out` and its indexes in the page; before it lies `in`, of 1024 bytes, which nobody here reads.
const OUT: usize = 1024;
const OUT_SIZE: u32 = 2048;
const OUT_CONSUMED: usize = 3080;
const OUT_PRODUCED: usize = 3084;

const LINE_BREAK: &[u8] = b"\r\n";
/// Bytes for the line that says how many were lost.
const LOSS_NOTE_SIZE_MAX: usize = 80;

const _: () = assert!(
    LOG_LINE_SIZE_MAX + LOSS_NOTE_SIZE_MAX < OUT_SIZE as usize,
    "the ring has room for the longest line"
);

/// The producing end of the ring.
#[derive(Debug)]
pub struct ConsoleRing {
    page: GuestPage<'static>,
    produced: AtomicU32,
    lost_count: AtomicU32,
}

impl ConsoleRing {
    /// The ring in this page, from where whoever wrote there last has ended.
    #[must_use]
    pub fn new(page: GuestPage<'static>) -> Self {
        let produced = AtomicU32::new(page.read_u32(OUT_PRODUCED));
        Self { page, produced, lost_count: AtomicU32::new(0) }
    }

    /// Whether there is room for a line of this text, and for what may have to be said before it.
    #[must_use]
    pub fn has_room_for(&self, text: &[u8]) -> bool {
        text.len() + LINE_BREAK.len() + LOSS_NOTE_SIZE_MAX <= self.room()
    }

    /// Whether the last line was lost.
    #[must_use]
    pub fn is_losing(&self) -> bool {
        self.lost_count.load(Ordering::Relaxed) > 0
    }

    /// Writes a line, or counts it as lost when there is no room for it. How many were is said before the
    /// next one that is not.
    pub fn write_line(&self, text: &[u8]) {
        let lost_count = self.lost_count.load(Ordering::Relaxed);
        if !self.has_room_for(text) {
            self.lost_count.store(lost_count.saturating_add(1), Ordering::Relaxed);
            return;
        }
        if lost_count > 0 {
            let note =
                format_args!("{lost_count} lines of the log were lost: nobody took them\r\n");
            self.write(FixedText::<LOSS_NOTE_SIZE_MAX>::format(note).as_str().as_bytes());
            self.lost_count.store(0, Ordering::Relaxed);
        }
        self.write(text);
        self.write(LINE_BREAK);
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

    /// Bytes that can be written now; none, for good, when the other end claims to have taken what never
    /// was there.
    fn room(&self) -> usize {
        OUT_SIZE.checked_sub(self.held()).map_or(0, |room| room as usize)
    }

    /// Writes bytes for which there is room.
    fn write(&self, bytes: &[u8]) {
        // Nothing is written before the room for it was seen.
        fence(Ordering::SeqCst);
        let mut produced = self.produced.load(Ordering::Relaxed);
        for byte in bytes {
            let place = OUT + (produced % OUT_SIZE) as usize;
            self.page.byte(place).store(*byte, Ordering::Relaxed);
            produced = produced.wrapping_add(1);
        }
        self.produced.store(produced, Ordering::Relaxed);
        self.page.word32(OUT_PRODUCED).store(produced, Ordering::Release);
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
            let line = format!("line {number}");
            ring.write_line(line.as_bytes());
            assert!(!ring.is_empty());
            assert_eq!(take(page), format!("{line}\r\n").as_bytes());
            assert!(ring.is_empty());
        }
        assert_eq!(page.read_u32(0), 0, "the input is not touched");
    }

    #[test]
    fn a_full_ring_loses_lines_and_says_how_many() {
        let (page, ring) = ring(7);
        let longest = [b'x'; LOG_LINE_SIZE_MAX];
        for _ in 0..6 {
            ring.write_line(&longest);
        }
        assert!(ring.is_losing() && !ring.has_room_for(&longest));
        assert_eq!(take(page).len(), 3 * (LOG_LINE_SIZE_MAX + 2));
        ring.write_line(b"again");
        assert_eq!(take(page), b"3 lines of the log were lost: nobody took them\r\nagain\r\n");
        assert!(!ring.is_losing());
        ring.lost_count.store(u32::MAX, Ordering::Relaxed);
        ring.write_line(b"");
        assert!(take(page).ends_with(b"took them\r\n\r\n"), "the note has room for any number");
    }

    #[test]
    fn a_consumer_that_lies_gets_nothing_more() {
        let (page, ring) = ring(0);
        for consumed in [1, 5000_u32.wrapping_neg()] {
            page.word32(OUT_CONSUMED).store(consumed, Ordering::Relaxed);
            ring.write_line(b"x");
            assert_eq!(page.read_u32(OUT_PRODUCED), 0);
        }
        // The producer's own index is not read back.
        page.word32(OUT_CONSUMED).store(0, Ordering::Relaxed);
        page.word32(OUT_PRODUCED).store(77, Ordering::Relaxed);
        ring.lost_count.store(0, Ordering::Relaxed);
        ring.write_line(b"x");
        assert_eq!(page.read_u32(OUT_PRODUCED), 3);
    }
}
