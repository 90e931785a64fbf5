//! Small files: read whole into a caller's buffer, replaced as a whole, overwritten in place.

use super::errno::ErrnoText;
use crate::text::FixedText;
use core::ffi::CStr;
use core::fmt;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Access, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Bytes of a path that an error repeats; a longer path is cut there.
pub const PATH_SIZE_SHOWN: usize = 96;
/// Bytes of the longest path that the kernel takes, its NUL among them (PATH_MAX,
/// include/uapi/linux/limits.h).
const PATH_SIZE_MAX: usize = 4096;

/// What was tried with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOperation {
    /// Open an existing file.
    Open,
    /// Read it.
    Read,
    /// Create or write it.
    Write,
    /// Put the new version in the old one's place.
    Replace,
    /// Remove it.
    Remove,
    /// Create a directory.
    CreateDirectory,
}

/// A file operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileError {
    /// What was tried.
    pub operation: FileOperation,
    /// On which path.
    pub path: FixedText<PATH_SIZE_SHOWN>,
    /// What the kernel said; `FBIG` also when a file is larger than the buffer for it.
    pub errno: Errno,
}

impl FileError {
    // Called, not copied to every place that can fail.
    #[cold]
    #[inline(never)]
    pub(super) fn new(operation: FileOperation, path: &str, errno: Errno) -> Self {
        Self { operation, path: FixedText::new(path), errno }
    }

    /// Whether there is nothing at the path.
    pub fn is_not_found(&self) -> bool {
        self.errno == Errno::NOENT
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            FileOperation::Open => "open",
            FileOperation::Read => "read",
            FileOperation::Write => "write",
            FileOperation::Replace => "replace",
            FileOperation::Remove => "remove",
            FileOperation::CreateDirectory => "create the directory",
        };
        write!(formatter, "cannot {operation} {}: {}", self.path, ErrnoText(self.errno))
    }
}

impl core::error::Error for FileError {}

/// Who owns a file and who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwnership {
    /// Whether it is a regular file.
    pub is_regular: bool,
    /// The owner's user id.
    pub owner: u32,
    /// The permission bits (`0o7777`).
    pub mode: u32,
}

/// Reads a whole file into `buffer` and returns its bytes.
///
/// # Errors
/// If it cannot be opened or read, or is larger than the buffer (`FBIG`).
pub fn read_small<'buffer>(
    path: &str,
    buffer: &'buffer mut [u8],
) -> Result<&'buffer [u8], FileError> {
    let file = open(path, OFlags::RDONLY)?;
    read_to_end(&file, path, buffer)
}

/// Like [`read_small`], and tells who could have written or read the very file that was read.
/// A symbolic link at the path's end is not followed.
///
/// # Errors
/// As [`read_small`].
pub fn read_small_with_ownership<'buffer>(
    path: &str,
    buffer: &'buffer mut [u8],
) -> Result<(&'buffer [u8], FileOwnership), FileError> {
    // NONBLOCK: opening a FIFO must not wait for its writer.
    let file = open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
    let stat = rustix::fs::fstat(&file)
        .map_err(|errno| FileError::new(FileOperation::Read, path, errno))?;
    let ownership = FileOwnership {
        is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        owner: stat.st_uid,
        mode: stat.st_mode & 0o7777,
    };
    if !ownership.is_regular {
        return Ok((&[], ownership));
    }
    Ok((read_to_end(&file, path, buffer)?, ownership))
}

fn open(path: &str, flags: OFlags) -> Result<OwnedFd, FileError> {
    open_with_mode(path, flags, Mode::empty())
        .map_err(|errno| FileError::new(FileOperation::Open, path, errno))
}

/// Opens a file that programs which this one starts do not get; `mode` is for one that is created.
///
/// # Errors
/// What the kernel says.
pub(super) fn open_with_mode(path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut buffer = [0; PATH_SIZE_MAX];
    let path = terminated(path, &mut buffer)?;
    retry(|| rustix::fs::open(path, flags | OFlags::CLOEXEC, mode))
}

/// The path with a NUL behind it, as the kernel takes it. rustix would do that as well, with a copy
/// of its own for each kind of call, which adds up.
fn terminated<'buffer>(
    path: &str,
    buffer: &'buffer mut [u8; PATH_SIZE_MAX],
) -> Result<&'buffer CStr, Errno> {
    let size = path.len();
    let target = buffer.get_mut(..=size).ok_or(Errno::NAMETOOLONG)?;
    target[..size].copy_from_slice(path.as_bytes());
    target[size] = 0;
    CStr::from_bytes_with_nul(target).map_err(|_| Errno::INVAL)
}

fn read_to_end<'buffer>(
    file: &OwnedFd,
    path: &str,
    buffer: &'buffer mut [u8],
) -> Result<&'buffer [u8], FileError> {
    let mut size = 0;
    loop {
        if size == buffer.len() {
            // Full: only right if the file ends here, too.
            let count = retry(|| rustix::io::read(file, &mut [0]))
                .map_err(|errno| FileError::new(FileOperation::Read, path, errno))?;
            if count > 0 {
                return Err(FileError::new(FileOperation::Read, path, Errno::FBIG));
            }
            break;
        }
        let count = retry(|| rustix::io::read(file, &mut buffer[size..]))
            .map_err(|errno| FileError::new(FileOperation::Read, path, errno))?;
        if count == 0 {
            break;
        }
        size += count;
    }
    Ok(&buffer[..size])
}

