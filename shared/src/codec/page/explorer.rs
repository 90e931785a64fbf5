//! The explorer: finds the level of encoding that brings pages to the backup fastest, by trying.
//!
//! What is compared is the time from an epoch's pages being there to the acknowledgement of the last
//! one: encoding, sealing, the link and the backup are all in it, and so is what a level does to an
//! epoch's last pages, which the guest's output waits for. Time in which ship waits for capture says
//! nothing and does not count.
//!
//! The entries of the ring are cut into **trials**, each encoded at one level. A trial lasts until its
//! last entry is acknowledged; what is encoded meanwhile uses the settled level. Most trials measure
//! that one. Now and then a short **probe** uses a neighbour, between two trials of the settled level
//! that it is held against, and ends early when it is much slower. Each probe that fails doubles the
//! time to the next of its kind, or more than that, so that probing costs a few per cent at first and
//! less than one later.
//!
//! [`Level::Delta`] is home: it costs little, and spares bytes also where nothing is gained by that.
//! It is left for a clear gain only that several probes in a row have shown, since a busy host can
//! make any of them look good, and taken again when it is no worse.

use core::ops::RangeInclusive;

/// How much is done to make pages small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only pages of zeros are left out.
    Raw,
    /// Also what has not changed since it was sent last.
    Delta,
    /// Also LZ4, of what is still to be sent then.
    Lz4,
}

/// Where the ring's entries stand: each number is an index, and what lies before it is done.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Encoded.
    pub encoded: u64,
    /// Acknowledged by the backup.
    pub come: u64,
    /// Published by capture.
    pub available: u64,
    /// ship waits for capture, which is in the middle of an epoch.
    pub is_starved: bool,
}

/// Where it starts, and stays without a reason to leave.
const HOME: Level = Level::Delta;
/// Home is left for so many per cent more.
const GAIN_TO_LEAVE_PERCENT: u64 = 105;
/// Home is taken again from so many per cent on.
const GAIN_TO_RETURN_PERCENT: u64 = 98;
/// Home is left when so many probes in a row showed the gain.
const WINS_TO_LEAVE: u32 = 3;
/// Trials last for this part of a second at least, unless that takes too many entries.
const TRIALS_PER_SECOND: u64 = 50;
/// Entries of a trial at most, in trials of the least size.
const TRIAL_GROWTH_MAX: u64 = 8;
/// Trials of the settled level between two probes of the same neighbour.
const INTERVAL_MIN: u32 = 8;
const INTERVAL_MAX: u32 = 512;
/// How many times longer the interval becomes when a probe was no better, or not half as good.
const PUT_OFF: u32 = 2;
const PUT_OFF_HOPELESS: u32 = 4;
/// The first probes come early: the full copy is under way.
const INTERVAL_FIRST: u32 = 2;
/// The link or the load is another one when the throughput changes by this, in per cent.
const CHANGE_PERCENT: u64 = 150;
/// Changes within so many trials are the load's nature.
const CALM_TRIAL_COUNT: u32 = 128;
/// A probe ends when it took so much longer than the settled level would have, in per cent.
const PATIENCE_PERCENT: u64 = 150;
/// A probe of deltas fills the cache first, but with no more than this many trials.
const WARM_TRIAL_COUNT_MAX: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Measures the settled level.
    Baseline,
    /// Fills the cache before a probe of deltas.
    Warm,
    /// Measures a neighbour.
    Probe,
    /// Lets the probe's traces go by.
    Settle,
}

/// What has been counted: entries that came, and the time that they took.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    entry_count: u64,
    us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    role: Role,
    level: Level,
    start: u64,
    end: u64,
    /// The tally when its first entry was next to come.
    begun: Option<Tally>,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    interval: u32,
    due: u32,
    /// Probes in a row that were better.
    wins: u32,
}

impl Schedule {
    const fn after(trials: u32) -> Self {
        Self { interval: INTERVAL_MIN, due: trials, wins: 0 }
    }
}

