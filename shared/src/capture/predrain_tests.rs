//! Pre-drain against a guest that writes between any two steps: whatever happens, the entries of the
//! epoch are the guest's memory.

use proptest::prelude::*;

use super::super::logged_guest::push_all;
use super::super::test_guest::{Bench, Guest, PAGE_COUNT, Ticking};
use super::*;

/// Every pause cleans the log: passes are made for the pause alone.
fn without_policy(target_us: u32) -> Costs {
    Costs::new(Pacing::new(target_us), None)
}

/// Runs steps until the checkpoint is ready, with `writes` spread between them, then takes it.
fn epoch(
    bench: &mut Bench,
    guest: &mut Guest,
    drain: &mut PreDrain,
    costs: &mut Costs,
    writes: &[Vec<u16>],
) -> u32 {
    let Bench { producer, consumer, session, image } = bench;
    let mut output = EpochOutput::new(producer, *session, 500);
    let mut program = Ticking(0);
    let mut writes = writes.iter();
    let mut value = 1;
    for now_us in (0..).step_by(100) {
        assert!(now_us < 1_000_000, "stuck");
        let due = Due { now_us, at_us: 2_000, interval_us: 2_000, is_acknowledged: now_us > 2_500 };
        match drain.step(guest, costs, &mut output, due, &mut program).unwrap() {
            Step::Ready => break,
            Step::Wait { until_us } => assert!(until_us >= now_us || until_us == 2_000),
            Step::Working => {}
        }
        for gfn in writes.next().into_iter().flatten() {
            value += 1;
            guest.write(usize::from(*gfn) % PAGE_COUNT, value);
        }
        Bench::consume(consumer, image, 40);
    }
    let room = output.free_entry_count().unwrap();
    assert!(room >= drain.found_count().min(output.capacity()), "the pause finds room");
    guest.read_log(Reading::Keep).unwrap();
    push_all(guest, &mut output, &mut program).unwrap();
    output.publish();
    Bench::consume(consumer, image, u64::MAX / 2);
    drain.take_report().pass_count
}

proptest! {
    #[test]
    fn an_epoch_is_the_guests_memory_however_it_writes(
        epochs in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u16>(), 0..300), 0..40), 1..6),
        page_ns in 100u64..20_000,
    ) {
        let mut bench = Bench::new(2048);
        let mut guest = Guest::new();
        let mut drain = PreDrain::new(4096);
        let mut costs = without_policy(200);
        costs.pacing.note_copied(1000, 1000 * page_ns);
        for writes in &epochs {
            epoch(&mut bench, &mut guest, &mut drain, &mut costs, writes);
            prop_assert_eq!(&bench.image, &guest.image());
        }
    }
}

#[test]
fn pages_that_fit_into_the_pause_are_left_to_it() {
    let mut bench = Bench::new(2048);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(4096));
    let mut costs = without_policy(100_000);
    let writes = vec![(0..60).collect::<Vec<u16>>(); 10];
    assert_eq!(epoch(&mut bench, &mut guest, &mut drain, &mut costs, &writes), 0);
    assert_eq!(guest.readings, [Reading::Keep]);
    assert_eq!(bench.image, guest.image());
}

#[test]
fn pages_that_do_not_fit_are_copied_before_and_the_tail_is_short() {
    let mut bench = Bench::new(2048);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(4096));
    let mut costs = without_policy(50);
    let mut writes = vec![(0..400).collect::<Vec<u16>>()];
    writes.extend(vec![vec![1, 2, 3]; 60]);
    assert!(epoch(&mut bench, &mut guest, &mut drain, &mut costs, &writes) >= 1);
    assert!(drain.found_count() <= costs.pacing.tail_page_count_max());
    assert_eq!(bench.image, guest.image());
}

#[test]
fn a_pass_over_few_pages_does_not_lose_a_race() {
    let mut bench = Bench::new(2048);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(4096));
    let mut costs = without_policy(0);
    let mut program = Ticking(0);
    let mut output = EpochOutput::new(&mut bench.producer, bench.session, 500);
    // 64 pages fit. 40 in 600 us would be 73 when the checkpoint is due.
    (drain.expected_count, drain.cleaned_us) = (400, 900);
    (0..40).for_each(|gfn| guest.write(gfn, 7));
    for (now_us, passes) in [(1_500, 1), (1_600, 1), (2_000, 2)] {
        let due = Due { now_us, at_us: 2_000, interval_us: 2_000, is_acknowledged: true };
        let step = drain.step(&mut guest, &mut costs, &mut output, due, &mut program);
        assert_eq!((step, drain.report().pass_count), (Ok(Step::Working), passes));
        if now_us == 1_600 {
            (0..400).for_each(|gfn| guest.write(gfn, 8));
        }
    }
}

