//! The image's entry, and where the linker has put its parts.

use core::arch::global_asm;
use core::ops::Range;
use core::sync::atomic::AtomicU64;

use super::paging::{Image, MAPPED_BY_PAGES};
use crate::limits::{PAGE_SIZE, STUB_DOMAIN_STACK_SIZE};

global_asm!(
    include_str!("boot.s"),
    stack_size = const STUB_DOMAIN_STACK_SIZE,
    options(att_syntax)
);

/// Page tables and directories of the first 4 GiB, as boot.s lays them out.
pub const PAGE_TABLE_ENTRY_COUNT: usize = 4 * 512;

const _: () = assert!(MAPPED_BY_PAGES == (PAGE_TABLE_ENTRY_COUNT * PAGE_SIZE) as u64);

unsafe extern "C" {
    // linker/stubdom.ld
    static pollux_code_start: u8;
    static pollux_code_end: u8;
    static pollux_constants_start: u8;
    static pollux_constants_end: u8;
    static pollux_image_end: u8;
    // boot.s; zeroed, and reached as words by this program alone.
    static pollux_stack_guard: u8;
    safe static pollux_page_directories: [AtomicU64; PAGE_TABLE_ENTRY_COUNT];
    safe static pollux_page_tables: [AtomicU64; PAGE_TABLE_ENTRY_COUNT];
}

/// Entries of the four page directories, 2 MiB each.
pub fn page_directories() -> &'static [AtomicU64; PAGE_TABLE_ENTRY_COUNT] {
    &pollux_page_directories
}

/// Entries of the page tables for the first [`MAPPED_BY_PAGES`] bytes.
pub fn page_tables() -> &'static [AtomicU64; PAGE_TABLE_ENTRY_COUNT] {
    &pollux_page_tables
}

/// Where the parts of the image lie.
pub fn image() -> Image {
    let range = |start: *const u8, end: *const u8| Range {
        start: start.addr() as u64,
        end: end.addr() as u64,
    };
    Image {
        code: range(&raw const pollux_code_start, &raw const pollux_code_end),
        constants: range(&raw const pollux_constants_start, &raw const pollux_constants_end),
        stack_guard: (&raw const pollux_stack_guard).addr() as u64,
        end: (&raw const pollux_image_end).addr() as u64,
    }
}
