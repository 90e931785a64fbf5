//! The system call instruction, for the calls that rustix does not offer, and the numbers of these
//! and of those that the network half keeps.
//!
//! Everything here passes numbers to the kernel and hands its number back; each caller says why
//! the numbers are right. Numbers are those of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).

use core::arch::asm;
use rustix::io::Errno;

/// `write(2)`.
pub const SYSCALL_WRITE: usize = 1;
/// `close(2)`.
pub const SYSCALL_CLOSE: usize = 3;
/// `rt_sigaction(2)`.
pub const SYSCALL_RT_SIGACTION: usize = 13;
/// `rt_sigreturn(2)`.
pub const SYSCALL_RT_SIGRETURN: usize = 15;
/// `sched_yield(2)`.
pub const SYSCALL_SCHED_YIELD: usize = 24;
/// `madvise(2)`.
pub const SYSCALL_MADVISE: usize = 28;
/// `setsockopt(2)`.
pub const SYSCALL_SETSOCKOPT: usize = 54;
/// `getsockopt(2)`.
pub const SYSCALL_GETSOCKOPT: usize = 55;
/// `fork(2)`.
pub const SYSCALL_FORK: usize = 57;
/// `execve(2)`.
pub const SYSCALL_EXECVE: usize = 59;
/// `getrusage(2)`.
pub const SYSCALL_GETRUSAGE: usize = 98;
/// `getppid(2)`.
pub const SYSCALL_GETPPID: usize = 110;
/// `sched_setscheduler(2)`.
pub const SYSCALL_SCHED_SETSCHEDULER: usize = 144;
/// `clock_gettime(2)`.
pub const SYSCALL_CLOCK_GETTIME: usize = 228;
/// `exit_group(2)`.
pub const SYSCALL_EXIT_GROUP: usize = 231;
/// `ppoll(2)`.
pub const SYSCALL_PPOLL: usize = 271;
/// `recvmmsg(2)`.
pub const SYSCALL_RECVMMSG: usize = 299;
/// `sendmmsg(2)`.
pub const SYSCALL_SENDMMSG: usize = 307;
/// `seccomp(2)`, since Linux 3.17.
pub const SYSCALL_SECCOMP: usize = 317;
/// `close_range(2)`, since Linux 5.9.
pub const SYSCALL_CLOSE_RANGE: usize = 436;

/// Makes a system call with up to six arguments; unused ones are zero.
///
/// # Errors
/// The kernel's error number.
///
/// # Safety
/// The arguments must be what the named call expects, and every pointer among them valid for what
/// the kernel does with it.
#[inline]
pub unsafe fn syscall(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [rdi, rsi, rdx, r10, r8, r9] = arguments;
    let answer: isize;
    // SAFETY: the caller vouches for number and arguments; the kernel keeps all registers but
    // rax, rcx and r11, and does not touch the stack below the red zone.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number.cast_signed() => answer,
            in("rdi") rdi,
            in("rsi") rsi,
            in("rdx") rdx,
            in("r10") r10,
            in("r8") r8,
            in("r9") r9,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match answer {
        // The kernel answers errors as -4095..=-1.
        -4095..=-1 => Err(errno_of(answer)),
        _ => Ok(answer.cast_unsigned()),
    }
}

fn errno_of(answer: isize) -> Errno {
    let number = i32::try_from(-answer).unwrap_or(i32::MAX);
    Errno::from_raw_os_error(number)
}
