//! Both ends against each other, and each against a hostile other half.

use core::sync::atomic::Ordering;
use std::collections::BTreeSet;
use std::thread;

use proptest::prelude::*;

use super::{Consumer, Encoding, Entry, EntryKind, Producer, Ring, RingError};
use crate::limits::PAGE_SIZE;

fn both(entry_count_max: u64, capacity: u64) -> (Producer, Consumer) {
    let (mut producer, mut consumer) = Ring::create(entry_count_max).unwrap().into_both().unwrap();
    consumer.reset(capacity);
    producer.begin().unwrap();
    (producer, consumer)
}

fn nth_entry(index: u64) -> Entry {
    match index % 3 {
        0 => Entry::raw(EntryKind::State, index / 7, index, u16::try_from(index % 4097).unwrap()),
        1 => Entry::raw(EntryKind::Page, index / 7, index, 4096),
        _ => Entry::raw(EntryKind::Page, index / 7, index, 4096).encoded(Encoding::Zero, 0),
    }
}

fn fill(slot: &mut [u8; PAGE_SIZE], index: u64) {
    slot.fill(0);
    slot[..8].copy_from_slice(&index.to_le_bytes());
    slot[PAGE_SIZE - 8..].copy_from_slice(&index.to_be_bytes());
}

fn check(consumer: &Consumer, index: u64) {
    assert_eq!(consumer.entry(index), Ok(nth_entry(index)));
    let mut ends = [0; 16];
    consumer.copy_out(index, 0, &mut ends[..8]);
    consumer.copy_out(index, PAGE_SIZE - 8, &mut ends[8..]);
    assert_eq!(ends[..8], index.to_le_bytes());
    assert_eq!(ends[8..], index.to_be_bytes());
    assert_eq!(&consumer.page(index)[..8], index.to_le_bytes());
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Publish,
    Look,
    Release(u64),
    Raise(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1u64..9).prop_map(Step::Push),
        3 => Just(Step::Publish),
        3 => Just(Step::Look),
        3 => (0u64..9).prop_map(Step::Release),
        1 => (1u64..24).prop_map(Step::Raise),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn every_interleaving_hands_over_every_entry_in_order(
        steps in steps(), capacity in 1u64..12
    ) {
        let (mut producer, mut consumer) = both(24, capacity);
        let (mut pushed, mut published, mut released) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count.min(producer.free_entries().unwrap()) {
                    fill(producer.slot_mut(), pushed);
                    producer.push(&nth_entry(pushed));
                    pushed += 1;
                },
                Step::Publish => { producer.publish(); published = pushed; }
                Step::Look => {
                    let range = consumer.available().unwrap();
                    prop_assert_eq!(range.clone(), released..published);
                    range.for_each(|index| check(&consumer, index));
                }
                Step::Release(count) => {
                    let range = consumer.available().unwrap();
                    released = range.end.min(range.start + count);
                    consumer.release(released);
                }
                Step::Raise(capacity) if released == 0 => {
                    consumer.raise_capacity(capacity.max(consumer.capacity()));
                }
                Step::Raise(_) => {}
            }
            prop_assert!(published - released <= consumer.capacity());
            let free = producer.free_entries().unwrap();
            prop_assert_eq!(free, consumer.capacity() - (pushed - released));
        }
    }

    #[test]
    fn entries_may_be_filled_in_any_order(order in Just((0u64..16).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut consumer, mut producer) = {
            let (mut producer, mut consumer) = Ring::create(16).unwrap().into_both().unwrap();
            producer.reset(16);
            consumer.begin().unwrap();
            (consumer, producer)
        };
        let mut missing: BTreeSet<u64> = (0..16).collect();
        for index in order {
            prop_assert!(producer.window().unwrap().contains(&index));
            fill(producer.slot_mut_at(index), index);
            producer.describe(index, &nth_entry(index));
            missing.remove(&index);
            let complete = missing.first().copied().unwrap_or(16);
            producer.publish_up_to(complete);
            prop_assert_eq!(consumer.available().unwrap(), 0..complete);
            (0..complete).for_each(|index| check(&consumer, index));
        }
    }

    #[test]
    fn indexes_of_a_hostile_half_are_refused(head: u64, tail: u64, capacity: u64) {
        let (mut producer, mut consumer) = both(8, 4);
        for index in 0..4 {
            producer.free_entries().unwrap();
            fill(producer.slot_mut(), index);
            producer.push(&nth_entry(index));
        }
        producer.publish();
        consumer.available().unwrap();
        consumer.release(2);
        let before = producer.window().unwrap();

        let hostile = producer.view.again().unwrap();
        hostile.head().store(head, Ordering::Relaxed);
        match consumer.available() {
            Ok(range) => prop_assert!(range == (2..head) && (4..=6).contains(&head)),
            Err(error) => prop_assert!(error == RingError::Index && !(4..=6).contains(&head)),
        }
        hostile.tail().store(tail, Ordering::Relaxed);
        match producer.window() {
            Ok(range) => prop_assert!(range == (4..tail + 4) && (2..=4).contains(&tail)),
            Err(error) => prop_assert!(error == RingError::Index && !(2..=4).contains(&tail)),
        }
        hostile.tail().store(2, Ordering::Relaxed);
        hostile.capacity().store(capacity, Ordering::Relaxed);
        match producer.window() {
            Ok(range) => prop_assert!(range == before && capacity == 4),
            Err(error) => prop_assert!(error == RingError::Capacity && capacity != 4),
        }
    }
}

