//! The FIFO event array page: one word per port.
//!
//! The guest's word for port p is the u32 at 4*p (event_channel.h, Xen 4.17). Linux masks every
//! word of a fresh page, so those of closed ports say MASKED and nothing else, and only a few
//! ports are open: no other page of a guest looks like that.

use super::evidence::PortTable;
use crate::capture::page::{PageWords, half_word, word};
use crate::limits::EVENT_CHANNEL_COUNT_MAX;

/// EVTCHN_FIFO_PENDING.
pub const PENDING: u32 = 1 << 31;
/// EVTCHN_FIFO_MASKED.
pub const MASKED: u32 = 1 << 30;
/// EVTCHN_FIFO_LINKED.
pub const LINKED: u32 = 1 << 29;
/// Bits 17 to 27 have no meaning and stay 0 (EVTCHN_FIFO_LINK_BITS is 17).
const UNUSED: u32 = 0x0ffe_0000;
/// EVTCHN_FIFO_LINK_MASK: the next port in the queue, when LINKED.
pub const LINK_MASK: u32 = (1 << 17) - 1;

const MASKED_PAIR: u64 = (MASKED as u64) << 32 | MASKED as u64;

/// Words of closed ports that may say more than MASKED: the guest closed the port while its
/// event was still linked.
const CLOSED_EXCEPTION_COUNT_MAX: usize = 8;

/// Whether a page of the running guest may be an event array page.
///
/// Wrong answers are only allowed for pages that are not: three quarters of all pairs of words
/// are fully masked at any instant, unless more than a quarter of all ports are open.
#[must_use]
pub fn looks_alike(page: &PageWords) -> bool {
    let mut others = 0;
    for index in (0..page.len()).rev() {
        if word(page, index) != MASKED_PAIR {
            others += 1;
            if others > page.len() / 4 {
                return false;
            }
        }
    }
    true
}

/// Whether a page of the paused guest is an event array page for just these ports.
#[must_use]
pub fn is_array_of(page: &PageWords, ports: &PortTable) -> bool {
    let mut closed_exceptions = 0;
    let mut unmasked = 0;
    for port in 0..EVENT_CHANNEL_COUNT_MAX {
        let value = half_word(page, port);
        if !is_word(value) {
            return false;
        }
        if ports.is_open(port) {
            unmasked += usize::from(value & MASKED == 0);
        } else {
            closed_exceptions += usize::from(value != MASKED);
        }
    }
    unmasked > 0 && closed_exceptions <= CLOSED_EXCEPTION_COUNT_MAX
}

/// Whether a value is one that a port's word can have: no unused bit, a link only when linked,
/// and that to a port of the first page.
fn is_word(value: u32) -> bool {
    let link = value & LINK_MASK;
    value & UNUSED == 0
        && (value & LINKED != 0 || link == 0)
        && usize::try_from(link).is_ok_and(|link| link < EVENT_CHANNEL_COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::discovery::evidence::testing::ports;
    use crate::capture::page::image::Image;

    fn array(image: &mut Image) -> &PageWords {
        for index in 0..512 {
            image.set(index * 8, MASKED_PAIR);
        }
        for port in 1..=5 {
            image.set_half(port * 4, 0);
        }
        image.page_mut(0)
    }

    #[test]
    fn accepts_the_array_in_its_states() {
        let mut image = Image::default();
        let ports = ports(&[(1, 0), (2, 0), (3, 1), (4, 1), (5, 1)]);
        assert!(looks_alike(array(&mut image)));
        assert!(is_array_of(image.page_mut(0), &ports));
        image.set_half(4, PENDING | LINKED | 5);
        image.set_half(20, PENDING | LINKED);
        image.set_half(4 * 9, MASKED | LINKED | 3);
        assert!(looks_alike(image.page_mut(0)));
        assert!(is_array_of(image.page_mut(0), &ports));
    }

    #[test]
    fn refuses_what_only_resembles_it() {
        let ports = ports(&[(1, 0), (2, 0)]);
        let mut floats = Image::default();
        for index in 0..512 {
            floats.set(index * 8, MASKED_PAIR);
        }
        assert!(looks_alike(floats.page_mut(0)));
        assert!(!is_array_of(floats.page_mut(0), &ports), "2.0f everywhere");
        floats.set_half(4, 0);
        assert!(is_array_of(floats.page_mut(0), &ports));
        floats.set_half(8, 0x0010_0000);
        assert!(!is_array_of(floats.page_mut(0), &ports), "an unused bit");
        floats.set_half(8, 7);
        assert!(!is_array_of(floats.page_mut(0), &ports), "a link without LINKED");
        floats.set_half(8, LINKED | 1024);
        assert!(!is_array_of(floats.page_mut(0), &ports), "a link beyond the array");
        assert!(!looks_alike(Image::default().page_mut(0)));
    }
}
