//! The command line of `disk-arbiter`, with which a helper asks a shared disk who lives. People may, too.

use super::error::UsageError;
use crate::arbiter::{Claim, HostId};
use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::text::{parse_mac, parse_number};

/// Words of the longest question.
const WORD_COUNT_MAX: usize = 7;

/// What `disk-arbiter` is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskArbiterOptions<'a> {
    /// Path of the device.
    pub device: &'a str,
    /// The host that asks.
    pub own: HostId,
    /// The other one.
    pub peer: HostId,
    /// The domain's name.
    pub domain: &'a str,
    /// What is to be done.
    pub question: DiskQuestion,
}

/// What is to be done before the record is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskQuestion {
    /// Nothing.
    Get,
    /// To claim.
    Claim(Claim),
}

/// Reads `DEVICE HOST PEER get DOMAIN` (also: `check`) or `DEVICE HOST PEER claim DOMAIN TERM HOLDER`.
pub(super) fn parse_disk_arbiter<'a>(
    words: impl Iterator<Item = &'a str>,
) -> Result<DiskArbiterOptions<'a>, UsageError> {
    parse(words).ok_or(UsageError::DiskArbiter)
}

fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Option<DiskArbiterOptions<'a>> {
    let mut all = [""; WORD_COUNT_MAX];
    let mut count = 0;
    for word in words {
        *all.get_mut(count)? = word;
        count += 1;
    }
    let host = |mac| parse_mac(mac).map(HostId);
    let (told, question) = match all[..count] {
        [device, own, peer, "get" | "check", domain] => {
            ([device, own, peer, domain], DiskQuestion::Get)
        }
        [device, own, peer, "claim", domain, term, holder] => {
            let claim = Claim { term: parse_number(term)?, own: host(holder)? };
            ([device, own, peer, domain], DiskQuestion::Claim(claim))
        }
        _ => return None,
    };
    let [device, own, peer, domain] = told;
    let (own, peer) = (host(own)?, host(peer)?);
    let is_sound = own != peer && (1..=DOMAIN_NAME_SIZE_MAX).contains(&domain.len());
    is_sound.then_some(DiskArbiterOptions { device, own, peer, domain, question })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: HostId = HostId([2, 0, 0, 0, 0, 1]);
    const PEER: HostId = HostId([2, 0, 0, 0, 0, 2]);

    #[test]
    fn what_an_arbiter_is_asked_is_read() {
        let read = |line: &'static str| parse_disk_arbiter(line.split(' '));
        let get = DiskArbiterOptions {
            device: "/dev/sdb",
            own: OWN,
            peer: PEER,
            domain: "web",
            question: DiskQuestion::Get,
        };
        assert_eq!(read("/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:02 get web"), Ok(get));
        assert_eq!(read("/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:02 check web"), Ok(get));
        let claim = Claim { term: 7, own: PEER };
        let claim = DiskArbiterOptions { question: DiskQuestion::Claim(claim), ..get };
        let line = "/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:02 claim web 7 02:00:00:00:00:02";
        assert_eq!(read(line), Ok(claim));
        for wrong in [
            "",
            "/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:01 get web",
            "/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:02 get ",
            "/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:02 get web web",
            "/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:02 claim web 7",
            "/dev/sdb 02:00:00:00:00:01 02:00:00:00:00:02 put web",
        ] {
            assert_eq!(read(wrong), Err(UsageError::DiskArbiter), "{wrong}");
        }
    }
}
