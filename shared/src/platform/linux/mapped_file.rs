//! Large files as bytes: mapped read-only, for what is far too large for a buffer.

use core::fmt;
use core::ptr::{self, NonNull};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, ProtFlags};

use super::file::{FileError, FileOperation, open_with_mode};

/// A file's bytes for as long as this lives.
///
/// Whoever shortens the file meanwhile makes this process crash when it reads beyond the new end;
/// whoever writes to it may be seen doing so. So this is for files of the operator's own.
pub struct MappedFile {
    base: NonNull<u8>,
    size: usize,
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile").field("size", &self.size).finish_non_exhaustive()
    }
}

impl MappedFile {
    /// Maps the whole file at `path`.
    ///
    /// # Errors
    /// If it cannot be opened or mapped, or is empty (`INVAL`).
    pub fn open(path: &str) -> Result<Self, FileError> {
        let opening = |errno| FileError::new(FileOperation::Open, path, errno);
        let reading = |errno| FileError::new(FileOperation::Read, path, errno);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = open_with_mode(path, flags, Mode::empty()).map_err(opening)?;
        let stat = rustix::fs::fstat(&file).map_err(reading)?;
        let size = usize::try_from(stat.st_size).map_err(|_| reading(Errno::FBIG))?;
        if size == 0 {
            return Err(reading(Errno::INVAL));
        }
        let protection = ProtFlags::READ;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let mapped =
            unsafe { mm::mmap(ptr::null_mut(), size, protection, MapFlags::PRIVATE, &file, 0) };
        let address = mapped.map_err(reading)?;
        let base = NonNull::new(address.cast()).expect("the kernel maps nothing at address 0");
        Ok(Self { base, size })
    }

    /// All bytes of the file.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is owned, has so many bytes, and nothing in this process writes to it.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.size) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: no borrow of the bytes outlives their owner.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.size) };
        assert!(unmapped.is_ok(), "a mapping that was made can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::{Errno, MappedFile};

    #[test]
    fn a_file_is_seen_whole_and_no_file_is_an_error() {
        let path = std::env::temp_dir().join(format!("pollux-mapped-{}", std::process::id()));
        let path_text = path.to_str().expect("the temporary folder has a plain name");
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(MappedFile::open(path_text).unwrap().bytes(), bytes);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(MappedFile::open(path_text).unwrap_err().errno, Errno::INVAL);
        std::fs::remove_file(&path).unwrap();
        assert!(MappedFile::open(path_text).unwrap_err().is_not_found());
    }
}
