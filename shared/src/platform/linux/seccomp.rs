//! The system calls that are left to the network half: what a hostile frame might make of it can
//! ask the kernel for nothing else.
//!
//! The kernel runs a program of ours (classic BPF) before each call, with the call's number and
//! arguments, and ends the process unless the program allows the call. From Linux 5.11 on it
//! remembers the calls that are allowed whatever their arguments, and does not run it for those.

use super::privileges::DropError;
use super::syscall::{
    SYSCALL_CLOCK_GETTIME, SYSCALL_CLOSE, SYSCALL_EXIT_GROUP, SYSCALL_GETPPID, SYSCALL_GETRUSAGE,
    SYSCALL_MADVISE, SYSCALL_PPOLL, SYSCALL_RECVMMSG, SYSCALL_RT_SIGRETURN, SYSCALL_SCHED_YIELD,
    SYSCALL_SECCOMP, SYSCALL_SENDMMSG, SYSCALL_WRITE, syscall,
};
use rustix::io::Errno;

/// Allowed with any arguments: what is called most comes first. A process without a way to new
/// descriptors has those of its sockets and the standard streams.
const ALLOWED: [usize; 10] = [
    // Every turn.
    SYSCALL_RECVMMSG,
    SYSCALL_SENDMMSG,
    // Made by the vdso where it cannot read the clock itself, as on some clocks of a Xen host.
    SYSCALL_CLOCK_GETTIME,
    // Between turns in which nothing came.
    SYSCALL_SCHED_YIELD,
    SYSCALL_PPOLL,
    // Every 10 ms: is the other half alive, and what was used.
    SYSCALL_GETPPID,
    SYSCALL_GETRUSAGE,
    // The end of a signal's handler.
    SYSCALL_RT_SIGRETURN,
    // The end: both sockets, and the process.
    SYSCALL_CLOSE,
    SYSCALL_EXIT_GROUP,
];

/// Allowed if one argument has this value: the call, the argument's number, the value. Both of
/// these are an `int`, so the kernel looks at no other bits than are compared.
const ALLOWED_IF: [(usize, u32, u32); 2] = [
    // The backup's ring grows: pages that commit has taken are mapped here, too.
    (SYSCALL_MADVISE, 2, MADV_POPULATE_WRITE),
    // Log lines.
    (SYSCALL_WRITE, 0, STDERR),
];

/// include/uapi/asm-generic/mman-common.h, since Linux 5.14. An older kernel refuses it.
const MADV_POPULATE_WRITE: u32 = 23;
const STDERR: u32 = 2;

/// `EM_X86_64`, 64 bits, little-endian (include/uapi/linux/audit.h). A 32-bit call has other numbers
/// and another architecture.
const AUDIT_ARCH_X86_64: u32 = 0xC000_003E;

// include/uapi/linux/seccomp.h; the call is of Linux 3.17, ending the process of 4.14.
const SECCOMP_SET_MODE_FILTER: usize = 1;
const SECCOMP_RET_KILL_PROCESS: u32 = 0x8000_0000;
const SECCOMP_RET_ALLOW: u32 = 0x7FFF_0000;
/// Since Linux 4.17. Without it, kernels before 5.16 have the processor no longer load what was just
/// stored until the addresses are known, which costs every copy and protects programs that run
/// foreign code within themselves; later ones leave it alone anyway.
const SECCOMP_FILTER_FLAG_SPEC_ALLOW: usize = 1 << 2;

// What the program reads: offsets in `struct seccomp_data` (include/uapi/linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// Of the low half of the first of six arguments of eight bytes.
const ARGUMENTS: u32 = 16;

/// `struct sock_filter` (include/uapi/linux/filter.h). A jump says how many of the instructions that
/// follow it are left out.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    skip_if_equal: u8,
    skip_otherwise: u8,
    operand: u32,
}

/// `struct sock_fprog` (include/uapi/linux/filter.h).
#[repr(C)]
struct Program {
    length: u16,
    first: *const Instruction,
}

