//! Running another program, such as the host's `xl`, and reading what it says.

use super::clock::{monotonic_us, sleep_us};
use super::errno::ErrnoText;
use super::file::is_accessible;
use super::process::{Child, ForkError, Forked, ProcessEnd, fork};
use super::program::{environment, environment_variable, exit_with};
use super::syscall::{SYSCALL_EXECVE, syscall};
use super::{affinity, signals};
use crate::text::{FixedText, valid_beginning};
use core::fmt;
use core::ptr;
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

/// Arguments of a program, its own name included.
pub const ARGUMENT_COUNT_MAX: usize = 16;

/// Bytes of all arguments with their terminating zeros.
pub const ARGUMENT_SIZE_MAX: usize = 4096;

/// Microseconds in which a program that was killed is gone, unless it cannot be killed.
const KILLING_US_MAX: u64 = 500_000;
/// Microseconds between two looks whether it is.
const KILLING_REST_US: u64 = 1_000;

/// Where programs are looked for when the environment names no PATH.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// The exit status of a child whose `execve` failed, as shells use it.
const EXIT_STATUS_NOT_EXECUTED: i32 = 127;

/// A program could not be run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No directory of PATH has an executable file of that name.
    NotFound,
    /// More or longer arguments than [`ARGUMENT_COUNT_MAX`] and [`ARGUMENT_SIZE_MAX`] allow, or a
    /// zero byte in one.
    Arguments,
    /// No process could be made for it.
    Fork(ForkError),
    /// The kernel refused a step.
    System(Errno),
    /// It ran longer than it was given, and was killed.
    TimedOut,
    /// The same, and the kernel has not let it end: it waits for a device. This is its pid, for
    /// [`has_ended`](super::process::has_ended).
    Unended(i32),
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => formatter.write_str("there is no such executable file: install it"),
            Self::Arguments => formatter.write_str("its arguments are too long"),
            Self::Fork(error) => error.fmt(formatter),
            Self::System(errno) => ErrnoText(*errno).fmt(formatter),
            Self::TimedOut | Self::Unended(_) => {
                formatter.write_str("it did not end in time and was killed")
            }
        }
    }
}

impl core::error::Error for CommandError {}

/// A program found on this host.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    path: FixedText<128>,
}

impl Program {
    /// Looks for an executable file called `name` in PATH.
    ///
    /// # Errors
    /// [`CommandError::NotFound`].
    pub fn find(name: &str) -> Result<Self, CommandError> {
        let path = environment_variable("PATH")
            .and_then(|path| core::str::from_utf8(path).ok())
            .unwrap_or(PATH_DEFAULT);
        path.split(':')
            .map(|directory| FixedText::format(format_args!("{directory}/{name}")))
            .find(|path| {
                is_accessible(path.as_str(), Access::EXEC_OK) && path.as_str().ends_with(name)
            })
            .map(|path| Self { path })
            .ok_or(CommandError::NotFound)
    }

    /// The program at this path.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when there is no executable file.
    pub fn at(path: &str) -> Result<Self, CommandError> {
        let kept = FixedText::new(path);
        let is_there = kept.as_str() == path && is_accessible(path, Access::EXEC_OK);
        if is_there { Ok(Self { path: kept }) } else { Err(CommandError::NotFound) }
    }

    /// Where it was found.
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// Runs the program with this process's environment and an empty standard input, and waits for
    /// its end. `output` receives what it wrote to stdout and stderr, in order; what is beyond the
    /// buffer is read and dropped. Processes that the program leaves behind are not waited for.
    ///
    /// # Errors
    /// If it could not be started, or not be ended within `timeout_ms`. That it failed by itself is
    /// not an error here: look at [`CommandOutput::end`].
    pub fn run<'output>(
        &self,
        arguments: &[&str],
        output: &'output mut [u8],
        timeout_ms: u32,
    ) -> Result<CommandOutput<'output>, CommandError> {
        let image = Image::new(self.path(), arguments)?;
        let (reader, writer) = pipe()?;
        let mut child = match fork().map_err(CommandError::Fork)? {
            Forked::Parent(child) => child,
            Forked::Child(_) => become_program(&image, &writer),
        };
        drop(writer);
        let mut collected = Collected { bytes: output, size: 0 };
        let deadline_us = monotonic_us() + u64::from(timeout_ms) * 1000;
        let outcome = wait_for_end(&mut child, &reader, &mut collected, deadline_us);
        let end = match outcome {
            Ok(end) => end,
            Err(error) if is_ended_by_killing(&mut child) => return Err(error),
            Err(_) => return Err(CommandError::Unended(child.pid())),
        };
        let Collected { bytes, size } = collected;
        Ok(CommandOutput { end, bytes: &bytes[..size] })
    }
}

/// Kills a program and says whether it is gone. What waits for a device goes when that answers, and is not
/// waited for.
fn is_ended_by_killing(child: &mut Child) -> bool {
    child.kill();
    let until_us = monotonic_us() + KILLING_US_MAX;
    loop {
        if child.end().is_some() {
            return true;
        }
        if monotonic_us() > until_us {
            return false;
        }
        sleep_us(KILLING_REST_US);
    }
}

