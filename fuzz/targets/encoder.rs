//! The encoder against the decoder: whatever a guest writes, the backup makes the same pages of it.
//!
//! First byte: levels, and whether there is a cache. Then, per page: its gfn, what is done to it, and
//! how often.

#![no_main]

use std::collections::HashMap;

use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::codec::page::{Level, PageEncoder, PageUpdate, ShadowCache};
use pollux::limits::PAGE_SIZE;
use pollux::ring::{Encoding, Entry, EntryKind};

fuzz::target!(seeds, try_bytes);

type Page = Box<[u8; PAGE_SIZE]>;

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let mut encoder = encoder(input.u8());
    let (mut guest, mut twin): (HashMap<u64, Page>, HashMap<u64, Page>) = Default::default();
    let (mut epoch, mut now_us) = (1, 0);
    for index in 0..200 {
        if input.is_empty() {
            break;
        }
        let (gfn, kind) = (u64::from(input.u8()), input.u8());
        if kind == 255 {
            epoch += 1;
            let end = Entry::raw(EntryKind::EpochEnd, epoch, 1, 0);
            assert_eq!(encoder.encode(index, &end, &mut [0; PAGE_SIZE]), Ok(end));
            continue;
        }
        let page = guest.entry(gfn).or_insert_with(|| Box::new([0; PAGE_SIZE]));
        write(page, kind, &mut input);
        let mut slot = page.clone();
        let raw = Entry::raw(EntryKind::Page, epoch, gfn, 4096);
        let entry = encoder.encode(index, &raw, &mut slot).expect("a raw page is encoded");
        assert!(entry.is_consistent());
        assert_eq!(entry.encoded(Encoding::Raw, 4096), raw);
        let mut room = [0; PAGE_SIZE];
        let stored = &slot[..usize::from(entry.stored_size)];
        let update = PageUpdate::read(entry.encoding, stored, &mut room).expect("its own encoding");
        assert!(!update.is_relative() || twin.contains_key(&gfn), "changes of what never came");
        let copy = twin.entry(gfn).or_insert_with(|| Box::new([0xdd; PAGE_SIZE]));
        update.apply(copy);
        assert!(copy == page, "entry {index}: {entry:?}");
        now_us += u64::from(kind);
        encoder.note_progress(
            now_us,
            index + 1,
            index.saturating_sub(u64::from(kind % 4)),
            index + 1,
        );
    }
}

fn encoder(choice: u8) -> PageEncoder {
    let levels = match choice % 4 {
        0 => Level::Raw..=Level::Lz4,
        1 => Level::Delta..=Level::Delta,
        2 => Level::Lz4..=Level::Lz4,
        _ => Level::Delta..=Level::Lz4,
    };
    // One set: pages push each other out.
    let cache = match choice & 4 {
        0 => ShadowCache::create(ShadowCache::SIZE_LEAST).expect("a few pages can be locked"),
        _ => ShadowCache::off(),
    };
    PageEncoder::with_levels(cache, levels, 4)
}

/// What a guest does to a page.
fn write(page: &mut [u8; PAGE_SIZE], kind: u8, input: &mut Input<'_>) {
    match kind % 5 {
        0 => {
            let place = usize::from(input.u16()) % PAGE_SIZE;
            let bytes = input.bytes(usize::from(kind / 5));
            let end = (place + bytes.len()).min(PAGE_SIZE);
            page[place..end].copy_from_slice(&bytes[..end - place]);
        }
        1 => page.fill(input.u8()),
        2 => {
            let (step, value) = (usize::from(input.u8()) + 1, input.u8());
            page.iter_mut().step_by(step).for_each(|byte| *byte ^= value);
        }
        3 => {
            let mut word = input.u32();
            for byte in page.iter_mut() {
                word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = word.to_le_bytes()[3];
            }
        }
        _ => {}
    }
}

fn seeds() -> Seeds {
    let mut bytes = Vec::new();
    for gfn in [1, 2, 1, 3, 1] {
        bytes.extend([gfn, 1, 0]);
        bytes.extend([
            gfn, 20, 8, 1, 1, 2, 3, 4, gfn, 4, gfn, 2, 9, gfn, gfn, 3, 1, 2, 3, gfn, gfn, 255,
        ]);
    }
    let with = |choice| [&[choice], &bytes[..]].concat();
    Seeds::from([("all", with(0)), ("delta", with(1)), ("lz4", with(2)), ("off", with(4))])
}
