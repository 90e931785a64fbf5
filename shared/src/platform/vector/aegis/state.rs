//! The cipher's state: the draft's algorithm.
//!
//! The draft's names are kept: the state is V0 to V7, and an update takes two words in.

use super::word::{LANE_SIZE, WORD_SIZE, Word};
use super::{Secret, TAG_SIZE, vaes};

/// Bytes that are encrypted at a time.
pub const BLOCK_SIZE: usize = 2 * WORD_SIZE;
/// Updates after the key, and before the tag.
const UPDATES_AT_START: usize = 10;
const UPDATES_AT_END: usize = 7;
/// The draft's constants: the Fibonacci numbers modulo 256.
const C0: [u8; LANE_SIZE] = [
    0x00, 0x01, 0x01, 0x02, 0x03, 0x05, 0x08, 0x0d, 0x15, 0x22, 0x37, 0x59, 0x90, 0xe9, 0x79, 0x62,
];
const C1: [u8; LANE_SIZE] = [
    0xdb, 0x3d, 0x18, 0x55, 0x6d, 0xc2, 0x2f, 0xf1, 0x20, 0x11, 0x31, 0x42, 0x73, 0xb5, 0x28, 0xdd,
];
/// What is encrypted at a time.
pub type Block = [u8; BLOCK_SIZE];

/// Which instructions do it; all make the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CipherMethod {
    /// AES on one lane.
    Aes,
    /// AES on both lanes at once.
    Vaes,
}

/// V0 to V7, wiped when dropped.
pub struct State {
    words: [Word; 8],
    method: CipherMethod,
}

impl Drop for State {
    fn drop(&mut self) {
        let zeros = [Word::both(&[0; LANE_SIZE]); 8];
        // SAFETY: words that are borrowed for writing.
        unsafe { core::ptr::write_volatile(&raw mut self.words, zeros) };
    }
}

impl State {
    /// The state after key, nonce and associated data.
    pub fn new(method: CipherMethod, secret: Secret<'_>, associated: &[u8]) -> Self {
        let [key, nonce, c0, c1] = [secret.key, secret.nonce, &C0, &C1].map(Word::both);
        let both = key.xor(nonce);
        let words = [both, c1, c0, c1, both, key.xor(c0), key.xor(c1), key.xor(c0)];
        let mut state = Self { words, method };
        // A lane's number and the highest one, in the lane's first bytes.
        let mut numbers = [0; WORD_SIZE];
        (numbers[1], numbers[LANE_SIZE], numbers[LANE_SIZE + 1]) = (1, 1, 1);
        let numbers = Word::read(&numbers);
        state.mix(&[nonce, key, numbers], UPDATES_AT_START);
        for bytes in associated.chunks(BLOCK_SIZE) {
            let mut block = [0; BLOCK_SIZE];
            block[..bytes.len()].copy_from_slice(bytes);
            state.crypt_in_place(&mut block, false);
        }
        state
    }

    /// Encrypts `text` into `target`, which has as many blocks.
    pub fn seal_blocks(&mut self, text: &[Block], target: &mut [Block]) {
        assert!(text.len() == target.len(), "every block has a place");
        // SAFETY: so many blocks of both, as their borrows say.
        unsafe { self.crypt(text.as_ptr(), target.as_mut_ptr(), text.len(), false) };
    }

    /// Encrypts or decrypts whole blocks.
    fn crypt_blocks(&mut self, blocks: &mut [Block], is_opening: bool) {
        let (start, count) = (blocks.as_mut_ptr(), blocks.len());
        // SAFETY: so many blocks, borrowed for writing.
        unsafe { self.crypt(start, start, count, is_opening) };
    }