/// Finds the level that pays.
#[derive(Debug)]
pub struct Explorer {
    lowest: Level,
    highest: Level,
    trial_entry_count: u64,
    warm_entry_count: u64,
    settled: Level,
    trial: Trial,
    tally: Tally,
    last: Option<(u64, Progress)>,
    /// Entries per second of the settled level: lately, and in the newest trial.
    usual: u64,
    newest: u64,
    /// A probe's level and throughput, until the next baseline.
    probed: Option<(Level, u64)>,
    /// Towards less and towards more.
    schedules: [Schedule; 2],
    calm_trials: u32,
}

impl Explorer {
    /// An explorer of these levels. A trial takes `trial_entry_count` entries or some times as many;
    /// `shadow_count` pages fill the cache.
    #[must_use]
    pub fn new(levels: RangeInclusive<Level>, trial_entry_count: u64, shadow_count: u64) -> Self {
        let (lowest, highest) = levels.into_inner();
        assert!(lowest <= highest && trial_entry_count >= 2);
        let settled = HOME.clamp(lowest, highest);
        Self {
            lowest,
            highest,
            trial_entry_count,
            warm_entry_count: shadow_count.clamp(1, WARM_TRIAL_COUNT_MAX * trial_entry_count),
            settled,
            trial: Trial { role: Role::Baseline, level: settled, start: 0, end: 0, begun: None },
            tally: Tally::default(),
            last: None,
            usual: 0,
            newest: 0,
            probed: None,
            schedules: [Schedule::after(2 * INTERVAL_FIRST), Schedule::after(INTERVAL_FIRST)],
            calm_trials: 0,
        }
    }

    /// Indexes begin anew, and the path may be another one. The settled level is where to start.
    pub fn start_session(&mut self) {
        (self.last, self.probed) = (None, None);
        (self.usual, self.newest, self.calm_trials) = (0, 0, 0);
        self.schedules = [Schedule::after(2 * INTERVAL_FIRST), Schedule::after(INTERVAL_FIRST)];
        self.begin(Role::Baseline, self.settled, 0);
    }

    /// The level of entry `index`, which is the next one to be encoded.
    #[must_use]
    pub fn level(&self, index: u64) -> Level {
        if index < self.trial.end { self.trial.level } else { self.settled }
    }

    /// Takes in how far entries have come; the more often, the better.
    pub fn note(&mut self, now_us: u64, progress: Progress) {
        if let Some((before_us, before)) = self.last.replace((now_us, progress)) {
            let is_waiting = before.come < before.available && !before.is_starved;
            if is_waiting {
                self.tally.us += now_us.saturating_sub(before_us);
                self.tally.entry_count += progress.come.saturating_sub(before.come);
            }
        }
        if self.lowest == self.highest {
            return;
        }
        if progress.come < self.trial.start {
            return;
        }
        let begun = *self.trial.begun.get_or_insert(self.tally);
        let done = Tally {
            entry_count: self.tally.entry_count - begun.entry_count,
            us: self.tally.us - begun.us,
        };
        if progress.come >= self.trial.end || self.is_hopeless(done) {
            // It said nothing if it was mostly starved.
            let is_telling = done.entry_count >= (self.trial.end - self.trial.start) / 2
                || progress.come < self.trial.end;
            let rate = is_telling.then(|| done.entry_count * 1_000_000 / done.us.max(1));
            self.finish(rate, progress.encoded);
        }
    }

    /// Whether a probe is so much slower than usual that its end need not be waited for.
    fn is_hopeless(&self, done: Tally) -> bool {
        let is_trying = matches!(self.trial.role, Role::Warm | Role::Probe);
        let expected_us = (self.trial.end - self.trial.start) * 1_000_000 / self.newest.max(1);
        is_trying && done.us * 100 > expected_us * PATIENCE_PERCENT
    }

    fn finish(&mut self, rate: Option<u64>, encoded: u64) {
        let level = self.trial.level;
        match (self.trial.role, rate) {
            (Role::Baseline, Some(rate)) => self.finish_baseline(rate, encoded),
            (Role::Warm, _) => self.begin(Role::Probe, level, encoded),
            (Role::Probe, Some(rate)) => {
                self.probed = Some((level, rate));
                self.begin(Role::Settle, self.settled, encoded);
            }
            (Role::Probe, None) => {
                self.put_off(level, PUT_OFF);
                self.begin(Role::Settle, self.settled, encoded);
            }
            (Role::Baseline, None) | (Role::Settle, _) => {
                self.begin(Role::Baseline, self.settled, encoded);
            }
        }
    }

