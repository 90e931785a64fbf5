//! LZ4 blocks of whole pages and of deltas, and a guess at which of them are worth the time.

use core::fmt;

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use super::delta::DELTA_SIZE_MAX;
use crate::limits::PAGE_SIZE;
use crate::ring::Encoding;

/// Bytes that a block of one page can have, before it is thrown away for being too large.
const BLOCK_SIZE_MAX: usize = get_maximum_output_size(PAGE_SIZE);
/// A block must save this part of the bytes, or they are sent as they are.
const SAVING_MIN_DIVISOR: usize = 8;

/// Neighbours of a guest's memory that are judged together: 64 KiB, which mostly hold one kind of
/// data.
const NEIGHBOUR_PAGE_COUNT: u64 = 16;
/// Judgements that are kept, by a hash of where the pages lie and of whether they are whole.
const JUDGEMENT_COUNT: usize = 1024;
/// After so many failures in a row the pages skipped become no more: 2 to the power of this.
const FAILURE_COUNT_MAX: u8 = 6;

/// What was seen of some pages lately.
#[derive(Clone, Copy, Debug, Default)]
struct Judgement {
    failures: u8,
    /// Pages that are not tried before the next trial.
    skips: u8,
}

/// Compresses pages and deltas one at a time.
pub struct Compressor {
    block: [u8; BLOCK_SIZE_MAX],
    judgements: [Judgement; JUDGEMENT_COUNT],
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    pub fn new() -> Self {
        Self { block: [0; BLOCK_SIZE_MAX], judgements: [Judgement::default(); JUDGEMENT_COUNT] }
    }

    /// The block of a page or of a page's delta, when it saves something that counts. None also
    /// when those near `gfn` did not compress lately: they are tried ever more rarely.
    pub fn compress(&mut self, gfn: u64, bytes: &[u8]) -> Option<&[u8]> {
        let judgement = &mut self.judgements[place(gfn, bytes.len() == PAGE_SIZE)];
        if judgement.skips > 0 {
            judgement.skips -= 1;
            return None;
        }
        // Known to be short, so that only LZ4's code for short inputs is in the program.
        assert!(bytes.len() <= PAGE_SIZE);
        let compressed = compress_into(bytes, &mut self.block);
        let size = compressed.unwrap_or(bytes.len());
        if size > bytes.len() - bytes.len() / SAVING_MIN_DIVISOR {
            judgement.failures = (judgement.failures + 1).min(FAILURE_COUNT_MAX);
            judgement.skips = (1 << judgement.failures) - 1;
            return None;
        }
        judgement.failures = 0;
        Some(&self.block[..size])
    }
}

fn place(gfn: u64, is_whole: bool) -> usize {
    let neighbours = gfn / NEIGHBOUR_PAGE_COUNT * 2 + u64::from(is_whole);
    let hash = neighbours.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(hash % JUDGEMENT_COUNT as u64).expect("smaller than the table")
}

