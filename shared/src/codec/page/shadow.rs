//! The shadow cache: the versions of pages that were sent last, as far as they have room.
//!
//! Set-associative by gfn: a page can lie in one of [`WAYS`] places. Newcomers push out a page of
//! their set that was not met again lately, chosen by a counter rather than by age, so that a guest
//! that sweeps over more memory than fits still finds a part of it.
//!
//! The memory begins with the tags, of which each set's fill a cache line, and the pages follow.

use crate::limits::PAGE_SIZE;
use crate::platform::memory::MemoryError;
use crate::platform::private_memory::PrivatePages;

/// Places that a page can lie in.
const WAYS: usize = 8;
/// Sets whose tags lie in one page.
const SETS_PER_TAG_PAGE: usize = PAGE_SIZE / 8 / WAYS;
/// A tag is 0, or the gfn above these two bits.
const TAG_SHIFT: u32 = 2;
const TAG_USED: u64 = 1;
/// The page was met again since it came, or since a newcomer passed it over.
const TAG_MET: u64 = 2;

/// The shadow cache. One that is off remembers nothing.
#[derive(Debug)]
pub struct ShadowCache {
    pages: Option<PrivatePages>,
    set_count: usize,
    newcomers: usize,
}

/// Where a page lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    set: usize,
    way: usize,
}

impl ShadowCache {
    /// Bytes of one set: a cache of less is off.
    pub const SIZE_LEAST: usize = WAYS * PAGE_SIZE;

    /// A cache without room.
    #[must_use]
    pub const fn off() -> Self {
        Self { pages: None, set_count: 0, newcomers: 0 }
    }

    /// A cache of `size` bytes of pages, rounded down to whole sets, and their tags (1/512 of it).
    /// All of it is taken from the kernel now, and locked. 0 is a cache that is off.
    ///
    /// # Errors
    /// [`MemoryError`] when memory is short or the process may not lock so much.
    pub fn create(size: usize) -> Result<Self, MemoryError> {
        let set_count = size / Self::SIZE_LEAST;
        if set_count == 0 {
            return Ok(Self::off());
        }
        let pages = PrivatePages::take(set_count.div_ceil(SETS_PER_TAG_PAGE) + set_count * WAYS)?;
        Ok(Self { pages: Some(pages), set_count, newcomers: 0 })
    }

    /// Pages that there is room for.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.set_count * WAYS
    }

    /// Forgets every page; only tags are written.
    pub fn clear(&mut self) {
        let tag_page_count = self.tag_page_count();
        if let Some(pages) = &mut self.pages {
            pages.all_mut()[..tag_page_count].iter_mut().for_each(|tags| tags.fill(0));
        }
    }

    /// The page's version, to be compared and brought up to date.
    pub fn find(&mut self, gfn: u64) -> Option<&mut [u8; PAGE_SIZE]> {
        let tag = tag_of(gfn)?;
        let place = self.place_of(tag)?;
        self.set_tag(place, tag | TAG_MET);
        self.page_mut(place)
    }

    /// Remembers a version of a page that is not here; another page may have to go.
    pub fn insert(&mut self, gfn: u64, page: &[u8; PAGE_SIZE]) {
        let Some(tag) = tag_of(gfn) else { return };
        if self.set_count == 0 {
            return;
        }
        debug_assert!(self.place_of(tag).is_none(), "a page is here once");
        let place = self.room(self.set_of(tag));
        self.set_tag(place, tag);
        if let Some(target) = self.page_mut(place) {
            *target = *page;
        }
    }

    /// Forgets a page whose next version is not kept.
    pub fn forget(&mut self, gfn: u64) {
        if let Some(place) = tag_of(gfn).and_then(|tag| self.place_of(tag)) {
            self.set_tag(place, 0);
        }
    }

    /// A place in the set that is free, or whose page goes.
    fn room(&mut self, set: usize) -> Place {
        self.newcomers = self.newcomers.wrapping_add(1);
        // An odd step that is no neighbour's, since newcomers go to sets in no order.
        let first = self.newcomers.wrapping_mul(5) >> 1;
        let ways = (0..WAYS).map(|step| Place { set, way: (first + step) % WAYS });
        if let Some(free) = ways.clone().find(|&place| self.tag(place) == 0) {
            return free;
        }
        for place in ways.clone() {
            let tag = self.tag(place);
            if tag & TAG_MET == 0 {
                return place;
            }
            self.set_tag(place, tag & !TAG_MET);
        }
        Place { set, way: first % WAYS }
    }

    fn place_of(&self, tag: u64) -> Option<Place> {
        if self.set_count == 0 {
            return None;
        }
        let set = self.set_of(tag);
        let mut ways = (0..WAYS).map(|way| Place { set, way });
        ways.find(|&place| self.tag(place) & !TAG_MET == tag)
    }

    /// The set of a page: neighbours lie in sets of their own.
    fn set_of(&self, tag: u64) -> usize {
        let hash = (tag >> TAG_SHIFT).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let set = (hash * self.set_count as u64) >> 32;
        usize::try_from(set).expect("smaller than the number of sets")
    }

    fn tag_page_count(&self) -> usize {
        self.set_count.div_ceil(SETS_PER_TAG_PAGE)
    }

    fn tag(&self, place: Place) -> u64 {
        let Some(pages) = &self.pages else { return 0 };
        let (tags, _) = pages.all()[place.set / SETS_PER_TAG_PAGE].as_chunks::<8>();
        u64::from_le_bytes(tags[place.set % SETS_PER_TAG_PAGE * WAYS + place.way])
    }

    fn set_tag(&mut self, place: Place, tag: u64) {
        let Some(pages) = &mut self.pages else { return };
        let (tags, _) = pages.all_mut()[place.set / SETS_PER_TAG_PAGE].as_chunks_mut::<8>();
        tags[place.set % SETS_PER_TAG_PAGE * WAYS + place.way] = tag.to_le_bytes();
    }

    fn page_mut(&mut self, place: Place) -> Option<&mut [u8; PAGE_SIZE]> {
        let number = self.tag_page_count() + place.set * WAYS + place.way;
        self.pages.as_mut().map(|pages| &mut pages.all_mut()[number])
    }
}

