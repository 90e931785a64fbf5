//! Tests of `flight`.

use super::super::channel::Side;
use super::*;
use crate::ring::Phase;
use crate::wire::{
    ACK_BITMAP_WORD_COUNT, EphemeralSecret, EthernetAddress, SecretKey, SessionKeys, SessionParts,
};

fn channel() -> Channel {
    let [own, peer] = [4, 5].map(|byte| EphemeralSecret::new([byte; 32]));
    let parts = SessionParts {
        primary: EthernetAddress([2, 0, 0, 0, 0, 1]),
        backup: EthernetAddress([2, 0, 0, 0, 0, 2]),
        primary_nonce: [1; 32],
        backup_nonce: [2; 32],
        primary_public: own.public_key(),
        backup_public: peer.public_key(),
    };
    let agreed = own.agree(&peer.public_key()).unwrap();
    let keys = SessionKeys::derive(&SecretKey::new([3; 32]), &parts, &agreed);
    Channel::new(Side::Primary, keys, 9000, (500, 500), 0)
}

/// Sends so many new frames of one entry each.
fn send(flight: &mut Flight, channel: &mut Channel, count: u64, now_us: u64) {
    for _ in 0..count {
        let (_, start) = flight.next_new().unwrap();
        let packet_number = channel.take_packet_number(now_us);
        flight.note_sent_new(Cursor::at(start.index + 1), packet_number, now_us);
    }
}

fn ack(sequence: u64, packet_end: u64, first_word: u64) -> Ack {
    let mut bitmap = [0; ACK_BITMAP_WORD_COUNT];
    bitmap[0] = first_word;
    let phase = Phase::Receiving;
    Ack { sequence, credit: 0, complete_epoch: 0, phase, paths: 1, packet_end, delay_us: 0, bitmap }
}

#[test]
fn frames_overtaken_by_many_are_lost_and_sent_again_once() {
    let (mut flight, mut channel) = (Flight::new(0), channel());
    send(&mut flight, &mut channel, 20, 0);
    // Frames 2 and 15 are missing; 15 was overtaken by too few to be lost.
    let come = ((1 << 20) - 1) & !(1 << 2) & !(1 << 15);
    assert_eq!(flight.note_ack(500, &ack(2, 20, come >> 2), &channel), Ok(()));
    assert_eq!((flight.come_index(), flight.round_trip_us()), (2, 500));
    let lost = flight.next_lost().unwrap();
    assert_eq!((lost.sequence, lost.start, lost.end), (2, Cursor::at(2), Cursor::at(3)));
    flight.note_sent_again(2, channel.take_packet_number(600), 600);
    assert!(flight.next_lost().is_none());
    assert_eq!(flight.note_ack(1_100, &ack(15, 21, 0b1_1110), &channel), Ok(()));
    assert_eq!(flight.come_index(), 15);
    // Now it is old, and a packet that was sent after it has come.
    assert_eq!(flight.note_ack(2_000, &ack(15, 21, 0b1_1110), &channel), Ok(()));
    assert_eq!(flight.next_lost().map(|lost| lost.sequence), Some(15));
}

#[test]
fn silence_is_probed_ever_more_rarely_until_all_is_taken_for_lost() {
    let (mut flight, mut channel) = (Flight::new(0), channel());
    send(&mut flight, &mut channel, 60, 0);
    let (mut again, mut last_us) = (Vec::new(), 0);
    for now_us in (0..200_000).step_by(500) {
        flight.poll_probe(now_us, 60_000);
        while let Some(lost) = flight.next_lost() {
            flight.note_sent_again(lost.sequence, channel.take_packet_number(now_us), now_us);
            if now_us != last_us {
                again.push((now_us, 0));
                last_us = now_us;
            }
            again.last_mut().unwrap().1 += 1;
        }
    }
    assert_eq!(again, [(20_000, 2), (60_000, 2), (120_000, 16), (180_000, 16)]);
    assert!(flight.is_stalled(200_000, 199_999) && !flight.is_stalled(200_000, 200_000));
    assert_eq!(flight.note_ack(200_000, &ack(60, 60, 0), &channel), Ok(()));
    assert!(!flight.is_stalled(900_000, 1) && flight.next_lost().is_none());
    assert_eq!(flight.come_index(), 60);
}

#[test]
fn a_path_is_doubted_when_the_peer_is_heard_without_progress() {
    let (mut flight, mut channel) = (Flight::new(0), channel());
    assert!(!flight.take_doubt(90_000, 90_000, 60_000), "nothing is under way");
    send(&mut flight, &mut channel, 20, 100_000);
    assert!(!flight.take_doubt(160_000, 160_000, 60_000), "too early");
    assert!(!flight.take_doubt(160_001, 114_999, 60_000), "the peer may stand still");
    assert!(flight.take_doubt(160_001, 115_000, 60_000));
    assert!(!flight.take_doubt(160_002, 160_002, 60_000), "doubted already");
    assert!(flight.take_doubt(220_002, 220_002, 60_000));
    flight.change_path(220_002);
    assert!(flight.is_stalled(220_002, 120_000), "another path is no progress");
    let again = core::iter::from_fn(|| {
        let lost = flight.next_lost()?;
        let packet_number = channel.take_packet_number(220_002);
        flight.note_sent_again(lost.sequence, packet_number, 220_002);
        Some(lost.sequence)
    });
    assert!(again.eq(0..16), "as many as the window has at first");
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let (mut flight, mut channel) = (Flight::new(0), channel());
    send(&mut flight, &mut channel, 3, 0);
    assert_eq!(flight.note_ack(1, &ack(4, 3, 0), &channel), Err(Malformed));
    assert_eq!(flight.note_ack(1, &ack(3, 4, 0), &channel), Err(Malformed));
    assert_eq!(flight.come_index(), 0);
}

#[test]
fn no_more_frames_are_under_way_than_have_their_place() {
    let (mut flight, mut channel) = (Flight::new(0), channel());
    for round in 0..100 {
        while flight.next_new().is_some() {
            send(&mut flight, &mut channel, 1, round);
        }
        assert!(flight.next - flight.oldest <= LINK_WINDOW_FRAMES as u64);
        // All but the oldest one come.
        let mut come = ack(flight.oldest, channel.next_packet_number(), u64::MAX << 1);
        come.bitmap[1..].fill(u64::MAX);
        assert_eq!(flight.note_ack(round, &come, &channel), Ok(()));
    }
    assert_eq!(flight.next, LINK_WINDOW_FRAMES as u64);
    assert_eq!(flight.come_index(), 0);
}
