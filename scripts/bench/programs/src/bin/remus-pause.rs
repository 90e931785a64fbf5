//! The pause of `xl remus` in Xen 4.17, as far as it can be run without Xen.
//!
//!     remus-pause receive --listen ADDRESS:PORT
//!     remus-pause send --to ADDRESS:PORT [--memory 1G] [--dirty-pages 1000] [--hot-percent 90]
//!                      [--change-bytes 256] [--interval-ms 25] [--seconds 10] [--capture-core N]
//!
//! Done while the guest stands still, as libxc's `send_dirty_pages` and `write_batch` do: each gfn's
//! bit is tested by itself; of 1024 dirty pages at a time the frames are mapped, sent with `writev`
//! to a TCP socket, and unmapped.
//! Left out, since without Xen it would be invented: the guest's own suspend and resume, every
//! hypercall, the callbacks between libxc and libxl, the processor's records, ssh. A mapping is one
//! `mremap` of as many neighbouring pages, touched once each, which is less than libxc's ioctl with
//! a hypercall does. The true pause holds all that besides.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench_programs::baseline::{self, Failure, Pause};
use bench_programs::durations::Durations;
use bench_programs::migration_stream::{BATCH_PAGE_COUNT_MAX, write_checkpoint, write_pages};
use bench_programs::options::Options;
use pollux::limits::PAGE_SIZE;
use pollux::platform::linux::memory::SharedMemory;
use std::sync::atomic::Ordering;