/// Undoes LZ4: the encoding that is left, and its bytes, which lie in `room` if they were compressed.
/// Any bytes may come; None when they are no block, or not one of a page or of what can be a delta by
/// its size.
#[must_use]
pub fn unpack<'a>(
    encoding: Encoding,
    stored: &'a [u8],
    room: &'a mut [u8; PAGE_SIZE],
) -> Option<(Encoding, &'a [u8])> {
    match encoding {
        Encoding::Lz4 => {
            let size = decompress_into(stored, room).ok()?;
            (size == PAGE_SIZE).then_some((Encoding::Raw, &room[..]))
        }
        Encoding::DeltaLz4 => {
            let size = decompress_into(stored, &mut room[..DELTA_SIZE_MAX]).ok()?;
            Some((Encoding::Delta, &room[..size]))
        }
        Encoding::Raw | Encoding::Zero | Encoding::Unchanged | Encoding::Delta => {
            Some((encoding, stored))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PageUpdate;
    use super::*;
    use proptest::prelude::*;

    fn text(seed: u8) -> [u8; PAGE_SIZE] {
        core::array::from_fn(|place| {
            b"a page of words, and of words again "[(place * 7 + usize::from(seed)) % 36]
        })
    }

    /// Bytes without a pattern.
    fn noise(seed: u64) -> [u8; PAGE_SIZE] {
        let mut word = seed;
        core::array::from_fn(|_| {
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            word.to_le_bytes()[7]
        })
    }

    /// Whatever comes of it, nothing panics.
    fn read_as_all(block: &[u8]) {
        for encoding in [Encoding::Raw, Encoding::Delta, Encoding::Lz4, Encoding::DeltaLz4] {
            let _ = PageUpdate::read(encoding, block, &mut [0; PAGE_SIZE]);
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(
            seed: u8,
            changes in proptest::collection::vec((0..PAGE_SIZE, any::<u8>()), 0..400),
        ) {
            let mut page = text(seed);
            changes.iter().for_each(|(place, value)| page[*place] = *value);
            let mut compressor = Compressor::new();
            // Twice, since the table is used again.
            for _ in 0..2 {
                if let Some(block) = compressor.compress(1, &page) {
                    let mut room = [0xee; PAGE_SIZE];
                    let back = unpack(Encoding::Lz4, block, &mut room);
                    prop_assert!(back == Some((Encoding::Raw, &page[..])));
                    let torn = &block[..block.len() - 1];
                    prop_assert!(unpack(Encoding::Lz4, torn, &mut room).is_none());
                }
            }
        }

        #[test]
        fn any_bytes_are_refused_or_a_page(block in proptest::collection::vec(any::<u8>(), 0..4096)) {
            read_as_all(&block);
        }

        #[test]
        fn damaged_blocks_never_panic(seed: u8, place: usize, value: u8) {
            let mut compressor = Compressor::new();
            let mut block = compressor.compress(1, &text(seed)).unwrap().to_vec();
            let place = place % block.len();
            block[place] = value;
            read_as_all(&block);
        }
    }

    #[test]
    fn a_block_of_less_or_more_than_a_page_is_none() {
        let mut page = [0; PAGE_SIZE];
        let long = lz4_flex::block::get_maximum_output_size(2 * PAGE_SIZE);
        for (size, is_page) in [(100, false), (4095, false), (4096, true), (4097, false)] {
            let mut block = vec![0; long];
            let used = lz4_flex::block::compress_into(&vec![7; size], &mut block).unwrap();
            let unpacked = unpack(Encoding::Lz4, &block[..used], &mut page);
            assert_eq!(unpacked.is_some(), is_page, "{size}");
        }
    }

    #[test]
    fn what_does_not_compress_is_tried_ever_more_rarely() {
        let mut compressor = Compressor::new();
        let trials = (0..1000).filter(|&seed| {
            let before = compressor.judgements[place(5, true)].skips;
            assert!(compressor.compress(5, &noise(seed)).is_none());
            before == 0
        });
        assert_eq!(trials.count(), 20);
        while compressor.judgements[place(5, true)].skips > 0 {
            assert!(compressor.compress(5, &text(0)).is_none());
        }
        // Once it compresses again, every page is tried.
        assert!((0..9).all(|seed| compressor.compress(5, &text(seed)).is_some()));
        assert!(compressor.compress(5 + 64 * NEIGHBOUR_PAGE_COUNT, &text(1)).is_some());
    }

    #[test]
    fn bytes_that_are_no_whole_page_come_back_too() {
        let mut compressor = Compressor::new();
        let (text, mut back) = (text(3), [0; PAGE_SIZE]);
        for size in [257, 3000, DELTA_SIZE_MAX] {
            let block = compressor.compress(1, &text[..size]).unwrap();
            let unpacked = unpack(Encoding::DeltaLz4, block, &mut back);
            assert_eq!(unpacked, Some((Encoding::Delta, &text[..size])));
            assert_eq!(unpack(Encoding::Lz4, block, &mut back), None, "it is no page");
        }
        let block = compressor.compress(1, &text[..=DELTA_SIZE_MAX]).unwrap();
        assert_eq!(unpack(Encoding::DeltaLz4, block, &mut back), None, "it is no delta");
        // What is judged of deltas is not said of pages.
        assert!(compressor.compress(1, &noise(1)[..3000]).is_none());
        assert!(compressor.compress(1, &text[..3000]).is_none());
        assert!(compressor.compress(1, &text).is_some());
    }
}
