//! A page's bytes in any encoding: they are none of it, or bring a page up to date.
//!
//! First byte: the encoding. The others: what lies in the slot.

#![no_main]

use fuzz::seeds::Seeds;
use pollux::codec::page::{Delta, PageUpdate, unpack};
use pollux::limits::PAGE_SIZE;
use pollux::ring::Encoding;

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let Some((&number, stored)) = data.split_first() else { return };
    let Some(encoding) = Encoding::from_number(number % 6) else { return };
    // No entry holds more than a page.
    let stored = &stored[..stored.len().min(PAGE_SIZE)];
    let mut room = [0xee; PAGE_SIZE];
    let Some(update) = PageUpdate::read(encoding, stored, &mut room) else { return };
    assert!(!update.is_relative() || encoding.is_relative());
    let mut page = [0xdd; PAGE_SIZE];
    update.apply(&mut page);
    match update {
        PageUpdate::Whole(bytes) => assert_eq!(page, *bytes),
        PageUpdate::Zeros => assert_eq!(page, [0; PAGE_SIZE]),
        PageUpdate::Nothing => assert_eq!(page, [0xdd; PAGE_SIZE]),
        PageUpdate::Changes(delta) => check_changes(&delta, &page),
    }
    let mut second_room = [0x11; PAGE_SIZE];
    let (plain, bytes) = unpack(encoding, stored, &mut second_room).expect("it was read before");
    assert_eq!(plain.is_relative(), encoding.is_relative());
    assert!(bytes.len() <= PAGE_SIZE);
    let mut third_room = [0x22; PAGE_SIZE];
    let again = PageUpdate::read(plain, bytes, &mut third_room).expect("it is no longer packed");
    let mut page_again = [0xdd; PAGE_SIZE];
    again.apply(&mut page_again);
    assert_eq!(page_again, page);
}

/// Changes name words of the page in ascending order, and nothing else changes.
fn check_changes(delta: &Delta<'_>, page: &[u8; PAGE_SIZE]) {
    let changes: Vec<_> = delta.changes().collect();
    assert!(!changes.is_empty() && changes.is_sorted_by(|one, other| one.0 < other.0));
    let mut expected = [0xdd; PAGE_SIZE];
    for (place, bytes) in changes {
        expected[place * 8..][..8].copy_from_slice(&bytes);
    }
    assert_eq!(*page, expected);
}

fn seeds() -> Seeds {
    let delta = delta_of(&[(3, 30), (64, 7), (511, u64::MAX)]);
    let many: Vec<_> = (0..512).step_by(3).map(|word| (word, 5)).collect();
    let long_delta = delta_of(&many);
    let text = b"a page of words, and of words again ".repeat(114);
    let with = |encoding: Encoding, stored: &[u8]| [&[encoding as u8], stored].concat();
    Seeds::from([
        ("zero", with(Encoding::Zero, &[])),
        ("unchanged", with(Encoding::Unchanged, &[])),
        ("raw", with(Encoding::Raw, &[7; PAGE_SIZE])),
        ("delta", with(Encoding::Delta, &delta)),
        ("lz4", with(Encoding::Lz4, &block_of(&text[..PAGE_SIZE]))),
        ("lz4-short", with(Encoding::Lz4, &block_of(&text[..PAGE_SIZE - 1]))),
        ("delta-lz4", with(Encoding::DeltaLz4, &block_of(&long_delta))),
    ])
}

fn delta_of(changes: &[(usize, u64)]) -> Vec<u8> {
    let mut bitmap = [0u64; 8];
    changes.iter().for_each(|(word, _)| bitmap[word / 64] |= 1 << (word % 64));
    let mut bytes = vec![0];
    for (number, word) in bitmap.iter().enumerate().filter(|(_, word)| **word != 0) {
        bytes[0] |= 1 << number;
        bytes.extend(word.to_le_bytes());
    }
    changes.iter().for_each(|(_, value)| bytes.extend(value.to_le_bytes()));
    bytes
}

fn block_of(bytes: &[u8]) -> Vec<u8> {
    let mut block = vec![0; lz4_flex::block::get_maximum_output_size(bytes.len())];
    let size = lz4_flex::block::compress_into(bytes, &mut block).expect("there is room");
    block.truncate(size);
    block
}
