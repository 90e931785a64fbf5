//! Both ends of a ring against an enemy at the other one: errors at most, and no index beside the ring.

#![no_main]

use fuzz::hostile::HostileHalf;
use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::limits::PAGE_SIZE;
use pollux::ring::{Consumer, Encoding, Entry, EntryKind, Producer, Ring};

fuzz::target!(seeds, try_bytes);

struct Halves {
    producer: Producer,
    consumer: Consumer,
    hostile: HostileHalf,
}

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut producer, mut consumer) =
        Ring::create(16).expect("address space").into_both().expect("address space");
    if input.u8() & 1 == 0 {
        producer.reset(8);
        consumer.begin().expect("a possible capacity");
    } else {
        consumer.reset(8);
        producer.begin().expect("a possible capacity");
    }
    let hostile = HostileHalf::of(&mut producer);
    let mut halves = Halves { producer, consumer, hostile };
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        if !halves.step(&mut input) {
            break;
        }
    }
}

impl Halves {
    /// False when a session could not begin, so that nobody touches the ring any more.
    fn step(&mut self, input: &mut Input<'_>) -> bool {
        match input.below(9) {
            0 => self.hostile.write_chosen(input.u16(), input.near(8)),
            1 => self.hostile.write(usize::from(input.u16()), input.u64()),
            2 => self.hostile.scribble(u64::from(input.u8() % 16), input.u16(), input.u8()),
            3 => self.look(),
            4 => self.release(input.u8()),
            5 => self.produce(input),
            6 => self.read_control(),
            7 => self.raise_capacity(input.u8()),
            _ => {
                let has_begun = self.producer.begin().is_ok() && self.consumer.begin().is_ok();
                assert!(!has_begun || self.producer.capacity().max(self.consumer.capacity()) <= 16);
                return has_begun;
            }
        }
        true
    }

    fn look(&mut self) {
        let Ok(available) = self.consumer.available() else { return };
        assert!(available.end - available.start <= self.consumer.capacity());
        for index in available.clone() {
            let mut bytes = [0; PAGE_SIZE];
            if let Ok(entry) = self.consumer.entry(index) {
                assert!(entry.is_consistent());
                let stored = &mut bytes[..usize::from(entry.stored_size)];
                self.consumer.copy_out(index, 0, stored);
            }
            let _ = self.consumer.page(index)[0];
        }
        self.consumer.prefetch_heads(available.start..u64::MAX);
    }

    fn release(&mut self, count: u8) {
        if let Ok(available) = self.consumer.available() {
            self.consumer.release(available.end.min(available.start + u64::from(count)));
        }
    }

    fn produce(&mut self, input: &mut Input<'_>) {
        let Ok(window) = self.producer.window() else { return };
        assert!(window.end - window.start <= self.producer.capacity());
        let count = u64::from(input.below(20));
        let end = window.end.min(window.start + count);
        for index in window.start..end {
            self.producer.slot_mut_at(index).fill(input.u8());
            let page = Entry::raw(EntryKind::Page, 1, index, 4096);
            self.producer.describe(index, &page.encoded(Encoding::Delta, 17));
        }
        self.producer.publish_up_to(end);
        self.producer.fault_in_more();
    }

    /// No word of a control block, whatever it holds, is more than a wrong value.
    fn read_control(&mut self) {
        for control in [self.producer.control(), self.consumer.control()] {
            let _ = (control.link_session(), control.domain_session(), control.goodbye());
            let _ = (control.stop(), control.phase(), control.peer_phase(), control.counters());
            let _ = (control.rehearsal_figures(), control.peer_figures());
            assert!(control.refusal().len() <= 200 && control.peer_refusal().len() <= 200);
        }
    }

    fn raise_capacity(&mut self, capacity: u8) {
        let current = self.consumer.capacity();
        let wanted = u64::from(capacity % 16) + 1;
        let is_untouched = self.consumer.available().is_ok_and(|available| available.start == 0);
        if is_untouched && wanted >= current && current <= self.consumer.entry_count_max() {
            self.consumer.raise_capacity(wanted);
        }
    }
}

fn seeds() -> Seeds {
    let work =
        [0, 5, 6, 1, 2, 3, 4, 5, 6, 3, 4, 4, 5, 9, 1, 2, 3, 7, 12, 3, 4, 9, 6, 8, 5, 3, 1, 1, 1, 3];
    let mut attack = work[..12].to_vec();
    attack.extend([
        0, 0, 0, 130, 3, 0, 4, 0, 1, 3, 5, 4, 0, 3, 1, 2, 9, 3, 1, 0, 4, 9, 9, 9, 9, 9, 9, 9, 9,
    ]);
    attack.extend([6, 2, 1, 7, 7, 3]);
    Seeds::from([("work", work.to_vec()), ("attack", attack)])
}
