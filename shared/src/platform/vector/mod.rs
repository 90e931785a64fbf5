//! What is done to whole pages and frames, with the processor's vector instructions where they are the fastest.
//!
//! A page that is copied in the pause is seldom in a cache, and its copy is read next by another
//! core, so the best copy there streams past the caches. Whether a processor has an instruction says
//! little about how fast it is: an emulator takes longer for a vector than for its words. So
//! [`choose`] measures the ways to copy and to compare that the processor has, once, when a program starts; until
//! then, and in tests, the string instruction, plain words, and AES on one block serve.
//!
//! There is nothing with AVX-512: of a page that comes from memory, AVX2 already leaves the core waiting, for its
//! encryption too.

mod aegis;
mod choice;
mod compare;
mod copy;
mod features;

pub use aegis::{KEY_SIZE, NONCE_SIZE, Sealing, Secret, TAG_SIZE};
pub use choice::{Choices, choose};

use core::sync::atomic::AtomicU64;

use crate::limits::PAGE_SIZE;
use choice::{CIPHER, COMPARISON, COPY};

/// Words of eight bytes in a page.
pub const PAGE_WORD_COUNT: usize = PAGE_SIZE / size_of::<u64>();

/// Copies a page that others may write meanwhile into `target`. Each aligned word of the copy was
/// the page's at some time of the copy; the words are of one time only if nobody wrote. Other cores
/// see the copy only after [`finish_copies`].
pub fn copy_page(source: &[AtomicU64; PAGE_WORD_COUNT], target: &mut [u8; PAGE_SIZE]) {
    copy::run(COPY.get(), source.as_ptr().cast(), target.as_mut_ptr());
}

/// Copies a page as [`copy_page`] does, to where this core needs it next: its copy stays in the caches.
pub fn copy_page_near(source: &[AtomicU64; PAGE_WORD_COUNT], target: &mut [u8; PAGE_SIZE]) {
    copy::run(copy::CopyMethod::String, source.as_ptr().cast(), target.as_mut_ptr());
}

/// Copies `source` into a page that others may look at meanwhile; what they see of an aligned word
/// is the old one or the new one. Everybody sees the whole page once something is stored after it.
pub fn write_page(source: &[u8; PAGE_SIZE], target: &[AtomicU64; PAGE_WORD_COUNT]) {
    copy::run(COPY.get(), source.as_ptr(), target.as_ptr().cast_mut().cast());
    copy::fence();
}

/// Copies a page to where this core does not need it next. Other cores see the copy only after
/// [`finish_copies`].
pub fn pass_page_on(source: &[u8; PAGE_SIZE], target: &mut [u8; PAGE_SIZE]) {
    copy::run(COPY.get(), source.as_ptr(), target.as_mut_ptr());
}

/// Lets no later store be seen before the copies so far. Waiting for memory once per batch and not once
/// per page is much of what streaming gains.
pub fn finish_copies() {
    copy::fence();
}

/// Asks for the bytes of a page that tell most pages from zero; they come to the caches while the core does
/// something else.
pub fn prefetch_head(page: &[u8; PAGE_SIZE]) {
    copy::prefetch(page.as_ptr(), compare::STRIDE_SIZE);
}

/// Asks for the first part of a page that others may write; a copy asks for the rest as it goes on.
pub fn prefetch_start(page: &[AtomicU64; PAGE_WORD_COUNT]) {
    copy::prefetch(page.as_ptr().cast(), copy::PART_SIZE);
}

/// Asks for the first line of a page that others may write.
pub fn prefetch_line(page: &[AtomicU64; PAGE_WORD_COUNT]) {
    copy::prefetch(page.as_ptr().cast(), 1);
}

/// Asks for `words`, which begin at a cache line and will be read or written soon.
pub fn prefetch_words(words: &[u64]) {
    copy::prefetch(words.as_ptr().cast(), size_of_val(words));
}

/// Whether every byte of a page is zero.
#[must_use]
pub fn is_zero(page: &[u8; PAGE_SIZE]) -> bool {
    compare::is_zero(COMPARISON.get(), page)
}

/// Which 64-bit words of two pages differ: bit `i` of word `w` stands for word `64 * w + i`.
#[must_use]
pub fn differing_words(
    left: &[u8; PAGE_SIZE],
    right: &[u8; PAGE_SIZE],
) -> [u64; PAGE_WORD_COUNT / 64] {
    compare::differing_words(COMPARISON.get(), left, right)
}

/// Encrypts `body` with AEGIS-128X2 and returns the tag over it and `associated`.
#[must_use]
pub fn seal(secret: Secret<'_>, associated: &[u8], body: &mut [u8]) -> [u8; TAG_SIZE] {
    aegis::seal(CIPHER.get(), secret, associated, body)
}

/// A body of `out.len()` bytes that is encrypted into `out` while it is put together.
#[must_use]
pub fn sealing<'a>(secret: Secret<'_>, associated: &[u8], out: &'a mut [u8]) -> Sealing<'a> {
    Sealing::new(CIPHER.get(), secret, associated, out)
}

/// Decrypts what [`seal`] encrypted, and says whether the tag is that of this body and `associated`. If not,
/// `body` is zero.
#[must_use]
pub fn open(secret: Secret<'_>, associated: &[u8], body: &mut [u8], tag: &[u8; TAG_SIZE]) -> bool {
    aegis::open(CIPHER.get(), secret, associated, body, tag)
}
