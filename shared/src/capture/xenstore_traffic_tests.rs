//! Following a guest's xenstore ring, on rings that the tests write.

use super::*;
use crate::capture::page::image::Image;
use crate::capture::page::{GuestPages, word};
use proptest::prelude::*;

struct Ring(Image, Indexes);

impl Ring {
    fn at(start: u32) -> Self {
        let mut ring = Self(
            Image::default(),
            Indexes {
                request_consumer: start,
                request_producer: start,
                response_consumer: start,
                response_producer: start,
            },
        );
        ring.show();
        ring
    }

    fn show(&mut self) -> &PageWords {
        let Indexes { request_consumer, request_producer, .. } = self.1;
        self.0.set_half(2048, request_consumer);
        self.0.set_half(2052, request_producer);
        self.0.set_half(2056, self.1.response_consumer);
        self.0.set_half(2060, self.1.response_producer);
        self.0.page(0).unwrap()
    }

    fn put(&mut self, ring: u64, position: u32, bytes: &[u8]) {
        for (offset, byte) in (0u32..).zip(bytes) {
            let address = ring + u64::from(position.wrapping_add(offset) % 1024);
            let index = usize::try_from(address / 8).unwrap();
            let shift = address % 8 * 8;
            let old = word(self.0.page_mut(0), index);
            self.0.set(address & !7, old & !(0xff << shift) | u64::from(*byte) << shift);
        }
    }

    fn request(&mut self, id: u32, body: &[u8]) {
        let bytes = message(2, id, body);
        self.put(0, self.1.request_producer, &bytes);
        let length = u32::try_from(bytes.len()).unwrap();
        self.1.request_producer = self.1.request_producer.wrapping_add(length);
    }

    fn respond(&mut self, kind: u32, id: u32, body: &[u8]) {
        let bytes = message(kind, id, body);
        self.put(1024, self.1.response_producer, &bytes);
        let length = u32::try_from(bytes.len()).unwrap();
        self.1.response_producer = self.1.response_producer.wrapping_add(length);
    }

    fn consume_all(&mut self) {
        self.1.request_consumer = self.1.request_producer;
        self.1.response_consumer = self.1.response_producer;
    }
}

fn message(kind: u32, id: u32, body: &[u8]) -> Vec<u8, 1024> {
    let mut bytes = Vec::new();
    for value in [kind, id, 0, u32::try_from(body.len()).unwrap()] {
        bytes.extend_from_slice(&value.to_le_bytes()).unwrap();
    }
    bytes.extend_from_slice(body).unwrap();
    bytes
}

#[test]
fn a_taken_request_is_open_until_its_reply() {
    let mut ring = Ring::at(u32::MAX - 30);
    let mut traffic = XenstoreTraffic::default();
    assert_eq!(traffic.observe(ring.show()), Traffic::Lost);
    traffic.found_quiet(&ring.1);
    assert_eq!(traffic.observe(ring.show()), Traffic::Quiet);
    ring.request(7, b"control/shutdown\0");
    assert_eq!(traffic.observe(ring.show()), Traffic::Busy);
    ring.consume_all();
    assert_eq!(traffic.observe(ring.show()), Traffic::Busy, "taken, not answered");
    ring.respond(WATCH_EVENT, 0, b"device\0AB\0");
    ring.consume_all();
    assert_eq!(traffic.observe(ring.show()), Traffic::Busy, "an event is no answer");
    ring.respond(2, 7, b"");
    assert_eq!(traffic.observe(ring.show()), Traffic::Busy, "not yet read");
    ring.consume_all();
    assert_eq!(traffic.observe(ring.show()), Traffic::Quiet);
}