    fn finish_baseline(&mut self, rate: u64, encoded: u64) {
        if let Some((level, probed)) = self.probed.take() {
            self.decide(level, probed, rate);
        } else {
            self.look_for_change(rate);
        }
        self.newest = rate;
        for schedule in &mut self.schedules {
            schedule.due = schedule.due.saturating_sub(1);
        }
        match self.due_level() {
            Some(Level::Delta) if self.settled == Level::Raw => {
                self.begin(Role::Warm, Level::Delta, encoded);
            }
            Some(level) => self.begin(Role::Probe, level, encoded),
            None => self.begin(Role::Baseline, self.settled, encoded),
        }
    }

    /// Holds a probe against the settled level's trials before and after it.
    fn decide(&mut self, level: Level, probed: u64, after: u64) {
        let before = self.newest;
        let is_better = if level == HOME {
            probed * 200 >= (before + after) * GAIN_TO_RETURN_PERCENT
        } else {
            probed * 100 > before.max(after) * GAIN_TO_LEAVE_PERCENT
        };
        if !is_better {
            let is_hopeless = probed * 2 < before.min(after);
            self.put_off(level, if is_hopeless { PUT_OFF_HOPELESS } else { PUT_OFF });
            return;
        }
        let schedule = self.schedule_mut(level);
        (schedule.wins, schedule.due) = (schedule.wins + 1, 0);
        if level == HOME || schedule.wins == WINS_TO_LEAVE {
            self.settled = level;
            self.usual = 0;
            self.schedules = [Schedule::after(INTERVAL_MIN); 2];
        }
    }

    fn put_off(&mut self, level: Level, times: u32) {
        let schedule = self.schedule_mut(level);
        schedule.interval = (schedule.interval * times).min(INTERVAL_MAX);
        (schedule.wins, schedule.due) = (0, schedule.interval);
    }

    fn schedule_mut(&mut self, level: Level) -> &mut Schedule {
        &mut self.schedules[usize::from(level > self.settled)]
    }

    /// When the throughput is another one than usual, what was found out may be wrong by now.
    fn look_for_change(&mut self, rate: u64) {
        self.calm_trials = self.calm_trials.saturating_add(1);
        let (less, more) = (rate.min(self.usual), rate.max(self.usual));
        let has_changed = self.usual != 0 && more * 100 > less * CHANGE_PERCENT;
        if has_changed && self.calm_trials > CALM_TRIAL_COUNT {
            self.schedules = [Schedule::after(2 * INTERVAL_FIRST), Schedule::after(INTERVAL_FIRST)];
            self.calm_trials = 0;
            self.usual = 0;
        }
        self.usual = if self.usual == 0 { rate } else { (3 * self.usual + rate) / 4 };
    }

    /// The neighbour whose turn it is.
    fn due_level(&self) -> Option<Level> {
        let (less, more) = match self.settled {
            Level::Raw => (None, Some(Level::Delta)),
            Level::Delta => (Some(Level::Raw), Some(Level::Lz4)),
            Level::Lz4 => (Some(Level::Delta), None),
        };
        let is_due = |level: &Level, schedule: &Schedule| {
            (self.lowest..=self.highest).contains(level) && schedule.due == 0
        };
        let more = more.filter(|level| is_due(level, &self.schedules[1]));
        more.or_else(|| less.filter(|level| is_due(level, &self.schedules[0])))
    }

    fn begin(&mut self, role: Role, level: Level, start: u64) {
        let least = self.trial_entry_count;
        let whole = (self.newest / TRIALS_PER_SECOND).clamp(least, TRIAL_GROWTH_MAX * least);
        let entry_count = match role {
            Role::Baseline => whole,
            Role::Probe | Role::Settle => whole / 2,
            Role::Warm => self.warm_entry_count,
        };
        self.trial = Trial { role, level, start, end: start + entry_count, begun: None };
    }
}

#[cfg(test)]
#[path = "explorer_tests.rs"]
mod tests;
