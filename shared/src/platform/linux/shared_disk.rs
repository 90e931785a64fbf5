//! A block device that both hosts see, as an arbiter: `--arbiter disk:DEVICE`.
//!
//! Both helpers run `backup-helper disk-arbiter DEVICE HOST PEER` and what any arbiter's program is asked: a
//! device that does not answer holds up a process of its own, which is given up after a while. What is
//! agreed on, and how, is in `arbiter::disk`.

use core::fmt;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::clock::sleep_us;
use super::errno::ErrnoText;
use super::file::open_with_mode;
use super::log::print;
use super::memory::MemoryError;
use super::private_memory::PrivatePages;
use crate::arbiter::disk::{Sector, SectorError, Vote, Votes, claim, read};
use crate::arbiter::{Claim, Record};
use crate::limits::{ARBITER_ANSWER_MS_MAX, PAGE_SIZE};
use crate::options::{DiskArbiterOptions, DiskQuestion};

/// Bytes from one host's sector to the other's: no device writes larger ones as a whole.
const SECTOR_DISTANCE: usize = PAGE_SIZE;
/// Microseconds between two looks whether an earlier process has let go of the device.
const LOCK_REST_US: u64 = 100_000;
/// How often is looked: for less time than the helper waits for an answer.
const LOCK_TRIES: u64 = ARBITER_ANSWER_MS_MAX as u64 * 1000 * 3 / 4 / LOCK_REST_US;
/// Microseconds that a host rests after the other one came between, times its turn.
const CONFLICT_REST_US: u64 = 5_000;

/// A device that does not serve, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedDiskError<'a> {
    /// Its path.
    pub device: &'a str,
    /// What is wrong with it.
    pub fault: SharedDiskFault,
}

impl fmt::Display for SharedDiskError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device, self.fault)
    }
}

impl core::error::Error for SharedDiskError<'_> {}

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedDiskFault {
    /// It cannot be opened, read or written.
    Access(Errno),
    /// There is no memory to read to.
    Memory(MemoryError),
    /// It ends before the second sector does.
    Small,
    /// A process that was to ask it before still waits for it.
    Busy,
    /// What it holds cannot be used.
    Sector(SectorError),
}

impl fmt::Display for SharedDiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(errno) => ErrnoText(*errno).fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Small => f.write_str("it has less than 8 KiB"),
            Self::Busy => f.write_str("it does not answer: an earlier claim waits for it"),
            Self::Sector(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SharedDiskFault {}

/// Asks the device and prints the record as it is afterwards.
///
/// # Errors
/// [`SharedDiskError`]. A claim may have passed all the same.
pub fn print_record<'a>(options: &DiskArbiterOptions<'a>) -> Result<(), SharedDiskError<'a>> {
    let record = ask(options).map_err(|fault| SharedDiskError { device: options.device, fault })?;
    print(format_args!("{record}\n"));
    Ok(())
}

fn ask(options: &DiskArbiterOptions<'_>) -> Result<Record, SharedDiskFault> {
    let mut disk = SharedDisk::open(options)?;
    match options.question {
        DiskQuestion::Get => read(&mut disk),
        DiskQuestion::Claim(claim) => disk.claim(claim),
    }
}

struct SharedDisk<'a> {
    file: OwnedFd,
    /// What is read and written lies in it: without the page cache, it must begin a page.
    page: PrivatePages,
    own: Sector<'a>,
    peer: Sector<'a>,
}

impl<'a> SharedDisk<'a> {
    fn open(options: &DiskArbiterOptions<'a>) -> Result<Self, SharedDiskFault> {
        // Past the page cache, which the other host does not see, and through the device's own.
        let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::DSYNC;
        let file = open_with_mode(options.device, flags, Mode::empty());
        let file = file.map_err(SharedDiskFault::Access)?;
        lock(&file)?;
        let page = PrivatePages::take(1).map_err(SharedDiskFault::Memory)?;
        let own = Sector { writer: options.own, other: options.peer, domain: options.domain };
        let peer = Sector { writer: own.other, other: own.writer, ..own };
        Ok(Self { file, page, own, peer })
    }

    /// Both hosts see the same order.
    fn is_second(&self) -> bool {
        self.own.writer.0 > self.peer.writer.0
    }

    fn claim(&mut self, it: Claim) -> Result<Record, SharedDiskFault> {
        let is_second = self.is_second();
        let mut rest_us = CONFLICT_REST_US;
        loop {
            if let Some(record) = claim(self, is_second, it)? {
                return Ok(record);
            }
            // Not both for the same time, or they would meet again.
            sleep_us(rest_us * (1 + u64::from(is_second)));
            rest_us *= 2;
        }
    }

    fn read(&mut self, sector: Sector<'a>, is_second: bool) -> Result<Vote, SharedDiskFault> {
        let [page] = self.page.all_mut() else { unreachable!("one was taken") };
        let count = rustix::io::pread(&self.file, &mut page[..], offset(is_second));
        if count.map_err(SharedDiskFault::Access)? < PAGE_SIZE {
            return Err(SharedDiskFault::Small);
        }
        let bytes = page.first_chunk().expect("a sector fits in a page");
        sector.parse(bytes).map_err(SharedDiskFault::Sector)
    }
}

/// An earlier process of this host must not write any more: one that was killed while the device did not
/// answer is there, and has it open, until what it wrote is done.
fn lock(file: &OwnedFd) -> Result<(), SharedDiskFault> {
    for _ in 0..LOCK_TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(errno) => return Err(SharedDiskFault::Access(errno)),
        }
        sleep_us(LOCK_REST_US);
    }
    Err(SharedDiskFault::Busy)
}

const fn offset(is_second: bool) -> u64 {
    is_second as u64 * SECTOR_DISTANCE as u64
}

impl Votes for SharedDisk<'_> {
    type Error = SharedDiskFault;

    fn read_own(&mut self) -> Result<Vote, SharedDiskFault> {
        self.read(self.own, self.is_second())
    }

    fn read_peer(&mut self) -> Result<Vote, SharedDiskFault> {
        self.read(self.peer, !self.is_second())
    }

    fn write_own(&mut self, vote: &Vote) -> Result<(), SharedDiskFault> {
        let offset = offset(self.is_second());
        let [page] = self.page.all_mut() else { unreachable!("one was taken") };
        page.fill(0);
        self.own.emit(vote, page.first_chunk_mut().expect("a sector fits in a page"));
        let count = rustix::io::pwrite(&self.file, &page[..], offset);
        let is_whole = count.map_err(SharedDiskFault::Access)? == PAGE_SIZE;
        if is_whole { Ok(()) } else { Err(SharedDiskFault::Access(Errno::IO)) }
    }
}
