//! Tests of the rings: against an honest backend in every order, and against lies.

use core::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::model_backend::{Memory, ModelBackend, Piece};
use super::{BackendLie, FRAGMENT_COUNT_MAX, Rings};

const AREA_SIZE: usize = 9024;

fn frame(size: usize, seed: u64) -> Vec<u8> {
    (0..size as u64).map(|at| (at.wrapping_mul(31) ^ seed).to_le_bytes()[0]).collect()
}

fn receive(rings: &mut Rings<'_>, count: usize) -> Result<Vec<Vec<u8>>, BackendLie> {
    let mut area = std::vec![0; count * AREA_SIZE];
    let mut sizes = std::vec![0; count];
    let (count, _) = rings.receive(&mut area, AREA_SIZE, &mut sizes)?;
    let frames = area.chunks(AREA_SIZE).zip(&sizes).take(count);
    Ok(frames.map(|(frame, size)| frame[..*size].to_vec()).collect())
}

fn send(rings: &mut Rings<'_>, frames: &[Vec<u8>]) -> Result<(usize, bool), BackendLie> {
    rings.send(frames.iter().map(Vec::as_slice))
}

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

/// Rings and their backend, with two frames of three slots each sent and taken.
fn pair() -> (Rings<'static>, ModelBackend, Vec<u16>) {
    let memory = Memory::new();
    let (_, granted, mut rings) = memory.rings(0);
    let mut backend = ModelBackend::new(memory, &granted, 0);
    send(&mut rings, &[frame(9014, 1), frame(9014, 2)]).unwrap();
    let ids = [backend.take().unwrap(), backend.take().unwrap()].map(|taken| taken.ids);
    (rings, backend, ids.concat())
}

fn lie_of_transmit(lie: impl FnOnce(&mut ModelBackend, &[u16])) -> BackendLie {
    let (mut rings, mut backend, ids) = pair();
    lie(&mut backend, &ids);
    send(&mut rings, &[]).unwrap_err()
}

fn lie_of_receive(lie: impl FnOnce(&mut ModelBackend)) -> BackendLie {
    let (mut rings, mut backend, _) = pair();
    lie(&mut backend);
    backend.show();
    receive(&mut rings, 4).unwrap_err()
}

#[test]
fn each_lie_about_transmit_requests_is_named() {
    let more = lie_of_transmit(|backend, _| backend.transmit.word32(8).store(7, Ordering::Relaxed));
    assert_eq!(more, BackendLie::ResponseIndex);
    let huge = |value| {
        lie_of_transmit(move |backend, _| {
            backend.transmit.word32(8).store(value, Ordering::Relaxed)
        })
    };
    assert_eq!(huge(u32::MAX), BackendLie::ResponseIndex);
    let twice = lie_of_transmit(|backend, ids| {
        backend.answer(ids[0], 0);
        backend.answer(ids[0], 0);
        backend.show();
    });
    assert_eq!(twice, BackendLie::TransmitId);
    for id in [256, 0xffff] {
        let unknown = lie_of_transmit(|backend, _| {
            backend.answer(id, 0);
            backend.show();
        });
        assert_eq!(unknown, BackendLie::TransmitId);
    }
    for status in [1, 2, -3, i16::MIN] {
        let unknown = lie_of_transmit(|backend, ids| {
            backend.answer(ids[0], status);
            backend.show();
        });
        assert_eq!(unknown, BackendLie::TransmitStatus);
    }
}

#[test]
fn answers_are_not_taken_back() {
    let (mut rings, mut backend, ids) = pair();
    ids.iter().for_each(|id| backend.answer(*id, 0));
    backend.show();
    send(&mut rings, &[]).unwrap();
    backend.transmit.word32(8).store(5, Ordering::Relaxed);
    assert_eq!(send(&mut rings, &[]), Err(BackendLie::ResponseIndex));
}

#[test]
fn each_lie_about_received_frames_is_named() {
    assert_eq!(lie_of_receive(|backend| backend.fill(1, 0, 0, 60)), BackendLie::ReceiveId);
    for (offset, size) in [(4096, 1), (4090, 7), (0, 4097), (0xffff, 0), (1, i16::MAX)] {
        let lie = lie_of_receive(|backend| backend.fill(0, offset, 0, size));
        assert_eq!(lie, BackendLie::ReceiveExtent);
    }
    for flags in [1 << 4, 1 << 15] {
        let lie = lie_of_receive(|backend| backend.fill(0, 0, flags, 60));
        assert_eq!(lie, BackendLie::ReceiveFlags);
    }
    let late_extra = lie_of_receive(|backend| {
        backend.fill(0, 0, 4, 60);
        backend.fill(1, 0, 8, 60);
    });
    assert_eq!(late_extra, BackendLie::ReceiveFlags);
    let endless = lie_of_receive(|backend| (0..200).for_each(|id| backend.fill(id, 0, 4, 1)));
    assert_eq!(endless, BackendLie::ReceiveFragments);
    for extra in [0, 2, 3, 5, 0xff, 0x0204] {
        let lie = lie_of_receive(|backend| {
            backend.fill(0, 0, 8, 60);
            backend.fill(extra, 0, 0, 0);
        });
        assert_eq!(lie, BackendLie::ReceiveExtra);
    }
    let endless = lie_of_receive(|backend| {
        backend.fill(0, 0, 8, 60);
        (0..200).for_each(|_| backend.fill(0x0104, 0, 0, 0));
    });
    assert_eq!(endless, BackendLie::ReceiveExtra);
    let more = lie_of_receive(|backend| {
        (0..256).for_each(|id| backend.fill(id, 0, 0, 60));
        backend.fill(0, 0, 0, 60);
    });
    assert_eq!(more, BackendLie::ResponseIndex);
}

