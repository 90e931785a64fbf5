//! Finding a stub domain by its name, and reading what it offers. Nothing of that is trusted.
//!
//! Its own part of xenstore is the domain's to write. What it says of memory is held against what Xen knows of
//! the domain, and its MAC address, by which an arbiter knows this host, against the toolstack's own notes.

use core::fmt::Write as _;

use super::error::StubDomainError;
use crate::capture::Store;
use crate::limits::STUB_DOMAIN_OFFER_MS_MAX;
use crate::options::{LinkHalfPlace, Links, WithStubDomains};
use crate::platform::linux::clock;
use crate::ring::hand_over::{Offer, OfferValue, PATH, Program};
use crate::start::StartError;
use crate::text::parse_mac;
use crate::wire::EthernetAddress;
use crate::xen::xenstore::domains::{Path, domid_of_name};
use crate::xen::xenstore::{Transaction, XenstoreError};
use crate::xen::{DOMID_DOM0, Domid, Xen};

/// Microseconds between two looks for an offer.
const REST_US: u64 = 50_000;

/// What a stub domain is looked for by.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A program that was built without stub domains wants none.
    pub with: WithStubDomains,
    /// Its name.
    pub name: &'a str,
    /// Which half of the link it is to be.
    pub program: Program,
    /// Entries that its ring must have at least.
    pub entry_count_min: u64,
    /// The links that it is to carry.
    pub links: &'a Links<'a>,
}

impl<'a> Wanted<'a> {
    /// The stub domain that is to be `program`'s half of the link, if the operator wants one.
    #[must_use]
    pub const fn at(
        place: LinkHalfPlace<'a>,
        program: Program,
        entry_count_min: u64,
        links: &'a Links<'a>,
    ) -> Option<Self> {
        match place {
            LinkHalfPlace::Process => None,
            LinkHalfPlace::StubDomain(with, name) => {
                Some(Self { with, name, program, entry_count_min, links })
            }
        }
    }

    /// Why it cannot be had, for the operator.
    #[must_use]
    pub const fn failed(&self, error: StubDomainError) -> StartError {
        StartError::StubDomain(self.with, self.program, error)
    }
}

/// A stub domain with an offer that can be taken up.
#[derive(Clone, Copy, Debug)]
pub struct FoundStubDomain {
    /// A program that was built without stub domains has no code for one.
    pub with: WithStubDomains,
    pub(super) domid: Domid,
    pub(super) offer: Offer,
}

impl FoundStubDomain {
    /// The address of its first interface.
    #[must_use]
    pub const fn mac(&self) -> EthernetAddress {
        self.offer.mac
    }

    /// Why it cannot be given the link, for the operator.
    #[must_use]
    pub const fn failed(&self, error: StubDomainError) -> StartError {
        StartError::StubDomain(self.with, self.offer.program, error)
    }
}

/// Finds a stub domain. One that is there and offers nothing yet is waited for, [`STUB_DOMAIN_OFFER_MS_MAX`] at most.
///
/// # Errors
/// [`StartError::StubDomain`].
pub fn find(
    xen: &Xen,
    store: &mut Store,
    wanted: &Wanted<'_>,
) -> Result<FoundStubDomain, StartError> {
    let until_us = clock::monotonic_us() + STUB_DOMAIN_OFFER_MS_MAX * 1000;
    loop {
        match find_now(xen, store, wanted) {
            Err(error) if error.is_early() && clock::monotonic_us() < until_us => {
                clock::sleep_us(REST_US);
            }
            found => return found.map_err(|error| wanted.failed(error)),
        }
    }
}

/// Finds it as [`find`] does, without waiting.
///
/// # Errors
/// [`StubDomainError`].
#[inline(never)]
pub fn find_now(
    xen: &Xen,
    store: &mut Store,
    wanted: &Wanted<'_>,
) -> Result<FoundStubDomain, StubDomainError> {
    let domid = domid_of_name(store, wanted.name)?.ok_or(StubDomainError::Unknown)?;
    let info = xen.getdomaininfo(domid)?;
    if domid == DOMID_DOM0 || info.is_dying() || info.is_shutdown() {
        return Err(StubDomainError::NotRunning);
    }
    let offer =
        Offer::read(|value| read(store, format_args!("/local/domain/{domid}/{PATH}/{value}")))?;
    let told = read(store, format_args!("/libxl/{domid}/device/vif/0/mac"))?;
    check(&offer, wanted, told.as_ref())?;
    // Whether each page is there is found out when it is mapped.
    if offer.page_count() > info.page_count {
        return Err(StubDomainError::Outside);
    }
    Ok(FoundStubDomain { with: wanted.with, domid, offer })
}

