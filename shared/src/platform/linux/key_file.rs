//! Reading the key file, and judging who else could have read it.

use super::file::{FileError, FileOwnership, read_small_with_ownership};
use crate::text::FixedText;
use crate::wire::{KeyTextError, SecretKey};
use core::fmt;
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Bytes of a key file: 64 digits, with room for white space around them.
const KEY_FILE_SIZE_MAX: usize = 80;

/// Permission bits of all but the owner.
const MODE_OF_OTHERS: u32 = 0o077;

/// The key could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileError {
    /// The file could not be read.
    File(FileError),
    /// The file is there, and is refused.
    Refused {
        /// Its path, or the beginning of it.
        path: FixedText<96>,
        /// Why.
        reason: KeyRefusal,
    },
}

/// Why a key file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// It does not hold a key.
    Text,
    /// It is not a regular file.
    NotAFile,
    /// It belongs to another user, with this number, than this program runs as.
    OtherOwner(u32),
    /// Others than its owner have rights to it; these are its permission bits.
    TooOpen(u32),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) if error.errno == Errno::LOOP => {
                write!(formatter, "key file {}: {}", error.path, KeyRefusal::NotAFile)
            }
            Self::File(error) => error.fmt(formatter),
            Self::Refused { path, reason } => write!(formatter, "key file {path}: {reason}"),
        }
    }
}

impl fmt::Display for KeyRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => KeyTextError.fmt(formatter),
            Self::NotAFile => formatter.write_str("it is not a regular file"),
            Self::OtherOwner(owner) => {
                write!(formatter, "it belongs to user {owner}: `chown` it to this program's user")
            }
            Self::TooOpen(mode) => write!(
                formatter,
                "others than its owner may use it (mode {mode:04o}): `chmod 600` it, and make a \
                 new key if one of them might have read it"
            ),
        }
    }
}

impl core::error::Error for KeyFileError {}

/// Reads the key from a regular file that belongs to this process's user and is closed to others.
/// The text is wiped from memory before this returns.
///
/// # Errors
/// If the file cannot be read, others could have read or written it, or it holds no key.
pub fn read_key_file(path: &str) -> Result<SecretKey, KeyFileError> {
    let refused = |reason| KeyFileError::Refused { path: FixedText::new(path), reason };
    let mut buffer = Zeroizing::new([0; KEY_FILE_SIZE_MAX]);
    let (text, ownership) = match read_small_with_ownership(path, buffer.as_mut()) {
        Err(error) if error.errno == Errno::FBIG => return Err(refused(KeyRefusal::Text)),
        answer => answer.map_err(KeyFileError::File)?,
    };
    judge(ownership, rustix::process::geteuid().as_raw()).map_err(refused)?;
    SecretKey::from_text(text).map_err(|KeyTextError| refused(KeyRefusal::Text))
}

/// Judges who could know what is in a file.
fn judge(ownership: FileOwnership, user: u32) -> Result<(), KeyRefusal> {
    if !ownership.is_regular {
        return Err(KeyRefusal::NotAFile);
    }
    if ownership.owner != user {
        return Err(KeyRefusal::OtherOwner(ownership.owner));
    }
    if ownership.mode & MODE_OF_OTHERS != 0 {
        return Err(KeyRefusal::TooOpen(ownership.mode));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FileOwnership, KeyFileError, KeyRefusal, judge, read_key_file};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_others_might_have_read_is_refused() {
        let file = |mode| FileOwnership { is_regular: true, owner: 7, mode };
        assert_eq!(judge(file(0o600), 7), Ok(()));
        assert_eq!(judge(file(0o400), 7), Ok(()));
        assert_eq!(judge(file(0o600), 0), Err(KeyRefusal::OtherOwner(7)));
        for mode in [0o640, 0o604, 0o610, 0o602, 0o666] {
            assert_eq!(judge(file(mode), 7), Err(KeyRefusal::TooOpen(mode)));
        }
        let folder = FileOwnership { is_regular: false, ..file(0o600) };
        assert_eq!(judge(folder, 7), Err(KeyRefusal::NotAFile));
    }

    #[test]
    fn only_a_closed_file_with_a_key_is_taken() {
        let path = std::env::temp_dir().join(format!("pollux-key-{}", std::process::id()));
        let name = path.to_str().unwrap();
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let reason = || match read_key_file(name).unwrap_err() {
            KeyFileError::Refused { reason, .. } => reason,
            KeyFileError::File(error) => panic!("{error}"),
        };
        write(&format!("{}\n", "5".repeat(64)), 0o600);
        read_key_file(name).unwrap();
        for digit_count in [63, 65, 6500] {
            write(&"5".repeat(digit_count), 0o600);
            assert_eq!(reason(), KeyRefusal::Text);
        }
        write(&"5".repeat(64), 0o640);
        assert_eq!(reason(), KeyRefusal::TooOpen(0o640));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let error = read_key_file(name).unwrap_err().to_string();
        assert!(error.ends_with("it is not a regular file"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = read_key_file(name).unwrap_err().to_string();
        assert_eq!(error, format!("cannot open {name}: does not exist"));
    }
}
