//! Handing the guest over on purpose: the command that asks for it, and what protect does then.
//!
//! The guest is paused here for good and the backup is told to revive its newest epoch. What the guest
//! did since that epoch is done again there: none of it has left this host. While the backup has not
//! answered, the guest lives nowhere; where it does not answer at all, the arbiter decides.

use core::fmt;

use super::error::ProtectError;
use super::protection::Protection;
use crate::capture::Capture;
use crate::options::StatusOptions;
use crate::platform::linux::errno::ErrnoText;
use crate::platform::linux::process;
use crate::platform::linux::status_records::{StatusError, find_record};
use crate::platform::linux::{clock, signals};
use crate::ring::{Control, Parting};
use crate::status::{Role, State};
use rustix::io::Errno;

/// Milliseconds that protect may take to hand the guest over.
const HAND_OVER_MS_MAX: u64 = 90_000;
/// Microseconds between two looks whether it is done.
const REST_US: u64 = 20_000;

/// Why the guest was not handed over.
#[derive(Clone, Copy, Debug)]
pub enum SwitchOverError {
    /// Nobody protects it here, or it cannot be told.
    Status(StatusError),
    /// It is not protected now.
    NotProtected(State),
    /// protect cannot be told.
    Signal(Errno),
    /// protect has not handed it over.
    NotDone,
}

impl fmt::Display for SwitchOverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(error) => error.fmt(f),
            Self::NotProtected(state) => {
                write!(f, "the guest is {state}, not protected: wait until `status` says so")
            }
            Self::Signal(errno) => write!(f, "cannot tell protect: {}", ErrnoText(*errno)),
            Self::NotDone => f.write_str("protect has not handed the guest over: see what it says"),
        }
    }
}

impl core::error::Error for SwitchOverError {}

/// Has the `protect` of a domain hand its guest over to the backup, and waits until it has.
///
/// # Errors
/// [`SwitchOverError`], one line for people.
pub fn switch_over(options: &StatusOptions<'_>) -> Result<(), SwitchOverError> {
    let directory = options.state_directory;
    let find = |runs| find_record(directory, options.domain, Role::Primary, runs);
    let record = find(true).map_err(SwitchOverError::Status)?;
    if record.state != State::Protected {
        return Err(SwitchOverError::NotProtected(record.state));
    }
    signals::ask_hand_over(record.pid).map_err(SwitchOverError::Signal)?;
    let until_us = clock::monotonic_us() + HAND_OVER_MS_MAX * 1000;
    while process::is_running(record.pid) {
        if clock::monotonic_us() > until_us {
            return Err(SwitchOverError::NotDone);
        }
        clock::sleep_us(REST_US);
    }
    // Ended as asked, it has removed its record.
    match find(false) {
        Ok(_) => Err(SwitchOverError::NotDone),
        Err(_) => Ok(()),
    }
}

impl Protection<'_> {
    /// Whether the backup will be allowed to live; said when it will not.
    pub fn is_hand_over_possible(&self) -> bool {
        match self.arbitration.check(&self.name) {
            Ok(()) => {
                crate::log!("{}: handing the guest over to the backup", self.name);
                true
            }
            Err(error) => {
                crate::log!("{}: not handed over, since {error}", self.name);
                false
            }
        }
    }

    /// The guest is paused and the backup was told to live: what has come of it?
    ///
    /// # Errors
    /// [`ProtectError::NotHandedOver`] when the guest runs on here, [`ProtectError::HandOverUnknown`]
    /// when nobody can tell.
    pub fn finish_hand_over(
        &mut self,
        capture: &Capture<'_>,
        control: Control<'_>,
    ) -> Result<(), ProtectError> {
        match control.parting(self.session) {
            Some(Parting::HandedOver) => return Ok(()),
            // It revives nothing: the guest runs on here.
            Some(Parting::RevivesNothing) => {}
            None if !self.arbitration.is_there() => return Err(ProtectError::HandOverUnknown),
            None => match self.settle(capture, control) {
                Ok(()) => {}
                Err(ProtectError::LivesElsewhere(_)) => return Ok(()),
                Err(error) => return Err(error),
            },
        }
        capture.resume()?;
        self.program.close_gate()?;
        Err(ProtectError::NotHandedOver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::status_file::StatusFile;
    use crate::status::StatusRecord;
    use crate::text::FixedText;
    use std::process::Command;

    #[test]
    fn a_stranger_with_a_killed_helpers_number_gets_no_signal() {
        let directory =
            std::env::temp_dir().join(format!("pollux-hand-over-{}", process::own_pid()));
        let directory = directory.to_str().unwrap();
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(stranger.id()).unwrap();
        let mut killed = StatusFile::create(directory, "web", Role::Primary).unwrap();
        killed.write(&StatusRecord {
            domain: FixedText::new("web"),
            ..StatusRecord::new(Role::Primary, State::Protected, pid)
        });
        drop(killed);
        // What other tests have forked meanwhile holds the lock until it executes its program.
        while find_record(directory, None, Role::Primary, true).is_ok() {
            clock::sleep_us(10_000);
        }
        let options = StatusOptions { domain: Some("web"), state_directory: directory };
        let error = switch_over(&options).unwrap_err().to_string();
        let end = stranger.try_wait().unwrap();
        let _ = stranger.kill();
        let _ = stranger.wait();
        std::fs::remove_dir_all(directory).unwrap();
        assert_eq!(end, None, "it was told to hand over");
        let told = format!(
            "no helper is at work here: {directory} has the record of one that was killed or failed: \
             start it again"
        );
        assert_eq!(error, told);
    }
}
