//! What fails, and is well again.

use crate::support::Random;
use crate::support::world::PRIMARY;
use crate::{Duel, MS};

/// How long processes stand still, as a rule and now and then.
const STALL_US_MAX: [u64; 2] = [100 * MS, 3_000 * MS];
/// Of a thousand times that a host's processes are looked at, those in which the host is lost.
const HOST_LOST: u64 = 700;

fn some_stall_us(random: &mut Random) -> u64 {
    let is_long = random.chance(400);
    random.below(STALL_US_MAX[usize::from(is_long)])
}

impl Duel {
    /// Something fails, or is well again.
    pub fn trouble(&mut self) {
        let host = usize::try_from(self.random.below(2)).unwrap();
        match self.random.below(41) {
            0..12 => self.links.trouble(&mut self.random),
            12..14 => self.arbiter.reachable[host] ^= true,
            14 => self.arbiter.is_slow ^= true,
            15 => self.primary.kill_ship(),
            16 => {
                self.checker.met.killed_in_pause += u64::from(self.primary.is_in_pause());
                self.primary.kill_protect();
            }
            17 => self.primary.stop_protect(),
            18 => self.primary.hand_over(),
            19 => self.primary.unpause(),
            20 => self.backup.kill(),
            21 => self.backup.kill_receive(),
            22 => self.backup.stop(),
            23 => self.backup.is_slow ^= true,
            24 => self.backup.is_out_of_memory ^= true,
            25..29 => self.stall_process(host),
            29..31 => self.stall_host(host),
            31 => {
                self.primary.kill_protect();
                self.primary.start_protect();
            }
            32 if self.random.chance(HOST_LOST) => match host {
                PRIMARY => self.primary.kill_host(),
                _ => self.backup.kill(),
            },
            _ => {
                self.primary.start_protect();
                self.backup.start(self.now_us);
            }
        }
    }

    /// One process does not run for a while, and goes on with what it believed.
    fn stall_process(&mut self, host: usize) {
        let process = usize::try_from(self.random.below(2)).unwrap();
        let until_us = self.now_us + some_stall_us(&mut self.random);
        self.stalls(host)[process] = until_us;
    }

    /// Neither process runs; if all of the host stands still, its guest does, too.
    fn stall_host(&mut self, host: usize) {
        let until_us = self.now_us + some_stall_us(&mut self.random);
        *self.stalls(host) = [until_us; 2];
        if host == PRIMARY && self.random.chance(500) {
            self.primary.guest.stalled_until_us = until_us;
        }
    }

    fn stalls(&mut self, host: usize) -> &mut [u64; 2] {
        match host {
            PRIMARY => &mut self.primary.stalled_until_us,
            _ => &mut self.backup.stalled_until_us,
        }
    }

    /// Nothing fails any more. What stands still goes on when its time has come.
    pub fn mend(&mut self) {
        self.links.mend();
        (self.arbiter.reachable, self.arbiter.is_slow) = ([true; 2], false);
        (self.backup.is_slow, self.backup.is_out_of_memory) = (false, false);
    }
}
