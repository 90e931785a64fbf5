//! What the key exchange is for: who has recorded a session and gets the key file later reads nothing,
//! and who sits on the wire cannot put keys of his own in between.

mod support;

use pollux::link::LinkEvent;
use pollux::wire::{
    Confirm, Entropy, EphemeralSecret, Frame, FrameType, HandshakeKey, HelloReply, PublicKey,
    SecretKey, SessionKeys, SessionParts, TAG_SIZE,
};
use support::network::Faults;
use support::world::{BACKUP, KEY, PRIMARY, STEP_US, Setting, World, entropy, options};

/// Bytes of a frame before its body, and where its type is.
const BODY_OFFSET: usize = 38;
const TYPE_OFFSET: usize = 15;
/// Where a reply and a Confirm have their public key.
const REPLY_KEY_OFFSET: usize = BODY_OFFSET + 76;
const CONFIRM_KEY_OFFSET: usize = BODY_OFFSET + 72;

/// What an attacker finds in a record: the parts of the session's keys, and a sealed frame.
fn find(record: &[(usize, Vec<u8>)]) -> (SessionParts, Vec<u8>) {
    let bodies = |wanted: FrameType| {
        record.iter().filter_map(move |(_, bytes)| {
            let mut bytes = bytes.clone();
            let frame = Frame::parse(&mut bytes).unwrap();
            (frame.header.frame_type == wanted).then(|| frame.body.to_vec())
        })
    };
    let confirm = Confirm::parse(&bodies(FrameType::Confirm).next().unwrap()).unwrap();
    let reply = bodies(FrameType::HelloReply)
        .map(|body| HelloReply::parse(&body).unwrap())
        .find(|reply| reply.backup_nonce == confirm.backup_nonce)
        .unwrap();
    let [primary, backup] = [PRIMARY, BACKUP].map(|side| options(side, 9000, 0).own_address);
    let parts = SessionParts {
        primary,
        backup,
        primary_nonce: confirm.primary_nonce,
        backup_nonce: confirm.backup_nonce,
        primary_public: confirm.primary_public,
        backup_public: reply.backup_public,
    };
    let is_data = |bytes: &[u8]| bytes[TYPE_OFFSET] == FrameType::Data as u8;
    let sealed = record.iter().find(|(_, bytes)| is_data(bytes)).unwrap().1.clone();
    (parts, sealed)
}

fn opens(keys: &SessionKeys, sealed: &[u8]) -> bool {
    let mut bytes = sealed.to_vec();
    keys.to_backup.open(&mut Frame::parse(&mut bytes).unwrap())
}

#[test]
fn a_record_and_the_key_file_are_not_enough() {
    let mut world = World::new(&Setting::new(51, Faults::NONE));
    world.network.record = Some(Vec::new());
    world.run_until("3 epochs", 5_000, |world| world.capture.acked_epoch >= 3);
    let (parts, sealed) = find(&world.network.record.take().unwrap());
    let key = SecretKey::new(KEY);
    let keys = |secret: &EphemeralSecret, peer: &PublicKey| {
        SessionKeys::derive(&key, &parts, &secret.agree(peer).unwrap())
    };

    // With the secret of either end it can be read: the test tries what it seems to try.
    let mut primary = Entropy::new(entropy(PRIMARY, 51));
    primary.advance();
    assert_eq!(primary.nonce(), parts.primary_nonce);
    assert!(opens(&keys(&primary.ephemeral_secret(), &parts.backup_public), &sealed));
    let mut backup = Entropy::new(entropy(BACKUP, 51));
    backup.advance();
    assert!(opens(&keys(&backup.ephemeral_secret(), &parts.primary_public), &sealed));

    // With what was on the wire, and with the entropy that is left afterwards, it cannot.
    let on_the_wire =
        [KEY, parts.primary_nonce, parts.backup_nonce, parts.primary_public, parts.backup_public];
    let mut guesses: Vec<_> = on_the_wire.into_iter().map(EphemeralSecret::new).collect();
    for left in [&mut primary, &mut backup] {
        left.advance();
        guesses.push(left.ephemeral_secret());
    }
    for guess in &guesses {
        for peer in [&parts.primary_public, &parts.backup_public] {
            assert!(!opens(&keys(guess, peer), &sealed));
        }
    }
}

