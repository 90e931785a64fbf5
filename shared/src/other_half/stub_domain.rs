//! A stub domain that has the link: how it is given it, and whether it lives.

use super::StubDomainEnd;
use super::error::StubDomainError;
use super::finding::FoundStubDomain;
use super::heart::Heart;
use crate::capture::ShutdownReason;
use crate::limits::STUB_DOMAIN_TAKE_MS_MAX;
use crate::platform::linux::clock;
use crate::platform::linux::evtchn::EventChannels;
use crate::platform::memory::SharedMemory;
use crate::ring::Ring;
use crate::ring::hand_over::{HandOver, HandOverPage, HandOverState};
use crate::xen::{DomainInfo, Errno, Xen, XenError};

/// Microseconds between two looks at the domain: each is a call to Xen that others wait for.
const LOOK_INTERVAL_US: u64 = 20_000;
/// Microseconds between two looks whether the hand-over was taken.
const REST_US: u64 = 1_000;

/// A stub domain that carries the link. Dropping this ends that: its port is closed.
#[derive(Debug)]
pub struct StubDomain<'a> {
    xen: &'a Xen,
    pub(super) found: FoundStubDomain,
    page: HandOverPage,
    events: EventChannels,
    port: u32,
    heart: Heart,
    look_due_us: u64,
    end: Option<StubDomainEnd>,
}

impl<'a> StubDomain<'a> {
    /// Gives the link to a stub domain that was found, and waits until it has it, [`STUB_DOMAIN_TAKE_MS_MAX`] at most.
    ///
    /// # Errors
    /// [`StubDomainError`].
    #[inline(never)]
    pub fn take_up(
        xen: &'a Xen,
        found: FoundStubDomain,
        hand_over: &HandOver,
    ) -> Result<(Self, Ring), StubDomainError> {
        let (mut page, ring) = map(xen, &found)?;
        let events = EventChannels::open().map_err(|_| StubDomainError::NoEvents)?;
        let port = match events.bind_interdomain(found.domid, found.offer.event_port) {
            Err(XenError { errno: Errno::EINVAL, .. }) => return Err(StubDomainError::Taken),
            bound => bound?,
        };
        if page.state() != Some(HandOverState::Awaited) {
            return Err(StubDomainError::Taken);
        }
        page.give(hand_over);
        events.notify(port)?;
        wait_until_taken(&page)?;
        let now_us = clock::monotonic_us();
        let heart = Heart::new(hand_over.timeout_ms, now_us, page.link_heartbeat());
        let (look_due_us, end) = (0, None);
        Ok((Self { xen, found, page, events, port, heart, look_due_us, end }, ring))
    }

    /// Another view of the ring, for whoever looks at its control words from elsewhere.
    ///
    /// # Errors
    /// Xen's, when the domain is gone.
    pub fn ring_again(&self) -> Result<Ring, StubDomainError> {
        Ok(map(self.xen, &self.found)?.1)
    }

    /// How it has ended, or nothing while it carries the link.
    pub fn end(&mut self) -> Option<StubDomainEnd> {
        let now_us = clock::monotonic_us();
        if self.end.is_none() && now_us >= self.look_due_us {
            self.look_due_us = now_us + LOOK_INTERVAL_US;
            let beat = self.page.link_heartbeat();
            self.end = end_by_page(self.page.state())
                .or_else(|| end_by_xen(self.xen.getdomaininfo(self.found.domid)))
                .or_else(|| self.heart.stands_still(now_us, beat).then_some(StubDomainEnd::Hung));
        }
        self.end
    }

    /// Closes the port, by which the stub domain sees that this life of its link half is over; how that ended, if it
    /// has not ended by itself.
    pub fn let_go(&mut self) -> StubDomainEnd {
        // Closed once; the second time there is no such port.
        let _ = self.events.unbind(self.port);
        *self.end.get_or_insert(StubDomainEnd::LetGo)
    }
}

