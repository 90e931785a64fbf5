//! Two halves: fork, and how each half notices that the other is gone.

use super::errno::ErrnoText;
use super::syscall::{SYSCALL_FORK, syscall};
use core::fmt;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By itself, with this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(formatter, "ended with exit status {status}"),
            Self::Killed(signal) => write!(formatter, "was killed by signal {signal}"),
        }
    }
}

/// The process could not be doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkError(pub Errno);

impl fmt::Display for ForkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot start another process: {}", ErrnoText(self.0))
    }
}

impl core::error::Error for ForkError {}

/// On which side of a fork the caller finds itself.
#[derive(Debug)]
pub enum Forked {
    /// The process that called.
    Parent(Child),
    /// The new process; its parent's id, to notice the parent's end.
    Child(Parent),
}

/// Doubles the process. Memory mapped shared stays shared; everything else is copied.
///
/// The process must have one thread: locks that another thread holds stay locked in the child.
/// (Tests have several; there the child may make system calls only.)
///
/// # Errors
/// If the machine has no memory or process slot left.
pub fn fork() -> Result<Forked, ForkError> {
    let parent = Parent(rustix::process::getpid());
    // SAFETY: fork takes no arguments; both sides return here on their own copy of the stack.
    let child = unsafe { syscall(SYSCALL_FORK, [0; 6]) }.map_err(ForkError)?;
    match i32::try_from(child).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok(Forked::Parent(Child { pid, end: None })),
        None => Ok(Forked::Child(parent)),
    }
}

/// The other half, seen from its child.
#[derive(Clone, Copy, Debug)]
pub struct Parent(Pid);

impl Parent {
    /// Whether the parent still runs. One short system call.
    pub fn is_alive(self) -> bool {
        rustix::process::getppid() == Some(self.0)
    }

    /// Asks the kernel to kill this process when its parent ends, and tells whether the parent
    /// still ran after that. A change of user or capabilities clears the request, so it is made
    /// last.
    #[must_use]
    pub fn die_with(self) -> bool {
        // The kernel takes every valid signal here.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        self.is_alive()
    }
}

/// The other half, seen from its parent. Dropping this leaves the process running.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    end: Option<ProcessEnd>,
}

impl Child {
    /// The process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// How the child ended, or nothing while it runs. One short system call.
    pub fn end(&mut self) -> Option<ProcessEnd> {
        self.collect(WaitOptions::NOHANG)
    }

    /// Waits until the child ends; a signal does not end the waiting.
    pub fn wait(&mut self) -> ProcessEnd {
        loop {
            if let Some(end) = self.collect(WaitOptions::empty()) {
                return end;
            }
        }
    }

    /// Asks the child to end (SIGTERM).
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the child (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The id stays the child's own until its end is collected; after that nothing is sent.
        if self.end.is_none() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    fn collect(&mut self, options: WaitOptions) -> Option<ProcessEnd> {
        if self.end.is_none() {
            self.end = match rustix::process::waitpid(Some(self.pid), options) {
                Ok(Some((_, status))) => process_end(status),
                Ok(None) | Err(Errno::INTR) => None,
                Err(errno) => {
                    panic!("waiting for child {}: {}", self.pid.as_raw_pid(), ErrnoText(errno))
                }
            };
        }
        self.end
    }
}

fn process_end(status: WaitStatus) -> Option<ProcessEnd> {
    status
        .exit_status()
        .map(ProcessEnd::Exited)
        .or_else(|| status.terminating_signal().map(ProcessEnd::Killed))
}

/// Whether a child that was left running has ended; asked until it has. One short system call.
pub fn has_ended(pid: i32) -> bool {
    let running = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
    !matches!(running, Ok(None))
}

/// Whether a process with this id runs, as far as this process may know.
pub fn is_running(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else {
        return false;
    };
    !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH))
}

/// This process's own id.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

#[cfg(test)]
mod tests {
    use super::super::clock::sleep_us;
    use super::super::program::exit_with;
    use super::{Forked, ProcessEnd, fork, has_ended, is_running, own_pid};

    #[test]
    fn the_parent_learns_how_its_child_ended() {
        let Forked::Parent(mut child) = fork().unwrap() else { exit_with(7) };
        assert!(is_running(child.pid()));
        assert_eq!(child.wait(), ProcessEnd::Exited(7));
        assert_eq!(child.end(), Some(ProcessEnd::Exited(7)));
        assert!(!is_running(child.pid()));
        assert!(is_running(own_pid()));
    }

    #[test]
    fn a_child_that_runs_has_no_end_until_it_is_killed() {
        let Forked::Parent(mut child) = fork().unwrap() else {
            loop {
                sleep_us(1_000_000);
            }
        };
        assert_eq!(child.end(), None);
        assert!(!has_ended(child.pid()));
        child.kill();
        while !has_ended(child.pid()) {}
        assert!(has_ended(child.pid()));
    }

    #[test]
    fn a_child_dies_with_its_parent() {
        // A middle process makes the child under test and ends at once; the pipe's end of file
        // says when the child is gone, too.
        let (reader, writer) = std::io::pipe().unwrap();
        let Forked::Parent(mut middle) = fork().unwrap() else {
            let Ok(Forked::Child(parent)) = fork() else {
                sleep_us(10_000);
                exit_with(0)
            };
            let _ = parent.die_with();
            while parent.is_alive() {
                sleep_us(1000);
            }
            // Reached only if the kernel did not kill this process: hold the pipe open.
            loop {
                sleep_us(1_000_000);
            }
        };
        drop(writer);
        assert_eq!(middle.wait(), ProcessEnd::Exited(0));
        assert_eq!(std::io::read_to_string(reader).unwrap(), "");
    }
}
