//! Receive in a stub domain: how it is given the link, and how standing by goes on when it was gone and is there again.

use super::error::StandByError;
use super::standing_by::StandingBy;
use crate::limits::{RING_ENTRY_COUNT_SLACK, STUB_DOMAIN_RETRY_MS, XENSTORE_ANSWER_MS_MAX_BACKUP};
use crate::options::{ArbiterKind, StandByOptions};
use crate::other_half::{
    FoundStubDomain, HalfEnd, OtherHalf, StubDomain, StubDomainError, Wanted, find_now,
};
use crate::platform::linux::key_file::read_key_file;
use crate::platform::linux::xenbus::open_xenstore;
use crate::platform::linux::{clock, signals};
use crate::ring::hand_over::Program;
use crate::ring::{Consumer, Ring};
use crate::start::hand_over;
use crate::status::State;
use crate::wire::SecretKey;
use crate::xen::Xen;

/// The stub domain that is to receive, if one is.
pub(super) fn wanted<'a>(options: &'a StandByOptions<'a>) -> Option<Wanted<'a>> {
    Some(Wanted {
        name: options.receive.stub_domain()?,
        program: Program::BackupHelper,
        entry_count_min: RING_ENTRY_COUNT_SLACK,
        links: &options.links,
    })
}

/// Gives the link to the stub domain that was found.
// Called, not copied to both who do.
#[inline(never)]
pub(super) fn give_to_stub_domain<'a>(
    xen: &'a Xen,
    options: &StandByOptions<'_>,
    found: FoundStubDomain,
    key: &SecretKey,
) -> Result<(OtherHalf<'a>, Consumer), StubDomainError> {
    let has_arbiter = !matches!(options.arbiter, ArbiterKind::None);
    let message = hand_over(&options.links, options.timeout_ms, has_arbiter, 0, key);
    let (domain, ring) = StubDomain::take_up(xen, found, &message)?;
    Ok((OtherHalf::StubDomain(domain), ring.into_consumer()))
}

impl StandingBy<'_> {
    /// Receive has ended, and the twin is gone with its session: waits until its stub domain is there again, and gives
    /// it the link, or until the operator stops.
    ///
    /// # Errors
    /// [`StandByError::ReceiveEnded`] for a process, which does not come back; what ends standing by otherwise.
    pub(super) fn wait_for_receive(&mut self, end: HalfEnd) -> Result<(), StandByError> {
        let (Some(wanted), Some(xen)) = (wanted(self.options), self.xen) else {
            return Err(StandByError::ReceiveEnded(end));
        };
        crate::log!(
            "the receiving half {end}: the twin is gone; waiting until stub domain {} is there again",
            wanted.name
        );
        self.state = State::Waiting;
        // Its memory is the host's again: its successor may need it.
        self.receive = OtherHalf::Gone(end);
        self.commit.set_ring(Ring::create(1)?.into_consumer());
        let mut store = open_xenstore(XENSTORE_ANSWER_MS_MAX_BACKUP)?;
        let mut told = None;
        while !signals::stop_requested() {
            self.write_status_when_due();
            // The key may have been renewed since.
            let key = read_key_file(self.options.key_file)?;
            let given = find_now(xen, &mut store, &wanted)
                .and_then(|found| give_to_stub_domain(xen, self.options, found, &key));
            match given {
                Ok((receive, ring)) => {
                    self.receive = receive;
                    self.commit.set_ring(ring);
                    crate::log!("stub domain {} has the link: standing by", wanted.name);
                    break;
                }
                Err(error) if told == Some(error) => {}
                Err(error) => {
                    told = Some(error);
                    crate::log!("{error}");
                }
            }
            clock::sleep_us(STUB_DOMAIN_RETRY_MS * 1000);
        }
        Ok(())
    }
}
