//! Encoded pages, decoded against a twin that is a map: what commit does, without commit.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::PageUpdate;
use super::*;

type Page = [u8; PAGE_SIZE];

/// What a guest does to a page.
#[derive(Clone, Debug)]
enum Write {
    Nothing,
    Zeros,
    Words(Vec<(usize, u8)>),
    Text(u8),
    Noise(u64),
}

impl Write {
    fn apply(&self, page: &mut Page) {
        match self {
            Self::Nothing => {}
            Self::Zeros => page.fill(0),
            Self::Words(words) => words.iter().for_each(|(place, value)| page[*place] ^= value),
            Self::Text(value) => {
                *page = core::array::from_fn(|place| b"words "[place % 6] ^ value);
            }
            Self::Noise(seed) => {
                let mut word = *seed;
                page.fill_with(|| {
                    word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7f);
                    word.to_le_bytes()[7]
                });
            }
        }
    }
}

fn writes() -> impl Strategy<Value = Vec<(u64, Write)>> {
    let words = proptest::collection::vec((0..PAGE_SIZE, 1u8..), 1..400);
    let write = prop_oneof![
        1 => Just(Write::Nothing),
        1 => Just(Write::Zeros),
        4 => words.prop_map(Write::Words),
        1 => any::<u8>().prop_map(Write::Text),
        1 => any::<u64>().prop_map(Write::Noise),
    ];
    proptest::collection::vec((0u64..40, write), 1..150)
}

/// The twin's pages, as commit would have them.
#[derive(Default)]
struct Twin(BTreeMap<u64, Page>);

impl Twin {
    fn take(&mut self, entry: &Entry, slot: &Page) {
        assert!(entry.is_consistent(), "{entry:?}");
        let stored = &slot[..usize::from(entry.stored_size)];
        let mut room = [0; PAGE_SIZE];
        let update = PageUpdate::read(entry.encoding, stored, &mut room).unwrap();
        assert!(!update.is_relative() || self.0.contains_key(&entry.address));
        assert_eq!(update.is_relative(), entry.encoding.is_relative());
        update.apply(self.0.entry(entry.address).or_insert([0xdd; PAGE_SIZE]));
    }
}

/// Encodes every write as a page of its own, and checks the twin after each.
fn run(
    encoder: &mut PageEncoder,
    epoch: u64,
    writes: &[(u64, Write)],
    levels: &[Level],
) -> Vec<Encoding> {
    let (mut guest, mut twin) = (BTreeMap::new(), Twin::default());
    let mut encodings = Vec::new();
    for ((gfn, write), level) in writes.iter().zip(levels.iter().cycle()) {
        let page = guest.entry(*gfn).or_insert([0x11; PAGE_SIZE]);
        write.apply(page);
        let mut slot = *page;
        let (encoding, size) = encoder.encode_page(*gfn, &mut slot, *level, epoch > 1);
        let size = u16::try_from(size).unwrap();
        twin.take(&Entry::raw(EntryKind::Page, epoch, *gfn, 4096).encoded(encoding, size), &slot);
        assert!(twin.0[gfn] == *page, "gfn {gfn} {write:?} {encoding:?}");
        encodings.push(encoding);
    }
    encodings
}

fn encoder(pages: usize) -> PageEncoder {
    PageEncoder::new(ShadowCache::create(pages * PAGE_SIZE).unwrap())
}

const ALL: [Level; 3] = [Level::Raw, Level::Delta, Level::Lz4];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever is written, whichever level is used when, and whatever the cache has no room for.
    #[test]
    fn the_twin_is_the_guest(
        writes in writes(), levels in proptest::collection::vec(0usize..3, 1..30), room in 0usize..5,
    ) {
        let levels: Vec<_> = levels.into_iter().map(|level| ALL[level]).collect();
        let mut encoder = encoder(room * 8);
        run(&mut encoder, 2, &writes, &levels);
        // The same guest again, in a new session and so with an empty twin.
        encoder.start_session();
        run(&mut encoder, 2, &writes, &levels);
    }
}

#[test]
fn each_encoding_has_its_page() {
    let words = |count| Write::Words((0..count).map(|word| (word * 8, 1)).collect());
    let mut encoder = encoder(64);
    let writes = [
        (1, Write::Noise(1)),
        (1, Write::Nothing),
        (1, words(3)),
        (1, words(500)),
        (1, words(300)),
        (40, Write::Text(1)),
        (40, words(1)),
        (1, Write::Zeros),
        (1, words(1)),
        (40, words(300)),
    ];
    let [raw, zero, unchanged, delta, lz4, delta_lz4] =
        [0, 1, 2, 3, 4, 5].map(|number| Encoding::from_number(number).unwrap());
    let encodings = run(&mut encoder, 2, &writes, &[Level::Lz4]);
    assert_eq!(encodings, [raw, unchanged, delta, raw, delta, lz4, delta, zero, delta, delta_lz4]);
    encoder.start_session();
    let encodings = run(&mut encoder, 2, &writes, &[Level::Delta]);
    assert_eq!(encodings, [raw, unchanged, delta, raw, delta, raw, delta, zero, delta, delta]);
    encoder.start_session();
    let encodings = run(&mut encoder, 2, &writes, &[Level::Raw]);
    assert_eq!(encodings, [raw, raw, raw, raw, raw, raw, raw, zero, raw, raw]);
}

#[test]
fn what_was_sent_raw_or_as_zeros_is_what_the_next_delta_is_of() {
    let words = |value| Write::Words(vec![(8, value), (800, value)]);
    let writes = [(1, Write::Noise(1)), (1, words(1)), (1, words(2)), (1, words(4))];
    let levels = [Level::Delta, Level::Raw, Level::Delta, Level::Lz4];
    let encodings = run(&mut encoder(8), 2, &writes, &levels);
    assert_eq!(encodings, [Encoding::Raw, Encoding::Raw, Encoding::Raw, Encoding::Delta]);
    let many = Write::Words((0..500).map(|word| (word * 8, 1)).collect());
    for whole in [Write::Zeros, Write::Text(3), many] {
        let writes = [(1, Write::Noise(1)), (1, whole), (1, words(2)), (1, Write::Nothing)];
        let encodings = run(&mut encoder(8), 2, &writes, &[Level::Delta]);
        assert_eq!(encodings[2..], [Encoding::Delta, Encoding::Unchanged]);
    }
}

#[test]
fn the_full_copy_leaves_no_shadows_but_keeps_to_those_there_are() {
    let mut encoder = encoder(64);
    let writes = [(1, Write::Noise(1)), (1, Write::Nothing)];
    assert_eq!(run(&mut encoder, 1, &writes, &[Level::Delta]), [Encoding::Raw; 2]);
    let writes = [(1, Write::Noise(1)), (1, Write::Nothing)];
    assert_eq!(
        run(&mut encoder, 2, &writes, &[Level::Delta]),
        [Encoding::Raw, Encoding::Unchanged]
    );
}

#[test]
fn other_entries_and_broken_ones() {
    let mut encoder = encoder(8);
    let mut slot = [0; PAGE_SIZE];
    let state = Entry::raw(EntryKind::State, 2, 0, 4096);
    assert_eq!(encoder.encode(0, &state, &mut slot), Ok(state));
    let page = Entry::raw(EntryKind::Page, 2, 0, 4096);
    assert_eq!(encoder.encode(1, &page, &mut slot), Ok(page.encoded(Encoding::Zero, 0)));
    let encoded = page.encoded(Encoding::Delta, 9);
    assert_eq!(encoder.encode(2, &encoded, &mut slot), Err(RingError::Entry));
}
