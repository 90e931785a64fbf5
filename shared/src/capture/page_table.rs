//! Walking a guest's page tables: from an address of the guest's kernel to guest-physical memory.
//!
//! Four-level paging with 4 KiB, 2 MiB and 1 GiB pages (AMD64 Architecture Programmer's Manual,
//! volume 2, 5.3). Five-level guests are not walked: the walk then finds nothing, and discovery
//! does without this proof.

use super::page::{GuestPages, PageWords, word};
use crate::limits::PAGE_SIZE;

/// Bits 12 to 51 of an entry: the frame it names.
const FRAME_MASK: u64 = 0x000f_ffff_ffff_f000;
const PRESENT: u64 = 1;
/// In a level 3 or 2 entry: this maps a 1 GiB or 2 MiB page.
const LARGE: u64 = 1 << 7;
/// Linux with page-table isolation runs user mode on a second root, one page above the kernel's.
const ISOLATED_USER_ROOT: u64 = 1 << 12;

/// The guest-physical address of virtual address `address` under root `cr3`.
///
/// A root that user mode uses under page-table isolation maps little of the kernel; then the
/// kernel's root beside it is tried.
#[must_use]
pub fn translate(pages: &impl GuestPages, cr3: u64, address: u64) -> Option<u64> {
    let root = cr3 & FRAME_MASK;
    walk(pages, root, address).or_else(|| walk(pages, root & !ISOLATED_USER_ROOT, address))
}

fn walk(pages: &impl GuestPages, root: u64, address: u64) -> Option<u64> {
    let mut table = root;
    for level in (0..4).rev() {
        let shift = 12 + 9 * level;
        let page: &PageWords = pages.page(table / PAGE_SIZE as u64)?;
        let entry = word(page, usize::try_from(address >> shift & 0x1ff).ok()?);
        if entry & PRESENT == 0 {
            return None;
        }
        let inside_mask = (1 << shift) - 1;
        if level == 0 || ((level == 1 || level == 2) && entry & LARGE != 0) {
            return Some(entry & FRAME_MASK & !inside_mask | address & inside_mask);
        }
        table = entry & FRAME_MASK;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::page::image::Image;

    const ADDRESS: u64 = 0xffff_8880_0740_1238;

    fn index(level: u64) -> u64 {
        (ADDRESS >> (12 + 9 * level) & 0x1ff) * 8
    }

    fn tables() -> Image {
        let mut image = Image::default();
        image.set(0x1000 + index(3), 0x2000 | PRESENT);
        image.set(0x2000 + index(2), 0x3000 | PRESENT);
        image
    }

    #[test]
    fn walks_small_and_large_pages() {
        let mut image = tables();
        assert_eq!(translate(&image, 0x1000, ADDRESS), None);
        image.set(0x3000 + index(1), 0x0740_0000 | PRESENT | LARGE);
        assert_eq!(translate(&image, 0x1000, ADDRESS), Some(0x0740_1238));
        image.set(0x3000 + index(1), 0x4000 | PRESENT);
        image.set(0x4000 + index(0), 0x0009_9000 | PRESENT);
        assert_eq!(translate(&image, 0x1018, ADDRESS), Some(0x0009_9238));
        image.set(0x2000 + index(2), 0x4000_0000 | PRESENT | LARGE);
        assert_eq!(translate(&image, 0x1000, ADDRESS), Some(0x4000_0000 | ADDRESS & 0x3fff_ffff));
    }

    #[test]
    fn tries_the_kernel_root_beside_a_user_root() {
        let mut image = Image::default();
        image.set(0x2000 + index(3), 0x3000 | PRESENT);
        image.set(0x3000 + index(2), PRESENT | LARGE);
        image.page_mut(3);
        assert_eq!(translate(&image, 0x3000, ADDRESS), Some(ADDRESS & 0x3fff_ffff));
    }
}
