//! `--link`: the replication links.

use heapless::Vec;

use super::given::Given;
use super::values::LinkHalfPlace;
use crate::limits::{INTERFACE_NAME_SIZE_MAX, LINK_COUNT_MAX};
use crate::text;

const NAME: &str = "--link";

/// One replication link: an interface and the peer's address on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Name of the interface.
    pub interface: &'a str,
    /// MAC address of the peer.
    pub peer_mac: [u8; 6],
}

/// The replication links of a session, in the same order on both hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links<'a> {
    /// The one that is preferred, and whose addresses name the hosts.
    pub first: Link<'a>,
    others: [Option<Link<'a>>; LINK_COUNT_MAX - 1],
}

impl<'a> Links<'a> {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Link<'a>> {
        core::iter::once(self.first).chain(self.others.into_iter().flatten())
    }

    /// The interface of the link with this number, from 0.
    #[must_use]
    pub fn interface(&self, number: usize) -> &'a str {
        self.iter().nth(number).unwrap_or(self.first).interface
    }

    /// Reads `IFACE=PEER_MAC`, given once for each link. A stub domain carries one, its own vif0.
    #[inline(never)]
    pub(super) fn read(given: &mut Given<'a>, place: LinkHalfPlace<'_>) -> Self {
        let is_stub_domain = matches!(place, LinkHalfPlace::StubDomain(..));
        let none = Link { interface: "", peer_mac: [0; 6] };
        let mut links = Self { first: none, others: [None; LINK_COUNT_MAX - 1] };
        given.required(NAME);
        for (number, value) in
            given.all(NAME).collect::<Vec<_, LINK_COUNT_MAX>>().iter().enumerate()
        {
            let Some(link) = parse_link(value) else {
                given.note_wrong(NAME, value, "IFACE=PEER_MAC, as in eth1=52:54:00:12:34:56");
                break;
            };
            let is_repeated = links.iter().any(|it| it.interface == link.interface);
            if is_stub_domain && (number > 0 || link.interface != "vif0") {
                given.note_wrong(NAME, value, "the stub domain's vif0=PEER_MAC, and no other link");
            } else if is_repeated {
                given.note_wrong(NAME, value, "each interface once");
            }
            match number.checked_sub(1) {
                None => links.first = link,
                Some(place) => links.others[place] = Some(link),
            }
        }
        links
    }
}

fn parse_link(text: &str) -> Option<Link<'_>> {
    let (interface, mac) = text::split_at_first(text, b'=')?;
    let name_fits = (1..=INTERFACE_NAME_SIZE_MAX).contains(&interface.len());
    let name_is_one = !interface.bytes().any(|byte| byte == b'/' || byte.is_ascii_whitespace());
    (name_fits && name_is_one).then_some(Link { interface, peer_mac: parse_station(mac)? })
}

/// A single station's address, not all zero.
fn parse_station(text: &str) -> Option<[u8; 6]> {
    let mac = text::parse_mac(text)?;
    let is_group = mac[0] & 1 == 1;
    (!is_group && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::{parse_link, parse_station};

    #[test]
    fn macs_are_single_stations() {
        assert_eq!(parse_station("52:54:00:aB:34:56"), Some([0x52, 0x54, 0, 0xab, 0x34, 0x56]));
        for wrong in [
            "",
            "52:54:00:ab:34",
            "52:54:00:ab:34:56:78",
            "52-54-00-ab-34-56",
            "52:54:00:ab:34:+6",
            "ff:ff:ff:ff:ff:ff",
            "01:80:c2:00:00:00",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(parse_station(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn links_name_an_interface() {
        assert!(parse_link("eth1=52:54:00:ab:34:56").is_some());
        for wrong in ["52:54:00:ab:34:56", "=52:54:00:ab:34:56", "a/b=52:54:00:ab:34:56", "eth1="] {
            assert!(parse_link(wrong).is_none(), "{wrong}");
        }
        assert!(parse_link("sixteen-chars-xx=52:54:00:ab:34:56").is_none());
    }
}
