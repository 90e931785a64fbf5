//! Staging, tried with a real ring and a twin that is a map.

use super::super::intake::tests::{push, ring};
use super::*;
use crate::codec::encode;
use crate::codec::page::PageUpdate;
use crate::revive::check::{StateFault, sample};
use crate::ring::{Encoding, Producer};
use crate::xen::hvm_context::{HvmContextWriter, HvmCpuRecord, RecordType};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const GFN_COUNT: u64 = 0x10_0000;
const CONTEXT_SIZE: usize = 4568;

type Page = [u8; PAGE_SIZE];

/// Memory at every gfn below 0x100, as soon as it is asked for.
#[derive(Default)]
pub struct Memory {
    pub pages: BTreeMap<u64, Page>,
    provided: BTreeSet<u64>,
}

impl Memory {
    /// The first byte of each page.
    fn firsts(&self) -> BTreeMap<u64, u8> {
        self.pages.iter().map(|(&gfn, page)| (gfn, page[0])).collect()
    }
}

impl TwinMemory for Memory {
    fn provide_page(&mut self, gfn: u64) -> Result<(), NoMemoryAt> {
        self.provided.insert(gfn);
        if gfn < 0x100 { Ok(()) } else { Err(NoMemoryAt(gfn)) }
    }

    fn has_page(&self, gfn: u64) -> bool {
        self.pages.contains_key(&gfn) || self.provided.contains(&gfn)
    }

    fn read_page(&self, gfn: u64, target: &mut Page) -> bool {
        self.pages.get(&gfn).inspect(|page| *target = **page).is_some()
    }

    fn update_page(&mut self, gfn: u64, update: &PageUpdate<'_>) -> Result<(), NoMemoryAt> {
        if update.is_relative() {
            update.apply(self.pages.get_mut(&gfn).ok_or(NoMemoryAt(gfn))?);
        } else {
            self.provide_page(gfn)?;
            update.apply(self.pages.entry(gfn).or_insert([0xdd; PAGE_SIZE]));
        }
        Ok(())
    }
}

pub fn push_page(producer: &mut Producer, epoch: u64, gfn: u64, value: u8) {
    push(producer, Entry::raw(EntryKind::Page, epoch, gfn, 4096), &[value; PAGE_SIZE]);
}

fn push_parts(producer: &mut Producer, kind: EntryKind, epoch: u64, bytes: &[u8]) -> u64 {
    for (number, part) in bytes.chunks(PAGE_SIZE).enumerate() {
        let length = u16::try_from(part.len()).unwrap();
        push(producer, Entry::raw(kind, epoch, number as u64 * 4096, length), part);
    }
    bytes.len().div_ceil(PAGE_SIZE) as u64
}

/// State, context and end of an epoch with this many pages; the context is filled with a byte.
pub fn push_end(producer: &mut Producer, state: &CheckpointState, pages: u64, fill: u8) {
    let epoch = state.epoch;
    let mut bytes = [0; CHECKPOINT_STATE_SIZE_MAX];
    let size = encode(state, &mut bytes).unwrap();
    let parts = push_parts(producer, EntryKind::State, epoch, &bytes[..size])
        + push_parts(producer, EntryKind::HvmContext, epoch, &context(fill));
    push(producer, Entry::raw(EntryKind::EpochEnd, epoch, pages + parts + 1, 0), &[]);
}

/// The context of two vCPUs, as long as the sample state says; the filler is in its header.
fn context(fill: u8) -> [u8; CONTEXT_SIZE] {
    let mut bytes = [0; CONTEXT_SIZE];
    let cpu = HvmCpuRecord::long_mode_entry(0x1000, 0x2000, 0x3000).to_bytes();
    let mut writer = HvmContextWriter::new(&mut bytes);
    writer.push(RecordType::Header, 0, &[fill; 24]).unwrap();
    writer.push(RecordType::Cpu, 0, &cpu).unwrap();
    writer.push(RecordType::Cpu, 1, &cpu).unwrap();
    // Of the length: five descriptors of 8 bytes, the header, both vCPUs, and the rest.
    let rest = vec![0; CONTEXT_SIZE - 5 * 8 - 24 - 2 * cpu.len()];
    writer.push(RecordType::LapicRegs, 0, &rest).unwrap();
    assert_eq!(writer.finish(), Ok(CONTEXT_SIZE));
    bytes
}

fn staging() -> Staging {
    Staging::new(sample::TWIN, GFN_COUNT, 0)
}

/// Takes turns until there is nothing to do; the epochs that became complete.
pub fn run(staging: &mut Staging, ring: &mut Consumer, memory: &mut Memory) -> Vec<u64> {
    let mut complete = Vec::new();
    loop {
        match staging.turn(ring, memory).unwrap() {
            StagingProgress::Idle => return complete,
            StagingProgress::Complete(epoch) => complete.push(epoch),
            StagingProgress::Moved => {}
        }
    }
}