#[test]
fn a_capacity_beyond_the_ring_is_refused() {
    for capacity in [0, 9, u64::MAX] {
        let (mut producer, mut consumer) = both(8, 4);
        producer.view.again().unwrap().capacity().store(capacity, Ordering::Relaxed);
        assert_eq!(producer.window(), Err(RingError::Capacity));
        assert_eq!(producer.begin(), Err(RingError::Capacity));
        assert_eq!(consumer.begin(), Err(RingError::Capacity));
    }
}

#[test]
fn a_new_session_starts_empty() {
    let (mut producer, mut consumer) = both(8, 4);
    assert_eq!(producer.free_entries(), Ok(4));
    fill(producer.slot_mut(), 0);
    producer.push(&nth_entry(0));
    producer.publish();
    assert_eq!(consumer.available(), Ok(0..1));
    consumer.reset(8);
    producer.begin().unwrap();
    assert_eq!((consumer.available(), producer.window()), (Ok(0..0), Ok(0..8)));
}

#[test]
fn the_consumer_may_rewrite_what_it_has_not_released() {
    let (mut producer, mut consumer) = both(4, 4);
    producer.free_entries().unwrap();
    for index in 0..4 {
        fill(producer.slot_mut(), index);
        producer.push(&nth_entry(index));
    }
    producer.publish();
    consumer.available().unwrap();
    let encoded = Entry::raw(EntryKind::Page, 9, 5, 4096).encoded(Encoding::Delta, 70);
    consumer.page_mut(2).fill(0xab);
    consumer.rewrite(2, &encoded);
    assert_eq!((consumer.entry(2), consumer.page(2)), (Ok(encoded), &[0xab; PAGE_SIZE]));
    [0, 1, 3].into_iter().for_each(|index| check(&consumer, index));
}

#[test]
#[should_panic(expected = "only an entry that is here")]
fn what_was_released_is_not_rewritten() {
    let (mut producer, mut consumer) = both(4, 4);
    producer.free_entries().unwrap();
    producer.push(&nth_entry(0));
    producer.publish();
    consumer.available().unwrap();
    consumer.release(1);
    consumer.rewrite(0, &nth_entry(0));
}

#[test]
fn two_threads_hand_over_many_entries() {
    const COUNT: u64 = 20_000;
    let (mut producer, mut consumer) = both(32, 32);
    let filler = thread::spawn(move || {
        let mut pushed = 0;
        while pushed < COUNT {
            for _ in 0..producer.free_entries().unwrap().min(COUNT - pushed) {
                fill(producer.slot_mut(), pushed);
                producer.push(&nth_entry(pushed));
                pushed += 1;
            }
            producer.publish();
            thread::yield_now();
        }
    });
    let mut seen = 0;
    while seen < COUNT {
        let range = consumer.available().unwrap();
        range.clone().for_each(|index| check(&consumer, index));
        consumer.release(range.end);
        seen = range.end;
        thread::yield_now();
    }
    filler.join().unwrap();
}
