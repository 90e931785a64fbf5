//! Error numbers, which Xen and Linux share.

use core::fmt;

/// An error number as Xen and Linux count them (xen/include/public/errno.h), always positive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(
    /// The number; [`Errno::ESRCH`] and its fellows name those that are handled.
    pub i16,
);

impl Errno {
    /// The errno with this number; no kernel has one beyond 4095.
    #[must_use]
    pub fn of(number: i32) -> Errno {
        Errno(i16::try_from(number).unwrap_or(i16::MAX))
    }

    /// The number as calls return it.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0.into()
    }

    /// Not permitted.
    pub const EPERM: Errno = Errno(1);
    /// No such thing; for a mapping: the page is paged out.
    pub const ENOENT: Errno = Errno(2);
    /// No such domain or vCPU.
    pub const ESRCH: Errno = Errno(3);
    /// The call was interrupted by a signal.
    pub const EINTR: Errno = Errno(4);
    /// Input or output failed.
    pub const EIO: Errno = Errno(5);
    /// No such device.
    pub const ENXIO: Errno = Errno(6);
    /// The argument list is too long.
    pub const E2BIG: Errno = Errno(7);
    /// Nothing there yet.
    pub const EAGAIN: Errno = Errno(11);
    /// No memory.
    pub const ENOMEM: Errno = Errno(12);
    /// Denied; for a domctl: another interface version.
    pub const EACCES: Errno = Errno(13);
    /// A bad address.
    pub const EFAULT: Errno = Errno(14);
    /// In use.
    pub const EBUSY: Errno = Errno(16);
    /// Exists already.
    pub const EEXIST: Errno = Errno(17);
    /// No such device.
    pub const ENODEV: Errno = Errno(19);
    /// An argument is wrong.
    pub const EINVAL: Errno = Errno(22);
    /// Too large; for events: more than could be kept.
    pub const EFBIG: Errno = Errno(27);
    /// No room.
    pub const ENOSPC: Errno = Errno(28);
    /// Xen or the kernel does not know the call.
    pub const ENOSYS: Errno = Errno(38);
    /// No data.
    pub const ENODATA: Errno = Errno(61);
    /// Known, but not supported here.
    pub const EOPNOTSUPP: Errno = Errno(95);
    /// The buffer is too small.
    pub const ENOBUFS: Errno = Errno(105);
    /// Not in time.
    pub const ETIMEDOUT: Errno = Errno(110);
    /// Not connected; for a port: not bound by this process.
    pub const ENOTCONN: Errno = Errno(107);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Errno::EPERM => "EPERM",
            Errno::ENOENT => "ENOENT",
            Errno::ESRCH => "ESRCH",
            Errno::EINTR => "EINTR",
            Errno::EIO => "EIO",
            Errno::ENXIO => "ENXIO",
            Errno::E2BIG => "E2BIG",
            Errno::EAGAIN => "EAGAIN",
            Errno::ENOMEM => "ENOMEM",
            Errno::EACCES => "EACCES",
            Errno::EFAULT => "EFAULT",
            Errno::EBUSY => "EBUSY",
            Errno::EEXIST => "EEXIST",
            Errno::ENODEV => "ENODEV",
            Errno::EINVAL => "EINVAL",
            Errno::EFBIG => "EFBIG",
            Errno::ENOSPC => "ENOSPC",
            Errno::ENOSYS => "ENOSYS",
            Errno::ENODATA => "ENODATA",
            Errno::EOPNOTSUPP => "EOPNOTSUPP",
            Errno::ENOBUFS => "ENOBUFS",
            Errno::ETIMEDOUT => "ETIMEDOUT",
            Errno::ENOTCONN => "ENOTCONN",
            _ => return None,
        })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.number()),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
