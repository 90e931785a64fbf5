//! The watchdog that backs protection up: Xen resets this host when protect stands still for too long
//! while a backup could take over (`--watchdog`).
//!
//! It is armed while a backup may hold an epoch that it could revive, and given back as soon as that is over
//! or protect ends by itself, however. A protect that is killed or crashes gives nothing back: its guest's
//! output is held by nobody who could ever let it go, and the reset is what it wants then. While nobody
//! could take over, a reset would cost the guest and save nothing.
//!
//! When it is set anew is decided here; Xen counts the seconds. What becomes of one that stays armed is
//! `left_watchdog`'s business.

use crate::limits::WATCHDOG_S_MAX;
use crate::xen::{Xen, XenError};

/// Microseconds between two times that the watchdog is set anew.
const PERIOD_US: u64 = 1_000_000;

/// Xen's watchdogs, as [`Xen::set_watchdog`] has them.
pub(super) trait Timers {
    /// Sets, takes or gives back the watchdog `id`.
    fn set(&self, id: u32, timeout_s: u32) -> Result<u32, XenError>;
}

impl Timers for Xen {
    fn set(&self, id: u32, timeout_s: u32) -> Result<u32, XenError> {
        self.set_watchdog(id, timeout_s)
    }
}

/// Asks Xen for a watchdog and gives it back, for the operator to hear at once that there is none.
///
/// # Errors
/// Xen's, when both are in use.
pub(super) fn check(timers: &impl Timers) -> Result<(), XenError> {
    let id = timers.set(0, WATCHDOG_S_MAX)?;
    // Its own, so it is taken back.
    let _ = timers.set(id, 0);
    Ok(())
}

/// One watchdog, armed or not.
#[derive(Debug)]
pub(super) struct Watchdog<'a, T = Xen> {
    timers: &'a T,
    timeout_s: u32,
    /// Xen's number of it; 0 while it is not armed.
    id: u32,
    /// When it is to be set next.
    due_us: u64,
}

impl<'a, T: Timers> Watchdog<'a, T> {
    /// A watchdog of `timeout_s` seconds, not armed.
    pub const fn new(timers: &'a T, timeout_s: u32) -> Self {
        Self { timers, timeout_s, id: 0, due_us: 0 }
    }

    /// Xen's number of it; 0 while it is not armed.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Arms it: this host is reset unless this is called again and again. Xen is told about once a second.
    /// That Xen has none is said once, and tried for again: protection is worth more than what
    /// backs it up. True when [`Self::id`] is another one now.
    pub fn pet(&mut self, now_us: u64) -> bool {
        if now_us < self.due_us {
            return false;
        }
        let id_before = self.id;
        let is_news = self.id != 0 || self.due_us == 0;
        self.due_us = now_us + PERIOD_US;
        match self.timers.set(self.id, self.timeout_s) {
            // 0 for one that there is already.
            Ok(id) => self.id |= id,
            Err(error) => {
                self.id = 0;
                if is_news {
                    crate::log!("{error}");
                }
            }
        }
        self.id != id_before
    }

