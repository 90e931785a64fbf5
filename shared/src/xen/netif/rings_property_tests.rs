//! Tests of the rings with a backend that works in any order, and with one that writes anything.

use core::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::model_backend::{Memory, ModelBackend, Piece, frame, receive, send};

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<usize>),
    Take(usize),
    Answer(usize, usize),
    Deliver(usize, Vec<(usize, u16)>, bool),
    Show,
    Receive(usize),
    Wait,
}

fn frame_size() -> impl Strategy<Value = usize> {
    prop_oneof![14usize..=9014, Just(9014), Just(4096), Just(4097), 14usize..200]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cuts = proptest::collection::vec((1usize..=4096, 0u16..4096), 3..8);
    let step = prop_oneof![
        proptest::collection::vec(frame_size(), 1..40).prop_map(Step::Send),
        (0usize..60).prop_map(Step::Take),
        (0usize..300, any::<usize>()).prop_map(|(count, order)| Step::Answer(count, order)),
        (frame_size(), cuts, any::<bool>())
            .prop_map(|(size, cuts, extra)| Step::Deliver(size, cuts, extra)),
        Just(Step::Show),
        (1usize..16).prop_map(Step::Receive),
        Just(Step::Wait),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A frame cut in pieces that fit their pages; the last ones are as large as they can be.
fn pieces(bytes: &[u8], cuts: &[(usize, u16)]) -> Vec<Piece> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    let mut cuts = cuts.iter();
    while !rest.is_empty() {
        let (size, offset) = cuts.next().copied().unwrap_or((4096, 0));
        let size = size.min(rest.len()).min(4096 - usize::from(offset));
        pieces.push(Piece { offset, bytes: rest[..size].to_vec() });
        rest = &rest[size..];
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn frames_pass_whole_and_in_order_however_the_backend_works(
        start in prop_oneof![Just(0u32), Just(u32::MAX - 300), any::<u32>()],
        steps in steps(),
    ) {
        let memory = Memory::new();
        let (mut table, mut granted, mut rings) = memory.rings(start);
        let mut backend = ModelBackend::new(memory, &granted, start);
        let (mut sent, mut delivered) = (VecDeque::new(), VecDeque::new());
        let (mut open, mut hidden, mut seed) = (Vec::<u16>::new(), VecDeque::new(), 0);
        for step in steps {
            seed += 1;
            match step {
                Step::Send(sizes) => {
                    let frames: Vec<_> = sizes.iter().map(|size| frame(*size, seed)).collect();
                    let (count, _) = send(&mut rings, &frames).unwrap();
                    sent.extend(frames.into_iter().take(count));
                }
                Step::Take(count) => for _ in 0..count {
                    let Some(taken) = backend.take() else { break };
                    prop_assert_eq!(sent.pop_front(), Some(taken.bytes));
                    open.extend(taken.ids);
                },
                Step::Answer(count, order) => for turn in 1..=count.min(open.len()) {
                    let which = order.wrapping_mul(turn) % open.len();
                    backend.answer(open.swap_remove(which), if order & 1 == 0 { 0 } else { -2 });
                },
                Step::Deliver(size, cuts, extra) => {
                    let bytes = frame(size, seed);
                    let pieces = pieces(&bytes, &cuts);
                    if backend.buffer_count() > pieces.len() {
                        let extras: &[[u8; 2]] = if extra { &[[4, 0]] } else { &[] };
                        backend.deliver(&pieces, u16::from(extra) << 1, extras);
                        hidden.push_back(bytes);
                    }
                }
                Step::Show => {
                    let events = backend.show();
                    prop_assert_eq!(events, [false, false]);
                    delivered.append(&mut hidden);
                }
                Step::Receive(count) => for bytes in receive(&mut rings, count).unwrap() {
                    prop_assert_eq!(delivered.pop_front(), Some(bytes));
                },
                Step::Wait => {
                    let is_there = rings.ask_for_event().unwrap();
                    prop_assert_eq!(is_there, !delivered.is_empty());
                    rings.ask_for_no_event();
                }
            }
        }
        backend.show();
        delivered.append(&mut hidden);
        while let Some(bytes) = receive(&mut rings, 1).unwrap().pop() {
            prop_assert_eq!(delivered.pop_front(), Some(bytes));
        }
        while let Some(taken) = backend.take() {
            prop_assert_eq!(sent.pop_front(), Some(taken.bytes));
        }
        prop_assert!(delivered.is_empty() && sent.is_empty());
        prop_assert_eq!(rings.counts().receive_dropped, 0);
        prop_assert!(granted.withdraw(&mut table));
        prop_assert_eq!(table.free_count(), 2 * 512 - 8);
    }

    /// What is not refused is harmless: a frame of some bytes, or none.
    #[test]
    fn any_words_of_the_backend_end_in_a_result(
        start in prop_oneof![Just(0u32), any::<u32>()],
        turns in proptest::collection::vec((0..6u8, scribbles()), 1..60),
    ) {
        let memory = Memory::new();
        let (_, granted, mut rings) = memory.rings(start);
        let backend = ModelBackend::new(memory, &granted, start);
        for (action, scribbles) in turns {
            for (is_receive, word, value) in scribbles {
                let page = if is_receive { backend.receive } else { backend.transmit };
                let value = if word < 4 && value < 1 << 16 {
                    start.wrapping_add(value % 300)
                } else {
                    value
                };
                page.word32(word * 4).store(value, Ordering::Relaxed);
            }
            let result = match action {
                0 | 1 => send(&mut rings, &[frame(9014, 1), frame(60, 2)]).map(|_| ()),
                2 | 3 => receive(&mut rings, 16).map(|frames| {
                    assert!(frames.iter().all(|frame| !frame.is_empty()));
                }),
                4 => rings.ask_for_event().map(|_| ()),
                _ => { rings.ask_for_no_event(); Ok(()) }
            };
            if result.is_err() {
                break;
            }
        }
    }

    /// The indexes are right, so that what lies in the slots is looked at.
    #[test]
    fn any_answers_end_in_a_result(
        answers in proptest::collection::vec(
            (any::<bool>(), 0u16..300, prop_oneof![0u16..4100, any::<u16>()],
             prop_oneof![0u16..16, any::<u16>()], prop_oneof![-3i16..4100, any::<i16>()]),
            0..200,
        ),
        batch in 1usize..16,
    ) {
        let memory = Memory::new();
        let (_, granted, mut rings) = memory.rings(0);
        let mut backend = ModelBackend::new(memory, &granted, 0);
        send(&mut rings, &[frame(9014, 1), frame(9014, 2)]).unwrap();
        for (number, (is_right, id, offset, flags, status)) in (0u16..).zip(answers) {
            backend.fill(if is_right { number } else { id }, offset, flags, status);
            if number < 6 {
                backend.answer(if is_right { number } else { id }, status);
            }
        }
        backend.show();
        let _ = send(&mut rings, &[]);
        while let Ok(frames) = receive(&mut rings, batch) {
            if frames.is_empty() {
                break;
            }
        }
    }
}

fn scribbles() -> impl Strategy<Value = Vec<(bool, usize, u32)>> {
    let word = prop_oneof![0usize..4, 16usize..80, 0usize..1024];
    let value = prop_oneof![0u32..600, any::<u32>()];
    proptest::collection::vec((any::<bool>(), word, value), 0..12)
}
