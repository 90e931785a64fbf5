//! A stub domain's start, and its end.
//!
//! [`crate::stubdom_program!`] is written once, in a program's `main.rs`.

use core::arch::asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::Once;

use super::start_info::StartInfo;
use super::{clock, console, exceptions, memory, paging, ports, processor_state, shared_info};
pub use crate::platform::ending::ExitStatus;
use crate::platform::ending::report_panic;
use crate::xen::{Hypervisor, ShutdownReason};

/// What a stub domain's `main` is given.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The command line; none if it is too long or no text.
    pub command_line: Option<&'static str>,
    /// Bytes of the domain's memory.
    pub memory_size: u64,
    /// Xen, if it is there.
    pub hypervisor: Option<Hypervisor>,
}

static HYPERVISOR: Once<Hypervisor> = Once::new();
/// QEMU's port to end by, if there is one.
static DEBUG_EXIT_PORT: AtomicU32 = AtomicU32::new(NO_PORT);
const NO_PORT: u32 = u32::MAX;

/// Runs the program. Called by the entry that [`crate::stubdom_program!`] makes, and by nothing else.
///
/// # Safety
/// `start_info` is what boot.s was given in ebx.
pub unsafe fn start(start_info: u64, main: fn(Start) -> ExitStatus) -> ! {
    exceptions::report_from_now_on();
    let hypervisor = Hypervisor::find();
    // SAFETY: as the caller says; nobody has written to memory outside the image yet.
    let info = unsafe { StartInfo::read(start_info, hypervisor) };
    paging::protect();
    processor_state::switch_avx_on();
    if let Some(hypervisor) = hypervisor {
        HYPERVISOR.call_once(|| hypervisor);
        let mapped = shared_info::map(hypervisor);
        if mapped.is_ok() {
            clock::follow(hypervisor);
        }
        console::open(hypervisor);
        if let Err(error) = mapped {
            crate::log!("{error}");
            exit(ExitStatus::Failed)
        }
    }
    let Some(StartInfo { command_line, memory_size, free_memory }) = info else {
        crate::log!(
            "the domain was not started as PVH domains are: set type=\"pvh\" in its configuration"
        );
        exit(ExitStatus::Failed)
    };
    // SAFETY: it is memory of this domain outside the image, of which nothing is needed any more.
    unsafe { memory::hand_out(&free_memory) };
    exit(main(Start { command_line, memory_size, hypervisor }))
}

/// From here on the domain ends through this port, where QEMU's `isa-debug-exit` is: QEMU ends with twice
/// the status and one.
pub fn end_through(debug_exit_port: u16) {
    DEBUG_EXIT_PORT.store(debug_exit_port.into(), Ordering::Relaxed);
}

/// Ends this domain: powered off when it is done, crashed otherwise, so that its configuration's on_poweroff
/// and on_crash tell the two apart.
pub fn exit(status: ExitStatus) -> ! {
    console::drain();
    if let Ok(port) = u16::try_from(DEBUG_EXIT_PORT.load(Ordering::Relaxed)) {
        // SAFETY: the device touches no memory.
        unsafe { ports::write(port, (status as i32).to_le_bytes()[0]) };
    }
    if let Some(hypervisor) = HYPERVISOR.get() {
        hypervisor.shut_down(match status {
            ExitStatus::Done => ShutdownReason::Poweroff,
            ExitStatus::Failed | ExitStatus::Usage => ShutdownReason::Crash,
        });
    }
    loop {
        // SAFETY: without interrupts the processor stops for good, which is all that is left to do.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Ends the domain after a panic: one line that says where, then the status of a failure.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    report_panic(info);
    exit(ExitStatus::Failed)
}

/// Makes a `#![no_std] #![no_main]` binary a stub domain: `stubdom_program!(main)`, with
/// `fn main(start: Start) -> ExitStatus`.
///
/// Brings what boot.s calls, the panic handler and [`crate::memory_functions!`]. The build script must link
/// with linker/stubdom.ld.
#[macro_export]
macro_rules! stubdom_program {
    ($main:path) => {
        /// The first of Rust: boot.s calls it, with what it was given in ebx.
        #[unsafe(no_mangle)]
        extern "C" fn pollux_start(start_info: u64) -> ! {
            // SAFETY: only boot.s calls this, with that address.
            unsafe { $crate::platform::stubdom::program::start(start_info, $main) }
        }

        #[panic_handler]
        fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::platform::stubdom::program::panicked(info)
        }

        $crate::memory_functions!();
    };
}
