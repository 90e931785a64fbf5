//! Status records on disk: one slot per protected domain, overwritten in place.
//!
//! The open file also carries the lock that keeps a second helper away from the same domain. That a
//! record cannot be written, since the disk is full or gone, is said once; protection goes on.

use super::errno::ErrnoText;
use super::file::{FileError, create_directory, open_with_mode, read_small, write_all_at};
use super::{clock, process};
use crate::status::{
    RECORD_SIZE, RecordError, Role, SavedRecord, StatusRecord, StatusReport, decode_record,
    encode_record,
};
use crate::text::{FixedText, parse_number};
use core::fmt;
use core::mem::MaybeUninit;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, RawDir};
use rustix::io::Errno;

/// Bytes of a record's path.
type RecordPath = FixedText<200>;

const fn ending(role: Role) -> &'static str {
    match role {
        Role::Primary => ".primary",
        Role::Backup => ".backup",
    }
}

/// Another helper drives this domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyDriven {
    /// Its record's path, or the beginning of it.
    pub path: FixedText<96>,
}

impl fmt::Display for AlreadyDriven {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "another helper is at work here and holds {}: end it first, or give another --state-dir",
            self.path
        )
    }
}

impl core::error::Error for AlreadyDriven {}

/// Where a helper writes its record. Removed when it ends as asked; a killed helper's stays.
#[derive(Debug)]
pub struct StatusFile {
    path: RecordPath,
    file: Option<OwnedFd>,
    previous: Option<SavedRecord>,
    has_warned: bool,
}

impl StatusFile {
    /// Makes the record `<directory>/<name>.primary` or `.backup`, and keeps other helpers from it
    /// until this one ends. A record that cannot be made is said in one line, and is no failure.
    ///
    /// A `/` in the name becomes `_`.
    ///
    /// # Errors
    /// If another helper holds the record.
    pub fn create(directory: &str, name: &str, role: Role) -> Result<Self, AlreadyDriven> {
        let mut path = RecordPath::format(format_args!("{directory}/{name}{}", ending(role)));
        // The directory's own stay.
        path.replace(directory.len() + 1, b'/', b'_');
        let mut status = Self { path, file: None, previous: None, has_warned: false };
        match create_directory(directory).map_err(|error| error.errno).and_then(|()| status.claim())
        {
            Ok(()) => Ok(status),
            Err(Errno::AGAIN) => Err(AlreadyDriven { path: FixedText::new(status.path.as_str()) }),
            Err(errno) => {
                status.warn(errno);
                Ok(status)
            }
        }
    }

    /// What a helper of this name, killed before it could end, said last. Its domain's gate may
    /// still be closed: the domain has another number now if it was started anew.
    pub fn previous(&self) -> Option<&SavedRecord> {
        self.previous.as_ref()
    }

    /// Overwrites the record; the time is filled in. What fails is said once, until it works again.
    pub fn write(&mut self, record: &StatusRecord) {
        let record = StatusRecord { written_us: clock::monotonic_us(), ..*record };
        let Some(file) = self.file.as_ref() else { return };
        match write_all_at(file, self.path.as_str(), 0, &encode_record(&record)) {
            Ok(()) if self.has_warned => {
                self.has_warned = false;
                crate::log!("the status record {} can be written again", self.path);
            }
            Ok(()) => {}
            Err(error) => self.warn(error.errno),
        }
    }

    /// Removes the record: the helper ends as asked.
    pub fn remove(self) {
        if self.file.is_some() {
            // If it cannot be removed, `status` says that its process is gone.
            let _ = super::file::remove(self.path.as_str());
        }
    }

    fn claim(&mut self) -> Result<(), Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
        let file = open_with_mode(self.path.as_str(), flags, Mode::from_raw_mode(0o644))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut slot = [0; RECORD_SIZE];
        self.previous = read_small(self.path.as_str(), &mut slot)
            .ok()
            .and_then(|bytes| decode_record(bytes).ok());
        self.file = Some(file);
        Ok(())
    }

    fn warn(&mut self, errno: Errno) {
        if !core::mem::replace(&mut self.has_warned, true) {
            crate::log!(
                "the status record {} cannot be written: {}; protection goes on without it",
                self.path,
                ErrnoText(errno)
            );
        }
    }
}

/// Why no status can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusError {
    /// No helper of this role has left a record.
    NoRecord {
        /// The state directory.
        directory: FixedText<96>,
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
            Self::NoRecord { directory } => {
                write!(formatter, "no helper is at work here: {directory} has no record of one")
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
        return Err(StatusError::NoRecord { directory: FixedText::new(directory) });
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
    let mut found = None;
    for_each_record(directory, domain, role, &mut |record, is_running| {
        if is_running == runs {
            found = Some(*record);
        }
    })?;
    found.ok_or(StatusError::NoRecord { directory: FixedText::new(directory) })
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
    use super::clock::sleep_us;
    use super::process::own_pid;
    use super::{Role, StatusError, StatusFile, find_record, for_each_record, print_status};
    use crate::status::{State, StatusRecord};
    use crate::text::FixedText;

    fn scratch(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("pollux-{}-{name}", std::process::id()));
        path.to_str().unwrap().to_owned()
    }

    fn domains(directory: &str, domain: Option<&str>, role: Role) -> Vec<(String, u16)> {
        let mut found = Vec::new();
        for_each_record(directory, domain, role, &mut |record, _| {
            found.push((record.domain.as_str().to_owned(), record.domid));
        })
        .unwrap();
        found.sort();
        found
    }

    fn record(name: &str, domid: u16) -> StatusRecord {
        let domain = FixedText::new(name);
        StatusRecord { domain, domid, ..StatusRecord::new(Role::Primary, State::Protected, 1) }
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
        assert!(matches!(error, StatusError::NoRecord { .. }));
        web.remove();
        odd.remove();
        assert!(domains(&directory, None, Role::Primary).is_empty());
        std::fs::remove_dir(&directory).unwrap();
    }

    /// The next helper's record. What other tests fork meanwhile has the last one's lock until it
    /// executes its program.
    fn created(directory: &str) -> StatusFile {
        for _ in 0..1000 {
            if let Ok(file) = StatusFile::create(directory, "web", Role::Primary) {
                return file;
            }
            sleep_us(10_000);
        }
        panic!("the lock stays");
    }

    #[test]
    fn a_second_helper_is_kept_away_until_the_first_ends() {
        let directory = scratch("lock");
        let first = StatusFile::create(&directory, "web", Role::Primary).unwrap();
        let error = StatusFile::create(&directory, "web", Role::Primary).unwrap_err();
        assert!(error.to_string().contains("/web.primary: end it first"), "{error}");
        StatusFile::create(&directory, "web", Role::Backup).unwrap().remove();
        assert_eq!(first.previous(), None);
        drop(first);
        let mut killed = created(&directory);
        killed.write(&record("web", 8));
        drop(killed);
        let next = created(&directory);
        assert_eq!(next.previous().map(|record| record.domid), Some(8));
        next.remove();
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
    fn without_a_place_for_the_record_work_goes_on() {
        let mut nowhere = StatusFile::create("/proc/none", "web", Role::Primary).unwrap();
        nowhere.write(&record("web", 1));
        nowhere.remove();
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
