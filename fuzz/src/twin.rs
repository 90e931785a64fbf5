//! A twin whose memory is a map.

use std::collections::{BTreeMap, BTreeSet};

use pollux::codec::page::PageUpdate;
use pollux::commit::twin_memory::{NoMemoryAt, TwinMemory};
use pollux::limits::PAGE_SIZE;

/// gfns below this can have memory.
pub const MEMORY_END: u64 = 0x100;

/// Memory wherever it was asked for.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was written.
    pub pages: BTreeMap<u64, Box<[u8; PAGE_SIZE]>>,
    provided: BTreeSet<u64>,
}

impl TwinMemory for Memory {
    fn provide_page(&mut self, gfn: u64) -> Result<(), NoMemoryAt> {
        if gfn >= MEMORY_END {
            return Err(NoMemoryAt(gfn));
        }
        self.provided.insert(gfn);
        Ok(())
    }

    fn has_page(&self, gfn: u64) -> bool {
        self.provided.contains(&gfn)
    }

    fn read_page(&self, gfn: u64, target: &mut [u8; PAGE_SIZE]) -> bool {
        if self.has_page(gfn) {
            *target = self.pages.get(&gfn).map_or([0; PAGE_SIZE], |page| **page);
        }
        self.has_page(gfn)
    }

    fn update_page(&mut self, gfn: u64, update: &PageUpdate<'_>) -> Result<(), NoMemoryAt> {
        if !update.is_relative() {
            self.provide_page(gfn)?;
        }
        if !self.has_page(gfn) {
            return Err(NoMemoryAt(gfn));
        }
        update.apply(self.pages.entry(gfn).or_insert_with(|| Box::new([0; PAGE_SIZE])));
        Ok(())
    }
}
