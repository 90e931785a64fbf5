//! Memory that nobody uses yet: what is left of the domain's memory after its image. Taken from below.

use core::ops::Range;

use crate::limits::PAGE_SIZE;
use crate::platform::memory::HUGE_PAGE_SIZE;

/// One range of addresses, taken from below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeMemory(Range<usize>);

impl FreeMemory {
    /// These addresses, of whole pages.
    pub const fn of(range: Range<usize>) -> Self {
        Self(range)
    }

    /// What is left.
    pub fn range(&self) -> Range<usize> {
        self.0.clone()
    }

    /// The largest piece of `ram` that is free, below `end` and in whole pages: in each range what lies
    /// above `used`, if that is in it.
    pub fn find(ram: &[Range<u64>], used: &Range<u64>, end: u64) -> Self {
        let page = PAGE_SIZE as u64;
        let free = |range: &Range<u64>| {
            let is_used = used.start < range.end && used.end > range.start;
            let start = if is_used { used.end } else { range.start };
            start.next_multiple_of(page)..range.end.min(end) / page * page
        };
        let largest =
            ram.iter().map(free).max_by_key(|range| range.end.saturating_sub(range.start));
        let Range { start, end } = largest.unwrap_or(0..0);
        match (usize::try_from(start), usize::try_from(end)) {
            (Ok(start), Ok(end)) if start < end => Self(start..end),
            _ => Self(0..0),
        }
    }

    /// Bytes that are left.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Takes `size` bytes, a multiple of [`PAGE_SIZE`], and returns their address; none if so much is not
    /// left. What is larger than a huge page begins with one.
    pub fn take(&mut self, size: usize) -> Option<usize> {
        let alignment = if size >= HUGE_PAGE_SIZE { HUGE_PAGE_SIZE } else { PAGE_SIZE };
        let start = self.0.start.checked_next_multiple_of(alignment)?;
        let end = start.checked_add(size)?;
        if end > self.0.end {
            return None;
        }
        self.0.start = end;
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_piece_above_the_image_is_free() {
        let ram = [0..0x9_f000, 0x10_0000..0x800_0800];
        let find = |used: Range<u64>, end| FreeMemory::find(&ram, &used, end).0;
        assert_eq!(find(0..0x31_0123, 1 << 32), 0x31_1000..0x800_0000);
        assert_eq!(find(0..0, 1 << 32), 0x10_0000..0x800_0000);
        assert_eq!(find(0..0x20_0000, 0x40_0000), 0x20_0000..0x40_0000);
        assert_eq!(find(0x20_0000..0x7ff_f123, 1 << 32), 0..0x9_f000);
        assert_eq!(FreeMemory::find(&[], &(0..0), 1 << 32).0, 0..0);
    }

    #[test]
    fn what_is_taken_is_apart_and_aligned() {
        let mut free = FreeMemory(0x31_1000..0x100_0000);
        assert_eq!(free.take(PAGE_SIZE), Some(0x31_1000));
        assert_eq!(free.take(3 * HUGE_PAGE_SIZE), Some(0x40_0000));
        assert_eq!(free.take(PAGE_SIZE), Some(0xa0_0000));
        assert_eq!(free.take(usize::MAX / PAGE_SIZE * PAGE_SIZE), None);
        assert_eq!(free.take(0x60_0000), None);
        assert_eq!(free.size(), 0x5f_f000);
        assert_eq!(free.take(0x20_0000), Some(0xc0_0000));
    }
}
