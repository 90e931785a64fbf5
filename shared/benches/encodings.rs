//! What ship and commit do to a page's bytes: `cargo bench --bench encodings`.
//!
//! Each encoding takes the page into its slot first, as it lies there when capture has copied it: a
//! copy in the cache, which the first line measures alone. A delta is bounded by comparing two pages,
//! LZ4 by the processor: its loop has a branch for every match that it finds or does not.

mod harness;

use std::hint::black_box;

use harness::Harness;
use pollux::codec::page::{Level, PageEncoder, PageUpdate, ShadowCache};
use pollux::limits::PAGE_SIZE;
use pollux::platform::vector::choose;
use pollux::ring::{Encoding, Entry, EntryKind};

type Page = [u8; PAGE_SIZE];

const CACHE_SIZE: usize = 1 << 20;
const WORD: usize = 8;

fn main() {
    choose();
    let harness = Harness::new();
    let mut bench = Bench::new();
    let (noise, text) = (noise(), text());
    let mut slot = [0; PAGE_SIZE];
    harness.report("a page into its slot", PAGE_SIZE, false, || {
        slot = *black_box(&noise);
        black_box(&mut slot);
    });
    for (name, page, words, expected) in [
        ("unchanged", &noise, 0, Encoding::Unchanged),
        ("delta of 16 words", &noise, 16, Encoding::Delta),
        ("delta of 256 words, LZ4 of text", &text, 256, Encoding::DeltaLz4),
    ] {
        bench.changes(&harness, name, page, words, expected);
    }
    bench.whole(&harness, "LZ4 of a page of text", &text, Encoding::Lz4);
    bench.whole(&harness, "LZ4 not worth the time", &noise, Encoding::Raw);
}

/// Text of a small vocabulary.
fn text() -> Page {
    let words = ["epoch ", "page ", "checkpoint ", "guest ", "ring ", "of ", "and ", "the "];
    let mut places = noise().into_iter();
    let mut bytes = places.by_ref().flat_map(|place| words[usize::from(place % 8)].bytes());
    core::array::from_fn(|_| bytes.next().expect("more words than bytes"))
}

/// Bytes without a pattern.
fn noise() -> Page {
    let mut word = 1_u64;
    core::array::from_fn(|_| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        word.to_le_bytes()[7]
    })
}

struct Bench {
    encoder: PageEncoder,
    index: u64,
    /// The newest case's.
    gfn: u64,
    slot: Page,
    entry: Entry,
}

impl Bench {
    fn new() -> Self {
        let shadow = ShadowCache::create(CACHE_SIZE).expect("memory for the cache");
        let encoder = PageEncoder::with_levels(shadow, Level::Lz4..=Level::Lz4, 1024);
        let entry = Entry::raw(EntryKind::Page, 2, 0, 4096);
        Self { encoder, index: 0, gfn: 0, slot: [0; PAGE_SIZE], entry }
    }

    /// Far from the others, since what was seen of one page is expected of its neighbours.
    fn next_gfn(&mut self) -> u64 {
        self.gfn += 64;
        self.gfn
    }

    fn encode(&mut self, gfn: u64, epoch: u64, page: &Page) -> Encoding {
        self.slot = *page;
        let raw = Entry::raw(EntryKind::Page, epoch, gfn, 4096);
        self.entry = self.encoder.encode(self.index, &raw, &mut self.slot).expect("a raw page");
        self.index += 1;
        self.entry.encoding
    }

    /// A page that two versions of take turns, which differ in so many words.
    fn changes(&mut self, harness: &Harness, name: &str, page: &Page, words: usize, is: Encoding) {
        let mut versions = [*page, *page];
        (0..words).for_each(|word| versions[1][word * 2 * WORD] ^= 1);
        let gfn = self.next_gfn();
        self.encode(gfn, 2, &versions[0]);
        let mut turn = 0;
        harness.report(&format!("encode: {name}"), 2 * PAGE_SIZE, false, || {
            turn ^= 1;
            assert_eq!(self.encode(gfn, 2, black_box(&versions[turn])), is);
        });
        self.decode(harness, name);
    }

    /// A page that is sent as a whole each time, since the full copy leaves no shadows.
    fn whole(&mut self, harness: &Harness, name: &str, page: &Page, is: Encoding) {
        let gfn = self.next_gfn();
        harness.report(&format!("encode: {name}"), PAGE_SIZE, false, || {
            assert_eq!(self.encode(gfn, 1, black_box(page)), is);
        });
        self.decode(harness, name);
    }

    /// What commit does with the newest page: from its bytes to the twin's page.
    fn decode(&self, harness: &Harness, name: &str) {
        let stored = &self.slot[..usize::from(self.entry.stored_size)];
        let (mut room, mut twin) = ([0; PAGE_SIZE], [0; PAGE_SIZE]);
        harness.report(&format!("decode: {name}"), PAGE_SIZE, false, || {
            let update = PageUpdate::read(self.entry.encoding, stored, &mut room);
            let update = update.expect("what was encoded");
            update.apply(black_box(&mut twin));
        });
    }
}
