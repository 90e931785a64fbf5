//! A drain between a guest that writes and the ring: what it copies when, and that nothing is lost.

use proptest::prelude::*;

use super::super::test_guest::{Bench, Guest, PAGE_COUNT, Ticking};
use super::*;

const INTERVAL_US: u64 = 10_000;
/// Microseconds between two steps.
const STEP_US: u64 = 100;

/// Epochs of one guest.
struct Run {
    bench: Bench,
    guest: Guest,
    drain: Drain,
    due_us: u64,
}

/// What one epoch was made of.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    report: PreDrainReport,
    /// How the log was read in the pause, and pages that were copied there.
    reading: Reading,
    paused_page_count: u64,
    /// When a pass was first seen under way, before the checkpoint was due.
    pass_lead_us: Option<u64>,
}

impl Run {
    fn new(may_keep_log: bool, early_entry_count_max: u64) -> Self {
        let options = DrainOptions { pause_target_us: 1_000_000, may_keep_log };
        Self {
            bench: Bench::new(2048),
            guest: Guest::new(),
            drain: Drain::new(options, early_entry_count_max),
            due_us: 0,
        }
    }

    /// One epoch, whose writes are spread over its steps.
    fn epoch(&mut self, writes: &[Vec<u16>]) -> Seen {
        let Self { bench, guest, drain, due_us } = self;
        let Bench { producer, consumer, session, image } = bench;
        let mut output = EpochOutput::new(producer, *session, 500);
        let mut program = Ticking(0);
        let mut writes = writes.iter();
        let (mut now_us, mut pass_lead_us) = (*due_us, None);
        *due_us += INTERVAL_US;
        loop {
            let due = Due { now_us, at_us: *due_us, is_acknowledged: true };
            let step = drain.step(guest, &mut output, due, &mut program).unwrap();
            if step == Step::Ready {
                break;
            }
            if drain.pass_count() > 0 {
                pass_lead_us = pass_lead_us.or(Some(due_us.saturating_sub(now_us)));
            }
            for gfn in writes.next().into_iter().flatten() {
                guest.write(usize::from(*gfn) % PAGE_COUNT, now_us);
            }
            Bench::consume(consumer, image, 40);
            now_us += STEP_US;
            assert!(now_us < *due_us + 100 * INTERVAL_US, "stuck");
        }
        drain.read_log(guest, None).unwrap();
        let copied = drain.copy(guest, &mut output, &mut program).unwrap();
        drain.note_pause(200_000 + copied.elapsed_ns, copied);
        output.publish();
        Bench::consume(consumer, image, u64::MAX / 2);
        let reading = *guest.readings.last().unwrap();
        let (report, paused_page_count) = (drain.take_report(), copied.page_count);
        Seen { report, reading, paused_page_count, pass_lead_us }
    }
}

/// 40 pages that no epoch around this one writes, all in its first step.
fn fresh(epoch: u16) -> Vec<Vec<u16>> {
    vec![(epoch * 40..epoch * 40 + 40).collect()]
}

#[test]
fn a_log_is_cleaned_while_the_guest_runs_and_it_settles_before_the_pause() {
    let mut run = Run::new(true, 4096);
    let seen: Vec<Seen> = (0..60).map(|epoch| run.epoch(&fresh(epoch))).collect();
    assert!(
        seen.iter().all(|epoch| epoch.reading == Reading::Keep),
        "never in the pause: {seen:?}"
    );
    let cleaned = seen.iter().filter(|epoch| epoch.report.pass_count > 0);
    // Three pauses' fixed cost of 200 us, in whole steps.
    let is_settled = |epoch: &Seen| matches!(epoch.pass_lead_us, Some(500..=700));
    assert!(cleaned.clone().skip(1).all(is_settled), "{seen:?}");
    assert!(cleaned.clone().all(|epoch| epoch.paused_page_count == 0), "{seen:?}");
    assert!(cleaned.count() > 40, "a guest that never returns is cleaned nearly always");
}

#[test]
fn pages_that_are_written_again_are_left_to_the_pause() {
    let mut run = Run::new(true, 4096);
    let seen: Vec<Seen> = (0..60).map(|_| run.epoch(&fresh(1))).collect();
    assert!(seen.iter().filter(|epoch| epoch.report.pass_count > 0).count() < 3, "{seen:?}");
}

#[test]
fn the_pause_cleans_when_a_pass_does_not_fit() {
    let mut run = Run::new(true, 20);
    let seen: Vec<Seen> = (0..60).map(|epoch| run.epoch(&fresh(epoch))).collect();
    assert!(seen.iter().all(|epoch| epoch.report.pass_count == 0));
    assert!(seen.iter().filter(|epoch| epoch.reading == Reading::Clean).count() > 40);
}

#[test]
fn without_last_versions_every_pause_cleans() {
    let mut run = Run::new(false, 4096);
    let seen: Vec<Seen> = (0..20).map(|_| run.epoch(&fresh(1))).collect();
    assert!(
        seen.iter().all(|epoch| epoch.reading == Reading::Clean && epoch.paused_page_count == 40)
    );
}

proptest! {
    #[test]
    fn an_epoch_is_the_guests_memory_whatever_is_cleaned_when(
        epochs in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(0u16..80, 0..30), 0..120), 1..20),
        may_keep_log: bool,
        early_entry_count_max in prop_oneof![Just(0u64), Just(60), Just(4096)],
    ) {
        let mut run = Run::new(may_keep_log, early_entry_count_max);
        for writes in &epochs {
            run.epoch(writes);
            prop_assert_eq!(&run.bench.image, &run.guest.image());
        }
    }
}
