//! The epochs of a baseline: let the guest run, stop it, take its dirty pages, note how long.
//!
//! The guest runs on the thread that takes its pages. That is to a baseline's favour: the pages are as
//! warm as its core's caches allow, and no other thread makes mapping and unmapping dearer. Xen's
//! bitmap is filled in before the clock starts.

use std::thread;
use std::time::{Duration, Instant};

use pollux::capture::scan;
use pollux::platform::linux::affinity::pin_to_core;
use pollux::platform::linux::memory::SharedMemory;

use crate::durations::Durations;
use crate::guest::{Guest, Load};

/// Whatever stops a program: printed as one line.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a baseline takes the dirty pages of a guest that stands still.
pub trait Pause {
    /// Takes the pages whose bits are set in `bitmap`, bit 0 of word 0 for gfn 0.
    ///
    /// # Errors
    /// What went wrong, for a person.
    fn take(&mut self, memory: &SharedMemory, bitmap: &[u64]) -> Result<(), Failure>;
}

/// Runs a guest under `load`, pauses it at each interval's end, and returns how long the pauses were.
///
/// # Errors
/// When memory or the core is not to be had, or the baseline fails.
pub fn run(load: &Load, baseline: &mut dyn Pause) -> Result<Durations, Failure> {
    let memory = SharedMemory::map(load.memory_bytes())?;
    let mut guest = Guest::new(memory.map_again()?, load.clone());
    let mut bitmap = vec![0_u64; usize::try_from(scan::bitmap_word_count(load.gfn_count))?];
    if let Some(core) = load.core {
        pin_to_core(core)?;
    }
    let mut pauses = Durations::default();
    let end = Instant::now() + load.length;
    while Instant::now() < end {
        let due = Instant::now() + load.interval;
        bitmap.fill(0);
        for gfn in guest.run_epoch() {
            scan::set(&mut bitmap, gfn);
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        pauses.add(timed(|| baseline.take(&memory, &bitmap))?);
    }
    Ok(pauses)
}

fn timed(action: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let began = Instant::now();
    action()?;
    Ok(began.elapsed())
}