#[test]
fn a_frame_may_have_as_many_pieces_as_any_backend_makes() {
    let (mut rings, mut backend, _) = pair();
    let piece = Piece { offset: 4090, bytes: std::vec![7; 6] };
    backend.deliver(&std::vec![piece; FRAGMENT_COUNT_MAX], 0, &[[4, 0], [1, 0], [4, 0], [4, 0]]);
    backend.deliver(&[Piece { offset: 1, bytes: frame(60, 3) }], 0, &[]);
    backend.show();
    // One that is to be segmented is not passed on.
    assert_eq!(receive(&mut rings, 4).unwrap(), [frame(60, 3)]);
    assert_eq!(rings.counts().receive_dropped, 1);
}

#[test]
fn what_cannot_be_used_is_dropped_and_counted() {
    let (mut rings, mut backend, ids) = pair();
    backend.fill(0, 0xffff, 0, -1);
    backend.fill(1, 0, 4, 100);
    backend.fill(2, 0, 0, -2);
    backend.fill(3, 0, 0, 0);
    let whole = Piece { offset: 0, bytes: std::vec![1; 4096] };
    backend.deliver(&[whole.clone(), whole.clone(), whole], 0, &[]);
    backend.deliver(&[Piece { offset: 0, bytes: frame(60, 4) }], 3, &[]);
    backend.answer(ids[0], -1);
    backend.answer(ids[1], -2);
    backend.show();
    assert_eq!(receive(&mut rings, 4).unwrap(), [frame(60, 4)]);
    assert_eq!(send(&mut rings, &[frame(9015, 0), Vec::new()]), Ok((2, false)));
    let counts = rings.counts();
    assert_eq!((counts.transmit_dropped, counts.receive_dropped), (4, 4));
}

#[test]
fn a_frame_is_taken_when_all_of_it_is_there() {
    let (mut rings, mut backend, _) = pair();
    backend.fill(0, 0, 4 | 8, 20);
    backend.show();
    assert!(receive(&mut rings, 4).unwrap().is_empty());
    assert_eq!(rings.ask_for_event(), Ok(false));
    backend.fill(0x0004, 0, 0, 0);
    assert_eq!(backend.show(), [false, true]);
    assert!(receive(&mut rings, 4).unwrap().is_empty());
    backend.fill(2, 0, 0, 30);
    backend.show();
    assert_eq!(rings.ask_for_event(), Ok(true));
    assert_eq!(receive(&mut rings, 4).unwrap()[0].len(), 50);
}

#[test]
fn a_full_ring_takes_frames_again_once_they_are_answered() {
    let (mut rings, mut backend, ids) = pair();
    let frames = std::vec![frame(9014, 5); 100];
    assert_eq!(send(&mut rings, &frames).unwrap().0, 250 / 3);
    assert_eq!(send(&mut rings, &frames).unwrap().0, 0);
    ids.iter().for_each(|id| backend.answer(*id, 0));
    backend.show();
    assert_eq!(send(&mut rings, &frames).unwrap().0, 2);
}

#[test]
fn events_go_where_they_are_asked_for() {
    let (mut rings, mut backend, _) = pair();
    let small = [frame(60, 1)];
    assert_eq!(send(&mut rings, &small), Ok((1, false)));
    while backend.take().is_some() {}
    backend.ask_for_events();
    assert_eq!(send(&mut rings, &small), Ok((1, true)));
    assert_eq!(send(&mut rings, &small), Ok((1, false)));
    assert_eq!(send(&mut rings, &[]), Ok((0, false)));

    let piece = [Piece { offset: 0, bytes: frame(60, 2) }];
    backend.deliver(&piece, 0, &[]);
    assert_eq!(backend.show(), [false, false]);
    receive(&mut rings, 4).unwrap();
    assert_eq!(rings.ask_for_event(), Ok(false));
    backend.deliver(&piece, 0, &[]);
    assert_eq!(backend.show(), [false, true]);
    rings.ask_for_no_event();
    backend.deliver(&piece, 0, &[]);
    assert_eq!(backend.show(), [false, false]);
    assert_eq!(rings.ask_for_event(), Ok(true));
}

#[test]
fn a_new_frontend_is_told_of_at_the_first_request() {
    let memory = Memory::new();
    let (_, granted, _) = memory.rings(0);
    let mut rings = Rings::new(&granted, 4096);
    assert_eq!(ModelBackend::new(memory, &granted, 0).buffer_count(), 256);
    assert_eq!(send(&mut rings, &[frame(60, 1)]), Ok((1, true)));
    assert_eq!(send(&mut rings, &[frame(4097, 1)]), Ok((1, false)));
    assert_eq!(rings.counts().transmit_dropped, 1);
}
