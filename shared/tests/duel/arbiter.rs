//! An arbiter that is slow, unreachable or silent at any moment, and never wrong.
//!
//! What was asked goes its own way: a claim may pass while its asker stands still, after it has given up,
//! or after it was killed.

use pollux::arbiter::{Claim, HostId, Record};

use crate::support::Random;

/// How long a question takes at most before the asker gives up, as a rule and when the arbiter is slow.
const PATIENCE_US: [u64; 2] = [60_000, 600_000];
/// A claim may come to the arbiter this much later than its asker gives up.
const LATE_US_MAX: u64 = 500_000;
/// Of a thousand claims so many do.
const LATE: u64 = 60;
/// An answer that nobody has asked for after so long is of no use to anybody.
const FORGOTTEN_US: u64 = 10_000_000;

/// A question under way.
#[derive(Debug)]
struct Question {
    ticket: u64,
    host: usize,
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
    pub is_slow: bool,
    questions: Vec<Question>,
    tickets: u64,
}

impl Arbiter {
    pub const fn new() -> Self {
        Self {
            record: Record { term: 0, holder: None },
            reachable: [true; 2],
            is_slow: false,
            questions: Vec::new(),
            tickets: 0,
        }
    }

    /// Asks; without a claim only what the record is. The question's number is for [`answer`](Self::answer).
    pub fn ask(
        &mut self,
        random: &mut Random,
        now_us: u64,
        host: usize,
        claim: Option<Claim>,
    ) -> u64 {
        let half_us = PATIENCE_US[usize::from(self.is_slow)] / 2;
        let on_time_us = now_us + random.below(half_us);
        let answers_us = on_time_us + random.below(half_us);
        let is_late = random.chance(LATE);
        let decides_us = if is_late { answers_us + random.below(LATE_US_MAX) } else { on_time_us };
        self.tickets += 1;
        let (ticket, record, is_decided) = (self.tickets, None, false);
        self.questions.push(Question {
            ticket,
            host,
            claim,
            decides_us,
            answers_us,
            record,
            is_decided,
        });
        ticket
    }

    /// Decides what is to be decided by now.
    pub fn step(&mut self, now_us: u64) {
        for number in 0..self.questions.len() {
            let question = &self.questions[number];
            if question.is_decided || now_us < question.decides_us {
                continue;
            }
            let (host, claim) = (question.host, question.claim);
            let record = self.reachable[host].then(|| self.decide(claim));
            let question = &mut self.questions[number];
            (question.record, question.is_decided) = (record, true);
        }
        self.questions.retain(|it| !it.is_decided || now_us < it.answers_us + FORGOTTEN_US);
    }

    /// What has become of a question: none while it is under way, then the record or that nothing was
    /// heard.
    pub fn answer(&mut self, now_us: u64, ticket: u64) -> Option<Option<Record>> {
        let Some(question) = self.questions.iter().find(|it| it.ticket == ticket) else {
            return Some(None);
        };
        // An answer can be lost although the claim has passed.
        let answer = || question.record.filter(|_| self.reachable[question.host]);
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