const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let ended = match words.next().as_deref() {
        Some("send") => send(words),
        Some("receive") => receive(words),
        _ => {
            Err("usage: remus-pause send --to ADDRESS:PORT | receive --listen ADDRESS:PORT".into())
        }
    };
    if let Err(failure) = ended {
        eprintln!("remus-pause: {failure}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Takes one connection and throws its bytes away, which a backup cannot do faster.
fn receive(words: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut options = Options::read(words)?;
    let address: String = options.take("listen")?.ok_or("receive needs --listen ADDRESS:PORT")?;
    options.finish()?;
    let listener = TcpListener::bind(&address).map_err(|error| format!("{address}: {error}"))?;
    println!("listening on {address}");
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; RECEIVE_BUFFER_BYTES];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn send(words: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut options = Options::read(words)?;
    let address: String = options.take("to")?.ok_or("send needs --to ADDRESS:PORT")?;
    let load = options.take_load()?;
    options.finish()?;
    let stream = TcpStream::connect(&address).map_err(|error| format!("{address}: {error}"))?;
    let mut remus = Remus::new(stream, load.gfn_count)?;
    let pauses = baseline::run(&load, &mut remus)?;
    println!("{}", pauses.line("pause_us"));
    println!("{}", remus.scan.line("scan_us"));
    println!("{}", remus.map.line("map_us"));
    println!("{}", remus.write.line("write_us"));
    println!("pages copied={}", remus.page_count);
    Ok(())
}

struct Remus {
    stream: TcpStream,
    gfn_count: u64,
    /// What batches are mapped from.
    frames: SharedMemory,
    scan: Durations,
    map: Durations,
    write: Durations,
    page_count: u64,
}

/// How long the parts of one pause took.
#[derive(Default)]
struct Parts {
    map: Duration,
    write: Duration,
}

impl Remus {
    fn new(stream: TcpStream, gfn_count: u64) -> Result<Self, Failure> {
        let frames = SharedMemory::map(BATCH_PAGE_COUNT_MAX * PAGE_SIZE)?;
        for page in 0..BATCH_PAGE_COUNT_MAX {
            frames.word(page * PAGE_SIZE).store(1, Ordering::Relaxed);
        }
        let none = Durations::default;
        let (scan, map, write) = (none(), none(), none());
        Ok(Self { stream, gfn_count, frames, scan, map, write, page_count: 0 })
    }

    fn send_batch(
        &mut self,
        memory: &SharedMemory,
        gfns: &mut Vec<u64>,
        parts: &mut Parts,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let mapping = self.frames.map_again()?;
        let touched = (0..gfns.len())
            .fold(0, |sum, page| sum | mapping.word(page * PAGE_SIZE).load(Ordering::Relaxed));
        std::hint::black_box(touched);
        let mapped = Instant::now();
        let pages: Vec<_> = gfns.iter().map(|&gfn| memory.page(offset_of(gfn))).collect();
        write_pages(&mut self.stream, gfns, &pages)?;
        let written = Instant::now();
        drop(mapping);
        parts.map += (mapped - began) + written.elapsed();
        parts.write += written - mapped;
        self.page_count += gfns.len() as u64;
        gfns.clear();
        Ok(())
    }
}

impl Pause for Remus {
    fn take(&mut self, memory: &SharedMemory, bitmap: &[u64]) -> Result<(), Failure> {
        let began = Instant::now();
        let mut parts = Parts::default();
        let mut batch = Vec::with_capacity(BATCH_PAGE_COUNT_MAX);
        for gfn in 0..self.gfn_count {
            if !is_dirty(bitmap, gfn) {
                continue;
            }
            if batch.len() == BATCH_PAGE_COUNT_MAX {
                self.send_batch(memory, &mut batch, &mut parts)?;
            }
            batch.push(gfn);
        }
        if !batch.is_empty() {
            self.send_batch(memory, &mut batch, &mut parts)?;
        }
        write_checkpoint(&mut self.stream)?;
        self.scan.add(began.elapsed() - parts.map - parts.write);
        self.map.add(parts.map);
        self.write.add(parts.write);
        Ok(())
    }
}

/// libxc's `test_bit`: one bit of one word, for each gfn anew.
fn is_dirty(bitmap: &[u64], gfn: u64) -> bool {
    bitmap[offset_in_words(gfn)] >> (gfn % 64) & 1 != 0
}

fn offset_in_words(gfn: u64) -> usize {
    usize::try_from(gfn / 64).expect("64-bit addresses")
}

fn offset_of(gfn: u64) -> usize {
    usize::try_from(gfn).expect("64-bit addresses") * PAGE_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux::capture::scan;
    use std::thread;

    /// The gfns and pages of a stream's PAGE_DATA records, and how many other records there were.
    fn read_stream(mut stream: &[u8]) -> (Vec<u64>, Vec<u8>, usize) {
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let (mut gfns, mut pages, mut other_count) = (Vec::new(), Vec::new(), 0);
        while !stream.is_empty() {
            let (header, rest) = stream.split_at(8);
            let (body, rest) = rest.split_at(usize::try_from(number(&header[4..])).unwrap());
            if number(header) == 1 {
                let count = usize::try_from(number(body)).unwrap();
                let (numbers, content) = body[8..].split_at(count * 8);
                let words = numbers.chunks_exact(8).map(|word| word.try_into().unwrap());
                gfns.extend(words.map(u64::from_le_bytes));
                pages.extend_from_slice(content);
            } else {
                other_count += 1;
            }
            stream = rest;
        }
        (gfns, pages, other_count)
    }

    #[test]
    fn every_dirty_page_and_no_other_is_sent_with_its_gfn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = thread::spawn(move || {
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            received
        });
        // More than one batch, and neighbours as well as pages apart.
        let gfn_count = 4000;
        let dirty: Vec<u64> = (0..gfn_count).filter(|gfn| gfn % 7 < 2).collect();
        let mut memory = SharedMemory::map(offset_of(gfn_count)).unwrap();
        let mut bitmap = vec![0; usize::try_from(scan::bitmap_word_count(gfn_count)).unwrap()];
        for &gfn in &dirty {
            memory.page_mut(offset_of(gfn)).fill(u8::try_from(gfn % 251).unwrap());
            scan::set(&mut bitmap, gfn);
        }
        let mut remus = Remus::new(TcpStream::connect(address).unwrap(), gfn_count).unwrap();
        remus.take(&memory, &bitmap).unwrap();
        assert_eq!(remus.page_count, dirty.len() as u64);
        drop(remus);

        let (gfns, pages, other_count) = read_stream(&receiver.join().unwrap());
        assert!(dirty.len() > BATCH_PAGE_COUNT_MAX);
        assert_eq!(gfns, dirty);
        assert_eq!(other_count, 1, "one CHECKPOINT record");
        for (gfn, page) in gfns.iter().zip(pages.chunks_exact(PAGE_SIZE)) {
            assert!(page.iter().all(|&byte| u64::from(byte) == gfn % 251), "gfn {gfn}");
        }
    }
}