    /// Gives it back: nothing is reset.
    pub fn give_back(&mut self) {
        self.due_us = 0;
        let id = core::mem::take(&mut self.id);
        if id != 0 {
            // One that Xen does not know is no danger.
            let _ = self.timers.set(id, 0);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::xen::{Errno, Operation};
    use std::cell::RefCell;

    pub const TIMEOUT_S: u32 = 10;
    pub const SECOND_US: u64 = 1_000_000;

    /// Xen's two watchdogs, and how often it was called. What is not free has a timeout.
    #[derive(Default)]
    pub struct Two(RefCell<([Option<u32>; 2], u32)>);

    impl Two {
        pub fn both(&self) -> [Option<u32>; 2] {
            self.0.borrow().0
        }

        fn call_count(&self) -> u32 {
            self.0.borrow().1
        }
    }

    impl Timers for Two {
        fn set(&self, id: u32, timeout_s: u32) -> Result<u32, XenError> {
            let (both, count) = &mut *self.0.borrow_mut();
            *count += 1;
            let refused = |errno| Err(XenError::of_host(Operation::Watchdog, errno));
            if id == 0 {
                let Some(free) = both.iter().position(Option::is_none) else {
                    return refused(Errno::ENOSPC);
                };
                both[free] = Some(timeout_s);
                return Ok(u32::try_from(free).unwrap() + 1);
            }
            let Some(set @ Some(_)) = both.get_mut(id as usize - 1) else {
                return refused(Errno::EINVAL);
            };
            *set = (timeout_s > 0).then_some(timeout_s);
            Ok(0)
        }
    }

    #[test]
    fn it_is_set_once_a_second_and_else_left_alone() {
        let xen = Two::default();
        let mut watchdog = Watchdog::new(&xen, TIMEOUT_S);
        let turns = |watchdog: &mut Watchdog<'_, Two>, from_s: u64, to_s: u64| {
            let before = xen.call_count();
            for now_us in (from_s * SECOND_US..to_s * SECOND_US).step_by(1000) {
                watchdog.pet(now_us);
            }
            xen.call_count() - before
        };
        assert_eq!((xen.both(), xen.call_count()), ([None; 2], 0));
        assert_eq!(turns(&mut watchdog, 5, 15), 10);
        assert_eq!((xen.both(), watchdog.id()), ([Some(TIMEOUT_S), None], 1));
        // After a long step it is set at once.
        assert_eq!(turns(&mut watchdog, 20, 21), 1);
        watchdog.give_back();
        assert_eq!((xen.both(), watchdog.id()), ([None; 2], 0));
        watchdog.give_back();
        // Armed again it is taken at once.
        let before = xen.call_count();
        watchdog.pet(20 * SECOND_US + 1);
        assert_eq!((xen.both(), xen.call_count() - before), ([Some(TIMEOUT_S), None], 1));
    }

    #[test]
    fn a_host_without_a_free_one_is_told_at_start() {
        let xen = Two::default();
        assert_eq!((check(&xen), xen.both()), (Ok(()), [None; 2]));
        for _ in 0..2 {
            xen.set(0, 30).unwrap();
        }
        let error = check(&xen).unwrap_err();
        assert_eq!(
            error.to_string(),
            "SCHEDOP_watchdog failed (ENOSPC): both watchdogs of dom0 are in use: free one or \
             omit --watchdog"
        );
        assert_eq!(xen.both(), [Some(30); 2]);
    }

    #[test]
    fn who_reports_is_told_when_it_is_another_one() {
        let xen = Two::default();
        let mut watchdog = Watchdog::new(&xen, TIMEOUT_S);
        assert!(watchdog.pet(1));
        assert!(!watchdog.pet(2) && !watchdog.pet(2 * SECOND_US));
        // Taken away, and another one armed.
        xen.set(1, 0).unwrap();
        assert!(watchdog.pet(4 * SECOND_US) && watchdog.pet(6 * SECOND_US));
    }

    #[test]
    fn one_that_was_taken_away_is_tried_for_again() {
        let xen = Two::default();
        let mut watchdog = Watchdog::new(&xen, TIMEOUT_S);
        watchdog.pet(1);
        xen.set(1, 0).unwrap();
        watchdog.pet(2 * SECOND_US);
        assert_eq!((xen.both(), watchdog.id()), ([None; 2], 0));
        let others = [xen.set(0, 30).unwrap(), xen.set(0, 30).unwrap()];
        watchdog.pet(3 * SECOND_US);
        assert_eq!((xen.both(), watchdog.id()), ([Some(30); 2], 0));
        xen.set(others[1], 0).unwrap();
        watchdog.pet(4 * SECOND_US);
        assert_eq!((xen.both(), watchdog.id()), ([Some(30), Some(TIMEOUT_S)], 2));
    }
}