    /// Encrypts or decrypts `bytes`; only at a message's end may they be other than whole blocks.
    pub fn crypt_in_place(&mut self, bytes: &mut [u8], is_opening: bool) {
        let (blocks, rest) = bytes.as_chunks_mut();
        self.crypt_blocks(blocks, is_opening);
        if rest.is_empty() {
            return;
        }
        let mut text = [0; BLOCK_SIZE];
        text[..rest.len()].copy_from_slice(rest);
        if is_opening {
            // The state takes in the text, with zeros behind it, and not what becomes of more bytes than came.
            let mut masks = [[0; WORD_SIZE]; 2];
            self.masks().into_iter().zip(&mut masks).for_each(|(mask, bytes)| mask.write(bytes));
            rest.iter_mut().zip(masks.as_flattened()).for_each(|(byte, mask)| *byte ^= mask);
            text[..rest.len()].copy_from_slice(rest);
        }
        self.crypt_blocks(core::slice::from_mut(&mut text), false);
        if !is_opening {
            rest.copy_from_slice(&text[..rest.len()]);
        }
    }

    /// The tag, when all of the body has been through. The state is of no more use.
    pub fn tag(&mut self, associated_size: usize, body_size: usize) -> [u8; TAG_SIZE] {
        let mut sizes = [0; LANE_SIZE];
        sizes[..8].copy_from_slice(&(associated_size as u64 * 8).to_le_bytes());
        sizes[8..].copy_from_slice(&(body_size as u64 * 8).to_le_bytes());
        let sizes = self.words[2].xor(Word::both(&sizes));
        self.mix(&[sizes, sizes, Word::both(&[0; LANE_SIZE])], UPDATES_AT_END);
        let [first, others @ .., _] = &self.words;
        others.iter().fold(*first, |all, &word| all.xor(word)).fold()
    }

    /// Updates `count` times with the first two of `inputs`, with the third one added to V3 and V7 each time.
    fn mix(&mut self, inputs: &[Word; 3], count: usize) {
        if self.method == CipherMethod::Vaes {
            // SAFETY: the method was chosen where the instructions are.
            unsafe { vaes::mix(&mut self.words, inputs, count) };
            return;
        }
        for _ in 0..count {
            self.words[3] = self.words[3].xor(inputs[2]);
            self.words[7] = self.words[7].xor(inputs[2]);
            self.update(inputs[0], inputs[1]);
        }
    }

    /// Not part of its callers, each of which it would double.
    #[inline(never)]
    fn update(&mut self, first: Word, second: Word) {
        let [v0, v1, v2, v3, v4, v5, v6, v7] = self.words;
        self.words = [
            v7.round(v0.xor(first)),
            v0.round(v1),
            v1.round(v2),
            v2.round(v3),
            v3.round(v4.xor(second)),
            v4.round(v5),
            v5.round(v6),
            v6.round(v7),
        ];
    }

    /// Encrypts or decrypts `count` blocks of `source` into `target`.
    ///
    /// # Safety
    /// Both valid for so many blocks, and the same or apart.
    unsafe fn crypt(
        &mut self,
        source: *const Block,
        target: *mut Block,
        count: usize,
        is_opening: bool,
    ) {
        if count > 0 && self.method == CipherMethod::Vaes {
            // SAFETY: as the caller says, and the method was chosen where the instructions are.
            unsafe { vaes::crypt(&mut self.words, source, target, count, is_opening) };
            return;
        }
        for number in 0..count {
            // SAFETY: within the blocks, as the caller says. It is a copy, since the target may be the same.
            let block = unsafe { source.wrapping_add(number).read() };
            // SAFETY: within the blocks, as the caller says.
            let target = unsafe { &mut *target.wrapping_add(number) };
            self.crypt_block(&block, target, is_opening);
        }
    }

    /// What both halves of the next block are encrypted with.
    fn masks(&self) -> [Word; 2] {
        let [_, v1, v2, v3, _, v5, v6, v7] = self.words;
        [v6.xor(v1).xor(v2.and(v3)), v2.xor(v5).xor(v6.and(v7))]
    }

    fn crypt_block(&mut self, source: &Block, target: &mut Block, is_opening: bool) {
        let masks = self.masks();
        let (halves, _) = source.as_chunks();
        let (targets, _) = target.as_chunks_mut();
        let mut text = [Word::read(&halves[0]), Word::read(&halves[1])];
        for half in 0..2 {
            let made = text[half].xor(masks[half]);
            made.write(&mut targets[half]);
            if is_opening {
                text[half] = made;
            }
        }
        self.update(text[0], text[1]);
    }
}
