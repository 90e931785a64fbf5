//! What a program without libc brings itself: its entry, its panic handler, its end.
//!
//! [`crate::linux_program!`] is written once, in a program's `main.rs`. It expands there and not
//! in this library, so that tests, which have a C library, are linked as usual.

use super::syscall::{SYSCALL_EXIT_GROUP, syscall};
pub use crate::platform::ending::ExitStatus;
use crate::platform::ending::report_panic;
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use spin::Once;

/// The arguments that the kernel put on a new program's stack.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    first: *const *const c_char,
    count: usize,
}

impl Arguments {
    /// The arguments in order, the program's own name first.
    pub fn iter(self) -> impl Iterator<Item = &'static [u8]> {
        (0..self.count).map(move |index| {
            // SAFETY: `first` points at `count` pointers, which live as long as the process.
            let argument = unsafe { *self.first.wrapping_add(index) };
            // SAFETY: each is a zero-terminated string on the initial stack, never written again.
            unsafe { CStr::from_ptr(argument) }.to_bytes()
        })
    }
}

/// Arguments as text, without the program's own name.
///
/// # Errors
/// The place of the first argument that is not UTF-8, counted from 1.
pub fn text_arguments(arguments: Arguments) -> Result<impl Iterator<Item = &'static str>, usize> {
    let texts = || arguments.iter().skip(1).map(core::str::from_utf8);
    match texts().position(|text| text.is_err()) {
        Some(index) => Err(index + 1),
        None => Ok(texts().map_while(Result::ok)),
    }
}

static ENVIRONMENT: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());

/// The environment as `execve` wants it: zero-terminated strings, then a null pointer. Null if
/// this process was not started by [`start`].
pub(super) fn environment() -> *const *const c_char {
    ENVIRONMENT.load(Ordering::Relaxed)
}

/// The value of an environment variable, if this process was started by [`start`] and has it.
pub fn environment_variable(name: &str) -> Option<&'static [u8]> {
    let mut next = environment();
    if next.is_null() {
        return None;
    }
    loop {
        // SAFETY: the array has not ended before `next`.
        let entry = unsafe { *next };
        if entry.is_null() {
            return None;
        }
        // SAFETY: each entry is a zero-terminated string that lives as long as the process.
        let entry = unsafe { CStr::from_ptr(entry) }.to_bytes();
        let value = entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if value.is_some() {
            return value;
        }
        next = next.wrapping_add(1);
    }
}

/// Runs a program on the stack the kernel gave it. Called by the entry that
/// [`crate::linux_program!`] makes, and by nothing else.
///
/// # Safety
/// `stack` is the initial stack pointer: the count of arguments, the arguments, a null pointer,
/// the environment, a null pointer (System V ABI, AMD64 supplement, 3.4.1).
pub unsafe fn start(stack: *const usize, main: fn(Arguments) -> ExitStatus) -> ! {
    // SAFETY: the first word of the initial stack is the count of arguments.
    let count = unsafe { *stack };
    let first = stack.wrapping_add(1).cast::<*const c_char>();
    ENVIRONMENT.store(first.wrapping_add(count + 1).cast_mut(), Ordering::Relaxed);
    exit(main(Arguments { first, count }))
}

/// Ends this process, with all its threads.
pub fn exit(status: ExitStatus) -> ! {
    exit_with(status as i32)
}

/// Ends this process with a status of the caller's choice.
pub(super) fn exit_with(status: i32) -> ! {
    loop {
        // SAFETY: exit_group takes a number and does not return.
        let _ = unsafe {
            syscall(SYSCALL_EXIT_GROUP, [status.cast_unsigned() as usize, 0, 0, 0, 0, 0])
        };
    }
}

static PANIC_HOOK: Once<fn()> = Once::new();
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Names what must still be done if this process panics or crashes: the privileged half resumes
/// its guest. The first hook that is named stays. It runs at most once, and may be running on a
/// signal's stack frame, so it only makes system calls.
pub fn set_panic_hook(hook: fn()) {
    PANIC_HOOK.call_once(|| hook);
}

/// Runs the panic hook, if there is one and it did not run before.
pub(super) fn run_panic_hook() {
    if PANICKING.swap(true, Ordering::AcqRel) {
        return;
    }
    if let Some(hook) = PANIC_HOOK.get() {
        hook();
    }
}

/// Ends the process after a panic: the hook first, then one line on stderr, exit status 1.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    run_panic_hook();
    report_panic(info);
    exit(ExitStatus::Failed)
}

/// Makes a `#![no_std] #![no_main]` binary a Linux program: `linux_program!(main)`, with
/// `fn main(arguments: Arguments) -> ExitStatus`.
///
/// Brings the entry point, the panic handler and [`crate::memory_functions!`]. The build script must
/// pass `-nostartfiles`.
#[macro_export]
macro_rules! linux_program {
    ($main:path) => {
        /// The entry: the kernel starts here, with the stack pointer at the arguments.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            core::arch::naked_asm!(
                "xor ebp, ebp",
                "mov rdi, rsp",
                "and rsp, -16",
                "call {start}",
                "ud2",
                start = sym start_on_stack,
            )
        }

        extern "C" fn start_on_stack(stack: *const usize) -> ! {
            // SAFETY: only `_start` calls this, with the initial stack pointer.
            unsafe { $crate::platform::linux::program::start(stack, $main) }
        }

        #[panic_handler]
        fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::platform::linux::program::panicked(info)
        }

        $crate::memory_functions!();
    };
}
