//! Protects a running Xen guest: the program of the host where it runs.
//!
//! It is built as a process of dom0, or as a domain of its own (.cargo/stub-domain.toml).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[cfg(not(stubdom))]
mod dom0;
#[cfg(stubdom)]
mod stub_domain;
