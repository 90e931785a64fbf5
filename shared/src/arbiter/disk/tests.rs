//! Every order in which two hosts can reach the disk, with crashes between any two accesses.

use std::collections::HashSet;
use std::vec::Vec;

use super::*;

const HOSTS: [HostId; 2] = [HostId([2, 0, 0, 0, 0, 1]), HostId([2, 0, 0, 0, 0, 2])];
/// Claims that each host ends at most, those included that came to nothing.
const CLAIMS_MAX: u8 = 2;
/// How often either host crashes at most. More of all this makes millions of orders, and minutes.
const CRASHES_MAX: u8 = 1;
/// Terms after which no host claims any more.
const TERMS_MAX: usize = 2;

/// An access that a claim is about to make.
#[derive(Clone, Copy, Debug)]
enum Access {
    ReadOwn,
    ReadPeer,
    Write(Vote),
}

/// What the disk has answered to a claim so far; at the end of it, the claim stops where it is.
struct Replay<'a> {
    answers: core::slice::Iter<'a, Vote>,
}

impl Replay<'_> {
    fn answer(&mut self, access: Access) -> Result<Vote, Access> {
        self.answers.next().copied().ok_or(access)
    }
}

impl Votes for Replay<'_> {
    type Error = Access;

    fn read_own(&mut self) -> Result<Vote, Access> {
        self.answer(Access::ReadOwn)
    }

    fn read_peer(&mut self) -> Result<Vote, Access> {
        self.answer(Access::ReadPeer)
    }

    fn write_own(&mut self, vote: &Vote) -> Result<(), Access> {
        self.answer(Access::Write(*vote)).map(drop)
    }
}

/// One host in the midst of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Host {
    claimed_term: u64,
    ended: u8,
    answers: Vec<Vote>,
}

impl Host {
    fn end_claim(&mut self) {
        self.ended += 1;
        self.answers.clear();
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    votes: [Vote; 2],
    hosts: [Host; 2],
    crashes: u8,
    /// Who was told to hold each term, from 1.
    told: [Option<HostId>; TERMS_MAX],
}

impl World {
    /// The world after the next access of this host, or after its claim's end; none if it has ended all.
    fn step(&self, number: usize) -> Option<Self> {
        let host = &self.hosts[number];
        if host.ended >= CLAIMS_MAX || host.claimed_term >= TERMS_MAX as u64 {
            return None;
        }
        let (mut next, it) = (self.clone(), Claim { term: host.claimed_term, own: HOSTS[number] });
        let mut replay = Replay { answers: host.answers.iter() };
        match claim(&mut replay, number == 1, it) {
            Err(Access::ReadOwn) => next.hosts[number].answers.push(self.votes[number]),
            Err(Access::ReadPeer) => next.hosts[number].answers.push(self.votes[1 - number]),
            Err(Access::Write(vote)) => {
                next.votes[number] = vote;
                next.hosts[number].answers.push(vote);
            }
            Ok(None) => next.hosts[number].end_claim(),
            Ok(Some(record)) => {
                next.note_told(record);
                next.hosts[number].claimed_term = record.term;
                next.hosts[number].end_claim();
            }
        }
        Some(next)
    }

    fn note_told(&mut self, record: Record) {
        let place = usize::try_from(record.term).unwrap() - 1;
        let told = *self.told[place].get_or_insert(record.holder.unwrap());
        assert_eq!(Some(told), record.holder, "two hosts hold term {}: {self:?}", record.term);
    }

    /// The world after this host crashed and began again.
    fn crash(&self, number: usize) -> Option<Self> {
        if self.crashes >= CRASHES_MAX || self.hosts[number].answers.is_empty() {
            return None;
        }
        let mut next = self.clone();
        next.crashes += 1;
        next.hosts[number].answers.clear();
        Some(next)
    }

    /// What either host would be told now, alone.
    fn check(&self) {
        for number in [0, 1] {
            let mut disk = Alone { votes: self.votes, number };
            let record = read(&mut disk).unwrap();
            for (place, told) in self.told.iter().enumerate().filter(|(_, told)| told.is_some()) {
                let term = place as u64 + 1;
                assert!(record.term >= term, "term {term} was told and is not seen: {self:?}");
                assert!(record.term > term || record.holder == *told, "{record} in {self:?}");
            }
            let own = Claim { term: record.term, own: HOSTS[number] };
            let claimed = claim(&mut disk, number == 1, own).unwrap();
            let decided = claimed.unwrap_or_else(|| panic!("alone, and undecided: {self:?}"));
            assert_eq!(decided.term, record.term + 1);
        }
    }
}

/// The disk while the other host does nothing.
struct Alone {
    votes: [Vote; 2],
    number: usize,
}

impl Votes for Alone {
    type Error = core::convert::Infallible;

    fn read_own(&mut self) -> Result<Vote, Self::Error> {
        Ok(self.votes[self.number])
    }

    fn read_peer(&mut self) -> Result<Vote, Self::Error> {
        Ok(self.votes[1 - self.number])
    }

    fn write_own(&mut self, vote: &Vote) -> Result<(), Self::Error> {
        self.votes[self.number] = *vote;
        Ok(())
    }
}

#[test]
fn in_no_order_of_accesses_and_crashes_two_hosts_hold_a_term() {
    let mut seen = HashSet::from([World::default()]);
    let mut open = Vec::from([World::default()]);
    let mut both_told = [false; 2];
    while let Some(world) = open.pop() {
        world.check();
        for (number, told) in both_told.iter_mut().enumerate() {
            *told |= world.told[0] == Some(HOSTS[number]);
        }
        for number in [0, 1] {
            let nexts = world.step(number).into_iter().chain(world.crash(number));
            open.extend(nexts.filter(|next| seen.insert(next.clone())));
        }
    }
    assert_eq!(both_told, [true; 2], "either host can win");
    assert!(seen.len() > 100_000, "only {} worlds were seen", seen.len());
}

#[test]
fn a_claim_to_another_term_changes_nothing() {
    let mut disk = Alone { votes: [Vote::default(); 2], number: 0 };
    let mut claim_of = |term, number| {
        disk.number = number;
        claim(&mut disk, number == 1, Claim { term, own: HOSTS[number] }).unwrap().unwrap()
    };
    let first = Record { term: 1, holder: Some(HOSTS[0]) };
    assert_eq!(claim_of(0, 0), first);
    // From the past, from the future, and repeated.
    assert_eq!(claim_of(0, 1), first);
    assert_eq!(claim_of(7, 1), first);
    assert_eq!(claim_of(0, 0), first);
    assert_eq!(claim_of(1, 1), Record { term: 2, holder: Some(HOSTS[1]) });
    assert_eq!(claim_of(1, 0), Record { term: 2, holder: Some(HOSTS[1]) });
}
