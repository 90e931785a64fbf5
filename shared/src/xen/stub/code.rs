//! The machine code of the stub, as it lies in this program's read-only data.
//!
//! Position-independent, without a stack, interrupts off. Registers at entry:
//! rbx the first table entry, r12 the number of entries, r13 the word that is set to 1 at the
//! end, r14 0 for `vmmcall` and 1 for `vmcall`. A hypercall takes its number in rax and up to
//! three arguments in rdi, rsi, rdx, and returns in rax (xen/include/public/arch-x86/
//! xen-x86_64.h, Xen 4.17); everything else but rcx and r11 survives it.

use core::arch::global_asm;
use core::arch::x86_64::__cpuid;

global_asm!(
    r#"
    .pushsection .rodata.pollux_stub, "a", @progbits
    .balign 16
    .globl pollux_stub_start
    .hidden pollux_stub_start
pollux_stub_start:
    test r12, r12
    jz 4f
1:  mov rax, [rbx]
    mov rdi, [rbx + 8]
    mov rsi, [rbx + 16]
    mov rdx, [rbx + 24]
    test r14, r14
    jnz 2f
    vmmcall
    jmp 3f
2:  vmcall
3:  mov [rbx + 32], rax
    add rbx, 64
    dec r12
    jnz 1b
4:  mov dword ptr [r13], 1
5:  pause
    jmp 5b
    .globl pollux_stub_end
    .hidden pollux_stub_end
pollux_stub_end:
    .popsection
    "#
);

unsafe extern "C" {
    static pollux_stub_start: u8;
    static pollux_stub_end: u8;
}

/// Which instruction enters the hypervisor on this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HypercallInstruction {
    /// AMD and Hygon: `vmmcall`.
    Vmmcall,
    /// Every other vendor: `vmcall`.
    Vmcall,
}

impl HypercallInstruction {
    /// The instruction of the processor that this program runs on.
    #[must_use]
    pub fn of_this_processor() -> Self {
        // CPUID leaf 0: the vendor's name in ebx, edx, ecx.
        let leaf = __cpuid(0);
        let vendor = [leaf.ebx.to_le_bytes(), leaf.edx.to_le_bytes(), leaf.ecx.to_le_bytes()];
        match vendor.as_flattened() {
            b"AuthenticAMD" | b"HygonGenuine" => Self::Vmmcall,
            _ => Self::Vmcall,
        }
    }

    /// What the stub wants in r14.
    #[must_use]
    pub const fn selector(self) -> u64 {
        match self {
            Self::Vmmcall => 0,
            Self::Vmcall => 1,
        }
    }
}

/// The stub's code, to be copied to the start of its code page.
#[must_use]
pub fn stub_code() -> &'static [u8] {
    let start = &raw const pollux_stub_start;
    let end = &raw const pollux_stub_end;
    let size = end.addr() - start.addr();
    // SAFETY: the assembler lays both labels around initialised read-only bytes of one section,
    // in this order, and nothing writes there.
    unsafe { core::slice::from_raw_parts(start, size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_the_loop_that_the_registers_promise() {
        let code = stub_code();
        // test r12,r12 first, `pause; jmp` back to it last.
        assert_eq!(&code[..3], [0x4d, 0x85, 0xe4]);
        assert_eq!(&code[code.len() - 4..], [0xf3, 0x90, 0xeb, 0xfc]);
        let holds = |bytes: &[u8]| code.windows(bytes.len()).any(|window| window == bytes);
        assert!(holds(&[0x0f, 0x01, 0xd9]), "vmmcall");
        assert!(holds(&[0x0f, 0x01, 0xc1]), "vmcall");
        assert!(code.len() < 128);
    }
}
