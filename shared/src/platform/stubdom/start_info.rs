//! What the domain's builder tells (struct hvm_start_info, arch-x86/hvm/start_info.h, Xen 4.17): the
//! domain's memory and its command line. Both are kept, so that where they lay is free afterwards.

use core::ops::Range;

use heapless::Vec;
use spin::Once;

use super::boot;
use super::command_line::as_text;
use super::free_memory::FreeMemory;
use super::paging::MAPPED_END;
use crate::limits::{STUB_DOMAIN_COMMAND_LINE_SIZE_MAX, STUB_DOMAIN_MEMORY_RANGE_COUNT_MAX};
use crate::xen::{Hypervisor, MemoryMapEntry};

const MAGIC: u32 = 0x336e_c578;

/// struct hvm_start_info. The memory map is there from version 1 on.
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
struct TableEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// Ranges of memory.
type Ram = Vec<Range<u64>, STUB_DOMAIN_MEMORY_RANGE_COUNT_MAX>;

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
    /// Reads it at `address`; none if it is something else, or nobody tells a memory map. To be called
    /// before the page at address 0 is taken away.
    ///
    /// # Safety
    /// `address` is what the domain's builder has left in ebx, and what it points to is still there.
    pub unsafe fn read(address: u64, hypervisor: Option<Hypervisor>) -> Option<Self> {
        let header = mapped(address, size_of::<Header>())?.cast::<Header>();
        // SAFETY: the builder has put the structure there, and nobody writes it.
        let header = unsafe { header.read() };
        if header.magic != MAGIC {
            return None;
        }
        let ram = match header.version {
            // Xen itself builds dom0 so.
            0 => ask_for_ram(hypervisor?)?,
            // SAFETY: as above; from version 1 on there is a memory map.
            _ => unsafe { read_ram(&header)? },
        };
        // SAFETY: as above; the text ends with a zero, or is read no further than its limit.
        unsafe { keep_command_line(header.command_line) };
        Some(Self {
            command_line: COMMAND_LINE.get().map_or(Some(""), |bytes| as_text(bytes)),
            memory_size: ram.iter().map(|range| range.end - range.start).sum(),
            // All that the builder has put there was read by now.
            free_memory: FreeMemory::find(&ram, &(0..boot::image().end), MAPPED_END),
        })
    }
}

fn ask_for_ram(hypervisor: Hypervisor) -> Option<Ram> {
    let mut entries = [MemoryMapEntry::default(); STUB_DOMAIN_MEMORY_RANGE_COUNT_MAX];
    let count = hypervisor.memory_map(&mut entries).ok()?;
    let entries = entries[..count].iter();
    Some(ram(entries.map(|entry| (entry.address, entry.size, entry.kind))))
}

/// # Safety
/// The header is what the domain's builder has written, and the memory map that it names is there.
unsafe fn read_ram(header: &Header) -> Option<Ram> {
    let count = usize::try_from(header.memory_map_entry_count).ok()?;
    let count = count.min(STUB_DOMAIN_MEMORY_RANGE_COUNT_MAX);
    let entries = mapped(header.memory_map, count * size_of::<TableEntry>())?.cast::<TableEntry>();
    // SAFETY: the builder has put so many entries there, and nobody writes them.
    let entries = unsafe { core::slice::from_raw_parts(entries, count) }.iter();
    Some(ram(entries.map(|entry| (entry.address, entry.size, entry.kind))))
}

fn ram(entries: impl Iterator<Item = (u64, u64, u32)>) -> Ram {
    let is_ram = |&(_, _, kind): &(u64, u64, u32)| kind == MemoryMapEntry::RAM;
    entries.filter(is_ram).map(|(address, size, _)| address..address.saturating_add(size)).collect()
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
