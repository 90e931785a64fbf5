//! What a stub domain says of itself in xenstore, so that dom0 can hand the link over to it.

use core::fmt;

use super::region_size;
use crate::limits::{FRAME_SIZE_MIN, PAGE_SIZE, RING_ENTRY_COUNT_INITIAL, RING_ENTRY_COUNT_MAX};
use crate::text::{FixedText, parse_mac, parse_number};
use crate::wire::EthernetAddress;

/// Where the values lie, below the domain's own part of xenstore (/local/domain/ID): xl makes `data` the domain's to
/// write.
pub const PATH: &str = "data/pollux";

/// A value as it stands in xenstore; a longer one is none.
pub type OfferValue = FixedText<32>;

/// Version of all that is agreed on in `hand_over`, and of the ring.
const PROTOCOL: u64 = 1;
const STATE_OFFERED: &str = "offered";
/// A process of dom0 has the link, or had it until now.
const STATE_TAKEN: &str = "taken";
/// The values' names, in the order in which they are read: what makes it an offer comes first.
const NAMES: [&str; 8] =
    ["state", "protocol", "program", "gfn", "entry-count", "event-port", "mac", "mtu"];
const STATE: usize = 0;
const PROTOCOL_NUMBER: usize = 1;
const PROGRAM: usize = 2;
const GFN: usize = 3;
const ENTRY_COUNT: usize = 4;
const EVENT_PORT: usize = 5;
const MAC: usize = 6;
const MTU: usize = 7;
/// Ports that Xen has at most (EVTCHN_FIFO_NR_CHANNELS, event_channel.h).
const EVENT_PORT_COUNT_MAX: u64 = 1 << 17;
/// gfns are below this: 52 bits of a physical address at most.
const GFN_COUNT_MAX: u64 = 1 << 40;

/// Which program a stub domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Ship's.
    PrimaryHelper,
    /// Receive's.
    BackupHelper,
}

impl Program {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrimaryHelper => "primary-helper",
            Self::BackupHelper => "backup-helper",
        }
    }

    /// The program of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::PrimaryHelper, Self::BackupHelper].into_iter().find(|program| program.name() == name)
    }
}

/// What a stub domain offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which half of the link it can be.
    pub program: Program,
    /// gfn of the hand-over page, with which the region begins.
    pub gfn: u64,
    /// Entries of the ring.
    pub entry_count: u64,
    /// A port that waits for dom0 to bind to it.
    pub event_port: u32,
    /// Address of its first vif.
    pub mac: EthernetAddress,
    /// Ethernet payload that its frames may have, in bytes.
    pub mtu: u16,
}

/// Why there is no offer, or none that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferError<E> {
    /// Xenstore cannot be asked.
    Store(E),
    /// The domain offers nothing, or not yet.
    None,
    /// Somebody has what it offered, or it still takes leave of its peer.
    Taken,
    /// The domain's program is of another version.
    Protocol,
    /// A value is missing, malformed or outside its limits: its name.
    Value(&'static str),
}

/// The same without what cannot come of the values: small, since it is handed upwards often.
enum Fault {
    None,
    Taken,
    Protocol,
    /// The place of its name.
    Value(usize),
}

impl<E: fmt::Display> fmt::Display for OfferError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::None => {
                f.write_str("it offers no ring: see its console (xl console), or wait for its vif")
            }
            Self::Taken => f.write_str(
                "what it offered is in use: end the helper that uses it; or it takes leave of its peer: wait",
            ),
            Self::Protocol => f.write_str(
                "its program is of another version: boot the image that came with this program",
            ),
            Self::Value(name) => write!(
                f,
                "its {PATH}/{name} cannot be used: boot the image that came with this program"
            ),
        }
    }
}

