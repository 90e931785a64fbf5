//! Tests of the rings with a backend that runs at the same time.

use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::vec::Vec;

use super::Rings;
use super::model_backend::{AREA_SIZE, Memory, ModelBackend, Piece};

#[test]
fn every_frame_comes_back_from_a_backend_that_echoes() {
    const COUNT: usize = 2000;
    let memory = Memory::new();
    let (_table, granted, mut rings) = memory.rings(u32::MAX - 1000);
    let mut backend = ModelBackend::new(memory, &granted, u32::MAX - 1000);
    let echo = thread::spawn(move || {
        let mut echoed = 0;
        while echoed < COUNT {
            while backend.buffer_count() >= 3 {
                let Some(taken) = backend.take() else { break };
                taken.ids.iter().for_each(|id| backend.answer(*id, 0));
                let parts = taken.bytes.chunks(4096);
                let pieces: Vec<_> =
                    parts.map(|part| Piece { offset: 0, bytes: part.to_vec() }).collect();
                backend.deliver(&pieces, 0, &[]);
                echoed += 1;
            }
            backend.show();
            thread::yield_now();
        }
    });
    let frame = |number: usize| {
        let byte = number.to_le_bytes()[0];
        std::vec![byte; 60 + number * 7919 % 8954]
    };
    let (mut sent, mut received) = (0, 0);
    let mut area = std::vec![0; 16 * AREA_SIZE];
    while received < COUNT {
        let frames: Vec<_> = (sent..COUNT.min(sent + 9)).map(frame).collect();
        sent += rings.send(frames.iter().map(Vec::as_slice)).unwrap().0;
        let mut sizes = [0; 16];
        let (count, _) = rings.receive(&mut area, AREA_SIZE, &mut sizes).unwrap();
        for (bytes, size) in area.chunks(AREA_SIZE).zip(&sizes[..count]) {
            assert_eq!(bytes[..*size], frame(received));
            received += 1;
        }
        thread::yield_now();
    }
    echo.join().unwrap();
}

/// What is checked must not change before it is used.
#[test]
fn a_backend_that_scribbles_meanwhile_gets_no_further_than_an_error() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let memory = Memory::new();
    let (_table, granted, _) = memory.rings(0);
    let backend = ModelBackend::new(memory, &granted, 0);
    let scribbler = thread::spawn(move || {
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            u32::try_from(state >> 33).unwrap()
        };
        while !IS_OVER.load(Ordering::Relaxed) {
            for page in [backend.transmit, backend.receive] {
                page.word32(8).store(next() % 8, Ordering::Relaxed);
            }
            let slot = next() % 8;
            // Mostly plausible: an id that fits, a place in the page or just beyond, flags, a size.
            let (place, flags, size) = (next() % 4200, next() % 16, next() % 4200);
            let offset = 64 + slot as usize * 8;
            backend.receive.word32(offset).store(slot | place << 16, Ordering::Relaxed);
            backend.receive.word32(offset + 4).store(flags | size << 16, Ordering::Relaxed);
        }
    });
    let (mut frame_count, mut lie_count) = (0, 0);
    let mut area = std::vec![0; 4 * AREA_SIZE];
    while lie_count < 3000 {
        let mut rings = Rings::new(&granted, 9014);
        loop {
            let mut sizes = [0; 4];
            let sent = rings.send([&[1; 9014][..]].into_iter());
            let received = rings.receive(&mut area, AREA_SIZE, &mut sizes);
            let asked = rings.ask_for_event();
            frame_count += received.map_or(0, |(count, _)| count);
            if sent.is_err() || received.is_err() || asked.is_err() {
                lie_count += 1;
                break;
            }
            thread::yield_now();
        }
    }
    IS_OVER.store(true, Ordering::Relaxed);
    scribbler.join().unwrap();
    assert!(frame_count > 0);
}
