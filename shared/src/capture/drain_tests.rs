//! A drain between a guest that writes and the ring: what it copies when, and that nothing is lost.

use proptest::prelude::*;

use super::super::test_guest::{Bench, Guest, PAGE_COUNT, Ticking};
use super::*;
use crate::limits::LOG_KEPT_EPOCH_COUNT_MAX;

const INTERVAL_US: u64 = 10_000;
/// Microseconds between two steps.
const STEP_US: u64 = 100;

/// Epochs of one guest.
struct Run {
    bench: Bench,
    guest: Guest,
    drain: Drain,
    now_us: u64,
    due_us: u64,
    /// Microseconds from a beat to the acknowledgement of what was due at it.
    way_us: u64,
    write_count: u64,
    /// Pages that the guest writes at once when it sees a pass begin.
    burst_page_count: u16,
    /// What a pause costs besides its copies.
    fixed_ns: u64,
}

/// What one epoch was made of.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    report: PreDrainReport,
    /// How the log was read in the pause, and pages that were copied there.
    reading: Reading,
    paused_page_count: u64,
    /// From the begin of the first pass to the pause.
    settled_us: Option<u64>,
    /// How long after its due time the checkpoint was taken, or after the acknowledgement when that is later.
    late_us: u64,
}

impl Run {
    fn new(options: DrainOptions, early_entry_count_max: u64, ring_capacity: u64) -> Self {
        Self {
            bench: Bench::new(ring_capacity),
            guest: Guest::new(),
            drain: Drain::new(options, early_entry_count_max),
            now_us: 0,
            due_us: 0,
            way_us: 1_000,
            write_count: 0,
            burst_page_count: 0,
            fixed_ns: 200_000,
        }
    }

    /// Everything fits into the pause.
    fn roomy(may_keep_log: bool, early_entry_count_max: u64) -> Self {
        let options = DrainOptions { pause_target_us: 1_000_000, may_keep_log };
        Self::new(options, early_entry_count_max, 2048)
    }

    /// No target and no fixed cost: 64 pages fit into the pause.
    fn tight(may_keep_log: bool) -> Self {
        let options = DrainOptions { pause_target_us: 0, may_keep_log };
        Self { fixed_ns: 0, ..Self::new(options, 4096, 2048) }
    }

    /// One epoch, whose writes are spread over its steps; an attempt at its pause may fail before.
    fn epoch(&mut self, writes: &[Vec<u16>], is_repeated: bool) -> Seen {
        let Self { bench, guest, drain, now_us, .. } = self;
        let Bench { producer, consumer, session, image } = bench;
        let mut output = EpochOutput::new(producer, *session, 500);
        let mut program = Ticking(0);
        let mut writes = writes.iter();
        let mut pass_us = None;
        self.due_us = (self.due_us + INTERVAL_US).max(*now_us);
        let at_us = self.due_us;
        let acknowledged_us = at_us - INTERVAL_US.min(at_us) + self.way_us;
        loop {
            let is_acknowledged = *now_us >= acknowledged_us;
            let due = Due { now_us: *now_us, at_us, interval_us: INTERVAL_US, is_acknowledged };
            let step = drain.step(guest, &mut output, due, &mut program).unwrap();
            if step == Step::Ready {
                break;
            }
            let mut written = writes.next().cloned().unwrap_or_default();
            if drain.pass_count() > 0 && pass_us.is_none() {
                pass_us = Some(*now_us);
                written.extend(0..self.burst_page_count);
            }
            for gfn in written {
                self.write_count += 1;
                guest.write(usize::from(gfn) % PAGE_COUNT, self.write_count);
            }
            Bench::consume(consumer, image, 40);
            *now_us += STEP_US;
            assert!(*now_us < at_us + 100 * INTERVAL_US, "stuck");
        }
        let mut copied = Copied { page_count: 0, elapsed_ns: 0 };
        for forced in [None, Some(Reading::Clean)].into_iter().take(1 + usize::from(is_repeated)) {
            drain.read_log(guest, forced).unwrap();
            copied = drain.copy(guest, &mut output, &mut program).unwrap();
            drain.note_pause(self.fixed_ns + copied.elapsed_ns, copied);
        }
        output.publish();
        Bench::consume(consumer, image, u64::MAX / 2);
        Seen {
            reading: *guest.readings.last().unwrap(),
            report: drain.take_report(),
            paused_page_count: copied.page_count,
            settled_us: pass_us.map(|pass_us| *now_us - pass_us),
            late_us: *now_us - at_us.max(acknowledged_us),
        }
    }

