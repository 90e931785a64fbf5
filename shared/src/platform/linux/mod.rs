//! Linux: system calls without libc.
#![allow(unsafe_code)]

pub mod memory;
