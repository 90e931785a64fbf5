//! AEGIS-128X2 (draft-irtf-cfrg-aegis-aead), the AEAD that frames are sealed with.
//!
//! It is ours because of what a frame costs. The libraries that need no libc use AES instructions on one block
//! at a time, and take two to three times as long; and none encrypts from one place to another, so that pages
//! are read from the ring and their cipher text is written into the frame in one pass, in which the core waits
//! for memory and for little else. The tests hold it against such a library and the draft's vectors.

mod state;
mod vaes;
mod word;

pub use state::CipherMethod;
use state::{BLOCK_SIZE, State};

/// Bytes of a key.
pub const KEY_SIZE: usize = 16;
/// Bytes of a nonce.
pub const NONCE_SIZE: usize = 16;
/// Bytes of a tag.
pub const TAG_SIZE: usize = 16;

/// What a message is sealed under.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// The key.
    pub key: &'a [u8; KEY_SIZE],
    /// Not used twice with one key.
    pub nonce: &'a [u8; NONCE_SIZE],
}

impl core::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Encrypts `body` and returns the tag.
pub fn seal(
    method: CipherMethod,
    secret: Secret<'_>,
    associated: &[u8],
    body: &mut [u8],
) -> [u8; TAG_SIZE] {
    let mut state = State::new(method, secret, associated);
    state.crypt_in_place(body, false);
    state.tag(associated.len(), body.len())
}

/// Decrypts `body` and says whether the tag is right. If not, `body` is made zero.
pub fn open(
    method: CipherMethod,
    secret: Secret<'_>,
    associated: &[u8],
    body: &mut [u8],
    tag: &[u8; TAG_SIZE],
) -> bool {
    let mut state = State::new(method, secret, associated);
    state.crypt_in_place(body, true);
    let computed = state.tag(associated.len(), body.len());
    // All bytes are looked at, whichever differ: how long it takes tells nothing.
    let is_right = computed.iter().zip(tag).fold(0, |all, (own, its)| all | (own ^ its)) == 0;
    if !is_right {
        body.fill(0);
    }
    is_right
}

/// A body that is encrypted while it is put together.
pub struct Sealing<'a> {
    state: State,
    associated_size: usize,
    out: &'a mut [u8],
    /// Bytes that were put so far. Those behind the last whole block are not yet encrypted.
    size: usize,
}

impl core::fmt::Debug for Sealing<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealing").field("size", &self.size).finish_non_exhaustive()
    }
}

impl<'a> Sealing<'a> {
    /// Begins a body of `out.len()` bytes.
    pub fn new(
        method: CipherMethod,
        secret: Secret<'_>,
        associated: &[u8],
        out: &'a mut [u8],
    ) -> Self {
        let state = State::new(method, secret, associated);
        Self { state, associated_size: associated.len(), out, size: 0 }
    }

    /// Adds bytes to the body. Says whether there was room for them; if not, none is added.
    #[must_use]
    pub fn put(&mut self, mut bytes: &[u8]) -> bool {
        if bytes.len() > self.out.len() - self.size {
            return false;
        }
        let held = self.size % BLOCK_SIZE;
        let mut target = &mut self.out[self.size - held..];
        self.size += bytes.len();
        if held > 0 {
            let (first, rest) = bytes.split_at(bytes.len().min(BLOCK_SIZE - held));
            target[held..][..first.len()].copy_from_slice(first);
            if held + first.len() < BLOCK_SIZE {
                return true;
            }
            let (block, after) = target.split_at_mut(BLOCK_SIZE);
            self.state.crypt_in_place(block, false);
            (bytes, target) = (rest, after);
        }
        let (blocks, rest) = bytes.as_chunks();
        let (targets, after) = target.split_at_mut(bytes.len() - rest.len());
        self.state.seal_blocks(blocks, targets.as_chunks_mut().0);
        after[..rest.len()].copy_from_slice(rest);
        true
    }

    /// Ends the body, and returns the tag.
    ///
    /// # Panics
    /// If not all of `out` was written.
    #[must_use]
    pub fn finish(mut self) -> [u8; TAG_SIZE] {
        assert!(self.size == self.out.len(), "a body is put together whole");
        let held = self.size % BLOCK_SIZE;
        let rest = &mut self.out[self.size - held..];
        self.state.crypt_in_place(rest, false);
        self.state.tag(self.associated_size, self.size)
    }
}

