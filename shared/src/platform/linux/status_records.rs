//! The status records of the helpers that are or were at work here: shown, and found for those who want
//! to tell a helper something. `status_file` writes them.

use super::file::{FileError, open_with_mode, read_small};
use super::status_file::{RecordPath, ending};
use super::{clock, process};
use crate::status::{RECORD_SIZE, RecordError, Role, SavedRecord, StatusReport, decode_record};
use crate::text::{FixedText, parse_number};
use core::fmt;
use core::mem::MaybeUninit;
use rustix::fs::{FlockOperation, Mode, OFlags, RawDir};
use rustix::io::Errno;

/// Why no status can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusError {
    /// No helper of this role is at work.
    NoRecord {
        /// The state directory.
        directory: FixedText<96>,
        /// It has the record of one that is gone.
        is_left: bool,
    },
    /// The record could not be read.
    File(FileError),
    /// It is not one.
    Record {
        /// Its file.
        name: FixedText<96>,
        /// What is wrong.
        error: RecordError,
    },
}

impl fmt::Display for StatusError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord { directory, is_left } => {
                let what = match is_left {
                    true => "the record of one that was killed or failed: start it again",
                    false => "no record of one",
                };
                write!(formatter, "no helper is at work here: {directory} has {what}")
            }
            Self::File(error) => error.fmt(formatter),
            Self::Record { name, error } => write!(formatter, "{name}: {error}"),
        }
    }
}

impl core::error::Error for StatusError {}

/// Prints the records of a role, or the one of `domain`, to stdout; an empty line between two.
///
/// # Errors
/// If there is none, or one cannot be read.
pub fn print_status(directory: &str, domain: Option<&str>, role: Role) -> Result<(), StatusError> {
    let mut count = 0;
    for_each_record(directory, domain, role, &mut |record, is_running| {
        let report = StatusReport { record, now_us: clock::monotonic_us(), is_running };
        let separator = if count == 0 { "" } else { "\n" };
        super::log::print(format_args!("{separator}{report}"));
        count += 1;
    })?;
    if count == 0 {
        let directory = FixedText::new(directory);
        return Err(StatusError::NoRecord { directory, is_left: false });
    }
    Ok(())
}

/// The record of one helper that runs, or of one that does not any more: that of `domain`, or the only one.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn find_record(
    directory: &str,
    domain: Option<&str>,
    role: Role,
    runs: bool,
) -> Result<SavedRecord, StatusError> {
    let (mut found, mut is_left) = (None, false);
    for_each_record(directory, domain, role, &mut |record, is_running| {
        is_left |= !is_running;
        if is_running == runs {
            found = Some(*record);
        }
    })?;
    found.ok_or(StatusError::NoRecord { directory: FixedText::new(directory), is_left })
}

/// Shows each record, and whether the helper that wrote it still runs.
fn for_each_record(
    directory: &str,
    domain: Option<&str>,
    role: Role,
    show: &mut dyn FnMut(&SavedRecord, bool),
) -> Result<(), StatusError> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(folder) = open_with_mode(directory, flags, Mode::empty()) else {
        return Ok(());
    };
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !name.ends_with(ending(role)) {
            continue;
        }
        let path = RecordPath::format(format_args!("{directory}/{name}"));
        let mut slot = [0; RECORD_SIZE];
        let bytes = read_small(path.as_str(), &mut slot).map_err(StatusError::File)?;
        // A helper that has just begun has not written yet.
        if bytes.is_empty() {
            continue;
        }
        let record = decode_record(bytes)
            .map_err(|error| StatusError::Record { name: FixedText::new(name), error })?;
        if domain.is_none_or(|domain| is_of(&record, domain)) {
            // The number of a killed helper may be another process's by now, which holds no lock. Where
            // nobody has it the lock is not tried: that would keep a helper away that starts right now.
            show(&record, process::is_running(record.pid) && is_held(path.as_str()));
        }
    }
    Ok(())
}

/// Whether a helper keeps others from its record.
fn is_held(path: &str) -> bool {
    open_with_mode(path, OFlags::RDONLY, Mode::empty()).is_ok_and(|file| {
        rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::AGAIN)
    })
}

/// A domain is meant by its name or by its number.
fn is_of(record: &SavedRecord, domain: &str) -> bool {
    record.domain.as_str() == domain || parse_number(domain) == Some(record.domid)
}

#[cfg(test)]
mod tests {
    use super::super::status_file::StatusFile;
    use super::super::status_file::tests::{created, record, scratch};
    use super::clock::sleep_us;
    use super::process::own_pid;
    use super::{Role, StatusError, find_record, for_each_record, print_status};
    use crate::status::StatusRecord;

    fn domains(directory: &str, domain: Option<&str>, role: Role) -> Vec<(String, u16)> {
        let mut found = Vec::new();
        for_each_record(directory, domain, role, &mut |record, _| {
            found.push((record.domain.as_str().to_owned(), record.domid));
        })
        .unwrap();
        found.sort();
        found
    }

    #[test]
    fn records_are_written_over_found_and_removed() {
        let directory = scratch("records");
        let mut web = StatusFile::create(&directory, "web", Role::Primary).unwrap();
        let mut odd = StatusFile::create(&directory, "../odd", Role::Primary).unwrap();
        assert!(domains(&directory, None, Role::Primary).is_empty());
        for domid in 1..=3 {
            web.write(&record("web", domid));
            odd.write(&record("../odd", domid));
        }
        let both = [("../odd".to_owned(), 3), ("web".to_owned(), 3)];
        assert_eq!(domains(&directory, None, Role::Primary), both);
        assert_eq!(domains(&directory, Some("web"), Role::Primary), both[1..]);
        assert_eq!(domains(&directory, Some("db"), Role::Primary), []);
        assert_eq!(domains(&directory, None, Role::Backup), []);
        let error = print_status(&directory, Some("db"), Role::Primary).unwrap_err();
        assert!(matches!(error, StatusError::NoRecord { is_left: false, .. }));
        web.remove();
        odd.remove();
        assert!(domains(&directory, None, Role::Primary).is_empty());
        std::fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn a_helper_runs_while_its_number_is_in_use_and_its_record_is_held() {
        let directory = scratch("held");
        let is_running = || find_record(&directory, None, Role::Primary, true).is_ok();
        let mut helper = StatusFile::create(&directory, "web", Role::Primary).unwrap();
        helper.write(&StatusRecord { pid: own_pid(), ..record("web", 1) });
        assert!(is_running() && is_running(), "asking does not take the lock away");
        // Its number may belong to a process of another kind by now; or to none.
        drop(helper);
        let is_over = |_| {
            sleep_us(10_000);
            !is_running()
        };
        assert!((0..1000).any(is_over));
        let mut next = created(&directory);
        next.write(&StatusRecord { pid: i32::MAX, ..record("web", 1) });
        assert!(!is_running());
        next.remove();
        std::fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn without_a_folder_there_is_none() {
        assert!(domains("/proc/none", None, Role::Primary).is_empty());
    }

    #[test]
    fn what_is_no_record_is_told() {
        let directory = scratch("foreign");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(format!("{directory}/web.backup"), "hello").unwrap();
        let error = print_status(&directory, None, Role::Backup).unwrap_err();
        assert_eq!(error.to_string(), "web.backup: not a status record of this version");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