/// None for numbers that no gfn has: those pages are not remembered.
fn tag_of(gfn: u64) -> Option<u64> {
    (gfn.leading_zeros() >= TAG_SHIFT).then_some(gfn << TAG_SHIFT | TAG_USED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SIZE: usize = 32 * PAGE_SIZE;

    fn page(value: u64) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        page[..8].copy_from_slice(&value.to_le_bytes());
        page
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_put_there_last(
            steps in proptest::collection::vec((0u8..16, 0u64..60), 1..600),
        ) {
            let mut cache = ShadowCache::create(SIZE).unwrap();
            let mut model = BTreeMap::new();
            for (number, (step, gfn)) in (1..).zip(steps) {
                let found = cache.find(gfn).map(|page| *page);
                if let Some(found) = found {
                    prop_assert_eq!(model.get(&gfn), Some(&found));
                }
                match step {
                    0 if number % 4 == 0 => { cache.clear(); model.clear(); }
                    1 => { cache.forget(gfn); model.remove(&gfn); }
                    _ => {
                        match cache.find(gfn) {
                            Some(shadow) => *shadow = page(number),
                            None => cache.insert(gfn, &page(number)),
                        }
                        model.insert(gfn, page(number));
                    }
                }
                prop_assert_eq!(cache.find(gfn).copied(), model.get(&gfn).copied());
            }
        }
    }

    #[test]
    fn as_many_pages_stay_as_there_is_room_for() {
        let mut cache = ShadowCache::create(SIZE).unwrap();
        assert_eq!(cache.page_count(), 32);
        (0..1000).for_each(|gfn| cache.insert(gfn, &page(gfn)));
        let there = (0..1000).filter(|&gfn| cache.find(gfn).is_some());
        assert_eq!(there.count(), 32);
        cache.clear();
        assert!((0..1000).all(|gfn| cache.find(gfn).is_none()));
    }

    #[test]
    fn a_sweep_over_more_than_fits_still_finds_a_part() {
        let mut cache = ShadowCache::create(1024 * PAGE_SIZE).unwrap();
        let mut found = 0;
        for round in 0..20 {
            for gfn in 0..1500 {
                match cache.find(gfn) {
                    Some(_) if round > 9 => found += 1,
                    Some(_) => {}
                    None => cache.insert(gfn, &page(gfn)),
                }
            }
        }
        assert!(found > 15_000 / 4, "{found} of 15000");
    }

    #[test]
    fn pages_that_are_met_again_outlive_a_sweep() {
        let mut cache = ShadowCache::create(1024 * PAGE_SIZE).unwrap();
        let (mut found, mut next) = (0, 10_000);
        for _ in 0..100 {
            for gfn in 0..256 {
                match cache.find(gfn) {
                    Some(_) => found += 1,
                    None => cache.insert(gfn, &page(gfn)),
                }
            }
            for _ in 0..256 {
                cache.insert(next, &page(next));
                next += 1;
            }
        }
        assert!(found > 25_600 * 9 / 10, "{found} of 25600");
    }

    #[test]
    fn one_that_is_off_remembers_nothing() {
        for mut cache in [ShadowCache::off(), ShadowCache::create(7 * PAGE_SIZE).unwrap()] {
            cache.insert(1, &page(1));
            cache.forget(1);
            cache.clear();
            assert!(cache.find(1).is_none() && cache.page_count() == 0);
        }
    }

    #[test]
    fn numbers_beyond_every_gfn_are_not_mistaken_for_one() {
        let mut cache = ShadowCache::create(SIZE).unwrap();
        cache.insert(1 << 62, &page(1));
        assert!(cache.find(0).is_none() && cache.find(1 << 62).is_none());
    }
}