    fn epochs(&mut self, count: u32, writes: impl Fn(u16) -> Vec<Vec<u16>>) -> Vec<Seen> {
        (0..).take(count as usize).map(|epoch| self.epoch(&writes(epoch), false)).collect()
    }
}

/// 40 pages that no epoch around this one writes, all in its first step.
fn fresh(epoch: u16) -> Vec<Vec<u16>> {
    vec![(epoch * 40..epoch * 40 + 40).collect()]
}

#[test]
fn a_log_is_cleaned_while_the_guest_runs_and_it_settles_before_the_pause() {
    // The acknowledgement comes before the checkpoint is due, a moment before, or after. Where there is time, the
    // 40 pages have some to be sent.
    for (way_us, fixed_ns, late_us_max, early_us, early_us_max) in [
        (1_000, 200_000, STEP_US, 1_300, INTERVAL_US / 4),
        (1_000, 1_000_000, STEP_US, 3_000, 3_100),
        (INTERVAL_US - 300, 200_000, 500, 600, 700),
        (INTERVAL_US * 3 / 2, 200_000, 800, 600, 700),
    ] {
        let mut run = Run::roomy(true, 4096);
        (run.way_us, run.fixed_ns) = (way_us, fixed_ns);
        let seen = run.epochs(60, fresh);
        assert!(seen.iter().all(|epoch| epoch.reading == Reading::Keep), "{seen:?}");
        let cleaned = seen.iter().filter(|epoch| epoch.report.pass_count > 0);
        let times_us = early_us..=early_us_max;
        let is_settled =
            |epoch: &Seen| epoch.settled_us.is_some_and(|time_us| times_us.contains(&time_us));
        assert!(cleaned.clone().all(is_settled), "{seen:?}");
        assert!(seen.iter().all(|epoch| epoch.late_us <= late_us_max), "{way_us}: {seen:?}");
        assert!(cleaned.clone().all(|epoch| epoch.paused_page_count == 0), "{seen:?}");
        assert!(cleaned.count() > 40, "a guest that never returns is cleaned nearly always");
    }
}

#[test]
fn pages_that_exceed_the_pause_only_when_it_is_due_are_copied_early() {
    for may_keep_log in [true, false] {
        let mut run = Run::tight(may_keep_log);
        let evenly = |_| {
            (0..100u16).map(|step| (step * 76 / 100..(step + 1) * 76 / 100).collect()).collect()
        };
        let seen = run.epochs(30, evenly);
        let is_early = |epoch: &Seen| epoch.settled_us.is_some_and(|time_us| time_us >= 2_000);
        assert!(seen[2..].iter().all(is_early), "{seen:?}");
    }
}

#[test]
fn a_guest_that_returns_all_the_time_is_not_expected_to_write_more() {
    for may_keep_log in [true, false] {
        let mut run = Run::tight(may_keep_log);
        let evenly = |_| (0..100).map(|step| (0..8).map(|page| (step * 8 + page) % 60).collect());
        run.epochs(2, |_| vec![(0..100).collect()]);
        let seen = run.epochs(20, |epoch| evenly(epoch).collect());
        let passed = seen[4..].iter().filter(|epoch| epoch.report.pass_count > 0);
        assert_eq!(passed.count(), 0, "{seen:?}");
    }
}