/// Instructions: three about the architecture, the calls, and the two verdicts.
const LENGTH: usize = 3 + ALLOWED.len() + 3 * ALLOWED_IF.len() + 2;
/// Where the verdicts are.
const KILL: usize = LENGTH - 2;
const ALLOW: usize = LENGTH - 1;

static PROGRAM: [Instruction; LENGTH] = program();

/// Calls of the x32 ABI have the architecture of x86-64 and bit 30 in their number, so none of them is
/// on the list.
const fn program() -> [Instruction; LENGTH] {
    let mut program = [verdict(SECCOMP_RET_KILL_PROCESS); LENGTH];
    program[0] = load(ARCHITECTURE);
    program[1] = compare(1, AUDIT_ARCH_X86_64, 2, KILL);
    program[2] = load(NUMBER);
    let mut at = 3;
    let mut index = 0;
    while index < ALLOWED.len() {
        program[at] = compare(at, low_half(ALLOWED[index]), ALLOW, at + 1);
        at += 1;
        index += 1;
    }
    index = 0;
    while index < ALLOWED_IF.len() {
        let (call, argument, value) = ALLOWED_IF[index];
        program[at] = compare(at, low_half(call), at + 1, at + 3);
        program[at + 1] = load(ARGUMENTS + 8 * argument);
        program[at + 2] = compare(at + 2, value, ALLOW, KILL);
        at += 3;
        index += 1;
    }
    assert!(at == KILL);
    program[ALLOW] = verdict(SECCOMP_RET_ALLOW);
    program
}

/// Loads the 32-bit word at this offset: BPF_LD | BPF_W | BPF_ABS (include/uapi/linux/bpf_common.h).
const fn load(offset: u32) -> Instruction {
    Instruction { code: 0x20, skip_if_equal: 0, skip_otherwise: 0, operand: offset }
}

/// From `at` goes on elsewhere by whether what was loaded is `value`: BPF_JMP | BPF_JEQ | BPF_K.
const fn compare(at: usize, value: u32, if_equal: usize, otherwise: usize) -> Instruction {
    let [skip_if_equal, skip_otherwise] = [if_equal - at - 1, otherwise - at - 1];
    assert!(skip_if_equal < 256 && skip_otherwise < 256);
    Instruction {
        code: 0x15,
        skip_if_equal: skip_if_equal.to_le_bytes()[0],
        skip_otherwise: skip_otherwise.to_le_bytes()[0],
        operand: value,
    }
}

/// Ends the program: BPF_RET | BPF_K.
const fn verdict(operand: u32) -> Instruction {
    Instruction { code: 0x06, skip_if_equal: 0, skip_otherwise: 0, operand }
}

