//! What is done to pages in and after the pause: `cargo bench --bench pages`.

mod harness;

use std::hint::black_box;
use std::sync::atomic::AtomicU64;

use harness::{Harness, Places};
use pollux::capture::scan::set_gfns;
use pollux::limits::PAGE_SIZE;
use pollux::platform::vector::{
    PAGE_WORD_COUNT, choose, copy_page, differing_words, is_zero, write_page,
};

type Words = [AtomicU64; PAGE_WORD_COUNT];

/// Pages of the areas that no cache holds.
const PAGE_COUNT: usize = (64 << 20) / PAGE_SIZE;
/// gfns of a guest of 8 GiB.
const GFN_COUNT: usize = 8 << 18;

#[repr(C, align(4096))]
struct Page([u8; PAGE_SIZE]);

#[repr(C, align(4096))]
struct GuestPage(Words);

fn main() {
    let harness = Harness::new();
    copies(&harness, "before choose()");
    println!("{:?}", choose());
    copies(&harness, "");
    comparisons(&harness);
    bitmaps(&harness);
}

fn copies(harness: &Harness, when: &str) {
    let guest: Vec<GuestPage> =
        (0..PAGE_COUNT).map(|_| GuestPage([const { AtomicU64::new(1) }; _])).collect();
    let mut arena: Vec<Page> = (0..PAGE_COUNT).map(|_| Page([2; PAGE_SIZE])).collect();
    let mut places = Places::default();
    let mut slot = 0;
    harness.report(&format!("capture a page, cold {when}"), PAGE_SIZE, true, || {
        let source = &guest[places.next() / PAGE_SIZE];
        slot = (slot + 1) % PAGE_COUNT;
        copy_page(&source.0, &mut arena[slot].0);
    });
    harness.report(&format!("commit a page, cold {when}"), PAGE_SIZE, true, || {
        let target = &guest[places.next() / PAGE_SIZE];
        slot = (slot + 1) % PAGE_COUNT;
        write_page(&arena[slot].0, &target.0);
    });
    harness.report(&format!("capture a page, hot {when}"), PAGE_SIZE, false, || {
        copy_page(&guest[0].0, &mut arena[0].0);
    });
}

fn comparisons(harness: &Harness) {
    let zero = Page([0; PAGE_SIZE]);
    harness.report("zero test of a page of zeros", PAGE_SIZE, false, || {
        black_box(is_zero(black_box(&zero.0)));
    });
    let mut other = Page([0; PAGE_SIZE]);
    other.0[9] = 1;
    harness.report("zero test of another page", PAGE_SIZE, false, || {
        black_box(is_zero(black_box(&other.0)));
    });
    harness.report("words that differ", 2 * PAGE_SIZE, false, || {
        black_box(differing_words(black_box(&zero.0), black_box(&other.0)));
    });
}

fn bitmaps(harness: &Harness) {
    let mut bitmap = vec![0_u64; GFN_COUNT / 64];
    let scan = |name: &str, bitmap: &[u64]| {
        harness.report(name, size_of_val(bitmap), false, || {
            black_box(set_gfns(black_box(bitmap)).fold(0, |all, gfn| all ^ gfn));
        });
    };
    scan("bitmap of 8 GiB, empty", &bitmap);
    bitmap.iter_mut().step_by(GFN_COUNT / 64 / 1000).for_each(|word| *word = 1 << 17);
    scan("bitmap of 8 GiB, 1000 pages", &bitmap);
    bitmap.fill(u64::MAX);
    scan("bitmap of 8 GiB, all pages", &bitmap);
}
