//! Xen: what its tool-stack ABI calls things, and the calls themselves.
//!
//! Numbers and structures follow `xen/include/public` of Xen 4.17 and were compared up to 4.22;
//! each file names its header. Everything here is a thin, checked form of one hypercall or one
//! structure in shared memory: it knows sizes, errors and versions, and leaves all policy (when
//! to pause, which pages, what to rebuild) to `capture` and `revive`. How a hypercall reaches Xen
//! is the platform's business (`platform::linux::privcmd`).

#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
mod domain_info;
#[cfg(target_os = "linux")]
mod domctl;
#[cfg(target_os = "linux")]
mod domctl_context;
mod errno;
mod error;
#[cfg(target_os = "linux")]
mod event_channel;
pub mod grant_access;
pub mod grant_table;
#[cfg(target_os = "linux")]
mod grant_table_op;
mod guest_page;
mod guest_page_part;
#[cfg(target_os = "linux")]
pub mod hvm;
pub mod hvm_context;
#[cfg(test)]
mod hvm_context_tests;
mod hvm_context_writer;
mod hvm_cpu;
#[cfg(target_os = "linux")]
mod hypercall;
#[cfg(target_os = "linux")]
mod log_dirty;
#[cfg(target_os = "linux")]
mod memory;
pub mod netif;
mod open_error;
mod plain;
pub mod stub;
#[cfg(target_os = "linux")]
mod watchdog;
pub mod xenbus;
pub mod xenstore;

#[cfg(target_os = "linux")]
pub use domain_info::{DomainInfo, VcpuInfo};
pub use errno::Errno;
pub use error::{Operation, XenError};
#[cfg(target_os = "linux")]
pub use event_channel::{EventChannelStatus, EventChannelStatusKind};
#[cfg(target_os = "linux")]
pub use grant_table_op::GrantTableSize;
pub use guest_page::GuestPage;
#[cfg(target_os = "linux")]
pub use hypercall::Xen;
#[cfg(target_os = "linux")]
pub use log_dirty::LogDirtyStats;
pub use open_error::{XenOpenError, XenVersion};
pub use plain::Plain;

#[cfg(target_os = "linux")]
pub use crate::platform::linux::privcmd_buffer::HypercallBuffer;
#[cfg(target_os = "linux")]
pub use crate::platform::linux::privcmd_frames::{Access, FrameMapping};
#[cfg(target_os = "linux")]
pub use crate::platform::linux::privcmd_memory::GuestMemory;

/// A domain's number, as `xl list` shows it (domid_t, xen.h).
pub type Domid = u16;

/// The domain that holds the tool stack.
pub const DOMID_DOM0: Domid = 0;

/// The caller itself (DOMID_SELF, xen.h).
pub const DOMID_SELF: Domid = 0x7ff0;

/// The lowest number that no domain has (DOMID_FIRST_RESERVED, xen.h).
pub const DOMID_FIRST_RESERVED: Domid = 0x7ff0;
