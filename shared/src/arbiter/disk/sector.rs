//! A host's vote as it is on the disk: one sector, so that it is written as a whole or not at all.
//!
//! The sector names the domain and both hosts: a device that was given twice, or in which something else
//! lies, is found out before anything is written. Layout, in words of eight bytes, little-endian:
//!
//! | words | what |
//! | ----- | ---- |
//! | 0     | [`MAGIC`] |
//! | 1, 2  | the host that writes this sector, and the other one |
//! | 3, 4  | term and holder that were decided |
//! | 5 - 7 | ballot promised, ballot accepted, holder accepted |
//! | 8 - 15 | the domain's name, filled up with zeros |
//! | 16 - 19 | BLAKE2s-256 of all before |
//!
//! The rest of the sector is zero. So is all of it before it is first used.

use core::fmt;

use super::{Vote, host_of, number_of};
use crate::arbiter::HostId;
use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::wire::digest;

/// Bytes of a sector: the smallest that block devices write as a whole.
pub const SECTOR_SIZE: usize = 512;
/// How a sector begins: name and version of its layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"pollux-1");

const NUMBER_COUNT: usize = 8;
/// Terms and ballots count one by one: nobody comes as far as here, from where they could still be added to.
const COUNT_MAX: u64 = 1 << 62;
const NAME_START: usize = NUMBER_COUNT * 8;
const DIGEST_START: usize = NAME_START + DOMAIN_NAME_SIZE_MAX;
const DIGEST_SIZE: usize = 32;
const _: () = assert!(DIGEST_START == 16 * 8 && DIGEST_START + DIGEST_SIZE <= SECTOR_SIZE);

/// A sector cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorError {
    /// It holds something that is not an arbiter's.
    Foreign,
    /// It was an arbiter's, and is not as it was written.
    Damaged,
    /// It is about another domain.
    Domain,
    /// It is about other hosts, of which this is one.
    Host(HostId),
}

impl fmt::Display for SectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => {
                f.write_str("it holds other data: if that may go, zero its first 8 KiB")
            }
            Self::Damaged => f.write_str("its record is damaged: see docs/arbiter.md, by hand"),
            Self::Domain => f.write_str("it is another domain's: give each its own"),
            Self::Host(host) => write!(f, "it is for a host {host}: see docs/arbiter.md, by hand"),
        }
    }
}

impl core::error::Error for SectorError {}

/// Whose sector it is, and about which domain.
#[derive(Clone, Copy, Debug)]
pub struct Sector<'a> {
    /// The host that writes it.
    pub writer: HostId,
    /// The one that reads it.
    pub other: HostId,
    /// The domain's name, of at most `DOMAIN_NAME_SIZE_MAX` bytes.
    pub domain: &'a str,
}