/// Replaces a file's contents: a reader sees the old or the new version, never a part of one.
/// The file is readable by all and writable by its owner.
///
/// # Errors
/// If the new version cannot be written beside the old one, or not be put in its place; the old
/// version is left then.
pub fn write_atomically(path: &str, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = FixedText::<255>::format(format_args!("{path}.new"));
    if temporary.as_str().len() != path.len() + ".new".len() {
        return Err(FileError::new(FileOperation::Write, path, Errno::NAMETOOLONG));
    }
    let written = create(temporary.as_str())
        .and_then(|file| write_all_at(&file, temporary.as_str(), 0, bytes));
    let replaced = written.and_then(|()| {
        rename(temporary.as_str(), path)
            .map_err(|errno| FileError::new(FileOperation::Replace, path, errno))
    });
    if replaced.is_err() {
        let _ = unlink(temporary.as_str());
    }
    replaced
}

/// Creates a file, or empties it if it is there, for [`write_all_at`].
///
/// # Errors
/// What the kernel says.
pub fn create(path: &str) -> Result<OwnedFd, FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    open_with_mode(path, flags, Mode::from_raw_mode(0o644))
        .map_err(|errno| FileError::new(FileOperation::Write, path, errno))
}

/// Writes all of `bytes` at `offset` of an open file; `path` is for the error only.
///
/// # Errors
/// What the kernel says; a part may have been written.
pub fn write_all_at(
    file: &OwnedFd,
    path: &str,
    offset: u64,
    mut bytes: &[u8],
) -> Result<(), FileError> {
    let mut offset = offset;
    while !bytes.is_empty() {
        let count = retry(|| rustix::io::pwrite(file.as_fd(), bytes, offset))
            .map_err(|errno| FileError::new(FileOperation::Write, path, errno))?;
        bytes = bytes.get(count..).unwrap_or_default();
        offset += count as u64;
    }
    Ok(())
}

/// Creates a directory that its owner may write and all may read. One that is there is fine; its
/// parent must exist.
///
/// # Errors
/// What the kernel says.
pub fn create_directory(path: &str) -> Result<(), FileError> {
    let made = terminated(path, &mut [0; PATH_SIZE_MAX])
        .and_then(|path| rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755)));
    match made {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => open(path, OFlags::RDONLY | OFlags::DIRECTORY).map(drop),
        Err(errno) => Err(FileError::new(FileOperation::CreateDirectory, path, errno)),
    }
}

/// Removes a file; that it is not there is fine.
///
/// # Errors
/// What the kernel says.
pub fn remove(path: &str) -> Result<(), FileError> {
    match unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(FileError::new(FileOperation::Remove, path, errno)),
    }
}

/// Whether something is at the path that this process may see.
pub fn exists(path: &str) -> bool {
    is_accessible(path, Access::EXISTS)
}

/// Whether this process may use what is at the path in this way.
pub(super) fn is_accessible(path: &str, access: Access) -> bool {
    terminated(path, &mut [0; PATH_SIZE_MAX])
        .is_ok_and(|path| rustix::fs::access(path, access).is_ok())
}

fn unlink(path: &str) -> Result<(), Errno> {
    rustix::fs::unlink(terminated(path, &mut [0; PATH_SIZE_MAX])?)
}

fn rename(from: &str, to: &str) -> Result<(), Errno> {
    let (mut old, mut new) = ([0; PATH_SIZE_MAX], [0; PATH_SIZE_MAX]);
    let (old, new) = (terminated(from, &mut old)?, terminated(to, &mut new)?);
    retry(|| rustix::fs::rename(old, new))
}

fn retry<T>(mut operation: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match operation() {
            Err(Errno::INTR) => {}
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Errno, FileOperation, create_directory, read_small, read_small_with_ownership, remove,
        write_atomically,
    };
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("pollux-file-{}-{name}", std::process::id()));
        path.to_str().expect("the temporary folder has a plain name").to_owned()
    }

    #[test]
    fn a_file_is_replaced_read_and_removed() {
        let path = scratch("replace");
        write_atomically(&path, b"first, and longer").unwrap();
        write_atomically(&path, b"second").unwrap();
        let mut buffer = [0; 6];
        assert_eq!(read_small(&path, &mut buffer).unwrap(), b"second");
        let error = read_small(&path, &mut [0; 5]).unwrap_err();
        assert_eq!(error.errno, Errno::FBIG);
        assert_eq!(error.to_string(), format!("cannot read {path}: file too large"));
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read_small(&path, &mut buffer).unwrap_err().operation, FileOperation::Open);
    }

    #[test]
    fn ownership_is_that_of_the_file_itself() {
        let path = scratch("ownership");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let mut buffer = [0; 8];
        let (bytes, ownership) = read_small_with_ownership(&path, &mut buffer).unwrap();
        assert_eq!(bytes, b"x");
        assert_eq!((ownership.is_regular, ownership.mode), (true, 0o640));
        let link = scratch("ownership-link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = read_small_with_ownership(&link, &mut buffer).unwrap_err();
        assert_eq!(error.errno, Errno::LOOP);
        let (_, folder) = read_small_with_ownership("/", &mut buffer).unwrap();
        assert!(!folder.is_regular);
        remove(&link).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn a_directory_may_be_there_but_a_file_in_its_place_may_not() {
        let path = scratch("directory");
        create_directory(&path).unwrap();
        create_directory(&path).unwrap();
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(create_directory(&path).unwrap_err().errno, Errno::NOTDIR);
        remove(&path).unwrap();
        let error = write_atomically(&format!("{path}/below"), b"").unwrap_err();
        assert_eq!((error.operation, error.errno), (FileOperation::Write, Errno::NOENT));
    }
}
