//! Signals: requests to end, or to read the key file again, become flags; crashes run the panic hook.
//!
//! A request to end does not restart system calls, so a sleeping or polling loop comes back and sees the
//! flag at once. The key has time: nothing is interrupted for it.

use super::errno::ErrnoText;
use super::program::{ExitStatus, exit, run_panic_hook};
use super::syscall::{SYSCALL_RT_SIGACTION, SYSCALL_RT_SIGRETURN, syscall};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

/// Linux's signal numbers on x86-64 (include/uapi/asm-generic/signal.h).
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGILL: i32 = 4;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGUSR1: i32 = 10;
const SIGSEGV: i32 = 11;
const SIGUSR2: i32 = 12;
const SIGPIPE: i32 = 13;
const SIGTERM: i32 = 15;

const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

/// Since the kernel saves no return path of its own on x86-64.
const SA_RESTORER: usize = 0x0400_0000;
/// An interrupted system call begins again, where the kernel can do that.
const SA_RESTART: usize = 0x1000_0000;
/// Back to the default action once the handler runs: a crash inside it ends the process.
const SA_RESETHAND: usize = 0x8000_0000;

/// `struct sigaction` of the kernel (arch/x86/include/uapi/asm/signal.h): 32 bytes on x86-64.
#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Bytes of the kernel's signal set, which rt_sigaction asks to be told.
const SIGNAL_SET_SIZE: usize = 8;

static STOP_SIGNAL: AtomicI32 = AtomicI32::new(0);
static HAND_OVER: AtomicBool = AtomicBool::new(false);
static KEY_REQUEST: AtomicBool = AtomicBool::new(false);

/// Turns SIGINT, SIGTERM and SIGHUP into [`stop_requested`] and SIGUSR2 into [`take_key_request`],
/// ignores SIGPIPE (writes then fail with `PIPE`), and makes a crash run the panic hook before the process ends. Children made by
/// `fork` inherit all of this.
pub fn install() {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        set_action(signal, on_stop as *const () as usize, SA_RESTORER);
    }
    for signal in [SIGILL, SIGBUS, SIGFPE, SIGSEGV] {
        set_action(signal, on_crash as *const () as usize, SA_RESTORER | SA_RESETHAND);
    }
    set_action(SIGUSR2, on_key_request as *const () as usize, SA_RESTORER | SA_RESTART);
    set_action(SIGPIPE, SIG_IGN, SA_RESTORER);
}

/// Whether the process was asked to end, by a signal or by [`request_stop`].
pub fn stop_requested() -> bool {
    STOP_SIGNAL.load(Ordering::Relaxed) != 0
}

/// Has SIGUSR1 heard by [`take_hand_over`] from now on; it would end the process otherwise.
pub fn install_hand_over() {
    set_action(SIGUSR1, on_hand_over as *const () as usize, SA_RESTORER);
}

/// Sends SIGUSR1 to the process `pid`.
///
/// # Errors
/// What the kernel says.
pub fn ask_hand_over(pid: i32) -> Result<(), Errno> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    rustix::process::kill_process(pid, Signal::USR1)
}

/// Whether SIGUSR1 has come since the last call.
pub fn take_hand_over() -> bool {
    HAND_OVER.swap(false, Ordering::Relaxed)
}

/// Whether the operator wants the key file to be read again; true once for each request.
pub fn take_key_request() -> bool {
    // Asked in every turn: only a request costs a write.
    KEY_REQUEST.load(Ordering::Relaxed) && KEY_REQUEST.swap(false, Ordering::Relaxed)
}

/// Asks this process to end, as SIGTERM would.
pub fn request_stop() {
    STOP_SIGNAL.store(SIGTERM, Ordering::Relaxed);
}

/// Gives every signal changed by [`install`] its default action back, for a program that is
/// about to be executed: ignored signals would stay ignored there.
pub(super) fn reset() {
    set_action(SIGPIPE, SIG_DFL, SA_RESTORER);
}

extern "C" fn on_stop(signal: i32) {
    STOP_SIGNAL.store(signal, Ordering::Relaxed);
}

extern "C" fn on_hand_over(_signal: i32) {
    HAND_OVER.store(true, Ordering::Relaxed);
}

extern "C" fn on_key_request(_: i32) {
    KEY_REQUEST.store(true, Ordering::Relaxed);
}

extern "C" fn on_crash(signal: i32) {
    run_panic_hook();
    crate::log!("this is a defect of the program: it crashed with signal {signal}");
    exit(ExitStatus::Failed)
}

fn set_action(signal: i32, handler: usize, flags: usize) {
    let restorer = return_from_signal as *const () as usize;
    let action = KernelSigaction { handler, flags, restorer, mask: 0 };
    let arguments = [
        signal.cast_unsigned() as usize,
        (&raw const action).expose_provenance(),
        ptr::null::<KernelSigaction>().addr(),
        SIGNAL_SET_SIZE,
        0,
        0,
    ];
    // SAFETY: the action outlives the call, its handler and restorer have the ABI the kernel
    // expects, and the old action is not asked for.
    let answer = unsafe { syscall(SYSCALL_RT_SIGACTION, arguments) };
    if let Err(errno) = answer {
        panic!("rt_sigaction refused signal {signal}: {}", ErrnoText(errno));
    }
}

/// Where a handler returns to: back through the kernel into what was interrupted.
#[unsafe(naked)]
extern "C" fn return_from_signal() {
    core::arch::naked_asm!(
        "mov eax, {number}",
        "syscall",
        "ud2",
        number = const SYSCALL_RT_SIGRETURN,
    )
}

#[cfg(test)]
mod tests {
    use super::super::clock::sleep_us;
    use super::super::process::{Forked, ProcessEnd, fork};
    use super::super::program::{exit_with, set_panic_hook};
    use super::{install, stop_requested};

    #[test]
    fn a_request_to_end_is_seen_after_the_interrupted_sleep() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let Forked::Parent(mut child) = fork().unwrap() else {
            install();
            let _ = rustix::io::write(&writer, b".");
            while !stop_requested() {
                sleep_us(60_000_000);
            }
            exit_with(3)
        };
        assert_eq!(rustix::io::read(&reader, &mut [0]), Ok(1));
        // The child may be a moment before its sleep: ask until it has noticed.
        while child.end().is_none() {
            child.ask_to_end();
            sleep_us(1000);
        }
        assert_eq!(child.wait(), ProcessEnd::Exited(3));
    }

    #[test]
    fn a_crash_runs_the_panic_hook_and_exits() {
        let Forked::Parent(mut child) = fork().unwrap() else {
            install();
            set_panic_hook(|| exit_with(5));
            // SAFETY: it is not: reading address 16 is the crash under test.
            let byte = unsafe { core::ptr::without_provenance::<u8>(16).read_volatile() };
            exit_with(i32::from(byte))
        };
        assert_eq!(child.wait(), ProcessEnd::Exited(5));
    }
}