/// Both ends for two seconds, with someone between them through whom every frame passes.
fn world_with_a_middle(seed: u64, mut treat: impl FnMut(&mut Vec<u8>)) -> World {
    let mut world = World::new(&Setting::new(seed, Faults::NONE));
    world.network.cut = [true; 2];
    world.network.record = Some(Vec::new());
    let end_us = world.now_us + 2_000_000;
    while world.now_us < end_us {
        world.step();
        for (from, mut frame) in world.network.record.replace(Vec::new()).unwrap() {
            treat(&mut frame);
            world.network.deliver_at(world.now_us + STEP_US, 1 - from, frame);
        }
    }
    world
}

/// Puts a public key into every frame of one type, and signs it anew if there is a key to sign with.
fn put_key(
    frame: &mut [u8],
    target: FrameType,
    public: &PublicKey,
    signing: Option<&HandshakeKey>,
) {
    let offset = match target {
        FrameType::HelloReply => REPLY_KEY_OFFSET,
        _ => CONFIRM_KEY_OFFSET,
    };
    if frame[TYPE_OFFSET] != target as u8 {
        return;
    }
    frame[offset..][..32].copy_from_slice(public);
    if let Some(signing) = signing {
        let (signed, tag) = frame.split_at_mut(frame.len() - TAG_SIZE);
        let (associated, body) = signed.split_at(BODY_OFFSET);
        tag.copy_from_slice(&signing.sign(associated, body));
    }
}

const BOTH: [FrameType; 2] = [FrameType::HelloReply, FrameType::Confirm];

#[test]
fn a_middle_that_changes_nothing_is_not_noticed() {
    let world = world_with_a_middle(52, |_| {});
    assert!(world.capture.is_up() && world.capture.acked_epoch >= 3);
}

#[test]
fn a_middle_without_the_key_file_gets_no_key_in() {
    let own_key = EphemeralSecret::new([0x3c; 32]).public_key();
    let other = HandshakeKey::new(&SecretKey::new([0x78; 32]));
    for signing in [None, Some(&other)] {
        for target in BOTH {
            let mut world =
                world_with_a_middle(53, |frame| put_key(frame, target, &own_key, signing));
            let counters = world.counters();
            assert_eq!(counters.map(|it| it.sessions), [0; 2]);
            let hearer = if target == FrameType::HelloReply { PRIMARY } else { BACKUP };
            assert!(counters[hearer].frames_unauthentic > 5);
        }
    }
}

/// Not even the signature is all that holds: the keys are made of what each end has seen.
#[test]
fn ends_that_saw_different_keys_have_no_session() {
    let own_key = EphemeralSecret::new([0x3c; 32]).public_key();
    let signing = HandshakeKey::new(&SecretKey::new(KEY));
    for targets in [&BOTH[..1], &BOTH[1..], &BOTH[..]] {
        let mut world = world_with_a_middle(54, |frame| {
            targets.iter().for_each(|&it| put_key(frame, it, &own_key, Some(&signing)));
        });
        let [primary, backup] = world.counters();
        assert_eq!((primary.sessions, primary.frames_received, backup.frames_received), (0, 0, 0));
        assert!(!world.capture.is_up());
    }
}

#[test]
fn a_public_key_of_low_order_is_refused() {
    let signing = HandshakeKey::new(&SecretKey::new(KEY));
    let one = core::array::from_fn(|place| u8::from(place == 0));
    for (target, hearer) in [(BOTH[0], PRIMARY), (BOTH[1], BACKUP)] {
        for point in [[0; 32], one] {
            let mut world =
                world_with_a_middle(55, |frame| put_key(frame, target, &point, Some(&signing)));
            assert_eq!(world.counters().map(|it| it.sessions), [0; 2]);
            assert_eq!(world.events[hearer], [LinkEvent::NoSecret], "said once");
        }
    }
}
