//! The gap meter: reads the clocks again and again, and notes every hole in them.
//!
//! A hole is time in which the guest did not run: the hypervisor had paused it, or was at work for it. Whoever
//! has a meter looks at it as often as it can, between its other work: a thread of its own would take the
//! holes for the hypervisor's in which the guest's scheduler runs the other threads.
//! The monotonic clock stands still while a guest is suspended by its own consent, so the wall clock is read
//! too, and a hole is as long as the longer of both says.

use std::process::Command;
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
    /// Pages that were written meanwhile.
    pub page_count: u64,
    /// Holes that were longer than the threshold.
    pub count: u64,
    /// The first of them, in the order of their coming.
    pub holes: Vec<Hole>,
}

/// A measurement that is under way, in the thread that looks at it.
#[derive(Debug)]
pub struct Meter {
    threshold: Duration,
    start: Instant,
    start_wall: SystemTime,
    last: Instant,
    last_wall: SystemTime,
    report: Report,
}

impl Meter {
    /// Begins; holes longer than the threshold are noted. The thread's priority is raised a little, so that
    /// other threads of the guest make few holes, and no more: a guest whose own suspend path starves would
    /// look worse than it is.
    #[must_use]
    pub fn start(threshold_us: u64) -> Self {
        set_own_niceness(-5);
        let (start, start_wall) = (Instant::now(), SystemTime::now());
        Self {
            threshold: Duration::from_micros(threshold_us),
            start,
            start_wall,
            last: start,
            last_wall: start_wall,
            report: Report { holes: Vec::with_capacity(HOLES_MAX), ..Report::default() },
        }
    }

    /// Reads the clocks: the time since the last look is a hole if it was long. Tells the time.
    pub fn look(&mut self) -> Instant {
        let (now, wall) = (Instant::now(), SystemTime::now());
        // A wall clock that was set back says nothing.
        let wall_gap = wall.duration_since(self.last_wall).unwrap_or_default();
        let gap = now.duration_since(self.last).max(wall_gap);
        (self.last, self.last_wall) = (now, wall);
        if gap > self.threshold {
            self.report.count += 1;
            if self.report.holes.len() < HOLES_MAX {
                let at_us = microseconds(now.duration_since(self.start).saturating_sub(gap));
                self.report.holes.push(Hole { at_us, length_us: microseconds(gap) });
            }
            // Read anew after a hole, which may have been between the two readings and would count twice.
            (self.last, self.last_wall) = (Instant::now(), SystemTime::now());
        }
        self.last
    }

    /// Notes that a page was written.
    pub fn note_page(&mut self) {
        self.report.page_count += 1;
    }

    /// Ends the measurement and returns what it saw.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let elapsed_wall = self.start_wall.elapsed().unwrap_or_default();
        self.report.elapsed_us = microseconds(self.start.elapsed().max(elapsed_wall));
        set_own_niceness(0);
        self.report
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Busybox's renice works on one thread when given the thread's number, which std can only read here.
fn set_own_niceness(niceness: i32) {
    let Ok(link) = std::fs::read_link("/proc/thread-self") else { return };
    if let Some(thread) = link.file_name().and_then(|name| name.to_str()) {
        // Without the priority the measurement still runs, with more holes of the guest's own.
        let _ = Command::new("/bin/busybox")
            .args(["renice", "-n", &niceness.to_string(), "-p", thread])
            .status();
    }
}
