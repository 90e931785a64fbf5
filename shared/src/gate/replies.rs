//! What the kernel answers, read without trust in its lengths.

use super::message::{Reply, find_attribute, read_u32};
use super::names::InterfaceName;
use super::requests::{IFLA_IFNAME, RTM_NEWLINK, RTM_NEWQDISC};
use core::ffi::CStr;

/// Bytes of `struct ifinfomsg`.
const LINK_HEADER_SIZE: usize = 16;
/// Bytes of `struct tcmsg`.
const TRAFFIC_HEADER_SIZE: usize = 20;
const TCA_STATS2: u16 = 7;
const TCA_STATS_QUEUE: u16 = 3;

/// A network interface of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, unique on the host while the interface exists and not used again soon.
    pub index: u32,
    /// Its name.
    pub name: InterfaceName,
}

/// The counters of a queue (`struct gnet_stats_queue`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Frames in it now.
    pub frames_held: u32,
    /// Bytes in it now.
    pub bytes_held: u32,
    /// Frames dropped since it was made, because it was full.
    pub frames_dropped: u32,
}

/// Reads a network interface, if the reply is one.
pub fn link(reply: &Reply<'_>) -> Option<Link> {
    if reply.kind != RTM_NEWLINK {
        return None;
    }
    let index = read_u32(reply.body, 4)?;
    let name = find_attribute(reply.body.get(LINK_HEADER_SIZE..)?, IFLA_IFNAME)?;
    let name = CStr::from_bytes_until_nul(name).ok()?.to_str().ok()?;
    Some(Link { index, name: InterfaceName::new(name) })
}

/// Reads the counters of a queue, if the reply has some.
pub fn queue_counters(reply: &Reply<'_>) -> Option<QueueCounters> {
    if reply.kind != RTM_NEWQDISC {
        return None;
    }
    let statistics = find_attribute(reply.body.get(TRAFFIC_HEADER_SIZE..)?, TCA_STATS2)?;
    let queue = find_attribute(statistics, TCA_STATS_QUEUE)?;
    Some(QueueCounters {
        frames_held: read_u32(queue, 0)?,
        bytes_held: read_u32(queue, 4)?,
        frames_dropped: read_u32(queue, 8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{QueueCounters, link, queue_counters};
    use crate::gate::message::{Reply, Request, replies};
    use proptest::prelude::{any, prop_assert, proptest};

    #[test]
    fn a_link_and_a_queue_are_read() {
        let mut request = Request::new();
        let mut header = [0; 16];
        header[4] = 9;
        request.begin(16, 0, &header);
        request.attribute(1, &[1; 6]);
        request.text_attribute(3, "vif1.0");
        request.begin(36, 0, &[0; 20]);
        request.nested(7, |request| {
            request.attribute(1, &[0; 16]);
            let counters = [2_u32, 1514, 3, 0, 0];
            let bytes: Vec<u8> = counters.iter().flat_map(|count| count.to_ne_bytes()).collect();
            request.attribute(3, &bytes);
        });
        let read: Vec<_> = replies(request.bytes()).collect();
        let found = link(&read[0]).unwrap();
        assert_eq!((found.index, found.name.as_str()), (9, "vif1.0"));
        let expected = QueueCounters { frames_held: 2, bytes_held: 1514, frames_dropped: 3 };
        assert_eq!(queue_counters(&read[1]), Some(expected));
        assert_eq!(queue_counters(&read[0]), None);
        assert_eq!(link(&read[1]), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(kind in 0_u16..60,
                                       body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let reply = Reply { kind, sequence: 0, body: &body };
            prop_assert!(link(&reply).is_none_or(|_| kind == 16));
            prop_assert!(queue_counters(&reply).is_none_or(|_| kind == 36));
        }
    }
}
