//! When the primary is gone without a word: the arbiter says whether its guest may live here, and until
//! it has said it the twin stays as it is, ready.
//!
//! What a record means is the `arbiter` room's business.

use super::standing_by::StandingBy;
use crate::arbiter::{Next, Settling};
use crate::limits::ARBITER_REST_US;
use crate::platform::linux::{clock, signals};
use crate::status::State;

/// Where the guest lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Here: the twin is to be revived.
    Here,
    /// On the primary, or wherever else.
    There,
    /// The operator ended it before there was a decision.
    Stopped,
}

impl StandingBy<'_> {
    /// Claims the guest whose primary is lost, until there is a decision.
    pub(super) fn settle(&mut self, epoch: u64) -> Life {
        let Some(arbiter) = self.arbiter else { return Life::Here };
        let mut settling = Settling::new(self.commit.term(), arbiter.own());
        loop {
            let name = self.commit.domain_name();
            match settling.next(clock::monotonic_us(), false) {
                Next::Ask(claim) => {
                    let why = arbiter.settle(name, &mut settling, claim);
                    if let Some(error) = why.filter(|_| self.state != State::Undecided) {
                        crate::log!(
                            "{name}: the primary is lost, and {error}: epoch {epoch} is kept, \
                             unrevived, until there is a decision"
                        );
                        self.state = State::Undecided;
                    }
                    self.write_status_when_due();
                }
                Next::Wait { .. } if signals::stop_requested() => {
                    crate::log!(
                        "{name}: ended undecided: epoch {epoch} and its twin are destroyed; should the \
                         arbiter's record name this host, reset it"
                    );
                    return Life::Stopped;
                }
                Next::Wait { .. } => clock::sleep_us(ARBITER_REST_US),
                Next::Live { term } => {
                    let term = term.unwrap_or(0);
                    crate::log!("{name}: the arbiter lets the guest live here, term {term}");
                    return Life::Here;
                }
                Next::Yield { record } => {
                    crate::log!(
                        "{name}: the link to the primary is lost, but by the arbiter the guest lives \
                         on there (term {}): the twin is given up; standing by",
                        record.term
                    );
                    return Life::There;
                }
            }
        }
    }
}
