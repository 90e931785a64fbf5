//! Xen: what its tool-stack ABI calls things, and the calls themselves.
//!
//! Numbers and structures follow `xen/include/public` of Xen 4.17 and were compared up to 4.22;
//! each file names its header. Everything here is a thin, checked form of one hypercall or one
//! structure in shared memory: it knows sizes, errors and versions, and leaves all policy (when
//! to pause, which pages, what to rebuild) to `capture` and `revive`. How a hypercall reaches Xen
//! is the platform's business (`platform::linux::privcmd`, `platform::stubdom::hypercall`). Most files are
//! for dom0; what a domain asks for itself is in `hypervisor` and `own_event_channels`.

#![allow(unsafe_code)]

#[cfg(not(stubdom))]
mod domain_info;
#[cfg(not(stubdom))]
mod domctl;
#[cfg(not(stubdom))]
mod domctl_context;
mod errno;
mod error;
#[cfg(not(stubdom))]
mod event_channel;
mod event_channel_op;
pub mod grant_access;
pub mod grant_table;
#[cfg(not(stubdom))]
mod grant_table_op;
mod guest_page;
mod guest_page_part;
#[cfg(not(stubdom))]
pub mod hvm;
pub mod hvm_context;
#[cfg(test)]
mod hvm_context_tests;
mod hvm_context_writer;
mod hvm_cpu;
mod hvm_params;
#[cfg(not(stubdom))]
mod hypercall;
#[cfg(stubdom)]
mod hypervisor;
#[cfg(not(stubdom))]
mod log_dirty;
#[cfg(not(stubdom))]
mod memory;
pub mod netif;
mod open_error;
#[cfg(stubdom)]
mod own_event_channels;
mod physmap;
mod plain;
pub mod stub;
#[cfg(not(stubdom))]
mod watchdog;
pub mod xenbus;
pub mod xenstore;

#[cfg(not(stubdom))]
pub use domain_info::{DomainInfo, VcpuInfo};
pub use errno::Errno;
pub use error::{Operation, XenError};
pub use event_channel_op::{EventChannelStatus, EventChannelStatusKind};
#[cfg(not(stubdom))]
pub use grant_table_op::GrantTableSize;
pub use guest_page::GuestPage;
pub use hvm_params::params;
#[cfg(not(stubdom))]
pub use hypercall::Xen;
#[cfg(stubdom)]
pub use hypervisor::{Hypervisor, MemoryMapEntry, ShutdownReason};
#[cfg(not(stubdom))]
pub use log_dirty::LogDirtyStats;
pub use open_error::{XenOpenError, XenVersion};
pub use plain::Plain;

#[cfg(not(stubdom))]
pub use crate::platform::linux::privcmd_buffer::HypercallBuffer;
#[cfg(not(stubdom))]
pub use crate::platform::linux::privcmd_frames::{Access, FrameMapping};
#[cfg(not(stubdom))]
pub use crate::platform::linux::privcmd_memory::GuestMemory;

/// XENVER_version (version.h).
const XENVER_VERSION: u64 = 0;

/// A domain's number, as `xl list` shows it (domid_t, xen.h).
pub type Domid = u16;

/// The domain that holds the tool stack.
pub const DOMID_DOM0: Domid = 0;

/// The caller itself (DOMID_SELF, xen.h).
pub const DOMID_SELF: Domid = 0x7ff0;

/// The lowest number that no domain has (DOMID_FIRST_RESERVED, xen.h).
pub const DOMID_FIRST_RESERVED: Domid = 0x7ff0;