impl Offer {
    /// Pages of the region.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        (region_size(self.entry_count) / PAGE_SIZE) as u64
    }

    /// Writes every value with `write`, which is given names below [`PATH`], the one that makes it an offer last.
    /// What says that there is none comes first.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write<E>(
        &self,
        mut write: impl FnMut(&str, &OfferValue) -> Result<(), E>,
    ) -> Result<(), E> {
        let text = |arguments: fmt::Arguments<'_>| OfferValue::format(arguments);
        write("state", &text(format_args!("closed")))?;
        write("protocol", &text(format_args!("{PROTOCOL}")))?;
        write("program", &text(format_args!("{}", self.program.name())))?;
        write("gfn", &text(format_args!("{}", self.gfn)))?;
        write("entry-count", &text(format_args!("{}", self.entry_count)))?;
        write("event-port", &text(format_args!("{}", self.event_port)))?;
        write("mac", &text(format_args!("{}", self.mac)))?;
        write("mtu", &text(format_args!("{}", self.mtu)))?;
        write("state", &text(format_args!("{STATE_OFFERED}")))
    }

    /// Says that this is no offer any more: somebody has taken it up.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn withdraw<E>(write: impl FnOnce(&str, &OfferValue) -> Result<(), E>) -> Result<(), E> {
        write("state", &OfferValue::new(STATE_TAKEN))
    }

    /// Reads and checks every value with `read`, which is given names below [`PATH`]. Nothing is trusted; whether
    /// the gfns are the domain's is for the caller to see.
    ///
    /// # Errors
    /// [`OfferError`].
    pub fn read<E>(
        mut read: impl FnMut(&str) -> Result<Option<OfferValue>, E>,
    ) -> Result<Self, OfferError<E>> {
        let mut values = [OfferValue::new(""); NAMES.len()];
        for (name, value) in NAMES.iter().zip(&mut values) {
            // One that is missing is as one that is empty.
            if let Some(text) = read(name).map_err(OfferError::Store)? {
                *value = text;
            }
        }
        Self::parse(&values).map_err(|fault| match fault {
            Fault::None => OfferError::None,
            Fault::Taken => OfferError::Taken,
            Fault::Protocol => OfferError::Protocol,
            Fault::Value(place) => OfferError::Value(NAMES[place]),
        })
    }

    fn parse(values: &[OfferValue; NAMES.len()]) -> Result<Self, Fault> {
        let text = |place: usize| values[place].as_str();
        let number = |place, least: u64, end: u64| {
            let number = parse_number(text(place)).filter(|it| (least..end).contains(it));
            number.ok_or(Fault::Value(place))
        };
        match text(STATE) {
            STATE_OFFERED => {}
            STATE_TAKEN => return Err(Fault::Taken),
            _ => return Err(Fault::None),
        }
        if parse_number(text(PROTOCOL_NUMBER)) != Some(PROTOCOL) {
            return Err(Fault::Protocol);
        }
        let mac = parse_mac(text(MAC)).map(EthernetAddress).filter(|mac| mac.is_unicast());
        let event_port = number(EVENT_PORT, 1, EVENT_PORT_COUNT_MAX)?;
        let mtu = number(MTU, FRAME_SIZE_MIN as u64, 1 << 16)?;
        Ok(Self {
            program: Program::of(text(PROGRAM)).ok_or(Fault::Value(PROGRAM))?,
            gfn: number(GFN, 1, GFN_COUNT_MAX)?,
            entry_count: number(
                ENTRY_COUNT,
                RING_ENTRY_COUNT_INITIAL,
                RING_ENTRY_COUNT_MAX as u64 + 1,
            )?,
            event_port: u32::try_from(event_port).map_err(|_| Fault::Value(EVENT_PORT))?,
            mac: mac.ok_or(Fault::Value(MAC))?,
            mtu: u16::try_from(mtu).map_err(|_| Fault::Value(MTU))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;
    use proptest::prelude::*;

    type Values = BTreeMap<String, OfferValue>;

    fn sample() -> Offer {
        Offer {
            program: Program::BackupHelper,
            gfn: 0x800,
            entry_count: 16_384,
            event_port: 9,
            mac: EthernetAddress([0, 0x16, 0x3e, 1, 2, 0xff]),
            mtu: 9000,
        }
    }

    fn written(offer: &Offer) -> Values {
        let (mut values, mut last) = (Values::new(), String::new());
        let write = |name: &str, value: &OfferValue| {
            values.insert(name.to_owned(), *value);
            name.clone_into(&mut last);
            Ok::<(), Infallible>(())
        };
        offer.write(write).unwrap();
        assert_eq!(last, "state");
        values
    }

    fn read(values: &Values) -> Result<Offer, OfferError<Infallible>> {
        Offer::read(|name| Ok(values.get(name).copied()))
    }

    #[test]
    fn what_is_offered_is_read() {
        for program in [Program::PrimaryHelper, Program::BackupHelper] {
            let offer = Offer { program, ..sample() };
            assert_eq!(read(&written(&offer)), Ok(offer));
        }
        assert_eq!(read(&Values::new()), Err(OfferError::None));
        let mut values = written(&sample());
        let write = |name: &str, value: &OfferValue| {
            values.insert(name.to_owned(), *value);
            Ok::<(), Infallible>(())
        };
        Offer::withdraw(write).unwrap();
        assert_eq!(read(&values), Err(OfferError::Taken));
    }

    #[test]
    fn each_value_is_checked() {
        for (name, wrong) in [
            ("program", "primary"),
            ("gfn", "0"),
            ("gfn", "1099511627776"),
            ("entry-count", "63"),
            ("entry-count", "4194305"),
            ("event-port", "0"),
            ("event-port", "131072"),
            ("mac", "01:00:00:00:00:00"),
            ("mac", "00:00:00:00:00:00"),
            ("mtu", "575"),
            ("mtu", "65536"),
            ("mtu", "-1"),
        ] {
            let mut values = written(&sample());
            values.insert(name.to_owned(), OfferValue::new(wrong));
            assert_eq!(read(&values), Err(OfferError::Value(name)), "{wrong}");
            values.remove(name);
            assert_eq!(read(&values), Err(OfferError::Value(name)));
        }
        let mut values = written(&sample());
        values.insert("protocol".to_owned(), OfferValue::new("2"));
        assert_eq!(read(&values), Err(OfferError::Protocol));
        values.insert("state".to_owned(), OfferValue::new("closed"));
        assert_eq!(read(&values), Err(OfferError::None));
    }

    proptest! {
        #[test]
        fn any_values_are_refused_or_read(texts in proptest::collection::vec("[0-9a-f:]{0,40}", 8)) {
            let mut values = written(&sample());
            for ((name, value), text) in values.iter_mut().zip(&texts) {
                if name != "state" && name != "protocol" {
                    *value = OfferValue::new(text);
                }
            }
            if let Ok(offer) = read(&values) {
                prop_assert!(offer.page_count() > offer.entry_count);
            }
        }
    }
}
