//! A guest that never stops writing, through real capture, ring and staging into a replica.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::capture::drain::DrainOptions;
use crate::capture::due::{Due, Step};
use crate::capture::logged_guest::{LoggedGuest as _, Reading};
use crate::capture::{EpochOutput, Surroundings, scan};
use crate::commit::staging::{Staging, StagingFault, StagingProgress};
use crate::commit::{Mismatch, Replica};
use crate::ring::{Consumer, EntryKind, Producer, Ring};

const GFN_COUNT: u64 = 256;
const EPOCH_COUNT: u64 = 200;

struct Program(Instant);

impl Surroundings for Program {
    fn now_ns(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap()
    }

    fn rest(&mut self, duration_us: u64) {
        thread::sleep(Duration::from_micros(duration_us));
    }

    fn is_stop_requested(&mut self) -> bool {
        false
    }

    fn begin_gate_epoch(&mut self, _epoch: u64) -> bool {
        true
    }
}

/// The backup's half.
struct Backup {
    ring: Consumer,
    staging: Staging,
    replica: Replica,
}

impl Backup {
    /// Works off what is there, and verifies each epoch that it completes.
    fn work(&mut self) -> Result<(), Mismatch> {
        while self.staging.turn(&mut self.ring, &mut self.replica).unwrap() != StagingProgress::Idle
        {
            let applied = self.staging.complete_digest().filter(|_| self.staging.is_applied());
            applied.map_or(Ok(()), |digest| self.replica.verify(&digest))?;
        }
        Ok(())
    }
}

fn halves() -> (Producer, Backup) {
    let (mut producer, mut ring) = Ring::create(4096).unwrap().into_both().unwrap();
    producer.reset(4096);
    producer.control().announce_session(7);
    assert_eq!(producer.control().join_session(), Some(7));
    producer.begin().unwrap();
    ring.begin().unwrap();
    let staging = Staging::new(places(GFN_COUNT), GFN_COUNT, 0).of_rehearsal();
    let replica = Replica::create(GFN_COUNT).unwrap();
    (producer, Backup { ring, staging, replica })
}

/// Runs a guest that writes 200 pages a millisecond while `test` does.
fn beside_a_guest(test: impl FnOnce(RehearsedCapture)) {
    let options = WorkloadOptions {
        gfn_count: GFN_COUNT,
        dirty_page_count: 200,
        hot_percent: 50,
        change_size: 100,
        interval_us: 1000,
    };
    let region = GuestRegion::create(GFN_COUNT).unwrap();
    let guest = RehearsedGuest::new(region.again().unwrap()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut player = Player::new(region, Source::Workload(Workload::new(options)));
            player.fill(core::iter::empty());
            let start = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                player.play(u64::try_from(start.elapsed().as_micros()).unwrap());
            }
        });
        while !guest.region().is_ready() {
            thread::yield_now();
        }
        // A test that fails must end the guest, too.
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _ends = Ends(&is_over);
        let options = DrainOptions { pause_target_us: 50, may_keep_log: true };
        test(RehearsedCapture::new(guest, options));
    });
}

fn copy_all(
    capture: &mut RehearsedCapture,
    output: &mut EpochOutput<'_>,
    backup: &mut Backup,
    program: &mut Program,
) {
    capture.start_full_copy().unwrap();
    while !capture.copy_more(output, 100, program).unwrap().is_complete {
        backup.work().unwrap();
    }
}

#[test]
fn a_replica_is_the_guest_after_every_epoch() {
    beside_a_guest(|mut capture| {
        let (mut producer, mut backup) = halves();
        let mut program = Program(Instant::now());
        let mut output = EpochOutput::new(&mut producer, 7, 500);
        copy_all(&mut capture, &mut output, &mut backup, &mut program);
        let mut pass_count = 0;
        // However seldom the guest has its turn: in the end some of its pages are copied early.
        for epoch in 1.. {
            let (now_us, interval_us) = (epoch * 1000, 1000);
            let mut due = Due { now_us, at_us: now_us, interval_us, is_acknowledged: true };
            while capture.pre_drain(&mut output, due, &mut program).unwrap() != Step::Ready {
                due.now_us += 1;
                backup.work().unwrap();
            }
            let is_last = epoch >= EPOCH_COUNT && pass_count > 0;
            let report = capture.checkpoint(&mut output, is_last, &mut program).unwrap();
            pass_count += report.early.pass_count;
            backup.work().unwrap();
            assert_eq!(backup.replica.verified_epoch(), epoch);
            if is_last {
                break;
            }
            assert!(epoch < 1000 * EPOCH_COUNT, "the guest never had its turn");
            thread::yield_now();
        }
    });
}

#[test]
fn a_log_of_several_pages_is_read_whole() {
    let gfns = [0, 32_767, 32_768, 70_000];
    let region = GuestRegion::create(70_001).unwrap();
    gfns.into_iter().for_each(|gfn| region.end_write(gfn, DIGEST_NONE));
    let mut guest = RehearsedGuest::new(region).unwrap();
    let mut read = |reading| {
        guest.read_log(reading).unwrap();
        scan::set_gfns(guest.bitmap()).collect::<Vec<_>>()
    };
    assert_eq!(read(Reading::Keep), gfns);
    assert_eq!(read(Reading::Clean), gfns);
    assert_eq!(read(Reading::Keep), []);
}

#[test]
fn a_write_that_the_log_does_not_name_is_found() {
    beside_a_guest(|mut capture| {
        let (mut producer, mut backup) = halves();
        let mut program = Program(Instant::now());
        let mut output = EpochOutput::new(&mut producer, 7, 500);
        copy_all(&mut capture, &mut output, &mut backup, &mut program);
        capture.checkpoint(&mut output, false, &mut program).unwrap();
        assert_eq!(backup.work(), Ok(()));
        // The guest writes, and its log is lost.
        let region = capture.guest().region();
        let before = region.digest();
        while region.digest() == before {
            thread::yield_now();
        }
        assert!(region.pause(|| true));
        region.log().iter().for_each(|word| word.store(0, Ordering::SeqCst));
        capture.checkpoint(&mut output, false, &mut program).unwrap();
        assert_eq!(backup.work(), Err(Mismatch { epoch: 2, is_memory: false }));
    });
}

#[test]
fn an_epoch_has_one_digest() {
    let (mut producer, mut backup) = halves();
    let mut program = Program(Instant::now());
    let mut output = EpochOutput::new(&mut producer, 7, 500);
    output.push_digest(1, false, &mut program).unwrap();
    output.push_digest(1, true, &mut program).unwrap();
    output.publish();
    let twice = backup.staging.turn(&mut backup.ring, &mut backup.replica);
    assert_eq!(twice, Err(StagingFault::Digest { epoch: 1 }));
}

#[test]
fn a_domain_has_no_digest() {
    let (mut producer, mut backup) = halves();
    let mut program = Program(Instant::now());
    let mut output = EpochOutput::new(&mut producer, 7, 500);
    output.push_digest(1, false, &mut program).unwrap();
    output.publish();
    let mut of_domain = Staging::new(places(GFN_COUNT), GFN_COUNT, 0);
    let taken = of_domain.turn(&mut backup.ring, &mut backup.replica);
    assert_eq!(taken, Err(StagingFault::Kind(EntryKind::Digest)));
}
