//! Staging: whole epochs or nothing, whatever comes and whatever an enemy at the ring does meanwhile.
//!
//! As long as nobody tampers with the ring: what is complete can be applied to its last page, and the
//! twin's ordinary pages are then what the pages of all complete epochs make of them.

#![no_main]

use std::collections::{BTreeMap, VecDeque};

use fuzz::hostile::HostileHalf;
use fuzz::input::Input;
use fuzz::sample;
use fuzz::seeds::Seeds;
use fuzz::twin::Memory;
use pollux::codec::page::PageUpdate;
use pollux::commit::staging::{Staging, StagingProgress};
use pollux::limits::PAGE_SIZE;
use pollux::ring::{Consumer, Encoding, Entry, EntryKind, Producer, Ring};

fuzz::target!(seeds, try_bytes);

const GFN_COUNT: u64 = 0x10_0000;
/// gfns that are ordinary pages of every state below.
const ORDINARY: std::ops::Range<u64> = 1..6;
/// Where pages come; the first ones are ordinary, then places that a state may give to Xen, rings, and
/// gfns where the twin can have no memory.
const GFNS: [u64; 16] =
    [1, 2, 3, 4, 5, 8, 9, 10, 11, 0xfeffc, 0xfefff, 0x8f000, 0x9000, 0x9001, 0x200, GFN_COUNT];
const GRANT_FRAMES: [u64; 6] = [0x9000, 0x9001, 8, 9, 10, 0x200];
const SHARED_INFOS: [u64; 4] = [0x8f000, 0x9000, 10, 11];

type StoredPage = (u64, Encoding, Vec<u8>);

struct Backup {
    producer: Producer,
    consumer: Consumer,
    hostile: HostileHalf,
    memory: Memory,
    staging: Staging,
    is_rehearsal: bool,
    is_tampered_with: bool,
    /// The epoch that is being sent, its entries so far, and its pages.
    epoch: u64,
    entry_count: u64,
    pages: Vec<StoredPage>,
    /// The same of epochs that were sent whole and not seen complete yet.
    sent: VecDeque<Vec<StoredPage>>,
    complete_epoch: u64,
    expected: BTreeMap<u64, [u8; PAGE_SIZE]>,
    context: Vec<u8>,
}

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let mut backup = Backup::new(input.u8() & 1 == 1);
    while !input.is_empty() {
        let kind = input.u8();
        backup.send(kind, &mut input);
        // Mostly staging keeps up.
        let turns = if kind & 0x80 == 0 { 8 } else { 0 };
        if !(0..turns).all(|_| backup.turn()) {
            return;
        }
    }
}

impl Backup {
    fn new(is_rehearsal: bool) -> Self {
        let (mut producer, mut consumer) =
            Ring::create(128).expect("address space").into_both().expect("address space");
        producer.reset(128);
        consumer.begin().expect("a possible capacity");
        let hostile = HostileHalf::of(&mut producer);
        let staging = Staging::new(sample::TWIN, GFN_COUNT, 0);
        Self {
            producer,
            consumer,
            hostile,
            memory: Memory::default(),
            staging: if is_rehearsal { staging.of_rehearsal() } else { staging },
            is_rehearsal,
            is_tampered_with: false,
            epoch: 1,
            entry_count: 0,
            pages: Vec::new(),
            sent: VecDeque::new(),
            complete_epoch: 0,
            expected: BTreeMap::new(),
            context: sample::hvm_context(),
        }
    }

    fn send(&mut self, kind: u8, input: &mut Input<'_>) {
        match kind & 0x7f {
            0..16 => self.send_page(Encoding::Raw, &[input.u8(); PAGE_SIZE], input.u8()),
            16..32 => self.send_page(Encoding::Zero, &[], input.u8()),
            32..48 => {
                let (word, value) = (usize::from(input.u16()) % 512, input.u64());
                self.send_page(Encoding::Delta, &delta_of(word, value), input.u8());
            }
            48..56 => self.send_page(Encoding::Unchanged, &[], input.u8()),
            56..64 => {
                self.send_page(Encoding::Lz4, &block_of(&[input.u8(); PAGE_SIZE]), input.u8())
            }
            64..72 => {
                let delta = delta_of(usize::from(input.u8()), input.u64());
                self.send_page(Encoding::DeltaLz4, &block_of(&delta), input.u8());
            }
            72..84 => self.end_epoch(input.u8(), input.u8()),
            84..92 => self.send_any(input),
            92..100 => {
                let encoding = Encoding::from_number(input.below(6)).expect("a number below 6");
                self.send_page(encoding, input.counted(PAGE_SIZE - 1), input.u8());
            }
            100..110 => {
                self.is_tampered_with = true;
                self.hostile.write_chosen(input.u16(), input.near(0));
            }
            110..120 => {
                self.is_tampered_with = true;
                self.hostile.scribble(input.u8().into(), input.u16(), input.u8());
            }
            _ => {}
        }
    }

    fn push(&mut self, entry: &Entry, bytes: &[u8]) -> bool {
        if self.producer.free_entries().is_ok_and(|count| count > 0) && entry.is_consistent() {
            self.producer.slot_mut()[..bytes.len()].copy_from_slice(bytes);
            self.producer.push(entry);
            self.producer.publish();
            self.entry_count += 1;
            return true;
        }
        false
    }

