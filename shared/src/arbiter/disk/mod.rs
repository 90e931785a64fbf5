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

/// What one host has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vote {
    /// The newest record that was decided, as far as this host knows.
    pub decided: Record,
    /// The highest ballot, of those for the term after, that this host has begun; 0 for none.
    pub promised: u64,
    /// The ballot in which it accepted `holder`; 0 for none.
    pub accepted: u64,
    /// Whom it wants to have the term after, once it has accepted somebody.
    pub holder: Option<HostId>,
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
    Ok(own.caught_up(&disk.read_peer()?).decided)
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
    if own.decided.term != claim.term {
        return Ok(Some(own.decided));
    }
    own.promised = own.ballot_after(&peer, is_second);
    disk.write_own(&own)?;
    let peer = disk.read_peer()?;
    if own.is_overtaken(&peer) {
        return Ok(own.told_by(&peer));
    }
    // Whom either has accepted may have been decided on: nobody else can be.
    let peer_accepted = if peer.decided.term == own.decided.term { peer.accepted } else { 0 };
    own.holder = match own.accepted.max(peer_accepted) {
        0 => Some(claim.own),
        newest if newest == own.accepted => own.holder,
        _ => peer.holder,
    };
    own.accepted = own.promised;
    disk.write_own(&own)?;
    let peer = disk.read_peer()?;
    if own.is_overtaken(&peer) {
        return Ok(own.told_by(&peer));
    }
    // Decided. Nobody is told before it is written.
    let decided = Record { term: claim.term + 1, holder: own.holder };
    disk.write_own(&Vote { decided, ..Vote::default() })?;
    Ok(Some(decided))
}

impl Vote {
    /// This host's vote, if it knew what the other one knows.
    fn caught_up(self, peer: &Self) -> Self {
        if peer.decided.term > self.decided.term {
            Self { decided: peer.decided, ..Self::default() }
        } else {
            self
        }
    }

    /// Whether the other host has gone on, so that this ballot comes to nothing.
    const fn is_overtaken(&self, peer: &Self) -> bool {
        let is_same_term = peer.decided.term == self.decided.term;
        peer.decided.term > self.decided.term || (is_same_term && peer.promised > self.promised)
    }

    /// What the other host has decided meanwhile.
    fn told_by(&self, peer: &Self) -> Option<Record> {
        (peer.decided.term > self.decided.term).then_some(peer.decided)
    }

    /// A ballot higher than all so far for this term, and never one of the other host's: theirs are even
    /// and odd.
    const fn ballot_after(&self, peer: &Self, is_second: bool) -> u64 {
        let is_same_term = peer.decided.term == self.decided.term;
        let highest = if is_same_term && peer.promised > self.promised {
            peer.promised
        } else {
            self.promised
        };
        (highest / 2 + 1) * 2 + is_second as u64
    }
}

#[cfg(test)]
mod tests;
