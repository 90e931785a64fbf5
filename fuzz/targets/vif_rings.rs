//! The rings of a network interface, written by a backend that is an enemy.
//!
//! Each step is a byte and what it needs: words anywhere in the rings, answers that are nearly right, and
//! the frontend's own steps between.

#![no_main]

use std::cell::OnceCell;
use std::sync::atomic::{AtomicU64, Ordering};

use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::xen::GuestPage;
use pollux::xen::grant_access::GrantTable;
use pollux::xen::netif::{
    BackendLie, GrantedMemory, INTERFACE_PAGE_COUNT, InterfacePages, Rings, SLOT_COUNT,
};

fuzz::target!(seeds, try_bytes);

type PageWords = [AtomicU64; 512];

/// Bytes for each frame, as the link has them, and frames in a batch.
const AREA_SIZE: usize = 9024;
const BATCH_FRAMES: usize = 4;

/// Where the rings' slots begin, and the backend's producer index lies.
const SLOTS: usize = 64;
const RESPONSE_PRODUCER: usize = 8;

struct Memory {
    pages: &'static [PageWords; INTERFACE_PAGE_COUNT],
    granted: GrantedMemory<'static>,
}

fn zeroed<const COUNT: usize>() -> &'static [PageWords; COUNT] {
    let pages = (0..COUNT).map(|_| std::array::from_fn(|_| AtomicU64::new(0)));
    Box::leak(pages.collect::<Box<[PageWords]>>()).as_array().expect("so many")
}

impl Memory {
    fn new() -> Self {
        let (table, pages) = (zeroed::<2>(), zeroed());
        let mut table = GrantTable::new(&table.each_ref().map(GuestPage::from_words));
        let interface = InterfacePages::new(pages, 0x1000);
        let granted = GrantedMemory::grant(interface, &mut table, 3).expect("there is room");
        Self { pages, granted }
    }

    fn ring(&self, index: u8) -> GuestPage<'static> {
        GuestPage::from_words(&self.pages[usize::from(index)])
    }
}

thread_local! {
    static MEMORY: OnceCell<Memory> = const { OnceCell::new() };
}

fn try_bytes(data: &[u8]) {
    MEMORY.with(|memory| {
        let memory = memory.get_or_init(Memory::new);
        let mut rings = Rings::new(&memory.granted, 9014);
        let mut input = Input::new(data);
        while !input.is_empty() {
            if step(memory, &mut rings, &mut input).is_err() {
                break;
            }
        }
    });
}

fn step(memory: &Memory, rings: &mut Rings<'_>, input: &mut Input<'_>) -> Result<(), BackendLie> {
    let [transmit, receive] = [0, 1].map(|index| memory.ring(index));
    match input.below(8) {
        0 => {
            let offset = usize::from(input.u16()) % 1024 * 4;
            memory.ring(input.below(2)).word32(offset).store(input.u32(), Ordering::Relaxed);
        }
        1 | 2 => {
            // An answer in the next slot, shown at once.
            let index = receive.read_u32(RESPONSE_PRODUCER);
            let slot = SLOTS + index as usize % SLOT_COUNT * 8;
            receive.word64(slot).store(input.u64(), Ordering::Relaxed);
            show(receive, index, input.below(3));
        }
        3 => {
            let index = transmit.read_u32(RESPONSE_PRODUCER);
            let slot = SLOTS + index as usize % SLOT_COUNT * 12;
            transmit.word32(slot).store(input.u32(), Ordering::Relaxed);
            show(transmit, index, input.below(3));
        }
        4 | 5 => {
            let mut area = [0; BATCH_FRAMES * AREA_SIZE];
            let mut sizes = [0; BATCH_FRAMES];
            let (count, _) = rings.receive(&mut area, AREA_SIZE, &mut sizes)?;
            assert!(sizes[..count].iter().all(|size| (1..=AREA_SIZE).contains(size)));
        }
        6 => {
            let frame = vec![0x5a; usize::from(input.u16()) % 9100];
            let (count, _) = rings.send([&frame[..], &frame].into_iter())?;
            assert!(count <= 2);
        }
        _ => {
            rings.ask_for_event()?;
            rings.ask_for_no_event();
        }
    }
    Ok(())
}

fn show(ring: GuestPage<'_>, index: u32, count: u8) {
    let producer = ring.word32(RESPONSE_PRODUCER);
    producer.store(index.wrapping_add(count.into()), Ordering::Relaxed);
}

fn seeds() -> Seeds {
    let mut frames = Vec::new();
    // A frame of two pieces with a hash beside it, then one of 60 bytes.
    for word in [0x1000_000c_0000_0000u64, 0x0004, 0x0200_0000_0000_0002, 0x003c_0000_0000_0003] {
        frames.push(1);
        frames.extend(word.to_le_bytes());
        frames.push(1);
    }
    frames.extend([4, 7, 4]);
    let mut sent = vec![6];
    sent.extend(9014u16.to_le_bytes());
    for id in [255u32, 254, 250] {
        sent.push(3);
        sent.extend(id.to_le_bytes());
        sent.push(1);
    }
    sent.extend([6, 60, 0]);
    Seeds::from([("frames", frames), ("sent", sent)])
}
