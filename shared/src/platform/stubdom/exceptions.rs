//! Exceptions end the domain: one line that says which and where, then the status of a failure.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, Ordering};

use super::exception_report::{ExceptionFrame, ExceptionReport};
use super::{boot, descriptors, program};
use crate::platform::ending::ExitStatus;

global_asm!(include_str!("exceptions.s"), options(att_syntax));

unsafe extern "C" {
    // exceptions.s
    static pollux_exception_entries: u8;
}

static REPORTING: AtomicBool = AtomicBool::new(false);

/// From here on an exception is reported; before, it resets the processor without a word.
pub fn report_from_now_on() {
    descriptors::load((&raw const pollux_exception_entries).addr() as u64);
}

/// Where all entries in exceptions.s meet.
#[unsafe(no_mangle)]
extern "C" fn pollux_exception_raised(frame: &ExceptionFrame) -> ! {
    // A defect of the report itself must not be reported by it.
    if !REPORTING.swap(true, Ordering::Relaxed) {
        let stack_guard = boot::image().stack_guard;
        crate::log!("{}", ExceptionReport { frame: *frame, cr2: fault_address(), stack_guard });
    }
    program::exit(ExitStatus::Failed)
}

fn fault_address() -> u64 {
    let address;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}
