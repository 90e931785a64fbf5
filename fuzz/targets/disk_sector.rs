//! The sectors of a shared disk, with the digest that they came with and with the right one, and a claim on
//! whatever they hold: it is refused, or a record comes of it that both hosts see and that is no older.

#![no_main]

use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::arbiter::disk::{
    SECTOR_SIZE, Sector, SectorError, Vote, Votes, claim, number_of, read,
};
use pollux::arbiter::{Claim, HostId};

fuzz::target!(seeds, try_bytes);

type Bytes = [u8; SECTOR_SIZE];

const HOSTS: [HostId; 2] = [HostId([2, 0, 0, 0, 0, 1]), HostId([2, 0, 0, 0, 0, 2])];

fn sector(host: usize) -> Sector<'static> {
    Sector { writer: HOSTS[host], other: HOSTS[1 - host], domain: "web" }
}

/// Both sectors, as one of the hosts sees them.
struct Disk {
    sectors: [Bytes; 2],
    host: usize,
}

impl Votes for Disk {
    type Error = SectorError;

    fn read_own(&mut self) -> Result<Vote, SectorError> {
        sector(self.host).parse(&self.sectors[self.host])
    }

    fn read_peer(&mut self) -> Result<Vote, SectorError> {
        sector(1 - self.host).parse(&self.sectors[1 - self.host])
    }

    fn write_own(&mut self, vote: &Vote) -> Result<(), SectorError> {
        self.sectors[self.host] = [0; SECTOR_SIZE];
        sector(self.host).emit(vote, &mut self.sectors[self.host]);
        Ok(())
    }
}

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let host = usize::from(input.below(2));
    let term = input.near(0);
    let sectors = [0, 1].map(|host| read_sector(&mut input, host));
    let mut disk = Disk { sectors, host };
    let before = read(&mut disk);
    let after = claim(&mut disk, host == 1, Claim { term, own: HOSTS[host] });
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(before), Err(after)) => return assert_eq!(before, after),
        other => panic!("only one of them can be used: {other:?}"),
    };
    let seen = [0, 1].map(|host| read(&mut Disk { sectors: disk.sectors, host }));
    let seen = seen.map(|seen| seen.expect("it was sound, and a host wrote to it"));
    // Of holders that differ in one term, which nobody writes, each host sees its own.
    assert_eq!(seen[0].term, seen[1].term);
    let seen = seen[host];
    assert!(seen.term >= before.term);
    if let Some(after) = after {
        assert_eq!(after, seen);
        assert_eq!(after.term > before.term, before.term == term, "the term's claim passes");
    }
}

/// A sector of any bytes, or one that a host could have written but for its numbers.
fn read_sector(input: &mut Input<'_>, host: usize) -> Bytes {
    let mut bytes = [0; SECTOR_SIZE];
    match input.below(3) {
        0 => {}
        1 => {
            let given = input.bytes(SECTOR_SIZE);
            bytes[..given.len()].copy_from_slice(given);
        }
        _ => {
            let mut number = || input.near(0);
            let (term, promised, accepted) = (number(), number(), number());
            let choices = [0, number_of(HOSTS[0]), number_of(HOSTS[1]), input.u64()];
            let mut choice = || choices[usize::from(input.below(4))];
            let vote = Vote { term, holder: choice(), promised, accepted, choice: choice() };
            sector(host).emit(&vote, &mut bytes);
        }
    }
    if let Ok(vote) = sector(host).parse(&bytes)
        && vote != Vote::default()
    {
        let mut again = [0; SECTOR_SIZE];
        sector(host).emit(&vote, &mut again);
        assert_eq!(again[..160], bytes[..160], "what is read is what was written");
    }
    bytes
}

fn seeds() -> Seeds {
    let vote = Vote { term: 3, holder: number_of(HOSTS[0]), ..Vote::default() };
    let mut written = [0; SECTOR_SIZE];
    sector(0).emit(&vote, &mut written);
    let whole = [&[0, 3, 1][..], &written[..], &[0]].concat();
    Seeds::from([
        ("empty", vec![0, 0, 0, 0]),
        ("decided", vec![0, 3, 2, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 2, 2, 2, 2]),
        ("written", whole),
    ])
}