impl Sector<'_> {
    /// All of a sector before the digest.
    fn content(&self, vote: &Vote) -> [u8; DIGEST_START] {
        let mut bytes = [0; DIGEST_START];
        let Vote { term, holder, promised, accepted, choice } = *vote;
        let (writer, other) = (number_of(self.writer), number_of(self.other));
        let numbers = [MAGIC, writer, other, term, holder, promised, accepted, choice];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let name = self.domain.as_bytes();
        bytes[NAME_START..][..name.len()].copy_from_slice(name);
        bytes
    }

    /// Writes the sector with this vote into zeroed bytes.
    pub fn emit(&self, vote: &Vote, bytes: &mut [u8; SECTOR_SIZE]) {
        let content = self.content(vote);
        bytes[..DIGEST_START].copy_from_slice(&content);
        bytes[DIGEST_START..][..DIGEST_SIZE].copy_from_slice(&digest(&content));
    }

    /// The vote in a sector; an empty one before its first use.
    ///
    /// # Errors
    /// [`SectorError`].
    pub fn parse(&self, bytes: &[u8; SECTOR_SIZE]) -> Result<Vote, SectorError> {
        if *bytes == [0; SECTOR_SIZE] {
            return Ok(Vote::default());
        }
        let mut numbers = [0; NUMBER_COUNT];
        for (number, place) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_le_bytes(*place);
        }
        let [magic, writer, other, term, holder, promised, accepted, choice] = numbers;
        if magic != MAGIC {
            return Err(SectorError::Foreign);
        }
        let (content, rest) = bytes.split_at(DIGEST_START);
        if rest[..DIGEST_SIZE] != digest(content) {
            return Err(SectorError::Damaged);
        }
        for (found, expected) in [(writer, self.writer), (other, self.other)] {
            if found != number_of(expected) {
                return Err(SectorError::Host(host_of(found)));
            }
        }
        if [term, promised, accepted].iter().any(|&count| count > COUNT_MAX) {
            return Err(SectorError::Damaged);
        }
        let vote = Vote { term, holder, promised, accepted, choice };
        // All that is left to differ is the name.
        if content == self.content(&vote) { Ok(vote) } else { Err(SectorError::Domain) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    const A: HostId = HostId([0x52, 0x54, 0, 2, 0, 2]);
    const B: HostId = HostId([0x52, 0x54, 0, 3, 0, 2]);
    const SECTOR: Sector<'_> = Sector { writer: A, other: B, domain: "web" };
    const VOTE: Vote = Vote { term: 7, holder: 1, promised: 5, accepted: 3, choice: 2 };

    fn encode(sector: &Sector<'_>, vote: &Vote) -> [u8; SECTOR_SIZE] {
        let mut bytes = [0; SECTOR_SIZE];
        sector.emit(vote, &mut bytes);
        bytes
    }

    #[test]
    fn what_is_not_this_host_s_vote_on_this_domain_is_told() {
        let bytes = encode(&SECTOR, &VOTE);
        assert_eq!(SECTOR.parse(&bytes), Ok(VOTE));
        for domain in ["we", "webs", "mail"] {
            let other_domain = Sector { domain, ..SECTOR };
            assert_eq!(other_domain.parse(&bytes), Err(SectorError::Domain));
        }
        let other_side = Sector { writer: B, other: A, ..SECTOR };
        assert_eq!(other_side.parse(&bytes), Err(SectorError::Host(A)));
        let other_pair = Sector { other: HostId([2; 6]), ..SECTOR };
        assert_eq!(other_pair.parse(&bytes), Err(SectorError::Host(B)));
        assert_eq!(SECTOR.parse(&[b'x'; SECTOR_SIZE]), Err(SectorError::Foreign));
        assert_eq!(SECTOR.parse(&[0; SECTOR_SIZE]), Ok(Vote::default()));
        let line = "it is for a host 52:54:00:02:00:02: see docs/arbiter.md, by hand";
        assert_eq!(SectorError::Host(A).to_string(), line);
    }

    #[test]
    fn the_longest_name_fits() {
        let name = "n".repeat(DOMAIN_NAME_SIZE_MAX);
        let sector = Sector { domain: &name, ..SECTOR };
        assert_eq!(sector.parse(&encode(&sector, &VOTE)), Ok(VOTE));
    }

    proptest! {
        #[test]
        fn a_bit_that_changed_is_noticed(place in 0..(DIGEST_START + DIGEST_SIZE) * 8) {
            let mut bytes = encode(&SECTOR, &VOTE);
            bytes[place / 8] ^= 1 << (place % 8);
            prop_assert!(SECTOR.parse(&bytes).is_err());
        }

        #[test]
        fn what_is_written_is_read_if_it_can_have_come_about(numbers: [u64; 5], mac: [u8; 6], small in 0..4u32) {
            let [term, holder, promised, accepted, choice] = numbers;
            let [term, promised, accepted] = [term, promised, accepted].map(|count| count >> small);
            let vote = Vote { term, holder, promised, accepted, choice };
            let is_beyond = [term, promised, accepted].iter().any(|&count| count > COUNT_MAX);
            let expected = if is_beyond { Err(SectorError::Damaged) } else { Ok(vote) };
            prop_assert_eq!(SECTOR.parse(&encode(&SECTOR, &vote)), expected);
            prop_assert_eq!(host_of(number_of(HostId(mac))), HostId(mac));
        }
    }
}
