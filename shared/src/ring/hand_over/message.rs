//! What the link half is told at its start.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::HandOverState;
use crate::codec::decode;
use crate::limits::{DELTA_CACHE_SIZE_MAX, LINK_COUNT_MAX, TIMEOUT_MS_MAX, TIMEOUT_MS_MIN};

/// Bytes of the key file's key.
const KEY_SIZE: usize = 32;

/// What the link half is told at its start. The key is wiped when this is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// The peer's address on each link, one for each of the stub domain's interfaces, in their order.
    pub peer_addresses: Vec<[u8; 6], LINK_COUNT_MAX>,
    /// Longest silence before the peer is taken for lost, in milliseconds.
    pub timeout_ms: u32,
    /// Whether an arbiter decides who lives, so that short silences may be acted on.
    pub has_arbiter: bool,
    /// Bytes of shadow pages that ship shall keep for deltas; the stub domain keeps fewer if it has less room. 0 to
    /// receive.
    pub delta_cache_size: u64,
    /// The secret that both hosts share.
    pub key: [u8; KEY_SIZE],
}

/// Bytes of an encoded hand-over at most: a length, the addresses, 5 bytes, 1, 10 and the key.
pub(super) const HAND_OVER_SIZE_MAX: usize = 1 + 6 * LINK_COUNT_MAX + 5 + 1 + 10 + KEY_SIZE;

impl fmt::Debug for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HandOver");
        debug.field("peer_addresses", &self.peer_addresses).field("timeout_ms", &self.timeout_ms);
        debug.field("has_arbiter", &self.has_arbiter);
        debug.field("delta_cache_size", &self.delta_cache_size).finish_non_exhaustive()
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl HandOver {
    /// Reads what `bytes` are exactly, and checks each value against its limits.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HandOverState> {
        let message: Self = decode(bytes).map_err(|_| HandOverState::Malformed)?;
        let is_station = |address: &[u8; 6]| address[0] & 1 == 0 && *address != [0; 6];
        let addresses = &message.peer_addresses;
        if addresses.is_empty() || !addresses.iter().all(is_station) {
            return Err(HandOverState::WrongAddress);
        }
        let is_in_limits = (TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX).contains(&message.timeout_ms)
            && message.delta_cache_size <= DELTA_CACHE_SIZE_MAX;
        if is_in_limits { Ok(message) } else { Err(HandOverState::WrongNumber) }
    }
}

#[cfg(test)]
impl HandOver {
    pub(crate) fn sample() -> Self {
        Self {
            peer_addresses: Vec::from_slice(&[[0x52, 0x54, 0, 1, 2, 3]]).unwrap(),
            timeout_ms: 500,
            has_arbiter: true,
            delta_cache_size: 64 << 20,
            key: [0x5a; KEY_SIZE],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;
    use proptest::prelude::*;

    fn parsed(message: &HandOver) -> Result<HandOver, HandOverState> {
        let mut bytes = [0; HAND_OVER_SIZE_MAX];
        let size = encode(message, &mut bytes).unwrap();
        HandOver::parse(&bytes[..size])
    }

    #[test]
    fn the_largest_fits_and_comes_back() {
        let sample = HandOver::sample();
        assert_eq!(parsed(&sample), Ok(sample.clone()));
        let mut largest = HandOver::sample();
        largest.peer_addresses = [[0xfe; 6]; LINK_COUNT_MAX].into_iter().collect();
        (largest.timeout_ms, largest.delta_cache_size) = (u32::MAX, u64::MAX);
        assert_eq!(parsed(&largest), Err(HandOverState::WrongNumber));
        assert!(!format!("{largest:?}").contains("90"), "the key is not shown");
    }

    #[test]
    fn each_value_has_limits() {
        for address in [[0; 6], [1, 0, 0, 0, 0, 1], [0xff; 6]] {
            let mut message = HandOver::sample();
            message.peer_addresses.push(address).unwrap();
            assert_eq!(parsed(&message), Err(HandOverState::WrongAddress));
        }
        let mut message = HandOver::sample();
        message.peer_addresses.clear();
        assert_eq!(parsed(&message), Err(HandOverState::WrongAddress));
        for (timeout_ms, delta_cache_size) in [(0, 0), (60_001, 0), (500, (16 << 30) + 1)] {
            let mut message = HandOver::sample();
            (message.timeout_ms, message.delta_cache_size) = (timeout_ms, delta_cache_size);
            assert_eq!(parsed(&message), Err(HandOverState::WrongNumber));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = HandOver::parse(&bytes);
        }
    }
}
