//! A watchdog that a killed `protect` has left armed, for the one that is started next: it is found in the
//! status record, put off while the arbiter is asked, and given back if the guest may live on here.
//!
//! `watchdog` arms one.

use super::error::ProtectError;
use super::watchdog::{Timers, check};
use crate::limits::{WATCHDOG_S_LEFT, WATCHDOG_S_MAX};
use crate::platform::linux::clock;
use crate::platform::linux::status_file::StatusFile;
use crate::xen::XenError;

/// Sees to it that Xen has a watchdog for us, if one is wanted. Returns the one that an earlier helper had
/// armed when it was killed, and which resets this host when the arbiter does not let the guest live on here;
/// 0 for none. It is given time at every start: this host must not be reset when the arbiter has just granted
/// it the guest. [`settle`] follows.
///
/// Without an arbiter nobody keeps the backup from taking over, and the reset is wanted. A record that is
/// older than any watchdog's time is of a host that was reset since.
///
/// # Errors
/// As [`check`].
// Apart: the programs are smaller so.
#[inline(never)]
pub(super) fn begin(
    timers: &impl Timers,
    timeout_s: u32,
    has_arbiter: bool,
    status: &mut StatusFile,
) -> Result<u32, XenError> {
    if let Some(record) = status.record()
        && has_arbiter
    {
        let age_us = clock::monotonic_us().wrapping_sub(record.written_us());
        let left = record.watchdog();
        if left != 0 && age_us < u64::from(WATCHDOG_S_MAX) * 1_000_000 {
            // It may have been given back since the record was written.
            let _ = timers.set(left, WATCHDOG_S_LEFT);
            // Anew: the next helper finds it while nobody has answered, however long that takes.
            status.set_watchdog(left);
            return Ok(left);
        }
    }
    if timeout_s > 0 {
        check(timers)?;
    }
    Ok(0)
}

/// What becomes of the watchdog that [`begin`] found when protection has `begun`, or has not. Granted the guest,
/// it is given back. Refused, it stays armed, and no helper finds it any more, or one that is started again and
/// again would put the reset off. Where the arbiter has not answered, the next one finds it as this one did.
// Apart: the programs are smaller so.
#[inline(never)]
pub(super) fn settle<T>(
    timers: &impl Timers,
    left: u32,
    begun: &Result<T, ProtectError>,
    status: &mut StatusFile,
) {
    if left == 0 || matches!(begun, Err(ProtectError::Arbiter(_))) {
        return;
    }
    if begun.is_ok() {
        let _ = timers.set(left, 0);
    }
    status.set_watchdog(0);
}

#[cfg(test)]
mod tests {
    use super::super::watchdog::tests::{SECOND_US, TIMEOUT_S, Two};
    use super::*;
    use crate::arbiter::{HostId, Record};
    use crate::platform::linux::arbiter_program::ArbiterError;
    use crate::status::{Role, SavedRecord, State, StatusRecord, encode_record};

    /// Xen's first watchdog, armed by a protect that was killed, and the starts of those after it.
    struct Killed {
        xen: Two,
        directory: String,
    }

    impl Killed {
        fn new(name: &str, age_us: u64) -> Self {
            let directory = std::format!("pollux-watchdog-{}-{name}", std::process::id());
            let directory = std::env::temp_dir().join(directory);
            std::fs::create_dir(&directory).unwrap();
            let record = SavedRecord::from(&StatusRecord {
                watchdog: 1,
                written_us: clock::monotonic_us().wrapping_sub(age_us),
                ..StatusRecord::new(Role::Primary, State::Protected, i32::MAX)
            });
            std::fs::write(directory.join("web.primary"), encode_record(&record)).unwrap();
            let xen = Two::default();
            xen.set(0, TIMEOUT_S).unwrap();
            Self { xen, directory: directory.to_str().unwrap().to_owned() }
        }

        /// What others fork meanwhile has the last one's lock until it executes its program.
        fn status(&self) -> StatusFile {
            loop {
                match StatusFile::create(&self.directory, "web", Role::Primary) {
                    Ok(status) => return status,
                    Err(_) => clock::sleep_us(10_000),
                }
            }
        }

        /// A start some seconds later, and `answer` of the arbiter, if there is one. What has become of Xen's
        /// first watchdog then.
        fn start(&self, has_arbiter: bool, answer: Result<(), ProtectError>) -> Option<u32> {
            let _ = self.xen.set(1, TIMEOUT_S - 1);
            let mut status = self.status();
            let left = begin(&self.xen, 0, has_arbiter, &mut status).unwrap();
            settle(&self.xen, left, &answer, &mut status);
            self.xen.both()[0]
        }
    }

    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    const UNTOUCHED: Option<u32> = Some(TIMEOUT_S - 1);

    fn refused() -> Result<(), ProtectError> {
        Err(ProtectError::HeldElsewhere(Record { term: 2, holder: Some(HostId([1; 6])) }))
    }

    #[test]
    fn a_left_one_is_put_off_while_the_arbiter_does_not_answer_and_given_back_when_it_grants() {
        let killed = Killed::new("granted", SECOND_US);
        for _ in 0..3 {
            let unanswered = Err(ProtectError::Arbiter(ArbiterError::NoDisk));
            assert_eq!(killed.start(true, unanswered), Some(WATCHDOG_S_LEFT));
        }
        assert_eq!(killed.start(true, Ok(())), None);
        // By now it is somebody else's.
        killed.xen.set(0, TIMEOUT_S).unwrap();
        assert_eq!(killed.start(true, Ok(())), UNTOUCHED);
    }

    #[test]
    fn a_left_one_is_not_put_off_any_more_once_the_arbiter_has_refused() {
        let killed = Killed::new("refused", SECOND_US);
        assert_eq!(killed.start(true, refused()), Some(WATCHDOG_S_LEFT));
        for _ in 0..3 {
            assert_eq!(killed.start(true, refused()), UNTOUCHED);
        }
        assert_eq!(killed.status().record().map(|record| record.state), Some(State::Protected));
    }

    #[test]
    fn a_left_one_stays_without_an_arbiter_and_where_the_host_was_reset_since() {
        assert_eq!(Killed::new("unarbitrated", SECOND_US).start(false, Ok(())), UNTOUCHED);
        let over_us = u64::from(WATCHDOG_S_MAX) * SECOND_US;
        assert_eq!(Killed::new("old", over_us).start(true, Ok(())), UNTOUCHED);
        assert_eq!(Killed::new("booted", over_us.wrapping_neg()).start(true, Ok(())), UNTOUCHED);
    }
}
