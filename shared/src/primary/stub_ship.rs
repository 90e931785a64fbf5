//! Ship in a stub domain: how it is given the link.
//!
//! What its end means for the guest and its output is as for a process that ships: see `protection`. But it can be
//! there again, and then protection goes on.

use super::error::ProtectError;
use super::protection::{EpochFigures, Protection};
use super::steps::Attendant;
use crate::capture::Capture;
use crate::limits::{RING_ENTRY_COUNT_PRIMARY_MIN, XENSTORE_ANSWER_MS_MAX_PRIMARY};
use crate::options::ReplicationOptions;
use crate::other_half::{FoundStubDomain, HalfEnd, OtherHalf, Returning, StubDomain, Wanted};
use crate::ring::hand_over::Program;
use crate::ring::{Consumer, Producer, Ring};
use crate::start::{StartError, hand_over};
use crate::wire::SecretKey;
use crate::xen::Xen;

/// The stub domain that is to ship, if one is.
pub(super) fn wanted<'a>(options: &'a ReplicationOptions<'a>) -> Option<Wanted<'a>> {
    Wanted::at(options.ship, Program::PrimaryHelper, RING_ENTRY_COUNT_PRIMARY_MIN, &options.links)
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
) -> Result<(OtherHalf<'a>, Producer, Consumer), StartError> {
    let ReplicationOptions { links, timeout_ms, has_arbiter, delta_cache_size, .. } = options;
    let message = hand_over(links, *timeout_ms, *has_arbiter, *delta_cache_size, key);
    let fail = |error| found.failed(error);
    let (domain, ring) = StubDomain::take_up(xen, found, &message).map_err(fail)?;
    let watched = domain.ring_again().map_err(fail)?.into_consumer();
    Ok((OtherHalf::StubDomain(domain), ring.into_producer(), watched))
}

impl Protection<'_> {
    /// Ship has ended with its stub domain, and the guest runs unprotected: waits until that is there again, and gives
    /// it the link. False when the operator stops.
    ///
    /// # Errors
    /// [`ProtectError::ShipEnded`] for a process, which does not come back; what ends protection otherwise.
    pub(super) fn wait_for_ship(
        &mut self,
        capture: &Capture<'_>,
        producer: &mut Producer,
        end: HalfEnd,
    ) -> Result<bool, ProtectError> {
        let options = &self.options.replication;
        let (HalfEnd::StubDomain(with, domain_end), Some(wanted)) = (end, wanted(options)) else {
            return Err(ProtectError::ShipEnded(end));
        };
        crate::log!(
            "{}: the sending half {end}: waiting until stub domain {} is there again",
            self.name,
            wanted.name
        );
        // Its memory is the host's again: its successor may need it.
        let (empty, watched) = Ring::create(1)?.into_both()?;
        *producer = empty;
        self.program.change_ship(OtherHalf::Gone(with, domain_end), watched);
        let key_file = options.key_file;
        let mut returning = Returning::new(wanted, key_file, XENSTORE_ANSWER_MS_MAX_PRIMARY);
        while !self.program.is_stop_wanted() {
            capture.check_domain()?;
            if self.program.is_report_due() {
                self.report(producer.control(), &EpochFigures::default())?;
            }
            let give = |found, key: &SecretKey| give_to_stub_domain(self.xen, options, found, key);
            if let Some((ship, ring, watched)) = returning.try_again(self.xen, give) {
                *producer = ring;
                self.program.change_ship(ship, watched);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
