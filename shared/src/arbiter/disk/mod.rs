//! An arbiter without a server: the record of one domain in a block device that both hosts see.
//!
//! A disk cannot compare and swap, so the hosts agree as in Disk Paxos (Gafni and Lamport, 2003) with two
//! processes and one disk. Each host has a [`Vote`] of its own there, which it alone writes and both read.
//! Each term is an agreement of its own; a vote tells the newest term that was decided as far as its host
//! knows, and how far it has come with the one after. Clocks have no part in it: a host that stands still
//! between any two accesses is overtaken or finds what was decided, and never decides otherwise.
//!
//! What a vote looks like on the disk is in `sector`; reading and writing it is the platform's business
//! (`platform::linux::shared_disk`).

mod sector;

pub use sector::{SECTOR_SIZE, Sector, SectorError};

use super::{Claim, HostId, Record};

/// What one host has written: numbers, as they are on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vote {
    /// The newest term that was decided, as far as this host knows; 0 for none.
    pub term: u64,
    /// Who holds it.
    pub holder: u64,
    /// The highest ballot, of those for the term after, that this host has begun; 0 for none.
    pub promised: u64,
    /// The ballot in which it accepted somebody for the term after; 0 for none.
    pub accepted: u64,
    /// Whom.
    pub choice: u64,
}

/// The number that stands for a host: its MAC address, the first byte lowest. None is 0.
#[must_use]
pub fn number_of(host: HostId) -> u64 {
    let HostId([a, b, c, d, e, f]) = host;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

fn host_of(number: u64) -> HostId {
    let [a, b, c, d, e, f, ..] = number.to_le_bytes();
    HostId([a, b, c, d, e, f])
}

/// The disk, as one of the hosts sees it.
pub trait Votes {
    /// Why it cannot be accessed.
    type Error;

    /// Reads this host's own vote.
    ///
    /// # Errors
    /// The disk's.
    fn read_own(&mut self) -> Result<Vote, Self::Error>;

    /// Reads the other host's vote, as it is on the disk now.
    ///
    /// # Errors
    /// The disk's.
    fn read_peer(&mut self) -> Result<Vote, Self::Error>;

    /// Writes this host's vote: as a whole, and on the disk when this returns. After an error either the
    /// old or the new one is there.
    ///
    /// # Errors
    /// The disk's.
    fn write_own(&mut self, vote: &Vote) -> Result<(), Self::Error>;
}

/// The newest record that was told to anybody.
///
/// # Errors
/// The disk's.
pub fn read<D: Votes>(disk: &mut D) -> Result<Record, D::Error> {
    let own = disk.read_own()?;
    Ok(own.caught_up(&disk.read_peer()?).record())
}

/// Claims the term after the claim's, once, and returns the record that there is afterwards. None when
/// the other host is at it as well: nothing is decided as far as is known, and it may be tried again.
/// `is_second` tells the hosts apart: one of them says so and the other does not.
///
/// # Errors
/// The disk's. The claim may pass all the same.
pub fn claim<D: Votes>(
    disk: &mut D,
    is_second: bool,
    claim: Claim,
) -> Result<Option<Record>, D::Error> {
    let own = disk.read_own()?;
    let peer = disk.read_peer()?;
    let mut own = own.caught_up(&peer);
    if own.term != claim.term {
        return Ok(Some(own.record()));
    }
    own.promised = own.ballot_after(&peer, is_second);
    for is_last in [false, true] {
        disk.write_own(&own)?;
        let peer = disk.read_peer()?;
        if peer.term > own.term {
            return Ok(Some(peer.record()));
        }
        let is_same_term = peer.term == own.term;
        if is_same_term && peer.promised > own.promised {
            return Ok(None);
        }
        if is_last {
            break;
        }
        // Whom either has accepted may have been decided on: then it can be nobody else.
        if is_same_term && peer.accepted > own.accepted {
            own.choice = peer.choice;
        } else if own.accepted == 0 {
            own.choice = number_of(claim.own);
        }
        own.accepted = own.promised;
    }
    // Decided. Nobody is told before it is written.
    let decided = Vote { term: claim.term + 1, holder: own.choice, ..Vote::default() };
    disk.write_own(&decided)?;
    Ok(Some(decided.record()))
}

impl Vote {
    /// What this host knows to be decided.
    fn record(&self) -> Record {
        Record { term: self.term, holder: (self.term > 0).then(|| host_of(self.holder)) }
    }

    /// This host's vote, if it knew what the other one knows.
    fn caught_up(self, peer: &Self) -> Self {
        if peer.term > self.term {
            Self { term: peer.term, holder: peer.holder, ..Self::default() }
        } else {
            self
        }
    }

    /// A ballot higher than all so far for this term, and never one of the other host's: theirs are even
    /// and odd.
    const fn ballot_after(&self, peer: &Self, is_second: bool) -> u64 {
        let is_peer_higher = peer.term == self.term && peer.promised > self.promised;
        let highest = if is_peer_higher { peer.promised } else { self.promised };
        (highest / 2 + 1) * 2 + is_second as u64
    }
}

#[cfg(test)]
mod tests;
