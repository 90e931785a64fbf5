//! Receive in a stub domain: how it is given the link, and how standing by goes on when it was gone and is there again.

use super::error::StandByError;
use super::standing_by::StandingBy;
use crate::limits::{RING_ENTRY_COUNT_SLACK, XENSTORE_ANSWER_MS_MAX_BACKUP};
use crate::options::{ArbiterKind, StandByOptions};
use crate::other_half::{FoundStubDomain, HalfEnd, OtherHalf, Returning, StubDomain, Wanted};
use crate::platform::linux::signals;
use crate::ring::hand_over::Program;
use crate::ring::{Consumer, Ring};
use crate::start::{StartError, hand_over};
use crate::status::State;
use crate::wire::SecretKey;
use crate::xen::Xen;

/// The stub domain that is to receive, if one is.
pub(super) fn wanted<'a>(options: &'a StandByOptions<'a>) -> Option<Wanted<'a>> {
    Wanted::at(options.receive, Program::BackupHelper, RING_ENTRY_COUNT_SLACK, &options.links)
}

/// Gives the link to the stub domain that was found.
// Called, not copied to both who do.
#[inline(never)]
pub(super) fn give_to_stub_domain<'a>(
    xen: &'a Xen,
    options: &StandByOptions<'_>,
    found: FoundStubDomain,
    key: &SecretKey,
) -> Result<(OtherHalf<'a>, Consumer), StartError> {
    let has_arbiter = !matches!(options.arbiter, ArbiterKind::None);
    let message = hand_over(&options.links, options.timeout_ms, has_arbiter, 0, key);
    let (domain, ring) =
        StubDomain::take_up(xen, found, &message).map_err(|error| found.failed(error))?;
    Ok((OtherHalf::StubDomain(domain), ring.into_consumer()))
}

impl StandingBy<'_> {
    /// Receive has ended, and the twin is gone with its session: waits until its stub domain is there again, and gives
    /// it the link, or until the operator stops.
    ///
    /// # Errors
    /// [`StandByError::ReceiveEnded`] for a process, which does not come back; what ends standing by otherwise.
    pub(super) fn wait_for_receive(&mut self, end: HalfEnd) -> Result<(), StandByError> {
        let (HalfEnd::StubDomain(with, domain_end), Some(wanted), Some(xen)) =
            (end, wanted(self.options), self.xen)
        else {
            return Err(StandByError::ReceiveEnded(end));
        };
        crate::log!(
            "the receiving half {end}: the twin is gone; waiting until stub domain {} is there again",
            wanted.name
        );
        self.state = State::Waiting;
        // Its memory is the host's again: its successor may need it.
        self.receive = OtherHalf::Gone(with, domain_end);
        self.commit.set_ring(Ring::create(1)?.into_consumer());
        let key_file = self.options.key_file;
        let mut returning = Returning::new(wanted, key_file, XENSTORE_ANSWER_MS_MAX_BACKUP);
        while !signals::stop_requested() {
            self.write_status_when_due();
            let give = |found, key: &SecretKey| give_to_stub_domain(xen, self.options, found, key);
            if let Some((receive, ring)) = returning.try_again(xen, give) {
                self.receive = receive;
                self.commit.set_ring(ring);
                break;
            }
        }
        Ok(())
    }
}
