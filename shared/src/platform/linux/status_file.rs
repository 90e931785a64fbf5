//! A helper's own status record on disk: one slot per protected domain, overwritten in place.
//! `status_records` finds those of others.
//!
//! The open file also carries the lock that keeps a second helper away from the same domain. That a
//! record cannot be written, since the disk is full or gone, is said once; protection goes on.

use super::clock;
use super::errno::ErrnoText;
use super::file::{create_directory, open_with_mode, read_small, write_all_at};
use crate::status::{RECORD_SIZE, Role, SavedRecord, StatusRecord, decode_record, encode_record};
use crate::text::FixedText;
use core::fmt;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// Bytes of a record's path.
pub(super) type RecordPath = FixedText<200>;

/// What the name of its file ends in.
pub(super) const fn ending(role: Role) -> &'static str {
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
    /// What is in the file: the last helper's until this one has written.
    record: Option<SavedRecord>,
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
        let mut status = Self { path, file: None, record: None, has_warned: false };
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

    /// What this helper said last. Before it has said anything: what one of this name, killed before it
    /// could end, said last. Its domain's gate may still be closed: the domain has another number now if
    /// it was started anew.
    pub fn record(&self) -> Option<&SavedRecord> {
        self.record.as_ref()
    }

    /// Overwrites the record; the time is filled in. What fails is said once, until it works again.
    pub fn write(&mut self, record: &StatusRecord) {
        self.record = Some(record.into());
        self.rewrite();
    }

    /// Writes what was said last once more, as of now, but with this watchdog; 0 for none.
    pub fn set_watchdog(&mut self, watchdog: u32) {
        if let Some(record) = &mut self.record {
            record.set_watchdog(watchdog);
        }
        self.rewrite();
    }

    // Apart: the programs are smaller so.
    #[inline(never)]
    fn rewrite(&mut self) {
        let (Some(file), Some(record)) = (&self.file, &mut self.record) else { return };
        record.set_written_us(clock::monotonic_us());
        match write_all_at(file, self.path.as_str(), 0, &encode_record(record)) {
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
        self.record = read_small(self.path.as_str(), &mut slot)
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

#[cfg(test)]
pub(super) mod tests {
    use super::clock::sleep_us;
    use super::{Role, StatusFile};
    use crate::status::{State, StatusRecord};
    use crate::text::FixedText;

    /// A folder of this name that is not there yet.
    pub fn scratch(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("pollux-{}-{name}", std::process::id()));
        path.to_str().unwrap().to_owned()
    }

    /// What a helper says.
    pub fn record(name: &str, domid: u16) -> StatusRecord {
        let domain = FixedText::new(name);
        StatusRecord { domain, domid, ..StatusRecord::new(Role::Primary, State::Protected, 1) }
    }

    /// The next helper's record. What other tests fork meanwhile has the last one's lock until it
    /// executes its program.
    pub fn created(directory: &str) -> StatusFile {
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
        assert_eq!(first.record(), None);
        drop(first);
        let mut killed = created(&directory);
        killed.write(&record("web", 8));
        drop(killed);
        let mut next = created(&directory);
        assert_eq!(next.record().map(|record| record.domid), Some(8));
        // The next one knows what it has changed.
        next.set_watchdog(2);
        drop(next);
        let last = created(&directory);
        assert_eq!(last.record().map(|record| (record.domid, record.watchdog())), Some((8, 2)));
        last.remove();
        std::fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn without_a_place_for_the_record_work_goes_on() {
        let mut nowhere = StatusFile::create("/proc/none", "web", Role::Primary).unwrap();
        nowhere.set_watchdog(1);
        nowhere.write(&record("web", 1));
        nowhere.remove();
    }
}
