//! The rehearsed guest as a process of its own.

use super::super::error::ProtectError;
use crate::limits::PAGE_SIZE;
use crate::platform::linux::lock::lock_memory;
use crate::platform::linux::priority::{Scheduling, schedule};
use crate::platform::linux::process::{Child, Forked, fork};
use crate::platform::linux::program::{ExitStatus, exit};
use crate::platform::linux::{clock, signals};
use crate::rehearsal::Player;

/// Shortest sleep, in microseconds: going to sleep and waking take a part of it.
const SLEEP_US_MIN: u64 = 50;
/// Longest sleep, in microseconds, so that the end of capture is noticed.
const SLEEP_US_MAX: u64 = 10_000;
/// The guest stands for what runs beside dom0's cores, so nothing of dom0 keeps it from writing; it
/// sleeps nearly all the time.
const SCHEDULING: Scheduling = Scheduling::RealTime { priority: 50 };

/// The running guest. It ends with its parent, or when this is dropped.
#[derive(Debug)]
pub struct GuestProcess(Child);

impl GuestProcess {
    /// Starts the guest; it fills its memory, and then writes.
    pub fn start<'p>(
        player: Player<'_>,
        image: impl Iterator<Item = (u64, &'p [u8; PAGE_SIZE])>,
    ) -> Result<Self, ProtectError> {
        match fork()? {
            Forked::Parent(child) => Ok(Self(child)),
            Forked::Child(parent) => {
                // Without it the guest's writes are met by more faults, and nothing else.
                let _ = lock_memory();
                if parent.die_with() {
                    live(player, image);
                }
                exit(ExitStatus::Done)
            }
        }
    }

    /// An error if it has ended by itself.
    pub fn check(&mut self) -> Result<(), ProtectError> {
        match self.0.end() {
            Some(end) => Err(ProtectError::GuestEnded(end)),
            None => Ok(()),
        }
    }
}

impl Drop for GuestProcess {
    fn drop(&mut self) {
        self.0.kill();
        self.0.wait();
    }
}

fn live<'p>(mut player: Player<'_>, image: impl Iterator<Item = (u64, &'p [u8; PAGE_SIZE])>) {
    player.fill(image);
    let _ = schedule(SCHEDULING);
    loop {
        let now_us = clock::monotonic_us();
        let until_us = player.play(now_us);
        // The operator's signal comes to all processes; capture ends the guest when it is done.
        let _ = signals::stop_requested();
        clock::sleep_us(until_us.saturating_sub(now_us).clamp(SLEEP_US_MIN, SLEEP_US_MAX));
    }
}
