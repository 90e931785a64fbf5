//! Staging of encoded pages: ship's encoder against it, and what no encoder writes.

use super::super::aside::AsidePages;
use super::super::intake::tests::{push, ring};
use super::tests::{Memory, full_copy, push_end, push_page, run};
use super::*;
use crate::codec::page::{Delta, Level, PageEncoder, PageUpdate, ShadowCache};
use crate::revive::check::sample;
use crate::ring::{Encoding, Producer};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Page = [u8; PAGE_SIZE];

/// A delta that sets one word.
fn delta_of(word: usize, value: u64) -> Vec<u8> {
    let mut bytes = vec![1 << (word / 64)];
    bytes.extend(1u64.wrapping_shl(u32::try_from(word % 64).unwrap()).to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes
}

fn push_encoded(producer: &mut Producer, gfn: u64, encoding: Encoding, bytes: &[u8]) {
    let stored_size = u16::try_from(bytes.len()).unwrap();
    push(producer, Entry::raw(EntryKind::Page, 2, gfn, 4096).encoded(encoding, stored_size), bytes);
}

fn push_delta(producer: &mut Producer, gfn: u64, word: usize, value: u64) {
    push_encoded(producer, gfn, Encoding::Delta, &delta_of(word, value));
}

fn block_of(bytes: &[u8]) -> Vec<u8> {
    let mut block = vec![0; lz4_flex::block::get_maximum_output_size(bytes.len())];
    let size = lz4_flex::block::compress_into(bytes, &mut block).unwrap();
    block.truncate(size);
    block
}

/// A page of one byte value, with words set.
fn page_of(value: u8, words: &[(usize, u64)]) -> Page {
    let mut page = [value; PAGE_SIZE];
    for (place, value) in words {
        page[place * 8..][..8].copy_from_slice(&value.to_le_bytes());
    }
    page
}

struct Twin {
    producer: Producer,
    consumer: Consumer,
    memory: Memory,
    staging: Staging,
}

impl Twin {
    /// A full copy has come, of gfn 1 filled with 1.
    fn new() -> Self {
        let (mut producer, mut consumer) = ring();
        let mut memory = Memory::default();
        let staging = full_copy(&mut producer, &mut consumer, &mut memory);
        Self { producer, consumer, memory, staging }
    }

    fn turn(&mut self) -> Result<StagingProgress, StagingFault> {
        self.staging.turn(&mut self.consumer, &mut self.memory)
    }

    /// Completes epoch 2 and applies it.
    fn finish(&mut self, pages: u64) {
        push_end(&mut self.producer, &sample::state(2), pages, 0);
        assert_eq!(run(&mut self.staging, &mut self.consumer, &mut self.memory), [2]);
    }
}

#[test]
fn versions_of_a_page_within_an_epoch_build_on_one_another() {
    let mut twin = Twin::new();
    let whole = page_of(9, &[(7, 70)]);
    push_delta(&mut twin.producer, 1, 3, 30);
    push_encoded(&mut twin.producer, 1, Encoding::Unchanged, &[]);
    push_page(&mut twin.producer, 2, 2, 2);
    push_delta(&mut twin.producer, 2, 4, 40);
    push_encoded(&mut twin.producer, 3, Encoding::Zero, &[]);
    push_delta(&mut twin.producer, 3, 511, 50);
    push_encoded(&mut twin.producer, 4, Encoding::Lz4, &block_of(&whole));
    push_delta(&mut twin.producer, 4, 64, 60);
    push_encoded(&mut twin.producer, 4, Encoding::DeltaLz4, &block_of(&delta_of(65, 61)));
    twin.finish(9);
    assert!(twin.memory.pages[&1] == page_of(1, &[(3, 30)]));
    assert!(twin.memory.pages[&2] == page_of(2, &[(4, 40)]));
    assert!(twin.memory.pages[&3] == page_of(0, &[(511, 50)]));
    assert!(twin.memory.pages[&4] == page_of(9, &[(7, 70), (64, 60), (65, 61)]));
}

#[test]
fn what_cannot_be_decoded_is_found_before_its_epoch_is_complete() {
    let broken = |encoding, bytes: &[u8]| {
        let mut twin = Twin::new();
        push_encoded(&mut twin.producer, 1, encoding, bytes);
        twin.turn()
    };
    let sound = delta_of(0, 1);
    assert_eq!(broken(Encoding::Delta, &sound), Ok(StagingProgress::Moved));
    assert_eq!(broken(Encoding::Delta, &sound[..9]), Err(StagingFault::Encoding(1)));
    assert_eq!(broken(Encoding::DeltaLz4, &block_of(&sound)), Ok(StagingProgress::Moved));
    let cut = block_of(&sound[..9]);
    assert_eq!(broken(Encoding::DeltaLz4, &cut), Err(StagingFault::Encoding(1)));
    assert_eq!(broken(Encoding::DeltaLz4, &sound), Err(StagingFault::Encoding(1)));
    let block = block_of(&[5; PAGE_SIZE]);
    assert_eq!(broken(Encoding::Lz4, &block), Ok(StagingProgress::Moved));
    assert_eq!(broken(Encoding::Lz4, &block[..block.len() - 1]), Err(StagingFault::Encoding(1)));
    let mut longer = block;
    longer.extend([0x10, 0xaa]);
    assert_eq!(broken(Encoding::Lz4, &longer), Err(StagingFault::Encoding(1)));
}

#[test]
fn changes_of_a_page_that_never_came_are_refused() {
    let (delta, block) = (delta_of(0, 1), block_of(&delta_of(0, 1)));
    for (encoding, bytes) in
        [(Encoding::Delta, delta), (Encoding::DeltaLz4, block), (Encoding::Unchanged, vec![])]
    {
        let mut twin = Twin::new();
        push_encoded(&mut twin.producer, 2, encoding, &bytes);
        assert_eq!(twin.turn(), Err(StagingFault::Base(2)));
    }
    // Within the full copy, too.
    let (mut producer, mut consumer) = ring();
    let mut staging = Staging::new(sample::TWIN, 0x100, 0);
    let delta = Entry::raw(EntryKind::Page, 1, 2, 4096).encoded(Encoding::Delta, 17);
    push(&mut producer, delta, &delta_of(0, 1));
    let fault = staging.turn(&mut consumer, &mut Memory::default());
    assert_eq!(fault, Err(StagingFault::Base(2)));
}

#[test]
fn a_half_that_changes_what_was_staged_harms_nothing_but_bytes() {
    let mut twin = Twin::new();
    push_delta(&mut twin.producer, 1, 3, 30);
    push_encoded(&mut twin.producer, 4, Encoding::Lz4, &block_of(&[5; PAGE_SIZE]));
    push_end(&mut twin.producer, &sample::state(2), 2, 0);
    while twin.turn().unwrap() != StagingProgress::Complete(2) {}
    let first = twin.consumer.available().unwrap().start;
    let kind = twin.consumer.entry(first).unwrap();
    assert_eq!((kind.address, kind.encoding), (1, Encoding::Delta));
    assert_eq!(twin.consumer.entry(first + 1).unwrap().encoding, Encoding::Raw, "decoded in place");
    twin.consumer.page_mut(first).fill(0xff);
    assert_eq!(twin.turn(), Err(StagingFault::Encoding(1)));
    let block = Entry::raw(EntryKind::Page, 2, 1, 4096).encoded(Encoding::Lz4, 4000);
    twin.consumer.rewrite(first, &block);
    assert_eq!(twin.turn(), Err(StagingFault::Encoding(1)));
}

#[test]
fn rings_are_changed_where_they_are_kept() {
    let mut twin = Twin::new();
    let store = sample::TWIN.store_gfn;
    push_page(&mut twin.producer, 2, store, 6);
    push_delta(&mut twin.producer, store, 1, 10);
    push_encoded(&mut twin.producer, store, Encoding::Unchanged, &[]);
    push_encoded(&mut twin.producer, sample::TWIN.console_gfn, Encoding::Zero, &[]);
    push_delta(&mut twin.producer, sample::TWIN.console_gfn, 2, 20);
    twin.finish(5);
    assert!(*twin.staging.aside().store.bytes().unwrap() == page_of(6, &[(1, 10)]));
    assert!(*twin.staging.aside().console.bytes().unwrap() == page_of(0, &[(2, 20)]));
    assert_eq!(twin.memory.pages.len(), 1, "neither is in memory");
}

/// shared_info and grant frames, with epochs that place them here and there.
#[test]
fn what_xen_will_own_is_changed_wherever_its_last_version_lies() {
    let (mut aside, mut memory) = (AsidePages::new(0xfeffc, 0xfefff), Memory::default());
    let state = |shared_info_gfn, grant_gfn| {
        let mut state = sample::state(2);
        state.shared_info_gfn = shared_info_gfn;
        state.grant_frame_gfns.clear();
        state.grant_frame_gfns.push(grant_gfn).unwrap();
        state
    };
    let mut bring =
        |aside: &mut AsidePages, state: Option<&CheckpointState>, gfn, update: &PageUpdate<'_>| {
            aside.bring(state, gfn, update, &mut memory)
        };
    let delta = |word| delta_of(word, 99);
    let changes = |bytes: &'static [u8]| PageUpdate::Changes(Delta::parse(bytes).unwrap());
    let deltas: Vec<_> = (0..8).map(|word| &*delta(word).leak()).collect();
    // The full copy knows no places: three pages of it.
    for (gfn, value) in [(0x10, 1), (0x11, 2), (0x12, 3)] {
        assert_eq!(bring(&mut aside, None, gfn, &PageUpdate::Whole(&[value; PAGE_SIZE])), Ok(()));
    }
    // shared_info becomes known with a change of what lies in memory.
    let here = state(0x10, 0x12);
    assert_eq!(bring(&mut aside, Some(&here), 0x10, &changes(deltas[0])), Ok(()));
    assert!(*aside.shared_info.bytes().unwrap() == page_of(1, &[(0, 99)]));
    // The next change is of what is aside.
    assert_eq!(bring(&mut aside, Some(&here), 0x10, &changes(deltas[1])), Ok(()));
    assert!(*aside.shared_info.bytes().unwrap() == page_of(1, &[(0, 99), (1, 99)]));
    // A grant frame changes; then both move, and change at their old and new places.
    assert_eq!(bring(&mut aside, Some(&here), 0x12, &changes(deltas[2])), Ok(()));
    let there = state(0x11, 0x10);
    assert_eq!(bring(&mut aside, Some(&there), 0x11, &changes(deltas[3])), Ok(()));
    assert!(*aside.shared_info.bytes().unwrap() == page_of(2, &[(3, 99)]));
    assert_eq!(bring(&mut aside, Some(&there), 0x10, &changes(deltas[4])), Ok(()));
    assert_eq!(bring(&mut aside, Some(&there), 0x12, &changes(deltas[5])), Ok(()));
    // It moves without a change of its new place.
    assert_eq!(bring(&mut aside, Some(&here), 0x10, &PageUpdate::Nothing), Ok(()));
    assert!(*aside.shared_info.bytes().unwrap() == page_of(1, &[(0, 99), (1, 99), (4, 99)]));
    // Grant frames without memory are dropped, whatever comes; shared_info without memory is kept.
    let beyond = state(0x8f000, 0x9000);
    for update in [PageUpdate::Zeros, PageUpdate::Nothing, changes(deltas[0])] {
        assert_eq!(bring(&mut aside, Some(&beyond), 0x9000, &update), Ok(()));
    }
    assert_eq!(
        bring(&mut aside, Some(&beyond), 0x8f000, &changes(deltas[0])),
        Err(NoMemoryAt(0x8f000))
    );
    assert_eq!(bring(&mut aside, Some(&beyond), 0x8f000, &PageUpdate::Zeros), Ok(()));
    assert_eq!(bring(&mut aside, Some(&beyond), 0x8f000, &changes(deltas[6])), Ok(()));
    assert!(*aside.shared_info.bytes().unwrap() == page_of(0, &[(6, 99)]));
    assert!(memory.pages[&0x10] == page_of(1, &[(0, 99), (1, 99), (4, 99)]));
    assert!(memory.pages[&0x11] == page_of(2, &[(3, 99)]));
    assert!(memory.pages[&0x12] == page_of(3, &[(2, 99), (5, 99)]));
    assert_eq!(memory.pages.len(), 3);
}