/// A full copy of one page, gfn 1 with value 1, up to its completion.
pub fn full_copy(producer: &mut Producer, ring: &mut Consumer, memory: &mut Memory) -> Staging {
    let mut staging = staging();
    push_page(producer, 1, 1, 1);
    push_end(producer, &sample::state(1), 1, 1);
    assert_eq!(run(&mut staging, ring, memory), [1]);
    staging
}

#[test]
fn the_full_copy_is_applied_as_it_comes() {
    let (mut producer, mut consumer) = ring();
    let (mut staging, mut memory) = (staging(), Memory::default());
    push_page(&mut producer, 1, 5, 50);
    push_page(&mut producer, 1, sample::TWIN.store_gfn, 60);
    assert_eq!(staging.turn(&mut consumer, &mut memory), Ok(StagingProgress::Moved));
    assert_eq!(memory.firsts(), BTreeMap::from([(5, 50)]));
    assert_eq!(staging.aside().store.bytes(), Some(&[60; PAGE_SIZE]));
    assert_eq!(consumer.available(), Ok(2..2));
    assert!(staging.complete().is_none(), "without its end there is nothing to revive");
    push_end(&mut producer, &sample::state(1), 2, 7);
    assert_eq!(run(&mut staging, &mut consumer, &mut memory), [1]);
    assert_eq!(staging.complete().unwrap().state.epoch, 1);
    let available = consumer.available().unwrap();
    assert!(available.is_empty());
}

#[test]
fn an_epoch_is_complete_before_any_of_it_is_applied() {
    let (mut producer, mut consumer) = ring();
    let mut memory = Memory::default();
    let mut staging = full_copy(&mut producer, &mut consumer, &mut memory);
    memory.pages.clear();
    push_page(&mut producer, 2, 7, 1);
    push_page(&mut producer, 2, 7, 2);
    let zero = Entry::raw(EntryKind::Page, 2, 8, 4096).encoded(Encoding::Zero, 0);
    push(&mut producer, zero, &[9; 64]);
    push_page(&mut producer, 2, sample::state(2).shared_info_gfn, 3);
    push_page(&mut producer, 2, 0x9001, 4);
    run(&mut staging, &mut consumer, &mut memory);
    assert!(memory.pages.is_empty());
    let available = consumer.available().unwrap();
    assert_eq!(available.end - available.start, 5, "a torn epoch stays in the ring");
    push_end(&mut producer, &sample::state(2), 5, 0xaa);
    assert_eq!(staging.turn(&mut consumer, &mut memory), Ok(StagingProgress::Complete(2)));
    assert!(memory.pages.is_empty() && !staging.is_applied());
    run(&mut staging, &mut consumer, &mut memory);
    assert!(staging.is_applied());
    assert_eq!(memory.firsts(), BTreeMap::from([(7, 2), (8, 0)]));
    assert_eq!(staging.aside().shared_info.bytes(), Some(&[3; PAGE_SIZE]));
    let complete = staging.complete().unwrap();
    assert_eq!(complete.state, sample::state(2));
    assert_eq!(complete.hvm_context(), context(0xaa));
}

#[test]
fn a_torn_epoch_leaves_the_newest_complete_one() {
    let (mut producer, mut consumer) = ring();
    let mut memory = Memory::default();
    let mut staging = full_copy(&mut producer, &mut consumer, &mut memory);
    push_page(&mut producer, 2, 1, 2);
    push_page(&mut producer, 2, sample::TWIN.store_gfn, 3);
    push_parts(&mut producer, EntryKind::HvmContext, 2, &context(2));
    assert_eq!(run(&mut staging, &mut consumer, &mut memory), []);
    assert_eq!(memory.firsts(), BTreeMap::from([(1, 1)]));
    assert!(staging.aside().store.bytes().is_none());
    let complete = staging.complete().unwrap();
    assert_eq!((complete.state.epoch, complete.hvm_context()), (1, &context(1)[..]));
}

#[test]
fn a_repeated_context_counts() {
    let (mut producer, mut consumer) = ring();
    let (mut staging, mut memory) = (staging(), Memory::default());
    push_parts(&mut producer, EntryKind::HvmContext, 1, &[1; CONTEXT_SIZE + 4096]);
    push_end(&mut producer, &sample::state(1), 3, 2);
    assert_eq!(run(&mut staging, &mut consumer, &mut memory), [1]);
    assert_eq!(staging.complete().unwrap().hvm_context(), context(2));
}