#[test]
fn a_message_that_comes_in_parts_is_followed() {
    let mut ring = Ring::at(100);
    let mut traffic = XenstoreTraffic::default();
    traffic.found_quiet(&ring.1);
    let bytes = message(WATCH_EVENT, 0, &[b'x'; 600]);
    ring.put(1024, 100, &bytes);
    for part in [10, 20, 300, 616] {
        ring.1.response_producer = 100 + part;
        ring.consume_all();
        let expected = if part == 616 { Traffic::Quiet } else { Traffic::Busy };
        assert_eq!(traffic.observe(ring.show()), expected, "{part} bytes");
    }
}

#[test]
fn what_cannot_be_followed_is_lost() {
    let mut ring = Ring::at(0);
    let mut traffic = XenstoreTraffic::default();
    traffic.found_quiet(&ring.1);
    ring.1.request_producer = 1025;
    ring.consume_all();
    assert_eq!(traffic.observe(ring.show()), Traffic::Lost);
    traffic.found_quiet(&ring.1);
    assert_eq!(traffic.observe(ring.show()), Traffic::Quiet);
    ring.respond(2, 9, b"answer to nothing");
    assert_eq!(traffic.observe(ring.show()), Traffic::Lost);
    let mut fresh = Ring::at(0);
    traffic.found_quiet(&fresh.1);
    fresh.put(0, 0, &[0xff; 16]);
    fresh.1.request_producer = 16;
    assert_eq!(traffic.observe(fresh.show()), Traffic::Lost, "no such length");
}

#[test]
fn the_token_is_taken_from_the_event() {
    let mut ring = Ring::at(1000);
    let from = ring.1.response_producer;
    let token = |ring: &mut Ring| watch_token(ring.show(), from, "control/shutdown");
    ring.respond(2, 9, b"x");
    assert_eq!(token(&mut ring), None);
    ring.respond(WATCH_EVENT, 0, b"control/shutdown\0FFFF888003A51F80\0");
    ring.respond(WATCH_EVENT, 0, b"control/sysrq\0FFFFFFFF92A51F80\0");
    assert_eq!(token(&mut ring).unwrap(), "FFFF888003A51F80");
    ring.respond(WATCH_EVENT, 0, b"control/shutdown\0FFFFFFFF82A51F80\0");
    assert_eq!(token(&mut ring).unwrap(), "FFFFFFFF82A51F80");
    ring.1.response_producer -= 1;
    assert_eq!(token(&mut ring).unwrap(), "FFFF888003A51F80", "an event cut short");
}

proptest! {
    #[test]
    fn any_ring_is_read_without_harm(words: [u64; 8], indexes: [u32; 4], from: u32) {
        let mut ring = Ring::at(indexes[0]);
        for start in 0..32u64 {
            for (offset, value) in (0u64..).zip(words) {
                ring.0.set(start * 64 + offset * 8, value);
            }
        }
        let mut traffic = XenstoreTraffic::default();
        traffic.found_quiet(&ring.1);
        ring.1.request_producer = indexes[1];
        ring.1.response_producer = indexes[2];
        ring.1.response_consumer = indexes[3];
        let _ = traffic.observe(ring.show());
        let _ = watch_token(ring.show(), from, "control/shutdown");
    }

    #[test]
    fn quiet_exactly_when_all_is_answered(steps in proptest::collection::vec(0u8..3, 1..60)) {
        let mut ring = Ring::at(0xffff_ff00);
        let mut traffic = XenstoreTraffic::default();
        traffic.found_quiet(&ring.1);
        let (mut asked, mut answered) = (0u32, 0u32);
        for step in steps {
            match step {
                0 if asked - answered < 8 => { asked += 1; ring.request(asked, b"device/vif\0"); }
                1 if answered < asked => { answered += 1; ring.respond(2, answered, b"0"); }
                _ => ring.respond(WATCH_EVENT, 0, b"a\0b\0"),
            }
            ring.consume_all();
            let expected = if asked == answered { Traffic::Quiet } else { Traffic::Busy };
            prop_assert_eq!(traffic.observe(ring.show()), expected);
        }
    }
}
