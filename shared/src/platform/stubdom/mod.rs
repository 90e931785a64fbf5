//! Stub domain: a PVH domain of its own that holds the half at the network, without a kernel.
//!
//! `boot` takes the processor from Xen's entry to Rust, `paging` and `exceptions` see to it that a defect
//! ends in a line of the log; `program` is a program's start and end; the rest is what such a domain has of
//! the world: memory, clock, entropy, console. There are no interrupts, no other processor and no threads:
//! what waits, polls.
//!
//! **Target.** It is compiled for x86_64-unknown-linux-gnu, as the dom0 processes are, and linked by
//! linker/stubdom.ld. x86_64-unknown-none would be the target for it by its name, but it passes nothing in
//! vector registers ("softfloat"), and rustc 1.95 (LLVM) cannot compile AES instructions for it ("Do not
//! know how to split the result of this operator!"): neither the cipher nor AVX2. This way the core is the
//! same machine code in both deployments. What the target's precompiled `core` takes for granted is kept:
//! SSE is on before the first Rust; nothing disturbs the 128 bytes below the stack pointer, since there are
//! no interrupts, and exceptions have a stack of their own and never return.

#[cfg(stubdom)]
mod boot;
#[cfg(stubdom)]
pub mod builder_ring;
#[cfg(stubdom)]
pub mod clock;
pub mod command_line;
#[cfg(stubdom)]
pub mod console;
pub mod console_ring;
mod descriptors;
pub mod entropy;
pub mod exception_report;
#[cfg(stubdom)]
mod exceptions;
pub mod faults;
pub mod free_memory;
#[cfg(stubdom)]
pub mod hypercall;
#[cfg(stubdom)]
pub mod memory;
pub mod paging;
#[cfg(stubdom)]
mod ports;
#[cfg(stubdom)]
mod private_memory;
#[cfg(stubdom)]
mod processor_state;
#[cfg(stubdom)]
pub mod program;
#[cfg(stubdom)]
pub mod shared_info;
#[cfg(stubdom)]
mod start_info;
pub mod vcpu_time;
