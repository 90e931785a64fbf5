//! Event structures in guest memory, as they must be before the twin's Xen takes them up.
//!
//! Xen starts with empty queues, so nothing in the guest's words may still say that a port is
//! queued: a LINKED bit left over would keep its event out for good. MASKED belongs to the guest
//! and stays. Layouts are those of evtchn_fifo_control_block and event_word_t in
//! xen/include/public/event_channel.h, Xen 4.17.

use core::sync::atomic::Ordering;

use crate::limits::PAGE_SIZE;
use crate::xen::GuestPage;

/// EVTCHN_FIFO_MASKED, bit 30 of an event word; here for the two words of eight bytes.
const MASKED_OF_BOTH: u64 = 1 << 30 | 1 << 62;
/// Bytes from the start of a control block to its heads; `ready` comes first.
const HEAD_OFFSET: usize = 8;
/// EVTCHN_FIFO_MAX_QUEUES.
const QUEUE_COUNT: usize = 16;

/// Takes PENDING, LINKED, BUSY and the link itself out of every event word of a page.
pub fn clear_event_words(page: GuestPage<'_>) {
    for offset in (0..PAGE_SIZE).step_by(8) {
        page.word64(offset).fetch_and(MASKED_OF_BOTH, Ordering::Relaxed);
    }
}

/// The priorities that were ever used on a vCPU, bit n for priority n: their heads are set, and
/// remain so when the queue is drained.
#[must_use]
pub fn used_priorities(control_block: GuestPage<'_>) -> u16 {
    (0..QUEUE_COUNT).fold(0, |used, queue| {
        let head = control_block.read_u32(HEAD_OFFSET + queue * 4);
        used | u16::from(head != 0) << queue
    })
}

/// Makes a control block what a new one is: nothing ready, no queue ever used.
pub fn clear_control_block(control_block: GuestPage<'_>) {
    for offset in (0..HEAD_OFFSET + QUEUE_COUNT * 4).step_by(8) {
        control_block.word64(offset).store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn only_masks_are_left() {
        let words = [const { AtomicU64::new(0) }; 512];
        let page = GuestPage::from_words(&words);
        page.word32(4).store(0xf000_0007, Ordering::Relaxed);
        page.word32(8).store(0xa000_0000, Ordering::Relaxed);
        page.word32(4092).store(0x4000_0000, Ordering::Relaxed);
        clear_event_words(page);
        assert_eq!(page.read_u32(4), 0x4000_0000);
        assert_eq!(page.read_u32(8), 0);
        assert_eq!(page.read_u32(4092), 0x4000_0000);
    }

    #[test]
    fn heads_name_the_priorities() {
        let words = [const { AtomicU64::new(0) }; 512];
        let page = GuestPage::from_words(&words);
        page.word32(0).store(0x80, Ordering::Relaxed);
        page.word32(8).store(3, Ordering::Relaxed);
        page.word32(8 + 4 * 7).store(9, Ordering::Relaxed);
        page.word32(8 + 4 * 15).store(5, Ordering::Relaxed);
        page.word32(72).store(0xabcd, Ordering::Relaxed);
        assert_eq!(used_priorities(page), 1 << 15 | 1 << 7 | 1);
        clear_control_block(page);
        assert_eq!((used_priorities(page), page.read_u32(0)), (0, 0));
        assert_eq!(page.read_u32(72), 0xabcd, "the rest of the page is the guest's");
    }
}