/// What a guest writes: a gfn, and which bytes become what.
type Write = (u64, u8, Vec<(usize, u8)>);

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let gfn = prop_oneof![
        4 => 0u64..24,
        1 => Just(sample::TWIN.store_gfn),
        1 => Just(sample::state(1).shared_info_gfn),
    ];
    let bytes = proptest::collection::vec((0..PAGE_SIZE, any::<u8>()), 0..60);
    proptest::collection::vec((gfn, 0u8..8, bytes), 0..30)
}

fn write(page: &mut Page, (_, kind, bytes): &Write) {
    match kind {
        0 => page.fill(0),
        1 => page.fill_with(|| b'x'),
        2 => (0..PAGE_SIZE).for_each(|place| page[place] = ((place * place) >> 3).to_le_bytes()[0]),
        _ => {}
    }
    bytes.iter().for_each(|(place, value)| page[*place] = *value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// ship's encoder with a cache of 16 pages, at any levels, and epochs in which pages repeat:
    /// what is in the twin's memory, and aside, is the guest.
    #[test]
    fn the_twin_is_the_guest(
        epochs in proptest::collection::vec(writes(), 1..6), level in 0usize..4,
    ) {
        let levels = [
            Level::Raw..=Level::Raw,
            Level::Delta..=Level::Delta,
            Level::Lz4..=Level::Lz4,
            Level::Raw..=Level::Lz4,
        ][level].clone();
        let shadow = ShadowCache::create(16 * PAGE_SIZE).unwrap();
        let mut encoder = PageEncoder::with_levels(shadow, levels, 4);
        let (mut producer, mut consumer) = ring();
        let (mut memory, mut staging) = (Memory::default(), Staging::new(sample::TWIN, 0x10_0000, 0));
        let (mut guest, mut index) = (BTreeMap::<u64, Page>::new(), 0);
        for (epoch, writes) in (1..).zip(&epochs) {
            // The full copy is of memory alone, which ends where the map of the test does.
            let writes = writes.iter().filter(|write| epoch > 1 || write.0 != sample::state(1).shared_info_gfn);
            let mut count = 0;
            for it in writes {
                let page = guest.entry(it.0).or_insert([0; PAGE_SIZE]);
                write(page, it);
                let mut slot = *page;
                let entry = Entry::raw(EntryKind::Page, epoch, it.0, 4096);
                let entry = encoder.encode(index, &entry, &mut slot).unwrap();
                encoder.note_progress(index * 10, index, index, index + 1);
                index += 1;
                push(&mut producer, entry, &slot[..usize::from(entry.stored_size)]);
                count += 1;
            }
            push_end(&mut producer, &sample::state(epoch), count, 0);
            prop_assert_eq!(run(&mut staging, &mut consumer, &mut memory), [epoch]);
            for (gfn, page) in &guest {
                let aside = staging.aside();
                let kept = if *gfn == sample::TWIN.store_gfn {
                    aside.store.bytes()
                } else if *gfn == sample::state(1).shared_info_gfn {
                    aside.shared_info.bytes()
                } else {
                    memory.pages.get(gfn)
                };
                prop_assert!(kept == Some(page), "gfn {:#x} of epoch {}", gfn, epoch);
            }
        }
    }
}
