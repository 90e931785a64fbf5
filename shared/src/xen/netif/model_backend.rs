//! A backend for tests, written by the header and not by the code under test: it knows grants by their
//! entries and pages by their gfn.

use core::sync::atomic::Ordering;
use std::vec::Vec;

use super::granted_memory::PageWords;
use super::{BackendLie, GrantedMemory, INTERFACE_PAGE_COUNT, InterfacePages, Rings};
use crate::xen::grant_access::GrantTable;
use crate::xen::{Domid, GuestPage};

pub const FIRST_GFN: u64 = 0x400;
pub const BACKEND: Domid = 3;

const SLOTS: usize = 64;
const FREE_SLOTS: u32 = 256;

/// The memory of both, for the rest of the test program.
#[derive(Clone, Copy)]
pub struct Memory {
    pub table: [GuestPage<'static>; 2],
    pub pages: &'static [PageWords; INTERFACE_PAGE_COUNT],
}

impl Memory {
    pub fn new() -> Self {
        fn leaked<const COUNT: usize>() -> &'static [PageWords; COUNT] {
            let pages = (0..COUNT).map(|_| core::array::from_fn(|_| 0.into()));
            let pages: std::boxed::Box<[PageWords]> = pages.collect();
            std::boxed::Box::leak(pages).as_array().unwrap()
        }
        let table: &'static [PageWords; 2] = leaked();
        Self { table: table.each_ref().map(GuestPage::from_words), pages: leaked() }
    }

    pub fn interface(&self) -> InterfacePages<'static> {
        InterfacePages::new(self.pages, FIRST_GFN)
    }

    /// A table, granted pages and rings over them, whose indexes stand at `index`.
    pub fn rings(
        &self,
        index: u32,
    ) -> (GrantTable<'static>, GrantedMemory<'static>, Rings<'static>) {
        let mut table = GrantTable::new(&self.table);
        let granted = GrantedMemory::grant(self.interface(), &mut table, BACKEND).unwrap();
        let mut rings = Rings::new(&granted, 14 + 9000);
        rings.start_at(index);
        (table, granted, rings)
    }

    /// The page of a grant, if it permits what is meant.
    pub fn resolve(&self, reference: u32, is_written: bool) -> GuestPage<'static> {
        let entry = self.table[reference as usize / 512].read_u64(reference as usize % 512 * 8);
        assert_eq!(entry & 3, 1, "GTF_permit_access");
        assert_eq!(entry >> 16 & 0xffff, u64::from(BACKEND));
        assert!(!is_written || entry & 4 == 0, "GTF_readonly");
        let page = (entry >> 32) - FIRST_GFN;
        GuestPage::from_words(&self.pages[usize::try_from(page).unwrap()])
    }
}

/// A frame as the backend got it, with the ids of its requests.
pub struct Taken {
    pub bytes: Vec<u8>,
    pub ids: Vec<u16>,
}

/// A piece of a frame that is delivered.
#[derive(Clone, Debug)]
pub struct Piece {
    pub offset: u16,
    pub bytes: Vec<u8>,
}

/// The backend's end of both rings.
pub struct ModelBackend {
    memory: Memory,
    pub transmit: GuestPage<'static>,
    pub receive: GuestPage<'static>,
    requests_taken: u32,
    responses_written: u32,
    buffers_taken: u32,
    deliveries_written: u32,
}

impl ModelBackend {
    pub fn new(memory: Memory, granted: &GrantedMemory<'_>, index: u32) -> Self {
        let references = [granted.transmit_ring_reference(), granted.receive_ring_reference()];
        Self::at(memory, references, index)
    }

    /// The backend of the rings with these grants.
    pub fn at(memory: Memory, references: [u32; 2], index: u32) -> Self {
        let [transmit, receive] = references.map(|it| memory.resolve(it, true));
        Self {
            memory,
            transmit,
            receive,
            requests_taken: index,
            responses_written: index,
            buffers_taken: index,
            deliveries_written: index,
        }
    }

    /// Takes a frame that was sent, if one is there, and checks its requests.
    pub fn take(&mut self) -> Option<Taken> {
        let produced = self.transmit.read_u32(0);
        let (mut bytes, mut ids, mut total) = (Vec::new(), Vec::new(), None);
        while self.requests_taken != produced {
            assert!(produced.wrapping_sub(self.responses_written) <= FREE_SLOTS);
            let slot = SLOTS + self.requests_taken as usize % 256 * 12;
            let [reference, place, what] =
                [0, 4, 8].map(|offset| self.transmit.read_u32(slot + offset));
            self.requests_taken = self.requests_taken.wrapping_add(1);
            let (offset, flags) = (place & 0xffff, place >> 16);
            ids.push(u16::try_from(what & 0xffff).unwrap());
            let is_first = total.is_none();
            let total = *total.get_or_insert(what as usize >> 16);
            assert_eq!(flags & !4, 0);
            let more = flags & 4 != 0;
            let size = match (is_first, more) {
                (true, true) => 4096,
                (true, false) => total,
                (false, _) => what as usize >> 16,
            };
            let mut part = std::vec![0; size];
            self.memory.resolve(reference, false).read(offset as usize, &mut part);
            bytes.extend(part);
            if !more {
                assert_eq!(bytes.len(), total);
                return Some(Taken { bytes, ids });
            }
        }
        assert!(ids.is_empty(), "a frame is shown as a whole");
        None
    }