/// Maps the region that a stub domain offers. The copies of its numbers are used that were checked.
fn map(xen: &Xen, found: &FoundStubDomain) -> Result<(HandOverPage, Ring), StubDomainError> {
    let FoundStubDomain { domid, offer, .. } = found;
    let page_count = usize::try_from(offer.page_count()).map_err(|_| StubDomainError::Outside)?;
    // Each by itself: the kernel unmaps a mapping of foreign pages as a whole or not at all.
    let page = SharedMemory::of_domain(xen, *domid, offer.gfn, 1)?;
    let ring = SharedMemory::of_domain(xen, *domid, offer.gfn + 1, page_count - 1)?;
    Ok((HandOverPage::of(page), Ring::over(ring, offer.entry_count)))
}

fn wait_until_taken(page: &HandOverPage) -> Result<(), StubDomainError> {
    let until_us = clock::monotonic_us() + STUB_DOMAIN_TAKE_MS_MAX * 1000;
    loop {
        match page.state() {
            Some(HandOverState::Taken) => return Ok(()),
            Some(HandOverState::Given) if clock::monotonic_us() < until_us => {
                clock::sleep_us(REST_US);
            }
            state => {
                return Err(StubDomainError::NotTaken(state.unwrap_or(HandOverState::Malformed)));
            }
        }
    }
}

/// What the page's word says of the link half. A word that the stub domain does not write while it has the link
/// says that it cannot be relied on any more.
fn end_by_page(state: Option<HandOverState>) -> Option<StubDomainEnd> {
    match state {
        Some(HandOverState::Taken) => None,
        Some(HandOverState::Ended) => Some(StubDomainEnd::Link(HandOverState::Ended)),
        _ => Some(StubDomainEnd::Link(HandOverState::Failed)),
    }
}

/// What Xen says of the domain. One that was destroyed stays, dying, as long as its memory is mapped here. A call
/// that fails for another reason says nothing of it.
fn end_by_xen(info: Result<DomainInfo, XenError>) -> Option<StubDomainEnd> {
    match info {
        Ok(info) if info.is_dying() => Some(StubDomainEnd::Destroyed),
        Ok(info) => info
            .shutdown_reason()
            .map(|it| StubDomainEnd::ShutDown(ShutdownReason::from_number(it))),
        Err(error) if error.is_domain_missing() => Some(StubDomainEnd::Destroyed),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::Operation;

    fn info(flags: u32) -> Result<DomainInfo, XenError> {
        Ok(DomainInfo::with_flags(flags))
    }

    #[test]
    fn a_domain_that_runs_has_not_ended() {
        let failed = |errno| Err(XenError::of_domain(Operation::GetDomainInfo, 5, errno));
        // XEN_DOMINF_*: HVM, paused, dying, shut down with reason 3 (domctl.h).
        for (seen, end) in [
            (info(0x102), None),
            (info(0x10a), None),
            (info(0x103), Some(StubDomainEnd::Destroyed)),
            (info(0x3_0106), Some(StubDomainEnd::ShutDown(ShutdownReason::Crash))),
            (failed(Errno::ESRCH), Some(StubDomainEnd::Destroyed)),
            (failed(Errno::EAGAIN), None),
        ] {
            assert_eq!(end_by_xen(seen), end);
        }
    }

    #[test]
    fn every_state_but_one_ends_it() {
        assert_eq!(end_by_page(Some(HandOverState::Taken)), None);
        let ended = StubDomainEnd::Link(HandOverState::Ended);
        assert_eq!(end_by_page(Some(HandOverState::Ended)), Some(ended));
        let failed = Some(StubDomainEnd::Link(HandOverState::Failed));
        for word in [0, 1, 4, 5, 16, 17, 18, u64::MAX] {
            assert_eq!(end_by_page(HandOverState::of(word)), failed, "{word}");
        }
    }
}
