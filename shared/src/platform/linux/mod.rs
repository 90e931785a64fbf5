//! Linux: system calls without libc.
#![allow(unsafe_code)]

pub mod memory;
pub mod privcmd;
pub mod privcmd_buffer;
pub mod privcmd_memory;