    fn send_page(&mut self, encoding: Encoding, stored: &[u8], place: u8) {
        let gfn = GFNS[usize::from(place) % GFNS.len()];
        let size = u16::try_from(stored.len()).expect("a page at most");
        let entry = Entry::raw(EntryKind::Page, self.epoch, gfn, 4096).encoded(encoding, size);
        if self.push(&entry, stored) {
            self.pages.push((gfn, encoding, stored.to_vec()));
        }
    }

    /// State, context and end of the epoch, with Xen's frames at the places that `choice` means.
    fn end_epoch(&mut self, choice: u8, fault: u8) {
        let mut state = sample::state(self.epoch, self.context.len());
        state.shared_info_gfn = SHARED_INFOS[usize::from(choice & 3)];
        state.grant_frame_gfns = (0..6)
            .filter(|frame| choice >> (2 + frame) & 1 == 1)
            .map(|frame| GRANT_FRAMES[frame])
            .collect();
        let context = self.context.clone();
        let parts =
            [(EntryKind::State, sample::state_bytes(&state)), (EntryKind::HvmContext, context)];
        for (kind, bytes) in &parts {
            let length = u16::try_from(bytes.len()).expect("a page at most");
            self.push(&Entry::raw(*kind, self.epoch, 0, length), bytes);
        }
        if self.is_rehearsal {
            self.push(&Entry::raw(EntryKind::Digest, self.epoch, 5, 0), &[]);
        }
        let count = self.entry_count + 1 + u64::from(fault == 255);
        if self.push(&Entry::raw(EntryKind::EpochEnd, self.epoch, count, 0), &[]) {
            self.sent.push_back(std::mem::take(&mut self.pages));
            (self.epoch, self.entry_count) = (self.epoch + 1, 0);
        }
    }

    fn send_any(&mut self, input: &mut Input<'_>) {
        let Some(kind) = EntryKind::from_number(input.u8() % 9) else { return };
        let (epoch, address) = (input.near(self.epoch), input.near(0));
        let bytes = input.counted(PAGE_SIZE);
        let length = u16::try_from(bytes.len()).expect("a page at most");
        if kind != EntryKind::Page {
            self.push(&Entry::raw(kind, epoch, address, length), bytes);
        }
    }

    /// One turn; false when the session is over.
    fn turn(&mut self) -> bool {
        let was_applying = !self.staging.is_applied();
        let before = self.complete_epoch;
        match self.staging.turn(&mut self.consumer, &mut self.memory) {
            Ok(StagingProgress::Complete(epoch)) => {
                assert_eq!(epoch, self.complete_epoch + 1);
                self.complete_epoch = epoch;
                if !self.is_tampered_with {
                    self.expect();
                }
            }
            Ok(_) => {}
            Err(fault) => {
                let is_broken_promise = was_applying && !self.is_tampered_with;
                assert!(!is_broken_promise, "what was complete cannot be applied: {fault:?}");
                let complete = self.staging.complete().map_or(0, |complete| complete.state.epoch);
                assert_eq!(complete, before);
                return false;
            }
        }
        let complete = self.staging.complete().map_or(0, |complete| complete.state.epoch);
        assert_eq!(complete, self.complete_epoch);
        let is_comparable = complete > 1 && self.staging.is_applied() && !self.is_tampered_with;
        if is_comparable {
            self.compare();
        }
        true
    }

    /// Takes the pages of the epoch that is complete into account.
    fn expect(&mut self) {
        let pages = self.sent.pop_front().expect("it was sent");
        for (gfn, encoding, stored) in pages.iter().filter(|page| ORDINARY.contains(&page.0)) {
            let mut room = [0; PAGE_SIZE];
            let update =
                PageUpdate::read(*encoding, stored, &mut room).expect("staging checked it");
            update.apply(self.expected.entry(*gfn).or_insert([0; PAGE_SIZE]));
        }
    }

    fn compare(&self) {
        for (gfn, page) in &self.expected {
            assert!(self.memory.pages.get(gfn).is_some_and(|own| **own == *page), "gfn {gfn}");
        }
    }
}

fn delta_of(word: usize, value: u64) -> Vec<u8> {
    let mut bytes = vec![1 << (word / 64)];
    bytes.extend((1u64 << (word % 64)).to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes
}

fn block_of(bytes: &[u8]) -> Vec<u8> {
    let mut block = vec![0; lz4_flex::block::get_maximum_output_size(bytes.len())];
    let size = lz4_flex::block::compress_into(bytes, &mut block).expect("there is room");
    block.truncate(size);
    block
}

fn seeds() -> Seeds {
    let full_copy: &[u8] = &[0, 7, 1, 0, 9, 2, 0, 1, 9, 72, 12, 0];
    let second: &[u8] =
        &[32, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 16, 3, 48, 2, 56, 4, 0, 0, 3, 11, 72, 12, 0];
    let third: &[u8] = &[64, 9, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 12, 72, 1, 0];
    let epochs = [full_copy, second, third].concat();
    let hostile: &[u8] = &[0x80, 1, 1, 0x80, 2, 2, 100, 3, 0, 9, 110, 1, 5, 5, 6, 72, 12, 0];
    let any: &[u8] = &[84, 4, 0, 0, 3, 0, 1, 2, 3, 92, 3, 5, 0, 1, 2, 3, 4, 5, 1];
    Seeds::from([
        ("epochs", [&[0], &epochs[..]].concat()),
        ("rehearsal", [&[1], &epochs[..]].concat()),
        ("hostile", [&[0], &epochs[..], hostile].concat()),
        ("any", [&[0], full_copy, any].concat()),
    ])
}
