//! The platform: everything that touches the machine, one folder per deployment.
//!
//! Nothing above this room makes a system call, reads a clock or looks at the hardware. `linux` is a
//! dom0 process; `stubdom` is a domain of its own, built with `--cfg stubdom` (.cargo/stub-domain.toml).

#![allow(unsafe_code)]

pub mod ending;
#[cfg(not(stubdom))]
pub mod linux;
pub mod log;
pub mod memory;
pub mod private_memory;
pub mod processor;
pub mod string_functions;
#[cfg(any(stubdom, test))]
pub mod stubdom;
pub mod vector;