#[cfg(test)]
mod tests {
    use ::aegis::aegis128x2::Aegis128X2;
    use proptest::prelude::*;

    use super::super::features::has_vaes;
    use super::*;

    fn methods() -> impl Iterator<Item = CipherMethod> {
        if !has_vaes() {
            println!("vector AES is not tested: this processor has none");
        }
        let usable = |&method: &CipherMethod| method == CipherMethod::Aes || has_vaes();
        [CipherMethod::Aes, CipherMethod::Vaes].into_iter().filter(usable)
    }

    /// The body's text is cut at `cuts`, and put together again.
    fn seal_pieces(
        method: CipherMethod,
        secret: Secret<'_>,
        associated: &[u8],
        text: &[u8],
        cuts: &[usize],
    ) -> (Vec<u8>, [u8; TAG_SIZE]) {
        let mut out = vec![0xa5; text.len()];
        let mut sealing = Sealing::new(method, secret, associated, &mut out);
        let mut start = 0;
        for &cut in cuts.iter().chain(&[text.len()]) {
            let end = cut.clamp(start, text.len());
            assert!(sealing.put(&text[start..end]));
            start = end;
        }
        assert!(!sealing.put(&[1]), "no room is left");
        let tag = sealing.finish();
        (out, tag)
    }

    proptest! {
        #[test]
        fn all_make_what_the_library_makes(
            key: [u8; KEY_SIZE],
            nonce: [u8; NONCE_SIZE],
            associated in proptest::collection::vec(any::<u8>(), 0..200),
            text in proptest::collection::vec(any::<u8>(), 0..700),
            mut cuts in proptest::collection::vec(0..700_usize, 0..6),
            damaged in 0..700_usize,
        ) {
            cuts.sort_unstable();
            let mut expected = text.clone();
            let tag: [u8; TAG_SIZE] =
                Aegis128X2::new(&key, &nonce).encrypt_in_place(&mut expected, &associated);
            let secret = Secret { key: &key, nonce: &nonce };
            for method in methods() {
                let mut body = text.clone();
                prop_assert_eq!(seal(method, secret, &associated, &mut body), tag);
                prop_assert_eq!(&body, &expected);
                prop_assert_eq!(
                    seal_pieces(method, secret, &associated, &text, &cuts),
                    (expected.clone(), tag)
                );
                prop_assert!(open(method, secret, &associated, &mut body, &tag));
                prop_assert_eq!(&body, &text);

                let mut sealed = [expected.as_slice(), &associated, &tag].concat();
                let place = damaged % sealed.len();
                sealed[place] ^= 1 << (damaged % 8);
                let (body, rest) = sealed.split_at_mut(text.len());
                let (associated, tag) = rest.split_last_chunk().expect("a tag is the last");
                prop_assert!(!open(method, secret, associated, body, tag));
                prop_assert!(body.iter().all(|&byte| byte == 0));
            }
        }
    }

    /// Test vectors of draft-irtf-cfrg-aegis-aead for AEGIS-128X2, tags of 128 bits.
    #[test]
    fn the_drafts_vectors() {
        let bytes = core::array::from_fn(|place| u8::try_from(place).unwrap());
        let nonce = core::array::from_fn(|place| u8::try_from(place + 0x10).unwrap());
        let secret = Secret { key: &bytes, nonce: &nonce };
        let associated = [1, 2, 3, 4].repeat(2);
        let text: Vec<u8> = (0x04..0x08).cycle().take(120).collect();
        for method in methods() {
            let tag = seal(method, secret, &[], &mut []);
            assert_eq!(u128::from_be_bytes(tag), 0x6311_7dc5_7756_e402_819a_82e1_3eca_8379);
            let mut body = text.clone();
            let tag = seal(method, secret, &associated, &mut body);
            assert_eq!(u128::from_be_bytes(tag), 0x1aeb_c200_804f_405c_ab63_7f2a_debb_6d77);
            let first = *body.first_chunk().unwrap();
            assert_eq!(u128::from_be_bytes(first), 0x5795_5443_0199_7f93_621b_2788_09d6_331b);
        }
    }
}
