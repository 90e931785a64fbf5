//! A simulated network: two ports, and between them whatever can happen to a frame.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::convert::Infallible;
use std::ops::Range;
use std::rc::Rc;

use pollux::link::{FrameBatch, FramePort, Interface};

use super::Random;

/// What happens to frames; chances are per mille.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub loss: u64,
    pub duplication: u64,
    pub corruption: u64,
    /// Frames that are held up by up to `hold_up_us`, so that later ones overtake them.
    pub reordering: u64,
    pub hold_up_us: u64,
    pub delay_us: u64,
    /// Larger Ethernet payloads vanish.
    pub mtu: usize,
}

impl Faults {
    pub const NONE: Self = Self {
        loss: 0,
        duplication: 0,
        corruption: 0,
        reordering: 0,
        hold_up_us: 0,
        delay_us: 30,
        mtu: 9000,
    };
}

/// What was done to frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub carried: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub corrupted: u64,
    pub held_up: u64,
    pub too_large: u64,
}

/// One end of the network; a clone is the same end.
#[derive(Clone, Debug, Default)]
pub struct Port {
    inbox: Rc<RefCell<VecDeque<Vec<u8>>>>,
    outbox: Rc<RefCell<Vec<Vec<u8>>>>,
    /// The interface takes no frames.
    pub is_down: Rc<RefCell<bool>>,
}

impl FramePort for Port {
    type Error = Infallible;

    fn receive(&mut self, batch: &mut FrameBatch) -> Result<(), Infallible> {
        let mut inbox = self.inbox.borrow_mut();
        while let Some(frame) = inbox.pop_front_if(|_| !batch.is_full()) {
            batch.add(|out| {
                out[..frame.len()].copy_from_slice(&frame);
                Some(frame.len())
            });
        }
        Ok(())
    }

    fn send(
        &mut self,
        _: u64,
        batch: &mut FrameBatch,
        which: Range<usize>,
        _: usize,
    ) -> Result<usize, Infallible> {
        if *self.is_down.borrow() {
            return Ok(0);
        }
        let count = which.len();
        self.outbox.borrow_mut().extend(batch.frames_of(which).map(<[u8]>::to_vec));
        Ok(count)
    }

    fn wait(&mut self, _: u64) -> Result<(), Infallible> {
        unreachable!("simulated time passes between turns");
    }
}

impl Interface for Port {
    fn wait_for_any(_: &mut [Self], _: u64) -> Result<(), Infallible> {
        unreachable!("simulated time passes between turns");
    }
}

type Due = Reverse<(u64, u64, usize, Vec<u8>)>;

/// Two ports and the path between them.
#[derive(Debug)]
pub struct Network {
    pub ports: [Port; 2],
    pub faults: Faults,
    /// Whether frames *from* the port vanish.
    pub cut: [bool; 2],
    pub done: Done,
    /// Every frame that was sent, if it is to be kept: the sending port and the bytes.
    pub record: Option<Vec<(usize, Vec<u8>)>>,
    random: Random,
    under_way: BinaryHeap<Due>,
    count: u64,
    pub under_way_max: usize,
}

impl Network {
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            ports: [Port::default(), Port::default()],
            faults,
            cut: [false; 2],
            done: Done::default(),
            record: None,
            random: Random::new(seed),
            under_way: BinaryHeap::new(),
            count: 0,
            under_way_max: 0,
        }
    }

    /// When the next frame arrives that is under way.
    pub fn due_us(&self) -> Option<u64> {
        self.under_way.peek().map(|Reverse((due_us, ..))| *due_us)
    }

    /// How many frames are under way.
    pub fn under_way_count(&self) -> usize {
        self.under_way.len()
    }

    /// Carries what was sent, and delivers what is due.
    pub fn step(&mut self, now_us: u64) {
        for from in 0..2 {
            for frame in self.ports[from].outbox.take() {
                if let Some(record) = &mut self.record {
                    record.push((from, frame.clone()));
                }
                if !self.cut[from] {
                    self.carry(now_us, 1 - from, frame);
                }
            }
        }
        self.under_way_max = self.under_way_max.max(self.under_way.len());
        while self.under_way.peek().is_some_and(|Reverse((due_us, ..))| *due_us <= now_us) {
            let Reverse((_, _, target, frame)) = self.under_way.pop().unwrap();
            self.ports[target].inbox.borrow_mut().push_back(frame);
        }
    }

    fn carry(&mut self, now_us: u64, target: usize, mut frame: Vec<u8>) {
        let faults = self.faults;
        if frame.len() > faults.mtu + 14 {
            self.done.too_large += 1;
            return;
        }
        if self.random.chance(faults.loss) {
            self.done.lost += 1;
            return;
        }
        let original = (faults.duplication > 0).then(|| frame.clone());
        if self.random.chance(faults.corruption) {
            self.corrupt(&mut frame);
        }
        let mut due_us = now_us + faults.delay_us;
        if self.random.chance(faults.reordering) {
            self.done.held_up += 1;
            due_us += self.random.below(faults.hold_up_us.max(1));
        }
        if self.random.chance(faults.duplication)
            && let Some(original) = original
        {
            self.done.duplicated += 1;
            let again_us = due_us + self.random.below(2000);
            self.deliver_at(again_us, target, original);
        }
        self.done.carried += 1;
        self.deliver_at(due_us, target, frame);
    }

    fn corrupt(&mut self, frame: &mut Vec<u8>) {
        self.done.corrupted += 1;
        let place = usize::try_from(self.random.below(frame.len() as u64)).unwrap();
        if self.random.chance(300) {
            frame.truncate(place);
        } else {
            frame[place] ^= 1 << self.random.below(8);
        }
    }

    /// Puts a frame on its way to a port.
    pub fn deliver_at(&mut self, due_us: u64, target: usize, frame: Vec<u8>) {
        self.count += 1;
        self.under_way.push(Reverse((due_us, self.count, target, frame)));
    }
}
