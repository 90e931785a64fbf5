//! Names of network interfaces: the guest's on this host, and ours beside them.

use crate::text::{FixedText, parse_number, split_at_first};

/// An interface's name: at most 15 bytes (IFNAMSIZ of include/uapi/linux/if.h, without its zero).
pub type InterfaceName = FixedText<15>;

/// One of the guest's interfaces, by what it is called on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestInterface {
    /// Its number within the domain.
    pub number: u8,
    /// Whether it is the emulated card that the device model gives to HVM guests.
    pub is_emulated: bool,
}

impl GuestInterface {
    /// Reads the names that Xen's toolstack gives: `vif<domid>.<number>`, and with `-emu` for an
    /// emulated card (tools/libs/light of Xen 4.17). Nothing if the name is another's.
    pub fn parse(name: &str, domid: u16) -> Option<Self> {
        let (number, is_emulated) = match name.strip_prefix("vif")?.strip_suffix("-emu") {
            Some(rest) => (rest, true),
            None => (name.strip_prefix("vif")?, false),
        };
        Self::parse_numbers(number, domid).map(|number| Self { number, is_emulated })
    }

    /// Reads the names that [`GuestInterface::ifb_name`] makes.
    pub fn parse_ifb(name: &str, domid: u16) -> Option<Self> {
        let rest = name.strip_prefix("pollux")?;
        let (rest, is_emulated) = rest.strip_prefix("e").map_or((rest, false), |rest| (rest, true));
        Self::parse_numbers(rest, domid).map(|number| Self { number, is_emulated })
    }

    /// The name of the `ifb` that holds this interface's frames: `pollux<domid>.<number>`.
    pub fn ifb_name(self, domid: u16) -> InterfaceName {
        let emulated = if self.is_emulated { "e" } else { "" };
        InterfaceName::format(format_args!("pollux{emulated}{domid}.{}", self.number))
    }

    fn parse_numbers(text: &str, domid: u16) -> Option<u8> {
        let (found_domid, number) = split_at_first(text, b'.')?;
        let found_domid: u16 = parse_plain(found_domid)?;
        let number: u16 = parse_plain(number)?;
        // Two digits, so that our own name fits.
        (found_domid == domid && number < 100).then(|| u8::try_from(number).ok())?
    }
}

/// A number as the kernel prints it: digits alone, no sign, no zero before others.
fn parse_plain(text: &str) -> Option<u16> {
    let is_plain = text.len() == 1 || !text.starts_with("0");
    if is_plain { parse_number(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::GuestInterface;

    #[test]
    fn only_the_domains_own_interfaces_are_taken() {
        let plain = GuestInterface { number: 2, is_emulated: false };
        let emulated = GuestInterface { number: 2, is_emulated: true };
        assert_eq!(GuestInterface::parse("vif17.2", 17), Some(plain));
        assert_eq!(GuestInterface::parse("vif17.2-emu", 17), Some(emulated));
        for other in
            ["vif1.2", "vif17.2x", "vif17", "vif17.", "vif+17.2", "vif017.2", "eth0", "vif17.100"]
        {
            assert_eq!(GuestInterface::parse(other, 17), None, "{other}");
        }
    }

    #[test]
    fn our_names_fit_and_come_back() {
        for domid in [0, 9, 32751, u16::MAX] {
            for number in [0, 9, 99] {
                for is_emulated in [false, true] {
                    let interface = GuestInterface { number, is_emulated };
                    let name = interface.ifb_name(domid);
                    assert!(name.as_str().ends_with(&format!(".{number}")), "{name} was cut");
                    assert_eq!(GuestInterface::parse_ifb(name.as_str(), domid), Some(interface));
                    assert_eq!(GuestInterface::parse_ifb(name.as_str(), domid ^ 1), None);
                }
            }
        }
        assert_eq!(GuestInterface::parse_ifb("vif17.2", 17), None);
    }
}
