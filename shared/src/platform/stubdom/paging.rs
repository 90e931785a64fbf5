//! Who may do what with which page: code is executed, constants are read, everything else is written.
//!
//! Entries of page tables are those of the AMD64 APM, volume 2, 5.3. Addresses are physical ones, and the
//! same as the program's: nothing is mapped elsewhere.

use core::ops::Range;

use crate::limits::PAGE_SIZE;

/// Bytes from address 0 on that are mapped by pages of 4 KiB; the image lies there (linker/stubdom.ld).
pub const MAPPED_BY_PAGES: u64 = 8 * 1024 * 1024;

/// Every address below is mapped, where it is (boot.s).
pub const MAPPED_END: u64 = 1 << 32;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const NO_EXECUTE: u64 = 1 << 63;

/// Where the parts of the image lie. All of them begin and end with a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Instructions.
    pub code: Range<u64>,
    /// Constants.
    pub constants: Range<u64>,
    /// The page below the stack.
    pub stack_guard: u64,
    /// The first address after all of it.
    pub end: u64,
}

impl Image {
    /// The entry for the page at `address`.
    #[must_use]
    pub fn page_table_entry(&self, address: u64) -> u64 {
        if address == 0 || address == self.stack_guard {
            // What is not there: null pointers, and what lies below the stack.
            0
        } else if self.code.contains(&address) {
            address | PRESENT
        } else if self.constants.contains(&address) {
            address | PRESENT | NO_EXECUTE
        } else {
            address | PRESENT | WRITABLE | NO_EXECUTE
        }
    }
}

/// Maps the image as [`Image`] says, and lets nothing outside its code be executed.
#[cfg(stubdom)]
pub fn protect() {
    use core::arch::asm;
    use core::sync::atomic::Ordering;

    use super::boot::{image, page_directories, page_tables};
    use crate::platform::memory::HUGE_PAGE_SIZE;

    let image = image();
    for (entry, address) in page_tables().iter().zip((0..).step_by(PAGE_SIZE)) {
        entry.store(image.page_table_entry(address), Ordering::Relaxed);
    }
    let tables = page_tables().as_ptr().addr() as u64;
    for (entry, address) in page_directories().iter().zip((0..).step_by(HUGE_PAGE_SIZE)) {
        if address < MAPPED_BY_PAGES {
            let table = tables + address / HUGE_PAGE_SIZE as u64 * PAGE_SIZE as u64;
            entry.store(table | PRESENT | WRITABLE, Ordering::Relaxed);
        } else {
            entry.fetch_or(NO_EXECUTE, Ordering::Relaxed);
        }
    }
    // SAFETY: the same page map again, so that the processor forgets what it has of the old entries; every
    // address that is in use is mapped as before, with the rights that its use needs.
    unsafe { asm!("mov {map}, cr3", "mov cr3, {map}", map = out(reg) _, options(nostack)) };
}

const _: () = assert!(PAGE_SIZE == 4096);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_is_written_and_executed() {
        let image = Image {
            code: 0x20_0000..0x20_3000,
            constants: 0x20_3000..0x20_5000,
            stack_guard: 0x20_8000,
            end: 0x21_0000,
        };
        let entry = |address| image.page_table_entry(address);
        assert_eq!((entry(0), entry(0x20_8000)), (0, 0));
        assert_eq!((entry(0x20_0000), entry(0x20_2000)), (0x20_0001, 0x20_2001));
        assert_eq!(entry(0x20_3000), 0x8000_0000_0020_3001);
        for address in [0x1000, 0x1f_f000, 0x20_5000, 0x20_7000, 0x20_9000, 0x7f_f000] {
            assert_eq!(entry(address), 0x8000_0000_0000_0003 | address);
        }
    }
}
