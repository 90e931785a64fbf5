//! Tests of the rings: each lie of a backend, and what is none.

use core::sync::atomic::Ordering;
use std::vec::Vec;

use super::model_backend::{Memory, ModelBackend, Piece, frame, receive, send};
use super::{BackendLie, FRAGMENT_COUNT_MAX, Rings};

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