    /// Answers a request; shown with the rest.
    pub fn answer(&mut self, id: u16, status: i16) {
        let slot = SLOTS + self.responses_written as usize % 256 * 12;
        let word = u32::from(id) | u32::from(status.cast_unsigned()) << 16;
        self.transmit.word32(slot).store(word, Ordering::Relaxed);
        self.responses_written = self.responses_written.wrapping_add(1);
    }

    /// How many buffers wait to be filled.
    pub fn buffer_count(&self) -> usize {
        self.receive.read_u32(0).wrapping_sub(self.buffers_taken) as usize
    }

    /// Fills buffers with a frame; extras come after its first piece.
    pub fn deliver(&mut self, pieces: &[Piece], flags: u16, extras: &[[u8; 2]]) {
        for (index, piece) in pieces.iter().enumerate() {
            let request = SLOTS + self.buffers_taken as usize % 256 * 8;
            let id = self.receive.read_u32(request);
            let page = self.memory.resolve(self.receive.read_u32(request + 4), true);
            page.write(piece.offset.into(), &piece.bytes);
            let more = if index + 1 < pieces.len() { 4 } else { 0 };
            let extra = if index == 0 && !extras.is_empty() { 8 } else { 0 };
            let size = u16::try_from(piece.bytes.len()).unwrap().cast_signed();
            let id = u16::try_from(id).unwrap();
            self.fill(id, piece.offset, flags | more | extra, size);
            if index == 0 {
                for (number, [kind, flags]) in extras.iter().enumerate() {
                    let more = u8::from(number + 1 < extras.len());
                    self.fill(u16::from_le_bytes([*kind, *flags | more]), 0x55aa, 0, 0);
                }
            }
        }
    }

    /// Writes the next answer of the receive ring; shown with the rest.
    pub fn fill(&mut self, id: u16, offset: u16, flags: u16, status: i16) {
        let words = [id, offset, flags, status.cast_unsigned()].map(u64::from);
        let word = words[0] | words[1] << 16 | words[2] << 32 | words[3] << 48;
        let slot = SLOTS + self.deliveries_written as usize % 256 * 8;
        self.receive.word64(slot).store(word, Ordering::Relaxed);
        self.buffers_taken = self.buffers_taken.wrapping_add(1);
        self.deliveries_written = self.deliveries_written.wrapping_add(1);
    }

    /// Shows what was answered and delivered, and says on which rings the frontend is to be told.
    pub fn show(&mut self) -> [bool; 2] {
        let rings =
            [(self.transmit, self.responses_written), (self.receive, self.deliveries_written)];
        rings.map(|(page, new)| {
            let old = page.read_u32(8);
            page.word32(8).store(new, Ordering::Release);
            let event = page.read_u32(12);
            new.wrapping_sub(event) < new.wrapping_sub(old)
        })
    }

    /// Asks to be told of the next requests.
    pub fn ask_for_events(&self) {
        for (page, taken) in
            [(self.transmit, self.requests_taken), (self.receive, self.buffers_taken)]
        {
            page.word32(4).store(taken.wrapping_add(1), Ordering::Release);
        }
    }
}

/// Bytes for each frame, as the link has them.
pub const AREA_SIZE: usize = 9024;

/// A frame of bytes that tell it from others.
pub fn frame(size: usize, seed: u64) -> Vec<u8> {
    (0..size as u64).map(|at| (at.wrapping_mul(31) ^ seed).to_le_bytes()[0]).collect()
}

/// The frames that are there, `count` at most.
pub fn receive(rings: &mut Rings<'_>, count: usize) -> Result<Vec<Vec<u8>>, BackendLie> {
    let mut area = std::vec![0; count * AREA_SIZE];
    let mut sizes = std::vec![0; count];
    let (count, _) = rings.receive(&mut area, AREA_SIZE, &mut sizes)?;
    let frames = area.chunks(AREA_SIZE).zip(&sizes).take(count);
    Ok(frames.map(|(frame, size)| frame[..*size].to_vec()).collect())
}

/// Sends frames: how many were taken, and whether the backend is to be notified.
pub fn send(rings: &mut Rings<'_>, frames: &[Vec<u8>]) -> Result<(usize, bool), BackendLie> {
    rings.send(frames.iter().map(Vec::as_slice))
}
