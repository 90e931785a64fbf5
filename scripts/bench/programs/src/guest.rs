//! A synthetic guest: memory that is dirtied at a set rate.
//!
//! A part of each epoch's writes hits the same pages every time, the rest falls anywhere, as with
//! `primary-helper rehearse`. The guest tells which pages it wrote; who keeps the dirty bitmap
//! (Xen, with a real guest) is its owner's business.

use std::collections::HashSet;
use std::time::Duration;

use pollux::limits::PAGE_SIZE;
use pollux::platform::linux::memory::SharedMemory;
use std::sync::atomic::Ordering;

use crate::random::Random;

/// What a guest does and how long it is watched.
#[derive(Clone, Debug)]
pub struct Load {
    /// The guest's size, in pages.
    pub gfn_count: u64,
    /// Different pages written in each epoch.
    pub dirty_pages: u64,
    /// How many per cent of those are the same in each epoch.
    pub hot_percent: u64,
    /// Bytes changed in a dirty page, a multiple of 8.
    pub change_bytes: usize,
    /// Length of an epoch.
    pub interval: Duration,
    /// Length of the measurement.
    pub length: Duration,
    /// The core that the pauses run on, if it matters.
    pub core: Option<u16>,
}

impl Load {
    /// Tells what is impossible about the load.
    ///
    /// # Errors
    /// One line for a person.
    pub fn check(&self) -> Result<(), String> {
        if self.hot_percent > 100 {
            return Err(format!("--hot-percent {} is above 100", self.hot_percent));
        }
        if self.dirty_pages > self.gfn_count / 2 {
            return Err(format!(
                "--dirty-pages {} is more than half of the guest: give it more --memory",
                self.dirty_pages
            ));
        }
        if self.change_bytes > PAGE_SIZE || !self.change_bytes.is_multiple_of(8) {
            return Err("--change-bytes must be a multiple of 8, at most 4096".to_owned());
        }
        if self.interval.is_zero() || self.length < self.interval {
            return Err("--seconds must hold at least one interval of 1 ms or more".to_owned());
        }
        Ok(())
    }

    /// The guest's size in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        usize::try_from(self.gfn_count).expect("64-bit addresses") * PAGE_SIZE
    }
}

/// The guest's processor: writes to its memory.
#[derive(Debug)]
pub struct Guest {
    memory: SharedMemory,
    load: Load,
    hot: Vec<u64>,
    random: Random,
}

impl Guest {
    /// A guest that runs on `memory`, a view of as many bytes as `load` says.
    #[must_use]
    pub fn new(memory: SharedMemory, load: Load) -> Self {
        let mut random = Random::new(1);
        let hot_count = load.dirty_pages * load.hot_percent / 100;
        let mut hot = HashSet::new();
        while (hot.len() as u64) < hot_count {
            hot.insert(random.below(load.gfn_count));
        }
        let hot = hot.into_iter().collect();
        Self { memory, load, hot, random }
    }

    /// Writes to as many different pages as the load says, and tells their gfns.
    pub fn run_epoch(&mut self) -> Vec<u64> {
        let mut written: HashSet<u64> = self.hot.iter().copied().collect();
        while (written.len() as u64) < self.load.dirty_pages {
            written.insert(self.random.below(self.load.gfn_count));
        }
        for &gfn in &written {
            self.write(gfn);
        }
        written.into_iter().collect()
    }

    /// Changes a run of bytes somewhere in the page.
    fn write(&mut self, gfn: u64) {
        let words = self.load.change_bytes / 8;
        let places = (PAGE_SIZE / 8 - words + 1) as u64;
        let first = usize::try_from(self.random.below(places)).expect("a place in a page");
        let page = usize::try_from(gfn).expect("64-bit addresses") * PAGE_SIZE;
        for word in first..first + words {
            self.memory.word(page + word * 8).store(self.random.next(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Guest, Load};
    use pollux::limits::PAGE_SIZE;
    use pollux::platform::linux::memory::SharedMemory;
    use std::collections::HashSet;
    use std::time::Duration;

    #[test]
    fn an_epoch_writes_the_pages_it_names_and_no_other() {
        let load = Load {
            gfn_count: 256,
            dirty_pages: 40,
            hot_percent: 50,
            change_bytes: 64,
            interval: Duration::from_millis(1),
            length: Duration::from_millis(1),
            core: None,
        };
        let seen = SharedMemory::map(load.memory_bytes()).unwrap();
        let mut guest = Guest::new(seen.map_again().unwrap(), load.clone());
        let first: HashSet<u64> = guest.run_epoch().into_iter().collect();
        assert_eq!(first.len(), 40);
        for gfn in 0..256 {
            let page = seen.page(usize::try_from(gfn).unwrap() * PAGE_SIZE);
            let changed = page.iter().any(|&byte| byte != 0);
            assert_eq!(changed, first.contains(&gfn), "gfn {gfn}");
        }
        let second: HashSet<u64> = guest.run_epoch().into_iter().collect();
        assert!(first.intersection(&second).count() >= 20);
        assert_ne!(first, second);
    }
}
