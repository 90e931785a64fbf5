//! What the tests of early copies share: a guest that is written to, its log, and a ring whose other end
//! keeps the guest's image.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;

use super::error::CaptureError;
use super::logged_guest::{LoggedGuest, Reading};
use super::surroundings::Surroundings;
use crate::limits::PAGE_SIZE;
use crate::ring::{Consumer, EntryKind, Producer, Ring};
use crate::xen::GuestPage;

pub const PAGE_COUNT: usize = 512;

/// A guest that is written to by its test, and its log.
pub struct Guest {
    pub pages: Vec<[AtomicU64; PAGE_SIZE / 8]>,
    log: [u64; PAGE_COUNT / 64],
    bitmap: [u64; PAGE_COUNT / 64],
    pub readings: Vec<Reading>,
}

impl Guest {
    pub fn new() -> Self {
        let page = || [const { AtomicU64::new(0) }; PAGE_SIZE / 8];
        Self {
            pages: std::iter::repeat_with(page).take(PAGE_COUNT).collect(),
            log: Default::default(),
            bitmap: Default::default(),
            readings: Vec::new(),
        }
    }

    pub fn write(&mut self, gfn: usize, value: u64) {
        self.log[gfn / 64] |= 1 << (gfn % 64);
        self.pages[gfn][gfn % 512].store(value, Ordering::Relaxed);
    }

    pub fn image(&self) -> BTreeMap<u64, u64> {
        let value = |gfn: usize| self.pages[gfn][gfn % 512].load(Ordering::Relaxed);
        (0..PAGE_COUNT).map(|gfn| (gfn as u64, value(gfn))).collect()
    }
}

impl LoggedGuest for Guest {
    fn bitmap(&self) -> &[u64] {
        &self.bitmap
    }

    fn page(&self, gfn: u64) -> Option<GuestPage<'_>> {
        self.pages.get(usize::try_from(gfn).unwrap()).map(GuestPage::from_words)
    }

    fn renew_page(&mut self, _gfn: u64) -> Result<(), CaptureError> {
        Ok(())
    }

    fn logged_page_count(&mut self) -> Result<u64, CaptureError> {
        Ok(self.log.iter().map(|word| u64::from(word.count_ones())).sum())
    }

    fn read_log(&mut self, reading: Reading) -> Result<(), CaptureError> {
        self.bitmap = self.log;
        if reading == Reading::Clean {
            self.log = Default::default();
        }
        self.readings.push(reading);
        Ok(())
    }
}

/// A program whose clock goes on by itself with every look.
pub struct Ticking(pub u64);

impl Surroundings for Ticking {
    fn now_ns(&mut self) -> u64 {
        self.0 += 1000;
        self.0
    }

    fn rest(&mut self, duration_us: u64) {
        self.0 += duration_us * 1000;
    }

    fn is_stop_requested(&mut self) -> bool {
        false
    }

    fn begin_gate_epoch(&mut self, _epoch: u64) -> bool {
        true
    }
}

pub struct Bench {
    pub producer: Producer,
    pub consumer: Consumer,
    pub session: u64,
    pub image: BTreeMap<u64, u64>,
}

impl Bench {
    pub fn new(capacity: u64) -> Self {
        let (mut producer, mut consumer) = Ring::create(capacity).unwrap().into_both().unwrap();
        consumer.reset(capacity);
        consumer.control().announce_session(1);
        let session = producer.control().join_session().unwrap();
        producer.begin().unwrap();
        let image = (0..PAGE_COUNT as u64).map(|gfn| (gfn, 0)).collect();
        Self { producer, consumer, session, image }
    }

    /// Takes up to `count` entries off the ring and applies them.
    pub fn consume(consumer: &mut Consumer, image: &mut BTreeMap<u64, u64>, count: u64) {
        let available = consumer.available().unwrap();
        let end = available.end.min(available.start + count);
        for index in available.start..end {
            let entry = consumer.entry(index).unwrap();
            if entry.kind == EntryKind::Page {
                let place = usize::try_from(entry.address % 512).unwrap() * 8;
                let bytes = consumer.page(index)[place..place + 8].try_into().unwrap();
                image.insert(entry.address, u64::from_ne_bytes(bytes));
            }
        }
        consumer.release(end);
    }
}
