//! Deliberate defects, by which a test sees that each of them ends the domain with a report.

#[cfg(stubdom)]
pub use committed::commit;

/// What can be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// An instruction that does not exist.
    Instruction,
    /// Writing to code.
    WriteCode,
    /// Writing to a constant.
    WriteConstant,
    /// Executing data.
    ExecuteData,
    /// Using a null pointer.
    NullPointer,
    /// Using up the stack.
    UseUpStack,
    /// Breaking an assumption of the program's own.
    Panic,
}

#[cfg(stubdom)]
mod committed {
    use core::arch::asm;
    use core::hint::black_box;

    use super::Defect;

    /// A constant of no other use.
    static CONSTANT: u64 = 0x1122_3344_5566_7788;

    /// Does it. It returns only if nobody minded.
    pub fn commit(defect: Defect) {
        match defect {
            // SAFETY: the processor executes nothing after it; the exception ends the domain.
            Defect::Instruction => unsafe { asm!("ud2", options(nomem, nostack)) },
            Defect::WriteCode => write_to(commit as fn(Defect) as usize),
            Defect::WriteConstant => write_to((&raw const CONSTANT).addr()),
            Defect::ExecuteData => execute_data(),
            Defect::NullPointer => write_to(black_box(0)),
            Defect::UseUpStack => {
                black_box(use_up_stack(black_box(1)));
            }
            Defect::Panic => panic!("a deliberate panic"),
        }
    }

    /// Puts back the byte that is there, so that nothing is changed if nobody minds.
    fn write_to(address: usize) {
        // SAFETY: the byte stays as it is, or the exception ends the domain.
        unsafe { asm!("lock or byte ptr [{}], 0", in(reg) address, options(nostack)) };
    }

    fn execute_data() {
        const RETURN: u8 = 0xc3;
        let instruction = [RETURN; 16];
        // SAFETY: the instruction returns at once, or the exception ends the domain.
        unsafe {
            asm!("call {}", in(reg) instruction.as_ptr(), clobber_abi("C"));
        }
    }

    #[expect(unconditional_recursion, reason = "the exception ends it")]
    fn use_up_stack(depth: u64) -> u64 {
        let area = black_box([depth; 64]);
        use_up_stack(depth + 1) + black_box(area)[0]
    }
}
