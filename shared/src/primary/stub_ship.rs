//! Ship in a stub domain: how it is given the link.
//!
//! What its end means for the guest and its output is as for a process that ships: see `protection`.

use crate::limits::RING_ENTRY_COUNT_PRIMARY_MIN;
use crate::options::ReplicationOptions;
use crate::other_half::{FoundStubDomain, OtherHalf, StubDomain, StubDomainError, Wanted};
use crate::ring::hand_over::Program;
use crate::ring::{Consumer, Producer};
use crate::start::hand_over;
use crate::wire::SecretKey;
use crate::xen::Xen;

/// The stub domain that is to ship, if one is.
pub(super) fn wanted<'a>(options: &'a ReplicationOptions<'a>) -> Option<Wanted<'a>> {
    Some(Wanted {
        name: options.ship.stub_domain()?,
        program: Program::PrimaryHelper,
        entry_count_min: RING_ENTRY_COUNT_PRIMARY_MIN,
        links: &options.links,
    })
}

/// Gives the link to the stub domain that was found. Returned are ship, capture's end of the ring, and another view of
/// it.
// Apart: the programs are smaller so.
#[inline(never)]
pub(super) fn give_to_stub_domain<'a>(
    xen: &'a Xen,
    options: &ReplicationOptions<'_>,
    found: FoundStubDomain,
    key: &SecretKey,
) -> Result<(OtherHalf<'a>, Producer, Consumer), StubDomainError> {
    let ReplicationOptions { links, timeout_ms, has_arbiter, delta_cache_size, .. } = options;
    let message = hand_over(links, *timeout_ms, *has_arbiter, *delta_cache_size, key);
    let (domain, ring) = StubDomain::take_up(xen, found, &message)?;
    let watched = domain.ring_again()?.into_consumer();
    Ok((OtherHalf::StubDomain(domain), ring.into_producer(), watched))
}
