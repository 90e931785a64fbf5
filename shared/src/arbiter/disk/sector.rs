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
//! A host is its MAC address, the first byte lowest; no holder is 0. The rest of the sector is zero. So is
//! all of it before it is first used.

use core::fmt;

use super::Vote;
use crate::arbiter::{HostId, Record};
use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::text::{FixedText, valid_beginning};
use crate::wire::digest;

/// Bytes of a sector: the smallest that block devices write as a whole.
pub const SECTOR_SIZE: usize = 512;
/// How a sector begins: name and version of its layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"pollux-1");

const NUMBER_COUNT: usize = 8;
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
    Domain(FixedText<DOMAIN_NAME_SIZE_MAX>),
    /// It is about other hosts: this one wrote it.
    Host(HostId),
}

impl fmt::Display for SectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => {
                f.write_str("it holds other data: if that may go, zero its first 8 KiB")
            }
            Self::Damaged => f.write_str("its record is damaged: see docs/arbiter.md, by hand"),
            Self::Domain(name) => write!(f, "it is {name}'s: give each domain its own"),
            Self::Host(host) => write!(f, "host {host} wrote it: see docs/arbiter.md, by hand"),
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
    /// The sector with this vote.
    #[must_use]
    pub fn encode(&self, vote: &Vote) -> [u8; SECTOR_SIZE] {
        let mut bytes = [0; SECTOR_SIZE];
        let numbers = [
            MAGIC,
            number_of(Some(self.writer)),
            number_of(Some(self.other)),
            vote.decided.term,
            number_of(vote.decided.holder),
            vote.promised,
            vote.accepted,
            number_of(vote.holder),
        ];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let name = self.domain.as_bytes();
        bytes[NAME_START..NAME_START + name.len()].copy_from_slice(name);
        let (content, rest) = bytes.split_at_mut(DIGEST_START);
        rest[..DIGEST_SIZE].copy_from_slice(&digest(content));
        bytes
    }

    /// The vote in a sector; an empty one before its first use.
    ///
    /// # Errors
    /// [`SectorError`].
    pub fn decode(&self, bytes: &[u8; SECTOR_SIZE]) -> Result<Vote, SectorError> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(Vote::default());
        }
        let mut numbers = [0; NUMBER_COUNT];
        for (number, place) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_le_bytes(*place);
        }
        let [magic, writer, other, term, decided, promised, accepted, holder] = numbers;
        if magic != MAGIC {
            return Err(SectorError::Foreign);
        }
        let (content, rest) = bytes.split_at(DIGEST_START);
        if rest[..DIGEST_SIZE] != digest(content) {
            return Err(SectorError::Damaged);
        }
        let name = &content[NAME_START..];
        let size = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        if name[..size] != *self.domain.as_bytes() {
            return Err(SectorError::Domain(FixedText::new(valid_beginning(&name[..size]))));
        }
        for (found, expected) in [(writer, self.writer), (other, self.other)] {
            if host_of(found) != Some(expected) {
                return Err(host_of(found).map_or(SectorError::Damaged, SectorError::Host));
            }
        }
        let decided = Record { term, holder: host_of(decided) };
        Ok(Vote { decided, promised, accepted, holder: host_of(holder) })
    }
}

fn number_of(host: Option<HostId>) -> u64 {
    host.map_or(0, |HostId([a, b, c, d, e, f])| u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

fn host_of(number: u64) -> Option<HostId> {
    let [a, b, c, d, e, f, ..] = number.to_le_bytes();
    (number != 0).then_some(HostId([a, b, c, d, e, f]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    const A: HostId = HostId([0x52, 0x54, 0, 2, 0, 2]);
    const B: HostId = HostId([0x52, 0x54, 0, 3, 0, 2]);
    const SECTOR: Sector<'_> = Sector { writer: A, other: B, domain: "web" };
    const VOTE: Vote = Vote {
        decided: Record { term: 7, holder: Some(B) },
        promised: 5,
        accepted: 3,
        holder: Some(A),
    };

    #[test]
    fn what_is_not_this_host_s_vote_on_this_domain_is_told() {
        let bytes = SECTOR.encode(&VOTE);
        assert_eq!(SECTOR.decode(&bytes), Ok(VOTE));
        let name = FixedText::new("web");
        let other_domain = Sector { domain: "we", ..SECTOR };
        assert_eq!(other_domain.decode(&bytes), Err(SectorError::Domain(name)));
        let other_side = Sector { writer: B, other: A, ..SECTOR };
        assert_eq!(other_side.decode(&bytes), Err(SectorError::Host(A)));
        let other_pair = Sector { other: HostId([2; 6]), ..SECTOR };
        assert_eq!(other_pair.decode(&bytes), Err(SectorError::Host(B)));
        assert_eq!(SECTOR.decode(&[b'x'; SECTOR_SIZE]), Err(SectorError::Foreign));
        assert_eq!(SECTOR.decode(&[0; SECTOR_SIZE]), Ok(Vote::default()));
        let line = "it is web's: give each domain its own";
        assert_eq!(SectorError::Domain(name).to_string(), line);
    }

    #[test]
    fn the_longest_name_fits() {
        let name = "n".repeat(DOMAIN_NAME_SIZE_MAX);
        let sector = Sector { domain: &name, ..SECTOR };
        assert_eq!(sector.decode(&sector.encode(&VOTE)), Ok(VOTE));
    }

    proptest! {
        #[test]
        fn a_bit_that_changed_is_noticed(place in 0..(DIGEST_START + DIGEST_SIZE) * 8) {
            let mut bytes = SECTOR.encode(&VOTE);
            bytes[place / 8] ^= 1 << (place % 8);
            prop_assert!(SECTOR.decode(&bytes).is_err());
        }

        #[test]
        fn what_is_written_is_read(term in 1u64.., holder: [u8; 6], promised: u64, accepted: u64) {
            let holder = host_of(number_of(Some(HostId(holder))));
            let vote = Vote { decided: Record { term, holder }, promised, accepted, holder };
            prop_assert_eq!(SECTOR.decode(&SECTOR.encode(&vote)), Ok(vote));
        }
    }
}
