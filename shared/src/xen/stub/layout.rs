//! Where the stub's pages lie in the twin, and how its page tables map them.
//!
//! The pages follow each other from a base at guest-physical addresses between 3.75 and 4 GiB,
//! which Xen's toolstack keeps free of memory (X86_HVM_... and HVM_BELOW_4G_MMIO_START in Xen's
//! libxl and libxc). One 2 MiB entry maps them all at their own address.

use super::call::{STUB_ENTRY_SIZE, StubCall, StubEntry};
use crate::limits::{EVENT_CHANNEL_COUNT_MAX, PAGE_SIZE, VCPU_COUNT_MAX};

/// Bases that are tried in turn, each the first gfn of a 2 MiB page: the twin has no memory there
/// unless its configuration is unusual.
pub const STUB_BASE_GFNS: [u64; 3] = [0xfe000, 0xfd000, 0xfb000];

/// Hypercalls of the largest domain: per port bind, set_priority, and one of bind_vcpu and send (a
/// closed port takes two); per vCPU control block, vcpu_info and vector; and a few of the domain.
pub const STUB_CALL_COUNT_MAX: usize = 3 * EVENT_CHANNEL_COUNT_MAX + 4 * VCPU_COUNT_MAX;

const ENTRIES_PER_PAGE: usize = PAGE_SIZE / 64;
const TABLE_PAGE: usize = 5;

/// Pages of the stub with the largest table.
pub const STUB_PAGE_COUNT_MAX: usize = TABLE_PAGE + STUB_CALL_COUNT_MAX.div_ceil(ENTRIES_PER_PAGE);

const _: () = assert!(STUB_PAGE_COUNT_MAX < 512, "one 2 MiB page maps the whole stub");

/// Present, writable (AMD64 APM volume 2, 5.3).
const TABLE_FLAGS: u64 = 0x3;
/// Present, writable, 2 MiB page.
const LARGE_PAGE_FLAGS: u64 = 0x83;

/// The stub's pages, by what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StubLayout {
    base_gfn: u64,
    call_count: usize,
}

impl StubLayout {
    /// Offset of the completion word in the code page; the code is shorter than that.
    const DONE_OFFSET: usize = 2048;

    /// A stub at `base_gfn`, one of [`STUB_BASE_GFNS`], with room for `call_count` calls.
    ///
    /// # Panics
    /// When there are more than [`STUB_CALL_COUNT_MAX`] calls: the limits allow no such domain.
    #[must_use]
    pub fn new(base_gfn: u64, call_count: usize) -> Self {
        assert!(base_gfn.is_multiple_of(512), "the stub starts at a 2 MiB page");
        assert!(call_count <= STUB_CALL_COUNT_MAX, "no domain within the limits needs more");
        Self { base_gfn, call_count }
    }

    /// Pages of the stub.
    #[must_use]
    pub const fn page_count(&self) -> usize {
        TABLE_PAGE + self.call_count.div_ceil(ENTRIES_PER_PAGE)
    }

    /// Calls that there is room for.
    #[must_use]
    pub const fn call_count(&self) -> usize {
        self.call_count
    }

    /// gfn of each page, in order.
    pub fn gfns(&self) -> impl Iterator<Item = u64> + use<> {
        self.base_gfn..self.base_gfn + self.page_count() as u64
    }

    /// Index of the page that takes the code.
    pub const CODE_PAGE: usize = 3;

    /// Index of the page that stays behind: Xen's vcpu_info structures of the running twin.
    pub const DECOY_PAGE: usize = 4;

    /// gfn of the page that stays behind.
    #[must_use]
    pub const fn decoy_gfn(&self) -> u64 {
        self.base_gfn + Self::DECOY_PAGE as u64
    }

    /// The words of the three page-table pages that are not zero: page index, word index, value.
    #[must_use]
    pub fn page_table_words(&self) -> [(usize, usize, u64); 3] {
        let base = self.address(0);
        let level3 = self.address(1) | TABLE_FLAGS;
        let level2 = self.address(2) | TABLE_FLAGS;
        [
            (0, table_index(base, 39), level3),
            (1, table_index(base, 30), level2),
            (2, table_index(base, 21), base | LARGE_PAGE_FLAGS),
        ]
    }

    /// What cr3 must hold.
    #[must_use]
    pub const fn page_table_root(&self) -> u64 {
        self.address(0)
    }

    /// Address of the code.
    #[must_use]
    pub const fn code_address(&self) -> u64 {
        self.address(Self::CODE_PAGE)
    }

    /// Address of the table's first entry.
    #[must_use]
    pub const fn table_address(&self) -> u64 {
        self.address(TABLE_PAGE)
    }

    /// Where the completion word lies: page index, byte offset.
    #[must_use]
    pub const fn done_place(&self) -> (usize, usize) {
        (Self::CODE_PAGE, Self::DONE_OFFSET)
    }

    /// Address of the completion word.
    #[must_use]
    pub const fn done_address(&self) -> u64 {
        self.address(Self::CODE_PAGE) + Self::DONE_OFFSET as u64
    }

    /// Where call `index` lies: page index, index of its first 64-bit word in that page.
    #[must_use]
    pub const fn call_place(&self, index: usize) -> (usize, usize) {
        (TABLE_PAGE + index / ENTRIES_PER_PAGE, index % ENTRIES_PER_PAGE * 8)
    }

    /// Call `index` as it must lie in memory.
    #[must_use]
    pub fn call_entry(&self, index: usize, call: StubCall) -> StubEntry {
        call.entry(self.table_address() + index as u64 * STUB_ENTRY_SIZE)
    }

    const fn address(&self, page: usize) -> u64 {
        (self.base_gfn + page as u64) * PAGE_SIZE as u64
    }
}

/// Index of the entry for `address` in the table whose entries span `1 << shift` bytes.
const fn table_index(address: u64, shift: u32) -> usize {
    (address >> shift & 0x1ff) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_page_maps_to_itself() {
        for base in STUB_BASE_GFNS {
            let layout = StubLayout::new(base, STUB_CALL_COUNT_MAX);
            assert_eq!(layout.page_count(), STUB_PAGE_COUNT_MAX);
            let words: BTreeMap<(u64, usize), u64> = layout
                .page_table_words()
                .into_iter()
                .map(|(page, word, value)| ((base + page as u64, word), value))
                .collect();
            for gfn in layout.gfns() {
                let address = gfn * 4096;
                let mut table = layout.page_table_root() / 4096;
                for shift in [39, 30] {
                    let entry = words[&(table, table_index(address, shift))];
                    assert_eq!(entry & 0xfff, 3);
                    table = entry / 4096;
                }
                let entry = words[&(table, table_index(address, 21))];
                assert_eq!(entry & 0xfff, 0x83);
                assert_eq!(entry & !0xfff | address & 0x1f_ffff, address);
            }
        }
    }

    #[test]
    fn places_and_addresses_agree() {
        let layout = StubLayout::new(0xfe000, 200);
        for index in [0, 63, 64, 199] {
            let (page, word) = layout.call_place(index);
            assert!(page < layout.page_count());
            let address = (0xfe000 + page as u64) * 4096 + word as u64 * 8;
            assert_eq!(address, layout.table_address() + index as u64 * 64);
            let entry = layout.call_entry(index, StubCall::Send { port: 1 });
            assert_eq!(entry[2], address + 40);
        }
    }
}
