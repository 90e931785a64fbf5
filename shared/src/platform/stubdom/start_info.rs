//! What the domain's builder tells (struct hvm_start_info, arch-x86/hvm/start_info.h, Xen 4.17): the
//! domain's memory, its command line, and where they lie.

use core::ops::Range;

use spin::Once;

use super::boot;
use super::command_line::as_text;
use super::free_memory::FreeMemory;
use crate::limits::{STUB_DOMAIN_COMMAND_LINE_SIZE_MAX, STUB_DOMAIN_MEMORY_RANGE_COUNT_MAX};

const MAGIC: u32 = 0x336e_c578;
/// XEN_HVM_MEMMAP_TYPE_RAM.
const TYPE_RAM: u32 = 1;
/// Everything below is mapped (paging.rs).
const MAPPED_END: u64 = 1 << 32;

/// struct hvm_start_info, of version 1 or later.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entry_count: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<Header>() == 56);

/// struct hvm_memmap_table_entry.
#[repr(C)]
#[derive(Clone, Copy)]
struct MemoryMapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// What was told.
#[derive(Clone, Debug)]
pub struct StartInfo {
    /// The command line; none if it is too long or no text.
    pub command_line: Option<&'static str>,
    /// Bytes of the domain's memory.
    pub memory_size: u64,
    /// The memory that neither the image nor the builder uses.
    pub free_memory: FreeMemory,
}

/// QEMU leaves the command line in the page at address 0, which is not mapped for long.
static COMMAND_LINE: Once<[u8; STUB_DOMAIN_COMMAND_LINE_SIZE_MAX]> = Once::new();

impl StartInfo {
    /// Reads it at `address`; none if it is something else, or tells no memory map. To be called before
    /// the page at address 0 is taken away.
    ///
    /// # Safety
    /// `address` is what the domain's builder has left in ebx, and what it points to is still there.
    pub unsafe fn read(address: u64) -> Option<Self> {
        let header = mapped(address, size_of::<Header>())?.cast::<Header>();
        // SAFETY: the builder has put the structure there, and nobody writes it.
        let header = unsafe { header.read() };
        let count = usize::try_from(header.memory_map_entry_count).ok()?;
        let is_known = header.magic == MAGIC && header.version >= 1;
        if !is_known || count == 0 || count > STUB_DOMAIN_MEMORY_RANGE_COUNT_MAX {
            return None;
        }
        let entries = mapped(header.memory_map, count * size_of::<MemoryMapEntry>())?.cast();
        // SAFETY: as above; there are so many entries.
        let memory_map = unsafe { core::slice::from_raw_parts(entries, count) };
        // SAFETY: as above; the text ends with a zero, or is read no further than its limit.
        unsafe { keep_command_line(header.command_line) };
        Some(Self {
            command_line: COMMAND_LINE.get().map_or(Some(""), |bytes| as_text(bytes)),
            memory_size: ram(memory_map).map(|range| range.end - range.start).sum(),
            free_memory: free_memory(address, &header, memory_map),
        })
    }
}

fn ram(memory_map: &[MemoryMapEntry]) -> impl Iterator<Item = Range<u64>> {
    let range = |it: &MemoryMapEntry| it.address..it.address.saturating_add(it.size);
    memory_map.iter().filter(|it| it.kind == TYPE_RAM).map(range)
}

fn free_memory(address: u64, header: &Header, memory_map: &[MemoryMapEntry]) -> FreeMemory {
    let at = |address: u64, size: usize| address..address.saturating_add(size as u64);
    let used = [
        // Nothing below the image is worth the care.
        0..boot::image().end,
        at(address, size_of::<Header>()),
        at(header.memory_map, size_of_val(memory_map)),
        at(header.command_line, STUB_DOMAIN_COMMAND_LINE_SIZE_MAX),
    ];
    FreeMemory::find(ram(memory_map), &used, MAPPED_END)
}

/// The bytes at a physical address, which must be mapped.
fn mapped(address: u64, size: usize) -> Option<*const u8> {
    let end = address.checked_add(size as u64)?;
    let address = usize::try_from(address).ok().filter(|address| *address != 0)?;
    (end <= MAPPED_END && address.is_multiple_of(8))
        .then(|| core::ptr::with_exposed_provenance(address))
}

/// # Safety
/// `address` is that of a text, or 0.
unsafe fn keep_command_line(address: u64) {
    let size = STUB_DOMAIN_COMMAND_LINE_SIZE_MAX;
    let is_mapped = |address: &usize| *address != 0 && (address + size) as u64 <= MAPPED_END;
    let Some(address) = usize::try_from(address).ok().filter(is_mapped) else { return };
    let text = core::ptr::with_exposed_provenance(address);
    // SAFETY: mapped memory that nobody writes; bytes have no invalid values.
    COMMAND_LINE.call_once(|| unsafe { *text });
}
