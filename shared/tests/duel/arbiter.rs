//! An arbiter that is slow, unreachable or silent at any moment, and never wrong.

use pollux::arbiter::{Claim, HostId, Record};

use crate::support::Random;

/// How long a question takes at most before the asker gives up.
const PATIENCE_US: u64 = 60_000;

/// A question under way. The arbiter decides at one moment and its answer comes at a later one, if it
/// comes.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    claim: Option<Claim>,
    decides_us: u64,
    answers_us: u64,
    record: Option<Record>,
    is_decided: bool,
}

/// The record of one domain.
#[derive(Debug)]
pub struct Arbiter {
    pub record: Record,
    /// Whether the primary's and the backup's host reach it.
    pub reachable: [bool; 2],
}

impl Arbiter {
    pub const fn new() -> Self {
        Self { record: Record { term: 0, holder: None }, reachable: [true; 2] }
    }

    /// Asks; without a claim only what the record is.
    pub fn ask(random: &mut Random, now_us: u64, claim: Option<Claim>) -> Question {
        let decides_us = now_us + random.below(PATIENCE_US / 2);
        let answers_us = decides_us + random.below(PATIENCE_US / 2);
        Question { claim, decides_us, answers_us, record: None, is_decided: false }
    }

    /// What has become of `host`'s question: none while it is under way, then the record or that nothing
    /// was heard.
    pub fn poll(
        &mut self,
        host: usize,
        now_us: u64,
        question: &mut Question,
    ) -> Option<Option<Record>> {
        if !question.is_decided && now_us >= question.decides_us {
            question.is_decided = true;
            if self.reachable[host] {
                question.record = Some(self.decide(question.claim));
            }
        }
        // An answer can be lost although the claim has passed.
        let answer = || question.record.filter(|_| self.reachable[host]);
        (now_us >= question.answers_us).then(answer)
    }

    fn decide(&mut self, claim: Option<Claim>) -> Record {
        if let Some(Claim { term, own }) = claim
            && term == self.record.term
        {
            self.record = Record { term: term + 1, holder: Some(own) };
        }
        self.record
    }
}

/// The address that stands for a host.
pub const fn host_id(host: usize) -> HostId {
    [HostId([2, 0, 0, 0, 0, 1]), HostId([2, 0, 0, 0, 0, 2])][host]
}