#[test]
fn a_checkpoint_amid_a_pass_has_every_page() {
    let mut bench = Bench::new(2048);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(4096));
    let mut costs = without_policy(50);
    let mut program = Ticking(0);
    (0..400).for_each(|gfn| guest.write(gfn, 7));
    let Bench { producer, consumer, session, image } = &mut bench;
    let mut output = EpochOutput::new(producer, *session, 500);
    let due = Due { now_us: 10_000, at_us: 2_000, interval_us: 2_000, is_acknowledged: true };
    let mut step = || drain.step(&mut guest, &mut costs, &mut output, due, &mut program);
    assert_eq!((step(), step()), (Ok(Step::Working), Ok(Step::Working)));
    drain.finish_pass(&mut guest, &mut output, &mut program).unwrap();
    guest.read_log(Reading::Keep).unwrap();
    push_all(&mut guest, &mut output, &mut program).unwrap();
    output.publish();
    Bench::consume(consumer, image, u64::MAX / 2);
    assert_eq!(drain.report(), PreDrainReport { pass_count: 1, page_count: 400 });
    assert_eq!(bench.image, guest.image());
}

#[test]
fn a_pass_that_waited_for_room_is_made() {
    let mut bench = Bench::new(1024);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(4096));
    let mut costs = without_policy(50);
    let mut program = Ticking(0);
    let Bench { producer, consumer, session, image } = &mut bench;
    let mut output = EpochOutput::new(producer, *session, 500);
    let due = Due { now_us: 10_000, at_us: 2_000, interval_us: 2_000, is_acknowledged: true };
    (0..400).for_each(|gfn| guest.write(gfn, 7));
    for expected in [Step::Working, Step::Working, Step::Working] {
        let step = drain.step(&mut guest, &mut costs, &mut output, due, &mut program);
        assert_eq!(step, Ok(expected));
    }
    (0..200).for_each(|gfn| guest.write(gfn, 8));
    for _ in 0..3 {
        let step = drain.step(&mut guest, &mut costs, &mut output, due, &mut program);
        assert_eq!(step, Ok(Step::Wait { until_us: 10_000 }), "400 of 1024 entries are taken");
    }
    Bench::consume(consumer, image, 400);
    let step = drain.step(&mut guest, &mut costs, &mut output, due, &mut program);
    assert_eq!((step, drain.report().pass_count), (Ok(Step::Working), 2));
}

#[test]
fn pages_that_were_written_more_slowly_than_copied_are_not_left_to_the_pause() {
    let mut bench = Bench::new(2048);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(4096));
    let mut costs = without_policy(50);
    let mut program = Ticking(0);
    let Bench { producer, session, .. } = &mut bench;
    let mut output = EpochOutput::new(producer, *session, 500);
    let mut step = |now_us, guest: &mut Guest| {
        let due = Due { now_us, at_us: 20_000, interval_us: 20_000, is_acknowledged: true };
        drain.step(guest, &mut costs, &mut output, due, &mut program).unwrap()
    };
    (0..400).for_each(|gfn| guest.write(gfn, 7));
    assert_eq!([20_000; 3].map(|now_us| step(now_us, &mut guest)), [Step::Working; 3]);
    // As many as before, but over a longer time than their copies take.
    (0..400).for_each(|gfn| guest.write(gfn, 8));
    assert_eq!(step(21_000, &mut guest), Step::Working);
    assert_eq!(drain.report().pass_count, 2);
}

#[test]
fn a_guest_that_outruns_the_copies_is_paused_all_the_same() {
    let mut bench = Bench::new(2048);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(1 << 20));
    let mut costs = without_policy(50);
    let writes = vec![(0..500).collect::<Vec<u16>>(); 2000];
    let passes = epoch(&mut bench, &mut guest, &mut drain, &mut costs, &writes);
    assert!((1..=PASS_COUNT_MAX).contains(&passes));
    assert_eq!(bench.image, guest.image());
}

#[test]
fn early_copies_leave_room_for_the_pause_on_the_backup() {
    let mut bench = Bench::new(2048);
    let (mut guest, mut drain) = (Guest::new(), PreDrain::new(450));
    let mut costs = without_policy(50);
    let mut writes = vec![(0..400).collect::<Vec<u16>>()];
    writes.extend(vec![(0..200).collect::<Vec<u16>>(); 60]);
    epoch(&mut bench, &mut guest, &mut drain, &mut costs, &writes);
    assert_eq!(guest.readings, [Reading::Clean, Reading::Keep]);
    assert_eq!(bench.image, guest.image());
}