#[test]
fn an_epoch_that_cannot_be_revived_does_not_replace_one_that_can() {
    let (mut producer, mut consumer) = ring();
    let mut memory = Memory::default();
    let mut staging = full_copy(&mut producer, &mut consumer, &mut memory);
    let mut state = [0; CHECKPOINT_STATE_SIZE_MAX];
    let size = encode(&sample::state(2), &mut state).unwrap();
    let parts = push_parts(&mut producer, EntryKind::State, 2, &state[..size])
        + push_parts(&mut producer, EntryKind::HvmContext, 2, &[9; CONTEXT_SIZE]);
    push(&mut producer, Entry::raw(EntryKind::EpochEnd, 2, parts + 1, 0), &[]);
    let fault = loop {
        match staging.turn(&mut consumer, &mut memory) {
            Ok(progress) => assert_eq!(progress, StagingProgress::Moved),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, StagingFault::Context { epoch: 2 });
    assert_eq!(staging.complete().unwrap().state.epoch, 1);
}

#[test]
fn what_does_not_fit_is_refused() {
    let fault = |fill: &dyn Fn(&mut Producer)| {
        let (mut producer, mut consumer) = ring();
        let (mut staging, mut memory) = (staging(), Memory::default());
        fill(&mut producer);
        loop {
            match staging.turn(&mut consumer, &mut memory) {
                Ok(StagingProgress::Idle) => return None,
                Ok(_) => {}
                Err(fault) => return Some(fault),
            }
        }
    };
    let end = |epoch, count| Entry::raw(EntryKind::EpochEnd, epoch, count, 0);
    assert_eq!(
        fault(&|it| push(it, end(1, 2), &[])),
        Some(StagingFault::Count { epoch: 1, entries: 1, wanted: 2 })
    );
    assert_eq!(fault(&|it| push(it, end(1, 1), &[])), Some(StagingFault::Decode { epoch: 1 }));
    assert_eq!(
        fault(&|it| push_page(it, 2, 1, 1)),
        Some(StagingFault::Order { wanted: 1, found: 2 })
    );
    assert_eq!(fault(&|it| push_page(it, 1, GFN_COUNT, 1)), Some(StagingFault::Gfn(GFN_COUNT)));
    assert_eq!(fault(&|it| push_page(it, 1, 0x200, 1)), Some(StagingFault::Gfn(0x200)));
    assert_eq!(
        fault(&|it| push(it, Entry::raw(EntryKind::State, 1, 1, 5), &[])),
        Some(StagingFault::Part { epoch: 1 })
    );
    let description = Entry::raw(EntryKind::Description, 1, 0, 5);
    assert_eq!(
        fault(&|it| push(it, description, &[])),
        Some(StagingFault::Kind(EntryKind::Description))
    );
    let long = vec![0; HVM_CONTEXT_SIZE_MAX + 1];
    assert_eq!(
        fault(&|it| {
            push_parts(it, EntryKind::HvmContext, 1, &long);
        }),
        Some(StagingFault::Part { epoch: 1 })
    );
    let mut other = sample::state(1);
    other.vcpus.clear();
    assert!(matches!(
        fault(&|it| push_end(it, &other, 0, 1)),
        Some(StagingFault::State(StateFault::VcpuCount { .. }))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the epochs hold and however many entries are there at each look, the twin is
    /// always exactly the state after a number of whole epochs.
    #[test]
    fn the_twin_is_always_one_epoch(
        epochs in proptest::collection::vec(
            proptest::collection::vec((0u64..32, any::<u8>()), 0..20), 1..6),
        torn in proptest::collection::vec((0u64..32, any::<u8>()), 0..20),
    ) {
        let (mut producer, mut consumer) = ring();
        let mut memory = Memory::default();
        let mut staging = full_copy(&mut producer, &mut consumer, &mut memory);
        let mut expected = BTreeMap::from([(1, 1)]);
        for (number, pages) in (2u64..).zip(&epochs) {
            for (gfn, value) in pages {
                push_page(&mut producer, number, *gfn, *value);
                prop_assert_eq!(run(&mut staging, &mut consumer, &mut memory), []);
                prop_assert_eq!(&memory.firsts(), &expected);
            }
            expected.extend(pages.iter().copied());
            push_end(&mut producer, &sample::state(number), pages.len() as u64, 0);
            prop_assert_eq!(run(&mut staging, &mut consumer, &mut memory), [number]);
            prop_assert_eq!(&memory.firsts(), &expected);
        }
        for (gfn, value) in torn {
            push_page(&mut producer, epochs.len() as u64 + 2, gfn, value);
        }
        prop_assert_eq!(run(&mut staging, &mut consumer, &mut memory), []);
        prop_assert_eq!(&memory.firsts(), &expected);
    }
}
