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

/// The device does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedDiskError {
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

impl fmt::Display for SharedDiskError {
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

impl core::error::Error for SharedDiskError {}

/// Asks the device and prints the record as it is afterwards.
///
/// # Errors
/// [`SharedDiskError`]. A claim may have passed all the same.
pub fn print_record(options: &DiskArbiterOptions<'_>) -> Result<(), SharedDiskError> {
    let mut disk = SharedDisk::open(options)?;
    let record = match options.question {
        DiskQuestion::Get => read(&mut disk)?,
        DiskQuestion::Claim(claim) => disk.claim(claim)?,
    };
    print(format_args!("{record}\n"));
    Ok(())
}

struct SharedDisk<'a> {
    file: OwnedFd,
    /// What is read and written lies in it: without the page cache, it must begin a page.
    page: PrivatePages,
    own: Sector<'a>,
    peer: Sector<'a>,
}

impl<'a> SharedDisk<'a> {
    fn open(options: &DiskArbiterOptions<'a>) -> Result<Self, SharedDiskError> {
        // Past the page cache, which the other host does not see, and through the device's own.
        let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::DSYNC;
        let file = open_with_mode(options.device, flags, Mode::empty());
        let file = file.map_err(SharedDiskError::Access)?;
        lock(&file)?;
        let page = PrivatePages::take(1).map_err(SharedDiskError::Memory)?;
        let own = Sector { writer: options.own, other: options.peer, domain: options.domain };
        let peer = Sector { writer: own.other, other: own.writer, ..own };
        Ok(Self { file, page, own, peer })
    }

    /// Both hosts see the same order.
    fn is_second(&self) -> bool {
        self.own.writer.0 > self.peer.writer.0
    }

    fn claim(&mut self, it: Claim) -> Result<Record, SharedDiskError> {
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

    fn read(&mut self, sector: Sector<'a>, is_second: bool) -> Result<Vote, SharedDiskError> {
        let [page] = self.page.all_mut() else { unreachable!("one was taken") };
        let count = rustix::io::pread(&self.file, &mut page[..], offset(is_second));
        if count.map_err(SharedDiskError::Access)? < PAGE_SIZE {
            return Err(SharedDiskError::Small);
        }
        let bytes = page.first_chunk().expect("a sector fits in a page");
        sector.parse(bytes).map_err(SharedDiskError::Sector)
    }
}

/// An earlier process of this host must not write any more: one that was killed while the device did not
/// answer is there, and has it open, until what it wrote is done.
fn lock(file: &OwnedFd) -> Result<(), SharedDiskError> {
    for _ in 0..LOCK_TRIES {
        if flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(());
        }
        sleep_us(LOCK_REST_US);
    }
    Err(SharedDiskError::Busy)
}

const fn offset(is_second: bool) -> u64 {
    is_second as u64 * SECTOR_DISTANCE as u64
}

impl Votes for SharedDisk<'_> {
    type Error = SharedDiskError;

    fn read_own(&mut self) -> Result<Vote, SharedDiskError> {
        self.read(self.own, self.is_second())
    }

    fn read_peer(&mut self) -> Result<Vote, SharedDiskError> {
        self.read(self.peer, !self.is_second())
    }

    fn write_own(&mut self, vote: &Vote) -> Result<(), SharedDiskError> {
        let offset = offset(self.is_second());
        let [page] = self.page.all_mut() else { unreachable!("one was taken") };
        page.fill(0);
        self.own.emit(vote, page.first_chunk_mut().expect("a sector fits in a page"));
        let count = rustix::io::pwrite(&self.file, &page[..], offset);
        let is_whole = count.map_err(SharedDiskError::Access)? == PAGE_SIZE;
        if is_whole { Ok(()) } else { Err(SharedDiskError::Access(Errno::IO)) }
    }
}