const fn low_half(number: usize) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Leaves the process the calls of a link half that takes turns, for good; any other call ends it
/// with SIGSYS, without a handler. Needs `no_new_privs`, as after
/// [`drop_privileges`](super::privileges::drop_privileges). False if this kernel has no filters: all
/// calls are left then.
///
/// # Errors
/// If a kernel that has filters refuses this one.
pub fn leave_only_link_calls() -> Result<bool, DropError> {
    let length = u16::try_from(LENGTH).expect("a few instructions");
    let program = Program { length, first: PROGRAM.as_ptr() };
    let arguments = [
        SECCOMP_SET_MODE_FILTER,
        SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        (&raw const program).expose_provenance(),
        0,
        0,
        0,
    ];
    // SAFETY: the kernel copies a program of `length` instructions, which lives forever.
    match unsafe { syscall(SYSCALL_SECCOMP, arguments) } {
        Ok(_) => Ok(true),
        // Without CONFIG_SECCOMP the call is missing, without CONFIG_SECCOMP_FILTER the operation.
        Err(Errno::NOSYS | Errno::INVAL) => Ok(false),
        Err(errno) => Err(DropError { step: "system calls", errno }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::sleep_us;
    use super::super::memory::SharedMemory;
    use super::super::process::{Child, Forked, ProcessEnd, fork};
    use super::super::program::exit_with;
    use super::super::signals;
    use super::*;
    use crate::limits::PAGE_SIZE;
    use core::arch::asm;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fd::{AsRawFd, OwnedFd};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use rustix::process::{Pid, Signal, kill_process};
    use rustix::thread::set_no_new_privs;

    const SIGSYS: i32 = 31;
    const SIGSEGV: i32 = 11;

    /// A child that has only a link half's calls left and runs `body`, which makes system calls and
    /// nothing else. None where the kernel has no filters.
    fn confined(body: impl FnOnce() -> i32) -> Option<Child> {
        match fork().unwrap() {
            Forked::Parent(child) => Some(child).filter(|_| has_filters()),
            Forked::Child(_) => match (set_no_new_privs(true), leave_only_link_calls()) {
                (Ok(()), Ok(true)) => exit_with(body()),
                _ => exit_with(99),
            },
        }
    }

    fn has_filters() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let has = status.contains("Seccomp_filters:");
        if !has {
            println!("skipped: this kernel has no seccomp filters");
        }
        has
    }

    fn end_of_call(number: usize, arguments: [usize; 6]) -> Option<ProcessEnd> {
        // SAFETY: the arguments are zero or numbers: at worst the kernel refuses them.
        let child = confined(|| i32::from(unsafe { syscall(number, arguments) }.is_err()));
        child.map(|mut child| child.wait())
    }

    #[test]
    fn a_call_that_is_not_listed_ends_the_process() {
        // read, mmap, mprotect, ioctl, pipe, socket, connect, sendto, bind, setsockopt, clone, fork,
        // execve, kill, fcntl, ptrace, setuid, prctl, openat, process_vm_readv, seccomp, bpf,
        // execveat, io_uring_setup, pidfd_open, clone3, and one that does not exist.
        let unlisted = [
            0, 9, 10, 16, 22, 41, 42, 44, 49, 54, 56, 57, 59, 62, 72, 101, 105, 157, 257, 310, 317,
            321, 322, 425, 434, 435, 4000,
        ];
        // Listed numbers in the x32 ABI.
        let x32 = [SYSCALL_GETPPID | 1 << 30, SYSCALL_SCHED_YIELD | 1 << 30];
        for number in unlisted.into_iter().chain(x32) {
            let Some(end) = end_of_call(number, [0; 6]) else { return };
            assert_eq!(end, ProcessEnd::Killed(SIGSYS), "{number}");
        }
    }

    #[test]
    fn a_32_bit_call_with_a_listed_number_ends_the_process() {
        let child = confined(|| {
            // 24 is sched_yield on x86-64, getuid on i386.
            // SAFETY: it takes no arguments; all registers but rax, r8 to r11 are kept.
            unsafe {
                asm!(
                    "int 0x80",
                    inlateout("eax") 24 => _,
                    out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                    options(nostack),
                );
            }
            0
        });
        let Some(mut child) = child else { return };
        // A kernel without the 32-bit ABI takes the instruction for a crash.
        assert!(matches!(child.wait(), ProcessEnd::Killed(SIGSYS | SIGSEGV)));
    }

    #[test]
    fn only_the_arguments_that_are_needed_are_allowed() {
        let killed = ProcessEnd::Killed(SIGSYS);
        // Of madvise: MADV_DONTNEED, MADV_REMOVE, MADV_HWPOISON.
        for (number, arguments, expected) in [
            (SYSCALL_WRITE, [1, 0, 0, 0, 0, 0], killed),
            (SYSCALL_MADVISE, [0, 0, 4, 0, 0, 0], killed),
            (SYSCALL_MADVISE, [0, 0, 9, 0, 0, 0], killed),
            (SYSCALL_MADVISE, [0, 0, 100, 0, 0, 0], killed),
            (SYSCALL_WRITE, [2, 0, 0, 0, 0, 0], ProcessEnd::Exited(0)),
            // What is above an int is nothing to the kernel.
            (SYSCALL_WRITE, [1 << 32 | 2, 0, 0, 0, 0, 0], ProcessEnd::Exited(0)),
        ] {
            let Some(end) = end_of_call(number, arguments) else { return };
            assert_eq!(end, expected, "{number} {arguments:?}");
        }
    }

    /// Makes the listed calls that a link half makes while it runs, on a socket and one page of
    /// memory; how many failed.
    fn make_listed_calls(socket: &OwnedFd, page: *mut u8) -> usize {
        const MONOTONIC: usize = 1;
        let fd = socket.as_raw_fd().cast_unsigned() as usize;
        let mut now = [0_u64; 2];
        let mut usage = [0_u64; 18];
        let page = page.expose_provenance();
        let calls = [
            (SYSCALL_SENDMMSG, [fd, 0, 0, 0x40, 0, 0]),
            (SYSCALL_RECVMMSG, [fd, 0, 0, 0x40, 0, 0]),
            // By hand, since the vdso may well be able to read it here.
            (SYSCALL_CLOCK_GETTIME, [MONOTONIC, (&raw mut now).expose_provenance(), 0, 0, 0, 0]),
            (SYSCALL_SCHED_YIELD, [0; 6]),
            (SYSCALL_GETPPID, [0; 6]),
            (SYSCALL_GETRUSAGE, [0, (&raw mut usage).expose_provenance(), 0, 0, 0, 0]),
            (SYSCALL_MADVISE, [page, 4096, MADV_POPULATE_WRITE as usize, 0, 0, 0]),
            (SYSCALL_WRITE, [STDERR as usize, 0, 0, 0, 0, 0]),
        ];
        let failed = |&&(number, arguments): &&(usize, [usize; 6])| {
            // SAFETY: no messages, no bytes; one `struct timespec`, one `struct rusage`, and a page that
            // the caller has mapped.
            let answer = unsafe { syscall(number, arguments) };
            // A kernel before 5.14 knows no such advice.
            answer.is_err_and(|errno| (number, errno) != (SYSCALL_MADVISE, Errno::INVAL))
        };
        calls.iter().filter(failed).count()
    }

    #[test]
    fn a_link_half_can_do_its_work_be_stopped_continued_and_asked_to_end() {
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
        let (socket, _peer) = pair.unwrap();
        let memory = SharedMemory::map(PAGE_SIZE).unwrap();
        let page = memory.page(0).as_ptr().cast_mut();
        let (ready, tell) = rustix::pipe::pipe().unwrap();
        let Forked::Parent(mut child) = fork().unwrap() else {
            signals::install();
            let prepared =
                rustix::stdio::dup2_stderr(&tell).is_ok() && set_no_new_privs(true).is_ok();
            if !prepared || leave_only_link_calls().is_err() {
                exit_with(99);
            }
            crate::log!("{}", make_listed_calls(&socket, page));
            while !signals::stop_requested() {
                let timeout = Timespec { tv_sec: 60, tv_nsec: 0 };
                let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout));
            }
            drop(socket);
            exit_with(0)
        };
        let mut line = [0; 8];
        let size = rustix::io::read(&ready, &mut line).unwrap();
        assert_eq!(&line[..size], b"0\n", "so many calls failed");
        let pid = Pid::from_raw(child.pid()).unwrap();
        // A poll that is interrupted so goes on by itself.
        for signal in [Signal::STOP, Signal::CONT] {
            sleep_us(20_000);
            kill_process(pid, signal).unwrap();
        }
        // The child may be a moment before its poll: ask until it has noticed.
        while child.end().is_none() {
            child.ask_to_end();
            sleep_us(1000);
        }
        assert_eq!(child.wait(), ProcessEnd::Exited(0));
    }
}
