//! Randomness from the kernel.

use super::errno::ErrnoText;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` from the kernel's generator. Waits, early after boot, until it is seeded.
///
/// # Panics
/// If the kernel has no generator: nothing secret can be made then.
pub fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => panic!("getrandom failed: {}", ErrnoText(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_fills_differ() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        super::fill(&mut first);
        super::fill(&mut second);
        assert_ne!(first, second);
    }
}
