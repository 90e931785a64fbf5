//! The gap meter: spins on the clock and notes every hole in it.
//!
//! A hole is time in which the guest did not run: the hypervisor had paused it, or another thread had the
//! processor. The thread raises its own priority a little, so that the second kind stays short, and no more:
//! a guest whose own suspend path starves would look worse than it is.
//! The monotonic clock stands still while a guest is suspended by its own consent, so the wall clock is read
//! too, and a hole is as long as the longer of both says.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Holes kept; later ones only count. An hour of 25 ms epochs.
const HOLES_MAX: usize = 150_000;

/// One hole in the clock.
#[derive(Debug, Clone, Copy)]
pub struct Hole {
    /// Since the measurement began, in microseconds.
    pub at_us: u64,
    /// How long the clock was not read, in microseconds.
    pub length_us: u64,
}

/// What one measurement saw.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// Length of the measurement.
    pub elapsed_us: u64,
    /// Holes that were longer than the threshold.
    pub count: u64,
    /// The first of them, in the order of their coming.
    pub holes: Vec<Hole>,
}

/// A measurement that is under way.
#[derive(Debug)]
pub struct Meter {
    stop: Arc<AtomicBool>,
    report: Arc<Mutex<Report>>,
    thread: thread::JoinHandle<()>,
}

impl Meter {
    /// Starts to spin; holes longer than the threshold are noted.
    #[must_use]
    pub fn start(threshold_us: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let report = Arc::new(Mutex::new(Report::default()));
        let (stop_seen, report_written) = (Arc::clone(&stop), Arc::clone(&report));
        let thread = thread::spawn(move || {
            raise_own_priority();
            let measured = spin(&stop_seen, Duration::from_micros(threshold_us));
            *report_written.lock().unwrap_or_else(PoisonError::into_inner) = measured;
        });
        Self { stop, report, thread }
    }

    /// Ends the measurement and returns what it saw.
    #[must_use]
    pub fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of the spinner leaves an empty report, which the reader sees by its elapsed time.
        let _ = self.thread.join();
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn spin(stop: &AtomicBool, threshold: Duration) -> Report {
    let mut report = Report { holes: Vec::with_capacity(4096), ..Report::default() };
    let start = Instant::now();
    let mut last = start;
    let mut last_wall = SystemTime::now();
    while !stop.load(Ordering::Relaxed) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        // A wall clock that was set back says nothing.
        let wall_gap = wall.duration_since(last_wall).unwrap_or_default();
        let gap = now.duration_since(last).max(wall_gap);
        if gap > threshold {
            report.count += 1;
            if report.holes.len() < HOLES_MAX {
                let at_us = microseconds(last.duration_since(start));
                report.holes.push(Hole { at_us, length_us: microseconds(gap) });
            }
        }
        // Read anew after a hole, which may have been between the two readings and would count twice.
        (last, last_wall) =
            if gap > threshold { (Instant::now(), SystemTime::now()) } else { (now, wall) };
    }
    report.elapsed_us = microseconds(start.elapsed());
    report
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Busybox's renice works on one thread when given the thread's number, which std can only read here.
fn raise_own_priority() {
    let Ok(link) = std::fs::read_link("/proc/thread-self") else { return };
    if let Some(thread) = link.file_name().and_then(|name| name.to_str()) {
        // Without the priority the measurement still runs, with more holes of the second kind.
        let _ = Command::new("/bin/busybox").args(["renice", "-n", "-5", "-p", thread]).status();
    }
}
