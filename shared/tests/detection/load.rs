//! What a load does to heartbeats: hosts stall, frames queue and are lost, at times that follow from a seed.

use std::collections::VecDeque;

use super::support::Random;

/// A load. Stalls and losses come at random times and stalls are Pareto distributed; queues are exponential.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub name: &'static str,
    /// Mean time between two stalls of a host.
    pub stall_interval_us: f64,
    stall_us_min: f64,
    /// Of the Pareto distribution: the smaller, the more of the stalls are long.
    stall_exponent: f64,
    pub stall_us_max: f64,
    pub delay_us: f64,
    queue_us: f64,
    /// Chance that a frame is lost by itself.
    loss: f64,
    /// Mean time between two bursts in which all frames of a link are lost, and the mean length of one.
    pub burst_interval_us: f64,
    burst_us: f64,
}

pub const LIGHT: Load = Load {
    name: "light",
    stall_interval_us: 5e6,
    stall_us_min: 1e3,
    stall_exponent: 2.0,
    stall_us_max: 60e3,
    delay_us: 30.0,
    queue_us: 50.0,
    loss: 1e-5,
    burst_interval_us: 3600e6,
    burst_us: 5e3,
};
pub const MEDIUM: Load = Load {
    name: "medium",
    stall_interval_us: 1e6,
    stall_us_min: 2e3,
    stall_exponent: 1.8,
    stall_us_max: 300e3,
    delay_us: 50.0,
    queue_us: 500.0,
    loss: 1e-4,
    burst_interval_us: 600e6,
    burst_us: 20e3,
};
pub const HEAVY: Load = Load {
    name: "heavy",
    stall_interval_us: 0.3e6,
    stall_us_min: 4e3,
    stall_exponent: 1.6,
    stall_us_max: 700e3,
    delay_us: 100.0,
    queue_us: 3000.0,
    loss: 1e-3,
    burst_interval_us: 60e6,
    burst_us: 40e3,
};

/// Quiet, but for a long stall of each host now and then.
pub const RARE: Load = Load {
    name: "rare",
    stall_interval_us: 300e6,
    stall_us_min: 200e3,
    stall_exponent: 1.0,
    stall_us_max: 440e3,
    ..LIGHT
};
/// Seldom enough to be forgotten at first.
pub const RARER: Load = Load { name: "rarer", stall_interval_us: 3600e6, ..RARE };

/// A number in 0..1, neither of them.
#[allow(clippy::cast_precision_loss)]
fn fraction(random: &mut Random) -> f64 {
    ((random.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn exponential(random: &mut Random, mean: f64) -> u64 {
    (-mean * fraction(random).ln()) as u64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn pareto(random: &mut Random, load: &Load) -> u64 {
    let stall_us = load.stall_us_min * fraction(random).powf(-1.0 / load.stall_exponent);
    stall_us.min(load.stall_us_max) as u64
}

/// When a host does not run, or a link loses everything.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    from_us: u64,
    until_us: u64,
}

impl Gap {
    /// Until when it lasts, if it does at this time; time must not go back.
    fn at(&mut self, now_us: u64, mut next: impl FnMut() -> (u64, u64)) -> Option<u64> {
        while now_us >= self.until_us {
            let (pause_us, duration_us) = next();
            self.from_us = self.until_us + pause_us;
            self.until_us = self.from_us + duration_us + 1;
        }
        (now_us >= self.from_us).then_some(self.until_us)
    }
}

#[derive(Clone, Debug)]
pub struct Host {
    pub random: Random,
    stall: Gap,
}

impl Host {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), stall: Gap::default() }
    }

    /// When it runs, at this time or after.
    pub fn runs_us(&mut self, load: &Load, mut now_us: u64) -> u64 {
        let random = &mut self.random;
        let mut next = || (exponential(random, load.stall_interval_us), pareto(random, load));
        while let Some(until_us) = self.stall.at(now_us, &mut next) {
            now_us = until_us;
        }
        now_us
    }
}

#[derive(Clone, Debug)]
pub struct Link {
    random: Random,
    burst: Gap,
    /// When a frame comes, and its number.
    pub under_way: VecDeque<(u64, u64)>,
    last_us: u64,
    /// What this link adds to each frame's way; none comes while it is cut.
    pub slowness_us: Option<u64>,
}

impl Link {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            burst: Gap::default(),
            under_way: VecDeque::new(),
            last_us: 0,
            slowness_us: Some(0),
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn send(&mut self, load: &Load, now_us: u64, number: u64) {
        let random = &mut self.random;
        let mut next =
            || (exponential(random, load.burst_interval_us), exponential(random, load.burst_us));
        let is_lost = self.burst.at(now_us, &mut next).is_some() || fraction(random) < load.loss;
        let queue_us = exponential(random, load.queue_us);
        let Some(slowness_us) = self.slowness_us.filter(|_| !is_lost) else { return };
        let due_us = now_us + load.delay_us as u64 + queue_us + slowness_us;
        // A queue keeps the order.
        self.last_us = self.last_us.max(due_us);
        self.under_way.push_back((self.last_us, number));
    }
}
