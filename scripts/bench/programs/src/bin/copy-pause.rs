//! The shortest pause that a copy allows: as many scattered pages, copied, and nothing else.
//!
//!     copy-pause [--memory 1G] [--dirty-pages 1000] [--hot-percent 90] [--change-bytes 256]
//!                [--interval-ms 25] [--seconds 10] [--capture-core N]
//!
//! The pages go to a 64 MiB arena that is filled in turn, so that their places are as cold as those
//! of a ring; which pages to copy is known before the clock starts.

use std::process::ExitCode;
use std::time::Instant;

use bench_programs::baseline::{self, Failure, Pause};
use bench_programs::durations::Durations;
use bench_programs::options::Options;
use pollux::capture::scan::set_gfns;
use pollux::limits::PAGE_SIZE;
use pollux::platform::linux::memory::SharedMemory;

const ARENA_PAGE_COUNT: usize = 16 << 10;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("copy-pause: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failure> {
    let mut options = Options::read(std::env::args().skip(1))?;
    let load = options.take_load()?;
    options.finish()?;
    let mut copy = Copy::new()?;
    baseline::run(&load, &mut copy)?;
    println!("{}", copy.pauses.line("pause_us"));
    println!("pages copied={}", copy.page_count);
    Ok(())
}

struct Copy {
    arena: SharedMemory,
    next_slot: usize,
    pauses: Durations,
    page_count: usize,
}

impl Copy {
    fn new() -> Result<Self, Failure> {
        let mut arena = SharedMemory::map(ARENA_PAGE_COUNT * PAGE_SIZE)?;
        arena.populate(0..ARENA_PAGE_COUNT * PAGE_SIZE)?;
        Ok(Self { arena, next_slot: 0, pauses: Durations::default(), page_count: 0 })
    }
}

impl Pause for Copy {
    fn take(&mut self, memory: &SharedMemory, bitmap: &[u64]) -> Result<(), Failure> {
        let offsets: Vec<usize> = set_gfns(bitmap)
            .map(|gfn| usize::try_from(gfn).map(|index| index * PAGE_SIZE))
            .collect::<Result<_, _>>()?;
        let began = Instant::now();
        for &offset in &offsets {
            self.arena.copy_in(self.next_slot * PAGE_SIZE, memory.page(offset));
            self.next_slot = (self.next_slot + 1) % ARENA_PAGE_COUNT;
        }
        self.pauses.add(began.elapsed());
        self.page_count += offsets.len();
        Ok(())
    }
}
