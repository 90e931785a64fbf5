//! What an exception means, on one line for people.

use core::fmt;

use crate::limits::PAGE_SIZE;

/// Names of the vectors (AMD64 APM, volume 2, 8.2); those without one are reserved.
const NAMES: [&str; 32] = [
    "#DE, divide by zero",
    "#DB, debug",
    "NMI, non-maskable interrupt",
    "#BP, breakpoint",
    "#OF, overflow",
    "#BR, bound range",
    "#UD, invalid opcode",
    "#NM, device not available",
    "#DF, double fault",
    "9, reserved",
    "#TS, invalid task state",
    "#NP, segment not present",
    "#SS, stack",
    "#GP, general protection",
    "#PF, page fault",
    "15, reserved",
    "#MF, x87 floating point",
    "#AC, alignment check",
    "#MC, machine check",
    "#XF, SIMD floating point",
    "20, reserved",
    "#CP, control protection",
    "22, reserved",
    "23, reserved",
    "24, reserved",
    "25, reserved",
    "26, reserved",
    "27, reserved",
    "#HV, hypervisor injection",
    "#VC, VMM communication",
    "#SX, security",
    "31, reserved",
];
const PAGE_FAULT: u64 = 14;
// Bits of a page fault's error code.
const WAS_PRESENT: u64 = 1;
const WAS_WRITE: u64 = 1 << 1;
const WAS_FETCH: u64 = 1 << 4;

/// What the entries in exceptions.s and the processor leave on the stack.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ExceptionFrame {
    /// Which exception.
    pub vector: u64,
    /// The processor's error code, or 0.
    pub error_code: u64,
    /// The instruction, or the one after it.
    pub rip: u64,
    /// Selector of the code.
    pub cs: u64,
    /// The flags.
    pub rflags: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// Selector of the stack.
    pub ss: u64,
}

/// An exception, told to people.
#[derive(Clone, Copy, Debug)]
pub struct ExceptionReport {
    /// What the processor said.
    pub frame: ExceptionFrame,
    /// The address of a page fault.
    pub cr2: u64,
    /// The page below the stack.
    pub stack_guard: u64,
}

impl ExceptionReport {
    fn page_fault(&self) -> &'static str {
        let code = self.frame.error_code;
        let page = self.cr2 / PAGE_SIZE as u64 * PAGE_SIZE as u64;
        match (code & WAS_PRESENT != 0, code & WAS_WRITE != 0, code & WAS_FETCH != 0) {
            (false, ..) if page == self.stack_guard => "the stack is used up",
            (false, ..) if page == 0 => "a null pointer was used",
            (false, ..) => "no memory is mapped there",
            (true, _, true) => "memory that holds no code was executed",
            (true, true, false) => "memory that is read-only was written",
            (true, false, false) => "memory was read without the right to",
        }
    }
}

impl fmt::Display for ExceptionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExceptionFrame { vector, error_code, rip, rsp, .. } = self.frame;
        let name = usize::try_from(vector).ok().and_then(|vector| NAMES.get(vector));
        write!(
            f,
            "this is a defect of the program: exception {vector} ({}), error code {error_code:#x}, rip \
             {rip:#x}, rsp {rsp:#x}, cr2 {:#x}",
            name.unwrap_or(&"unknown"),
            self.cr2
        )?;
        if vector == PAGE_FAULT { write!(f, ": {}", self.page_fault()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(vector: u64, error_code: u64, cr2: u64) -> String {
        let (rip, rsp) = (0x20_1234, 0x30_0ff8);
        let frame = ExceptionFrame { vector, error_code, rip, cs: 8, rflags: 2, rsp, ss: 16 };
        ExceptionReport { frame, cr2, stack_guard: 0x30_0000 }.to_string()
    }

    #[test]
    fn an_exception_is_one_line_that_says_what_and_where() {
        assert_eq!(
            report(6, 0, 0),
            "this is a defect of the program: exception 6 (#UD, invalid opcode), error code 0x0, rip \
             0x201234, rsp 0x300ff8, cr2 0x0"
        );
        assert!(report(99, 0, 0).contains("exception 99 (unknown)"));
    }

    #[test]
    fn page_faults_say_what_was_wrong() {
        let ends = |error_code, cr2, end: &str| report(14, error_code, cr2).ends_with(end);
        assert!(ends(3, 0x20_0000, "cr2 0x200000: memory that is read-only was written"));
        assert!(ends(0x11, 0x40_0000, "memory that holds no code was executed"));
        assert!(ends(2, 0x30_0ff8, "the stack is used up"));
        assert!(ends(0, 0x18, "a null pointer was used"));
        assert!(ends(0, 1 << 40, "no memory is mapped there"));
    }
}
