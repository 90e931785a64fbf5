//! The FIFO control block of each vCPU: which queues hold events, and their heads.
//!
//! `ready` u32 at 0, zero at 4, `head[16]` u32 from 8 (struct evtchn_fifo_control_block,
//! event_channel.h, Xen 4.17), at the start of a page of its own that is zero beyond. A head
//! keeps the port it last named after its queue was drained, so the heads tell whose block it is:
//! they name ports that notify one vCPU.

use super::evidence::PortTable;
use crate::capture::page::{PageWords, half_word, low_half, word};
use crate::limits::EVENT_CHANNEL_COUNT_MAX;

/// EVTCHN_FIFO_MAX_QUEUES: priorities 0 (highest) to 15.
pub const QUEUE_COUNT: usize = 16;
/// 32-bit words before `head[0]`.
const HEAD_OFFSET: usize = 2;
/// 64-bit words of the block; the rest of its page is zero.
const BLOCK_WORD_COUNT: usize = (HEAD_OFFSET + QUEUE_COUNT) / 2;

/// Whose control block a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Not a control block with any event seen.
    Nobody,
    /// A head names a port that can only ever notify this vCPU.
    Certain(u32),
    /// The heads name ports that notify this vCPU now, but could have been moved to it.
    Likely(u32),
}

/// Whether a page of the running guest may be a control block.
#[must_use]
pub fn looks_alike(page: &PageWords) -> bool {
    let first = word(page, 0);
    if first >= 1 << QUEUE_COUNT {
        return false;
    }
    let mut any_head = 0;
    for index in 1..BLOCK_WORD_COUNT {
        let heads = word(page, index);
        if !is_port(low_half(heads)) || !is_port(low_half(heads >> 32)) {
            return false;
        }
        any_head |= heads;
    }
    any_head != 0
        && page[BLOCK_WORD_COUNT..]
            .iter()
            .enumerate()
            .all(|(index, _)| word(page, BLOCK_WORD_COUNT + index) == 0)
}

/// The head of queue `priority`: a port, or 0 when no event ever was in it.
#[must_use]
pub fn head(page: &PageWords, priority: usize) -> u32 {
    assert!(priority < QUEUE_COUNT, "priorities are 0 to 15");
    half_word(page, HEAD_OFFSET + priority)
}

/// The `ready` bits, queue 0 in bit 0.
#[must_use]
pub fn ready(page: &PageWords) -> u32 {
    half_word(page, 0)
}

/// Whose control block a page of the paused guest is.
///
/// A closed port says nothing (a head outlives its port), but at least one head must be open, and
/// ports that are bound for good must all name one vCPU. A port that the guest may have moved
/// from one vCPU to another never outweighs those.
#[must_use]
pub fn owner(page: &PageWords, ports: &PortTable) -> Owner {
    if !looks_alike(page) {
        return Owner::Nobody;
    }
    let mut certain: Option<u32> = None;
    let mut likely: Option<u32> = None;
    let mut likely_conflict = false;
    for port in (0..QUEUE_COUNT).map(|priority| head(page, priority)).filter(|port| *port != 0) {
        let Some(channel) = ports.get(port) else { continue };
        if ports.is_bound_for_good(port) {
            if certain.is_some_and(|vcpu| vcpu != channel.vcpu) {
                return Owner::Nobody;
            }
            certain = Some(channel.vcpu);
        } else {
            likely_conflict |= likely.is_some_and(|vcpu| vcpu != channel.vcpu);
            likely = Some(channel.vcpu);
        }
    }
    match (certain, likely) {
        (Some(vcpu), _) => Owner::Certain(vcpu),
        (None, Some(vcpu)) if !likely_conflict => Owner::Likely(vcpu),
        _ => Owner::Nobody,
    }
}

fn is_port(value: u32) -> bool {
    usize::try_from(value).is_ok_and(|port| port < EVENT_CHANNEL_COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::discovery::evidence::testing::ports;
    use crate::capture::page::image::Image;

    /// Ports below 100 are IPIs in the test table, bound for good; others are interdomain.
    fn block(heads: &[(u64, u32)]) -> Image {
        let mut image = Image::default();
        image.page_mut(0);
        for (priority, port) in heads {
            image.set_half(8 + priority * 4, *port);
        }
        image
    }

    #[test]
    fn heads_name_the_owner() {
        let ports = ports(&[(1, 0), (2, 1), (100, 1), (101, 0)]);
        let owner_of = |heads: &[(u64, u32)]| owner(block(heads).page_mut(0), &ports);
        assert_eq!(owner_of(&[(0, 2), (7, 100)]), Owner::Certain(1));
        assert_eq!(owner_of(&[(0, 2), (7, 101)]), Owner::Certain(1), "101 was moved meanwhile");
        assert_eq!(owner_of(&[(7, 101)]), Owner::Likely(0));
        assert_eq!(owner_of(&[(7, 101), (3, 100)]), Owner::Nobody);
        assert_eq!(owner_of(&[(0, 1), (7, 2)]), Owner::Nobody);
        assert_eq!(owner_of(&[(0, 55)]), Owner::Nobody, "only a closed port");
        assert_eq!(owner_of(&[(0, 55), (7, 1)]), Owner::Certain(0), "a head outlives its port");
        assert_eq!(owner_of(&[]), Owner::Nobody);
    }

    #[test]
    fn the_page_holds_nothing_else() {
        let mut image = block(&[(0, 1)]);
        image.set_half(0, 0x8001);
        assert!(looks_alike(image.page_mut(0)));
        for (address, value) in [(0, 0x1_0000), (4, 1), (12, 1024), (72, 1), (4092, 1)] {
            let mut image = block(&[(0, 1)]);
            image.set_half(address, value);
            assert!(!looks_alike(image.page_mut(0)), "{value:#x} at {address}");
        }
    }
}
