//! Why Xen cannot be used at all, told so that a person can act on it.

use core::fmt;

use super::{Errno, XenError};

/// The version of a running Xen (XENVER_version, version.h). Compares by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct XenVersion {
    /// 4 in "4.17".
    pub major: u16,
    /// 17 in "4.17".
    pub minor: u16,
}

impl XenVersion {
    /// The version in the answer to XENVER_version.
    pub(super) const fn of_word(word: u32) -> Self {
        let [minor_low, minor_high, major_low, major_high] = word.to_le_bytes();
        Self {
            major: u16::from_le_bytes([major_low, major_high]),
            minor: u16::from_le_bytes([minor_low, minor_high]),
        }
    }
}

impl fmt::Display for XenVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why Xen, or one of its devices in dom0, cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XenOpenError {
    /// The device or socket is missing: not a dom0, or its module or daemon is not there.
    Missing {
        /// The file that was opened.
        path: &'static str,
        /// What provides it.
        provider: &'static str,
    },
    /// The device exists, the caller may not open it.
    NotPermitted {
        /// The file that was opened.
        path: &'static str,
    },
    /// The file could not be used for another reason.
    Unusable {
        /// The file that was opened.
        path: &'static str,
        /// Linux's reason.
        errno: Errno,
    },
    /// Xen answers, but does not take tool-stack calls from this domain.
    NotDom0,
    /// No known domctl interface version fits the running Xen.
    InterfaceVersion {
        /// What runs.
        version: XenVersion,
        /// The version that its table entry says, which was refused.
        expected: u32,
        /// The lowest version that was tried.
        lowest: u32,
        /// The highest version that was tried.
        highest: u32,
    },
    /// The first hypercalls failed.
    Hypercall(XenError),
}

impl XenOpenError {
    /// The error for a failed open of `path`, which `provider` would provide.
    #[must_use]
    pub fn from_errno(path: &'static str, provider: &'static str, errno: Errno) -> XenOpenError {
        match errno {
            Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => {
                XenOpenError::Missing { path, provider }
            }
            Errno::EPERM | Errno::EACCES => XenOpenError::NotPermitted { path },
            _ => XenOpenError::Unusable { path, errno },
        }
    }
}

impl fmt::Display for XenOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XenOpenError::Missing { path, provider } => {
                write!(
                    f,
                    "cannot open {path}: it is missing; run in dom0 of a Xen host, with {provider}"
                )
            }
            XenOpenError::NotPermitted { path } => {
                write!(f, "cannot open {path}: not permitted; run as root")
            }
            XenOpenError::Unusable { path, errno } => {
                write!(f, "cannot use {path} ({errno}): see the kernel log (dmesg)")
            }
            XenOpenError::NotDom0 => f.write_str(
                "Xen refuses tool-stack calls from this domain: run in dom0, not in a guest",
            ),
            XenOpenError::InterfaceVersion { version, expected, lowest, highest } => write!(
                f,
                "Xen {version} refuses domctl interface {expected:#x} and its neighbours \
                 {lowest:#x} to {highest:#x}: use a Pollux that knows this Xen"
            ),
            XenOpenError::Hypercall(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for XenOpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_errors_tell_missing_from_forbidden() {
        let path = "/dev/xen/privcmd";
        let missing = XenOpenError::from_errno(path, "xen-privcmd", Errno::ENOENT);
        assert_eq!(missing, XenOpenError::Missing { path, provider: "xen-privcmd" });
        let forbidden = XenOpenError::from_errno(path, "xen-privcmd", Errno::EACCES);
        assert!(forbidden.to_string().contains("run as root"));
        let version = XenOpenError::InterfaceVersion {
            version: XenVersion { major: 4, minor: 30 },
            expected: 0x18,
            lowest: 0x14,
            highest: 0x1a,
        };
        assert!(version.to_string().contains("Xen 4.30"));
        assert!(version.to_string().contains("0x18"));
    }
}
