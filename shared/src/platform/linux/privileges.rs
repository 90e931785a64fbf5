//! What the network half gives up before it reads its first frame.

use super::errno::ErrnoText;
use super::syscall::{SYSCALL_CLOSE_RANGE, syscall};
use core::fmt;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The user and group without rights that every Linux has: "nobody", "nogroup".
const NOBODY: u32 = 65534;

/// The highest capability number that a kernel may know: sets are 64 bits wide.
const CAPABILITY_COUNT_MAX: u32 = 64;

/// A right could not be given up; the process must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropError {
    /// Which step failed.
    pub step: &'static str,
    /// What the kernel said.
    pub errno: Errno,
}

impl fmt::Display for DropError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "cannot give up privileges ({}): {}; start the program as root",
            self.step,
            ErrnoText(self.errno)
        )
    }
}

impl core::error::Error for DropError {}

/// Gives up everything but the standard streams, the descriptors in `keep`, and mapped memory:
/// closes all other descriptors, becomes nobody, empties every capability set for good, and
/// forbids new files, processes and core dumps. To be called once, by a process of one thread.
///
/// The caller must not use any descriptor outside `keep` afterwards. The kernel forgets at this
/// point that the process should die with its parent, so [`super::process::Parent::die_with`]
/// comes after this.
///
/// # Errors
/// If a step fails, or if root could be regained afterwards.
pub fn drop_privileges(keep: &[BorrowedFd<'_>]) -> Result<(), DropError> {
    close_all_but(keep)?;
    let step = |step| move |errno| DropError { step, errno };
    rustix::thread::set_no_new_privs(true).map_err(step("no_new_privs"))?;
    for capability in (0..CAPABILITY_COUNT_MAX).map(|bit| CapabilitySet::from_bits_retain(1 << bit))
    {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // INVAL: this kernel knows no capability of that number, nor of any above.
            Err(Errno::INVAL) => break,
            answer => answer.map_err(step("bounding set"))?,
        }
    }
    rustix::thread::set_thread_groups(&[]).map_err(step("groups"))?;
    let group = Gid::from_raw(NOBODY);
    rustix::thread::set_thread_res_gid(group, group, group).map_err(step("group id"))?;
    let user = Uid::from_raw(NOBODY);
    rustix::thread::set_thread_res_uid(user, user, user).map_err(step("user id"))?;
    let none = CapabilitySet::empty();
    let nothing = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, nothing).map_err(step("capabilities"))?;
    for (resource, limit, name) in [
        // No number beyond the standard streams is free; 0 would also forbid poll.
        (Resource::Nofile, 3, "limit of files"),
        (Resource::Nproc, 0, "limit of processes"),
        (Resource::Core, 0, "limit of core dumps"),
    ] {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, limit).map_err(step(name))?;
    }
    if rustix::thread::set_thread_uid(Uid::ROOT).is_ok() {
        return Err(DropError { step: "root could be regained", errno: Errno::PERM });
    }
    Ok(())
}

/// Closes every descriptor from 3 on that is not in `keep`.
fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<(), DropError> {
    let mut first_open = 3;
    loop {
        let kept = keep.iter().map(AsRawFd::as_raw_fd).filter(|&fd| fd >= first_open).min();
        match kept {
            Some(fd) if fd == first_open => {}
            Some(fd) => close_range(first_open, fd - 1)?,
            None => return close_range(first_open, i32::MAX),
        }
        first_open = kept.map_or(first_open, |fd| fd + 1);
    }
}

fn close_range(first: i32, last: i32) -> Result<(), DropError> {
    let (first, last) = (first.cast_unsigned() as usize, last.cast_unsigned() as usize);
    // SAFETY: closing touches no memory; the caller of `drop_privileges` uses none of these.
    unsafe { syscall(SYSCALL_CLOSE_RANGE, [first, last, 0, 0, 0, 0]) }
        .map(|_| ())
        .map_err(|errno| DropError { step: "closing files", errno })
}

#[cfg(test)]
mod tests {
    use super::super::process::{Forked, ProcessEnd, fork};
    use super::super::program::exit_with;
    use super::drop_privileges;
    use rustix::fd::{AsFd, AsRawFd, BorrowedFd};

    #[test]
    fn only_the_kept_descriptor_survives_and_root_does_not() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let other = reader.as_fd().as_raw_fd();
        let Forked::Parent(mut child) = fork().unwrap() else {
            let dropped = drop_privileges(&[writer.as_fd()]);
            // SAFETY: the number is only asked about; that it is closed is what is tested.
            let closed = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(other) }).is_err();
            let wrote = rustix::io::write(&writer, b"kept").is_ok();
            let file_refused =
                rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
                    .is_err();
            let nobody = rustix::process::getuid().as_raw() == 65534;
            let powerless = rustix::thread::capabilities(None)
                .is_ok_and(|sets| sets.permitted.is_empty() && sets.effective.is_empty());
            let checks = [dropped.is_ok(), closed, wrote, file_refused, nobody, powerless];
            let failed = checks.iter().position(|&passed| !passed);
            exit_with(failed.map_or(0, |index| i32::try_from(index).unwrap_or(0) + 1))
        };
        drop(writer);
        assert_eq!(child.wait(), ProcessEnd::Exited(0), "the number of the check that failed");
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(&reader, &mut bytes), Ok(4));
        assert_eq!(bytes[..4], *b"kept");
    }
}
