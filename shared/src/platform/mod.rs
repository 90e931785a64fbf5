//! The platform: everything that touches the machine, one folder per deployment.
//!
//! Nothing above this room makes a system call, reads a clock or looks at the hardware.

#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod linux;
pub mod processor;
pub mod vector;
