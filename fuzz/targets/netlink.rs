//! What the kernel answers on netlink, and the names of interfaces in it.

#![no_main]

use fuzz::seeds::Seeds;
use pollux::gate::message::{self, Request, attributes, find_attribute};
use pollux::gate::names::GuestInterface;
use pollux::gate::replies::{link, queue_counters};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    for reply in message::replies(data) {
        assert!(reply.body.len() + message::HEADER_SIZE <= data.len());
        let _ = (message::error_number(&reply), queue_counters(&reply));
        for (kind, value) in attributes(reply.body) {
            assert!(kind < 0x4000 && find_attribute(reply.body, kind).is_some());
            // Attributes nest.
            let _ = attributes(value).count();
        }
        if let Some(found) = link(&reply) {
            try_name(found.name.as_str());
        }
    }
    if let Ok(text) = core::str::from_utf8(data) {
        try_name(text);
    }
}

fn try_name(name: &str) {
    for domid in [0, 17, 32751] {
        if let Some(interface) = GuestInterface::parse(name, domid) {
            let ours = interface.ifb_name(domid);
            assert_eq!(GuestInterface::parse_ifb(ours.as_str(), domid), Some(interface));
        }
        if let Some(interface) = GuestInterface::parse_ifb(name, domid) {
            assert_eq!(interface.ifb_name(domid).as_str(), name);
        }
    }
}

fn seeds() -> Seeds {
    let mut listing = Request::new();
    for name in ["vif17.0", "vif17.1-emu", "pollux17.0"] {
        listing.begin(16, 0, &[0; 16]);
        listing.attribute(1, &[1; 6]);
        listing.text_attribute(3, name);
    }
    listing.begin(message::NLMSG_DONE, 0, &[0; 4]);
    let mut counters = Request::new();
    counters.begin(36, 0, &[0; 20]);
    counters.text_attribute(1, "plug");
    counters.nested(7, |request| {
        request.attribute(1, &[0; 16]);
        request.attribute(3, &[5; 20]);
    });
    counters.begin(message::NLMSG_ERROR, 0, &(-17_i32).to_ne_bytes());
    Seeds::from([
        ("listing", listing.bytes().to_vec()),
        ("counters", counters.bytes().to_vec()),
        ("name", b"pollux17.3".to_vec()),
    ])
}
