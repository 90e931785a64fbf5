//! The Ethernet header, and addresses.

use core::fmt;
use core::str::FromStr;

use super::Malformed;
use super::bytes::{Reader, Writer};

/// Bytes of an Ethernet header without VLAN tags.
pub const ETHERNET_HEADER_SIZE: usize = 14;

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetAddress(pub [u8; 6]);

impl EthernetAddress {
    /// Whether it names one interface: neither a group, nor all zeros.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for EthernetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for EthernetAddress {
    type Err = Malformed;

    /// Reads six pairs of hexadecimal digits with colons between them.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut address = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut address {
            let pair = pairs.next().ok_or(Malformed)?;
            let digits = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !digits {
                return Err(Malformed);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| Malformed)?;
        }
        if pairs.next().is_some() { Err(Malformed) } else { Ok(Self(address)) }
    }
}

/// The first 14 bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Where the frame goes.
    pub destination: EthernetAddress,
    /// Where it comes from.
    pub source: EthernetAddress,
    /// What it carries.
    pub ethertype: u16,
}

impl EthernetHeader {
    /// Reads the header of a frame.
    ///
    /// # Errors
    /// [`Malformed`] when the frame is shorter than a header.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            destination: EthernetAddress(reader.array()?),
            source: EthernetAddress(reader.array()?),
            ethertype: u16::from_be_bytes(reader.array()?),
        })
    }

    /// Writes the header to the front of `frame`.
    pub fn emit(&self, frame: &mut [u8]) {
        let mut writer = Writer::new(frame);
        writer.put(&self.destination.0);
        writer.put(&self.source.0);
        writer.put(&self.ethertype.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];

    #[test]
    fn a_header_is_read_and_written() {
        let header = EthernetHeader::parse(&BYTES).unwrap();
        assert_eq!(header.destination, "02:00:00:00:00:01".parse().unwrap());
        assert_eq!(header.ethertype, super::super::ETHERTYPE_DEFAULT);
        let mut written = [0; 14];
        header.emit(&mut written);
        assert_eq!(written, BYTES);
        assert_eq!(EthernetHeader::parse(&BYTES[..13]), Err(Malformed));
    }

    #[test]
    fn addresses_are_six_pairs() {
        for text in
            ["", "1:2:3:4:5:6", "02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:+1"]
        {
            assert_eq!(text.parse::<EthernetAddress>(), Err(Malformed), "{text}");
        }
        assert!(!EthernetAddress([1, 0, 0, 0, 0, 0]).is_unicast());
        assert!(!EthernetAddress([0; 6]).is_unicast());
    }

    proptest! {
        #[test]
        fn addresses_survive_text(bytes: [u8; 6]) {
            let address = EthernetAddress(bytes);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