/// What became of a program that ended.
#[derive(Clone, Copy, Debug)]
pub struct CommandOutput<'output> {
    /// How it ended; exit status 127 may also mean that it could not be executed.
    pub end: ProcessEnd,
    /// What it wrote.
    pub bytes: &'output [u8],
}

impl CommandOutput<'_> {
    /// Whether it ended with exit status 0.
    pub fn succeeded(&self) -> bool {
        self.end == ProcessEnd::Exited(0)
    }

    /// The last line it wrote that is not empty: the one that says why it failed, as a rule.
    pub fn last_line(&self) -> &str {
        let mut lines = self.bytes.rsplit(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        match lines.find(|line| !line.is_empty()) {
            Some(line) => valid_beginning(line),
            None => "it said nothing",
        }
    }
}

/// The arguments as `execve` wants them. Made before the fork, so the child only makes calls.
struct Image {
    bytes: Vec<u8, ARGUMENT_SIZE_MAX>,
    offsets: Vec<usize, ARGUMENT_COUNT_MAX>,
}

impl Image {
    fn new(path: &str, arguments: &[&str]) -> Result<Self, CommandError> {
        let mut image = Self { bytes: Vec::new(), offsets: Vec::new() };
        for argument in core::iter::once(&path).chain(arguments) {
            if argument.as_bytes().contains(&0) {
                return Err(CommandError::Arguments);
            }
            let offset = image.bytes.len();
            image.offsets.push(offset).map_err(|_| CommandError::Arguments)?;
            image
                .bytes
                .extend_from_slice(argument.as_bytes())
                .map_err(|_| CommandError::Arguments)?;
            image.bytes.push(0).map_err(|_| CommandError::Arguments)?;
        }
        Ok(image)
    }

    /// Replaces this process by the program; returns only if the kernel refuses.
    fn execute(&self) {
        let mut pointers = [ptr::null::<u8>(); ARGUMENT_COUNT_MAX + 1];
        for (pointer, offset) in pointers.iter_mut().zip(&self.offsets) {
            *pointer = self.bytes[*offset..].as_ptr();
        }
        let environment_empty = [ptr::null()];
        let environment = match environment() {
            inherited if inherited.is_null() => environment_empty.as_ptr(),
            inherited => inherited,
        };
        let arguments = [
            pointers[0].expose_provenance(),
            pointers.as_ptr().expose_provenance(),
            environment.expose_provenance(),
            0,
            0,
            0,
        ];
        // SAFETY: the path and the arguments are zero-terminated, both arrays end with a null
        // pointer, and all of them live until the kernel has replaced or refused the process.
        let _ = unsafe { syscall(SYSCALL_EXECVE, arguments) };
    }
}

fn become_program(image: &Image, writer: &OwnedFd) -> ! {
    signals::reset();
    affinity::unpin();
    let null =
        rustix::fs::open(c"/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
    if let Ok(null) = null {
        let _ = rustix::stdio::dup2_stdin(&null);
    }
    if rustix::stdio::dup2_stdout(writer).is_ok() && rustix::stdio::dup2_stderr(writer).is_ok() {
        image.execute();
    }
    exit_with(EXIT_STATUS_NOT_EXECUTED)
}

/// The end that is read here does not block; the end that the program writes does, as programs
/// expect.
fn pipe() -> Result<(OwnedFd, OwnedFd), CommandError> {
    use rustix::pipe::{PipeFlags, pipe_with};
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(CommandError::System)?;
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).map_err(CommandError::System)?;
    Ok((reader, writer))
}

struct Collected<'output> {
    bytes: &'output mut [u8],
    size: usize,
}

impl Collected<'_> {
    /// Takes what is in the pipe now; false once its writers are gone.
    fn take(&mut self, reader: &OwnedFd) -> Result<bool, CommandError> {
        loop {
            let mut dropped = [0; 512];
            let room = &mut self.bytes[self.size..];
            let is_room = !room.is_empty();
            match rustix::io::read(reader, if is_room { room } else { &mut dropped }) {
                Ok(0) => return Ok(false),
                Ok(count) if is_room => self.size += count,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(true),
                Err(errno) => return Err(CommandError::System(errno)),
            }
        }
    }
}

fn wait_for_end(
    child: &mut Child,
    reader: &OwnedFd,
    collected: &mut Collected<'_>,
    deadline_us: u64,
) -> Result<ProcessEnd, CommandError> {
    let pid = Pid::from_raw(child.pid()).ok_or(CommandError::System(Errno::SRCH))?;
    let pidfd =
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(CommandError::System)?;
    let mut is_pipe_open = true;
    loop {
        if let Some(end) = child.end() {
            collected.take(reader)?;
            return Ok(end);
        }
        let remaining_us = deadline_us.saturating_sub(monotonic_us());
        if remaining_us == 0 {
            return Err(CommandError::TimedOut);
        }
        let mut events = [
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN),
        ];
        // A closed pipe would report its end for ever: poll it only while it has writers.
        let count = if is_pipe_open { 2 } else { 1 };
        match poll(&mut events[..count], Some(&timespec(remaining_us))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(CommandError::System(errno)),
        }
        is_pipe_open = is_pipe_open && collected.take(reader)?;
    }
}

fn timespec(duration_us: u64) -> Timespec {
    Timespec {
        tv_sec: (duration_us / 1_000_000).cast_signed(),
        tv_nsec: (duration_us % 1_000_000 * 1000).cast_signed(),
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