/// Whether the offer is the one that is looked for. `told` is the address that the toolstack has noted; another one
/// than xl may have noted none. Two hosts of one address would both be let live.
fn check(
    offer: &Offer,
    wanted: &Wanted<'_>,
    told: Option<&OfferValue>,
) -> Result<(), StubDomainError> {
    if offer.program != wanted.program {
        return Err(StubDomainError::Program(offer.program));
    }
    if offer.entry_count < wanted.entry_count_min {
        return Err(StubDomainError::RingSmall);
    }
    let is_told = told.is_none_or(|text| parse_mac(text.as_str()) == Some(offer.mac.0));
    let is_own = offer.mac.0 != wanted.links.first.peer_mac;
    if is_told && is_own { Ok(()) } else { Err(StubDomainError::Address) }
}

/// The value at a path, if there is one. One that is longer than any value of an offer, or no text, is none.
fn read(
    store: &mut Store,
    path: core::fmt::Arguments<'_>,
) -> Result<Option<OfferValue>, XenstoreError> {
    let mut text = Path::new();
    text.write_fmt(path).map_err(|_| XenstoreError::TooLong)?;
    match store.read_text(Transaction::NONE, &text) {
        Ok(value) => {
            let kept = OfferValue::new(value);
            Ok((kept.as_str() == value).then_some(kept))
        }
        Err(XenstoreError::Malformed) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{BackupRequest, parse_backup};

    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

    fn offer() -> Offer {
        Offer {
            program: Program::PrimaryHelper,
            gfn: 4096,
            entry_count: 4096,
            event_port: 5,
            mac: EthernetAddress(MAC),
            mtu: 9000,
        }
    }

    #[test]
    fn an_offer_is_the_one_that_is_looked_for() {
        let told = |text: &str| Some(OfferValue::new(text));
        let small = Err(StubDomainError::RingSmall);
        let other = Err(StubDomainError::Program(Program::PrimaryHelper));
        let address = Err(StubDomainError::Address);
        let (primary, backup) = (Program::PrimaryHelper, Program::BackupHelper);
        let (own, peer) = ("52:54:00:01:02:03", "52:54:00:01:02:04");
        for (program, entry_count_min, mac, peer, verdict) in [
            (primary, 4096, told(own), peer, Ok(())),
            (primary, 1, None, peer, Ok(())),
            (backup, 1, None, peer, other),
            (primary, 4097, None, peer, small),
            (primary, 1, told(peer), peer, address),
            (primary, 1, told(""), peer, address),
            (primary, 1, told(own), own, address),
        ] {
            let line = std::format!(
                "stand-by --receive stub:s --link vif0={peer} --key-file k --rehearse-only"
            );
            let Ok(BackupRequest::StandBy(options)) = parse_backup(line.split(' ')) else {
                panic!()
            };
            let with = WithStubDomains::BUILT.unwrap();
            let wanted =
                Wanted { with, name: "s", program, entry_count_min, links: &options.links };
            assert_eq!(check(&offer(), &wanted, mac.as_ref()), verdict, "{peer}");
        }
    }

    #[test]
    fn a_domain_on_its_way_up_is_waited_for_and_no_other() {
        use crate::ring::hand_over::OfferError;
        for error in [OfferError::None, OfferError::Taken] {
            assert!(StubDomainError::Offer(error).is_early());
        }
        for error in [
            StubDomainError::Unknown,
            StubDomainError::NotRunning,
            StubDomainError::Outside,
            StubDomainError::Offer(OfferError::Protocol),
            StubDomainError::Offer(OfferError::Value("gfn")),
        ] {
            assert!(!error.is_early(), "{error}");
        }
    }
}
