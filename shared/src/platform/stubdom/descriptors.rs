//! Segment and interrupt descriptors (AMD64 APM, volume 2, chapters 4 and 8), which say where the processor
//! goes on after an exception, and on which stack.

/// Selector of 64-bit code, in boot.s and here.
const CODE_SELECTOR: u16 = 0x08;
/// Bytes of a 64-bit task state segment.
const TASK_STATE_SIZE: usize = 104;

/// An interrupt gate, present and for the kernel, to `handler` on the task's first exception stack.
const fn gate(handler: u64) -> [u64; 2] {
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e << 40;
    const FIRST_STACK: u64 = 1 << 32;
    let low = handler & 0xffff | (CODE_SELECTOR as u64) << 16;
    let middle = (handler >> 16 & 0xffff) << 48;
    [low | FIRST_STACK | PRESENT_INTERRUPT_GATE | middle, handler >> 32]
}

/// The descriptor of the task state segment at `address`.
const fn task_descriptor(address: u64) -> [u64; 2] {
    const AVAILABLE_TASK_STATE: u64 = 0x89 << 40;
    let limit = TASK_STATE_SIZE as u64 - 1;
    let low = limit | (address & 0xff_ffff) << 16 | (address >> 24 & 0xff) << 56;
    [low | AVAILABLE_TASK_STATE, address >> 32]
}

#[cfg(stubdom)]
pub use loaded::load;

#[cfg(stubdom)]
mod loaded {
    use core::arch::asm;
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    use super::{TASK_STATE_SIZE, gate, task_descriptor};

    /// Exceptions of the processor; gates for anything else are missing.
    const EXCEPTION_COUNT: usize = 32;
    const TASK_SELECTOR: u16 = 0x18;
    /// Where in the task's state the first of the stacks for exceptions is named, in words of 32 bits.
    const FIRST_STACK_WORD: usize = 9;
    const STACK_SIZE: usize = 16 * 1024;

    /// Null, code, data (as in boot.s), and the two halves of the task's.
    static SEGMENTS: [AtomicU64; 5] = [
        AtomicU64::new(0),
        AtomicU64::new(0x00af_9b00_0000_ffff),
        AtomicU64::new(0x00cf_9300_0000_ffff),
        AtomicU64::new(0),
        AtomicU64::new(0),
    ];
    static GATES: [AtomicU64; 2 * EXCEPTION_COUNT] =
        [const { AtomicU64::new(0) }; 2 * EXCEPTION_COUNT];
    static TASK_STATE: [AtomicU32; TASK_STATE_SIZE / 4] =
        [const { AtomicU32::new(0) }; TASK_STATE_SIZE / 4];
    static STACK: [AtomicU64; STACK_SIZE / 8] = [const { AtomicU64::new(0) }; STACK_SIZE / 8];

    /// What `lgdt` and `lidt` take.
    #[repr(C, packed)]
    struct TablePointer {
        limit: u16,
        address: u64,
    }

    impl TablePointer {
        fn to(table: &'static [AtomicU64]) -> Self {
            let limit = u16::try_from(size_of_val(table) - 1).expect("tables are small");
            Self { limit, address: table.as_ptr().addr() as u64 }
        }
    }

    /// From here on each exception goes to its entry, of 16 bytes, at `entries`.
    pub fn load(entries: u64) {
        let stack_end = STACK.as_ptr_range().end.addr() as u64 & !15;
        TASK_STATE[FIRST_STACK_WORD].store(low_half(stack_end), Ordering::Relaxed);
        TASK_STATE[FIRST_STACK_WORD + 1].store(low_half(stack_end >> 32), Ordering::Relaxed);
        // No map of ports that are allowed: it would begin after the segment's end.
        TASK_STATE[TASK_STATE_SIZE / 4 - 1].store(104 << 16, Ordering::Relaxed);
        for (halves, vector) in GATES.chunks_exact(2).zip(0_u64..) {
            for (half, value) in halves.iter().zip(gate(entries + 16 * vector)) {
                half.store(value, Ordering::Relaxed);
            }
        }
        let task = task_descriptor(TASK_STATE.as_ptr().addr() as u64);
        for (half, value) in SEGMENTS[3..].iter().zip(task) {
            half.store(value, Ordering::Relaxed);
        }
        let segments = TablePointer::to(&SEGMENTS);
        // SAFETY: the table stays, and has the segments in use where they were.
        unsafe { asm!("lgdt [{}]", in(reg) &raw const segments, options(nostack, readonly)) };
        // SAFETY: the selector is that of the task state, which stays.
        unsafe { asm!("ltr {:x}", in(reg) TASK_SELECTOR, options(nostack)) };
        let gates = TablePointer::to(&GATES);
        // SAFETY: the table stays, and all its gates lead to entries that never return.
        unsafe { asm!("lidt [{}]", in(reg) &raw const gates, options(nostack, readonly)) };
    }

    fn low_half(value: u64) -> u32 {
        (value & u64::from(u32::MAX)).try_into().expect("the value is a half")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_scattered_as_the_processor_wants_them() {
        assert_eq!(gate(0x0123_4567_89ab_cdef), [0x89ab_8e01_0008_cdef, 0x0123_4567]);
        assert_eq!(task_descriptor(0x0123_4567_89ab_cdef), [0x8900_89ab_cdef_0067, 0x0123_4567]);
    }
}