#[test]
fn pages_that_are_all_written_at_the_end_are_copied_before_the_pause() {
    for may_keep_log in [true, false] {
        let mut run = Run::tight(may_keep_log);
        let burst = |step| if step == 90 { 0..400 } else { 0..0 };
        let seen = run.epochs(30, |_| (0..100).map(|step| burst(step).collect()).collect());
        assert!(seen.iter().all(|epoch| epoch.paused_page_count <= 64), "{seen:?}");
    }
}

#[test]
fn a_guest_that_never_returns_is_known_also_when_looking_takes_long() {
    let mut run = Run::roomy(true, 4096);
    run.fixed_ns = 1_000_000;
    // Four pages at each tenth step, so that a third of an epoch's are written after the look.
    let evenly = |epoch: u16| {
        let steps = (0..100).map(|step| match step % 10 {
            0 => (0..4).map(|page| epoch * 40 + step / 10 * 4 + page).collect(),
            _ => Vec::new(),
        });
        steps.collect()
    };
    let seen = run.epochs(100, evenly);
    assert!(seen.iter().filter(|epoch| epoch.report.pass_count > 0).count() > 70, "{seen:?}");
}

#[test]
fn pages_that_are_written_again_are_left_to_the_pause() {
    let mut run = Run::roomy(true, 4096);
    let seen = run.epochs(3 * LOG_KEPT_EPOCH_COUNT_MAX, |_| fresh(1));
    let left = seen.iter().filter(|epoch| epoch.report.pass_count == 0);
    assert!(left.clone().all(|it| (it.reading, it.paused_page_count) == (Reading::Keep, 40)));
    // Now and then it is seen what the guest writes by now.
    assert!((1..=4).contains(&(seen.len() - left.count())), "{seen:?}");
}

#[test]
fn the_pause_cleans_when_a_pass_does_not_fit() {
    let mut run = Run::roomy(true, 20);
    let seen = run.epochs(60, fresh);
    assert!(seen.iter().all(|epoch| epoch.report.pass_count == 0));
    assert!(seen.iter().filter(|epoch| epoch.reading == Reading::Clean).count() > 40);
}

#[test]
fn without_last_versions_every_pause_cleans() {
    let mut run = Run::roomy(false, 4096);
    for epoch in run.epochs(20, |_| fresh(1)) {
        assert_eq!((epoch.reading, epoch.paused_page_count), (Reading::Clean, 40));
        assert_eq!(epoch.report.pass_count, 0);
    }
}

#[test]
fn a_cleaned_guest_that_then_writes_much_is_still_copied_early() {
    let options = DrainOptions { pause_target_us: 50, may_keep_log: true };
    let mut run = Run::new(options, 4096, 2048);
    run.burst_page_count = 400;
    let seen = run.epochs(2, fresh);
    assert_eq!((seen[1].report.pass_count, seen[1].paused_page_count), (2, 0), "{seen:?}");
}

proptest! {
    /// Whatever the target, the ring, the link and the guest are like, and however often a pause is
    /// repeated.
    #[test]
    fn an_epoch_is_the_guests_memory_whatever_is_cleaned_when(
        epochs in proptest::collection::vec((
            proptest::collection::vec(proptest::collection::vec(any::<u16>(), 0..8), 0..120),
            any::<bool>(), 0u64..30_000,
        ), 1..70),
        may_keep_log: bool,
        pause_target_us in prop_oneof![Just(50u32), Just(200), Just(100_000)],
        early_entry_count_max in prop_oneof![Just(0u64), Just(60), Just(4096)],
        ring_capacity in prop_oneof![Just(1024u64), Just(2048)],
        pool in 1u16..512,
    ) {
        let options = DrainOptions { pause_target_us, may_keep_log };
        let mut run = Run::new(options, early_entry_count_max, ring_capacity);
        for (writes, is_repeated, way_us) in &epochs {
            let narrow = |gfns: &Vec<u16>| gfns.iter().map(|gfn| gfn % pool).collect();
            let writes: Vec<Vec<u16>> = writes.iter().map(narrow).collect();
            run.way_us = *way_us;
            run.epoch(&writes, *is_repeated);
            prop_assert_eq!(&run.bench.image, &run.guest.image());
        }
    }
}
