//! The primary's handshake: asking until the backup is ready, and learning which frames pass.
//!
//! Hellos go out in several sizes in turn, and each is answered by a frame of the same size. What
//! comes back has passed both ways. The largest size is taken at once; a smaller one only after
//! the larger ones had several chances.

use super::endpoint::Attempt;
use crate::limits::FRAME_SIZE_MIN;
use crate::wire::{HelloReply, Nonce, PublicKey, ReplyStatus};

/// Ethernet payloads to try below the smaller of both MTUs: Ethernet's own, IPv6's least, ours.
const FALLBACK_SIZES: [usize; 3] = [1500, 1280, FRAME_SIZE_MIN];
/// Sizes that are tried in turn.
const SIZE_COUNT: usize = FALLBACK_SIZES.len() + 1;
/// Chances of each size before a smaller one is taken.
const ROUNDS: u32 = 5;
/// Time between Hellos while the backup answers.
const FAST_INTERVAL_US: u64 = 4_000;
/// And while it does not.
const SLOW_INTERVAL_US: u64 = 50_000;

/// The best that the backup has offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub backup_nonce: Nonce,
    pub backup_public: PublicKey,
    /// Largest Ethernet payload that passed both ways.
    pub frame_size: usize,
    pub peer_mtu: usize,
    pub peer_timeout_ms: u32,
    /// How often the smallest size came back. It is the last one of each round.
    rounds: u32,
}

/// What a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It belongs to this call.
    Fits,
    /// It belongs to another one.
    Stale,
    /// The peer speaks another protocol.
    Version(u16),
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Calling {
    pub attempt: Attempt,
    own_mtu: usize,
    next_us: u64,
    hello_count: usize,
    pub offer: Option<Offer>,
}

impl Calling {
    pub fn new(attempt: Attempt, own_mtu: usize, now_us: u64) -> Self {
        Self { attempt, own_mtu, next_us: now_us, hello_count: 0, offer: None }
    }

    /// The Ethernet payload of the Hello that is to be sent now, if one is.
    pub fn take_due(&mut self, now_us: u64) -> Option<usize> {
        if now_us < self.next_us {
            return None;
        }
        let sizes = core::iter::once(self.largest()).chain(FALLBACK_SIZES);
        let size = sizes.cycle().nth(self.hello_count % SIZE_COUNT)?;
        self.hello_count += 1;
        // Unanswered, one round of all sizes goes out at once, then it is quiet for a while.
        let round_over = self.hello_count.is_multiple_of(SIZE_COUNT);
        let slow = self.offer.is_none() && round_over;
        self.next_us = now_us + if slow { SLOW_INTERVAL_US } else { FAST_INTERVAL_US };
        Some(size.min(self.largest()))
    }

    /// Takes a reply in, which came as an Ethernet payload of `size` bytes.
    pub fn hear(&mut self, reply: &HelloReply, size: usize) -> Heard {
        if reply.primary_nonce != self.attempt.nonce {
            return Heard::Stale;
        }
        match reply.status {
            ReplyStatus::Version => return Heard::Version(reply.protocol),
            ReplyStatus::Busy => return Heard::Fits,
            ReplyStatus::Ready => {}
        }
        let passed = size.min(usize::from(reply.hello_size)).min(self.own_mtu);
        let mut offer = Offer {
            backup_nonce: reply.backup_nonce,
            backup_public: reply.backup_public,
            frame_size: passed,
            peer_mtu: usize::from(reply.mtu).max(FRAME_SIZE_MIN),
            peer_timeout_ms: reply.timeout_ms,
            rounds: u32::from(passed <= FRAME_SIZE_MIN),
        };
        if let Some(before) = self.offer.filter(|it| it.backup_nonce == reply.backup_nonce) {
            offer.frame_size = offer.frame_size.max(before.frame_size);
            offer.rounds = offer.rounds.saturating_add(before.rounds);
        }
        self.offer = Some(offer);
        Heard::Fits
    }

    /// The offer, once it is as good as it can be, or nothing better is to be expected.
    pub fn decided(&self) -> Option<Offer> {
        self.offer.filter(|offer| {
            let passes = offer.frame_size >= FRAME_SIZE_MIN;
            passes && (offer.frame_size >= self.largest() || offer.rounds >= ROUNDS)
        })
    }

    fn largest(&self) -> usize {
        self.offer.map_or(self.own_mtu, |offer| self.own_mtu.min(offer.peer_mtu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(nonce: u8, mtu: u16, size: usize) -> HelloReply {
        HelloReply {
            protocol: 1,
            mtu,
            timeout_ms: 500,
            status: ReplyStatus::Ready,
            hello_size: u16::try_from(size).unwrap(),
            primary_nonce: [7; 32],
            backup_nonce: [nonce; 32],
            backup_public: [9; 32],
        }
    }

    const ATTEMPT: Attempt = Attempt { nonce: [7; 32], public_key: [8; 32] };

    /// Calls over a path that passes `path` bytes and returns the size that is agreed on.
    fn call(own_mtu: usize, peer_mtu: u16, path: usize) -> Option<usize> {
        let mut calling = Calling::new(ATTEMPT, own_mtu, 0);
        for now_us in (0..1_000_000).step_by(1000) {
            if let Some(offer) = calling.decided() {
                return Some(offer.frame_size);
            }
            if let Some(size) = calling.take_due(now_us).filter(|&size| size <= path) {
                assert!(size <= own_mtu);
                if size <= usize::from(peer_mtu) {
                    assert_eq!(calling.hear(&reply(1, peer_mtu, size), size), Heard::Fits);
                }
            }
        }
        None
    }

    #[test]
    fn the_largest_size_that_passes_is_agreed_on() {
        assert_eq!(call(9000, 9000, 9000), Some(9000));
        assert_eq!(call(1500, 9000, 9000), Some(1500));
        assert_eq!(call(9000, 1500, 9000), Some(1500));
        assert_eq!(call(9000, 4000, 9000), Some(4000));
        assert_eq!(call(9000, 9000, 1500), Some(1500));
        assert_eq!(call(9000, 9000, 1450), Some(1280));
        assert_eq!(call(700, 9000, 9000), Some(700));
        assert_eq!(call(9000, 9000, 500), None);
    }

    #[test]
    fn a_backup_that_started_anew_is_asked_anew() {
        let mut calling = Calling::new(ATTEMPT, 9000, 0);
        calling.hear(&reply(1, 9000, 1500), 1500);
        calling.hear(&reply(2, 9000, 576), 576);
        let offer = calling.offer.unwrap();
        assert_eq!((offer.frame_size, offer.backup_nonce), (576, [2; 32]));
        let stale = HelloReply { primary_nonce: [8; 32], ..reply(3, 9000, 9000) };
        assert_eq!(calling.hear(&stale, 9000), Heard::Stale);
    }
}
