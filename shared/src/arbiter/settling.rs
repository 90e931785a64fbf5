//! What an end does about a session that is over: who lives must be settled before it goes on.
//!
//! Both ends do the same. Time and answers come in as arguments.

use super::{Claim, HostId, Record, Verdict};
use crate::limits::ARBITER_RETRY_MS;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the arbiter now, with this claim, and [`note`](Settling::note) what it says.
    Ask(Claim),
    /// Nothing before this time, in microseconds; the guest does not live here so far.
    Wait {
        /// When to look again.
        until_us: u64,
    },
    /// The guest may live here.
    Live {
        /// The term that it lives in; none when a claim was made whose answer never came: the next term
        /// must be taken up before anything else is begun.
        term: Option<u64>,
    },
    /// It lives elsewhere.
    Yield {
        /// Who holds which term.
        record: Record,
    },
}

/// The question who lives, until it is settled.
#[derive(Clone, Copy, Debug)]
pub struct Settling {
    claim: Claim,
    ask_at_us: u64,
    is_unanswered: bool,
    verdict: Option<Verdict>,
}

impl Settling {
    /// The session that is over began in `term`, and the other end may go on with its guest.
    #[must_use]
    pub const fn new(term: u64, own: HostId) -> Self {
        let claim = Claim { term, own };
        Self { claim, ask_at_us: 0, is_unanswered: false, verdict: None }
    }

    /// The same, if it is needed: there is nothing to settle when the session brought no epoch that could
    /// be revived, or when the other end has said that it does not go on with the guest.
    #[must_use]
    pub fn begin(
        term: u64,
        own: HostId,
        has_revivable_epoch: bool,
        has_farewell: bool,
    ) -> Option<Self> {
        (has_revivable_epoch && !has_farewell).then_some(Self::new(term, own))
    }

    /// What is to be done. `has_farewell`: the other end has said that it does not go on with the
    /// guest, so nobody else claims this term.
    #[must_use]
    pub fn next(&self, now_us: u64, has_farewell: bool) -> Next {
        match self.verdict {
            Some(Verdict::Granted { term }) => Next::Live { term: Some(term) },
            Some(Verdict::Denied { record }) => Next::Yield { record },
            _ if has_farewell => {
                Next::Live { term: (!self.is_unanswered).then_some(self.claim.term) }
            }
            _ if now_us >= self.ask_at_us => Next::Ask(self.claim),
            _ => Next::Wait { until_us: self.ask_at_us },
        }
    }

    /// The arbiter has answered with this record, or not at all.
    pub fn note(&mut self, now_us: u64, record: Option<Record>) {
        self.ask_at_us = now_us + ARBITER_RETRY_MS * 1000;
        self.is_unanswered |= record.is_none();
        self.verdict = record.map(|record| self.claim.judge(record));
    }

    /// What the arbiter knows, if that is older than what this end knows: it has lost its memory.
    #[must_use]
    pub const fn forgotten(&self) -> Option<Record> {
        match self.verdict {
            Some(Verdict::Forgotten { record }) => Some(record),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: HostId = HostId([2, 0, 0, 0, 0, 1]);
    const PEER: HostId = HostId([2, 0, 0, 0, 0, 2]);
    const CLAIM: Claim = Claim { term: 4, own: OWN };

    #[test]
    fn nothing_is_settled_without_need() {
        assert!(Settling::begin(4, OWN, false, false).is_none());
        assert!(Settling::begin(4, OWN, true, true).is_none());
    }

    #[test]
    fn it_asks_until_it_is_answered() {
        let mut settling = Settling::begin(4, OWN, true, false).unwrap();
        assert_eq!(settling.next(10, false), Next::Ask(CLAIM));
        settling.note(10, None);
        let until_us = 10 + ARBITER_RETRY_MS * 1000;
        assert_eq!(settling.next(11, false), Next::Wait { until_us });
        assert_eq!(settling.next(until_us, false), Next::Ask(CLAIM));
        let record = Record { term: 5, holder: Some(PEER) };
        settling.note(until_us, Some(record));
        assert_eq!(settling.next(until_us, false), Next::Yield { record });
        // Whatever comes later, what the arbiter has said stays.
        assert_eq!(settling.next(until_us, true), Next::Yield { record });
    }

    #[test]
    fn a_farewell_settles_it_in_the_same_term_unless_a_claim_may_have_passed() {
        let mut settling = Settling::begin(4, OWN, true, false).unwrap();
        assert_eq!(settling.next(1, true), Next::Live { term: Some(4) });
        settling.note(0, None);
        assert_eq!(settling.next(1, true), Next::Live { term: None });
    }

    #[test]
    fn an_arbiter_that_has_forgotten_is_asked_again() {
        let mut settling = Settling::begin(4, OWN, true, false).unwrap();
        let record = Record { term: 0, holder: None };
        settling.note(0, Some(record));
        assert_eq!(settling.forgotten(), Some(record));
        assert!(matches!(settling.next(1, false), Next::Wait { .. }));
        settling.note(0, Some(Record { term: 5, holder: Some(OWN) }));
        assert_eq!(settling.next(1, false), Next::Live { term: Some(5) });
    }
}
