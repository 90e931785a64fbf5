//! The platform: everything that touches the machine, one folder per deployment.

#[cfg(target_os = "linux")]
pub mod linux;
