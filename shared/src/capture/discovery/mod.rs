//! Discovery: where the guest keeps the structures that it shares with Xen.
//!
//! Xen tells nobody where a guest's event array, control blocks and vcpu_infos are, and the guest
//! is not asked. They are found by looking: a [`Survey`] of the running guest keeps what resembles
//! them, and on the paused guest [`identify`] demands exactly one consistent answer. A
//! [`probe::Probe`] then lets Xen itself confirm it. Everything here is a function of pages and
//! registers; hypercalls and retries are the caller's.

mod assign;
pub mod control_block;
pub mod event_array;
pub mod evidence;
#[cfg(test)]
mod guest_image;
pub mod per_cpu;
pub mod probe;
mod survey;
#[cfg(test)]
mod tests;
pub mod vcpu_info;

use core::fmt;

use heapless::Vec;

use crate::limits::VCPU_COUNT_MAX;

pub use assign::{Evidence, identify};
pub use survey::Survey;

/// Where the structures of one vCPU lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuStructures {
    /// Guest-physical address of vcpu_info.
    pub vcpu_info: u64,
    /// gfn of the FIFO control block.
    pub control_block_gfn: u64,
}

/// Where the structures of the guest lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structures {
    /// gfn of the only event array page.
    pub event_array_gfn: u64,
    /// By vCPU number; `None` for a vCPU that was down.
    pub vcpus: Vec<Option<VcpuStructures>, VCPU_COUNT_MAX>,
}

/// Why the structures could not be told. All but two may be different at another instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryError {
    /// The guest uses the 2-level event ABI.
    TwoLevelEvents,
    /// Pages that are event arrays: none, or more than one.
    EventArray {
        /// How many.
        found: u16,
    },
    /// Control blocks of one vCPU: none, or more than one.
    ControlBlock {
        /// Whose.
        vcpu: u8,
        /// How many.
        found: u16,
    },
    /// Consistent sets of vcpu_infos: none, or more than one.
    VcpuInfo {
        /// How many.
        found: u16,
    },
    /// A vCPU whose GS base is not the kernel's at this instant.
    GsBase {
        /// Which.
        vcpu: u8,
    },
    /// More places resemble a structure than the limits allow.
    TooManyCandidates,
    /// More vCPUs are up than the domain has, or than the limits allow.
    VcpuCount,
    /// An event sent to the guest did not show where it must.
    ProbeContradicts {
        /// The vCPU it was sent to.
        vcpu: u8,
    },
    /// No vCPU could be probed: each had events pending at every attempt.
    NotConfirmed,
}

impl DiscoveryError {
    pub(super) fn control_block(vcpu: u32, found: usize) -> Self {
        Self::ControlBlock { vcpu: small(vcpu), found: few(found) }
    }

    pub(super) fn event_array(found: usize) -> Self {
        Self::EventArray { found: few(found) }
    }

    pub(super) fn gs_base(vcpu: u32) -> Self {
        Self::GsBase { vcpu: small(vcpu) }
    }

    /// An event sent to `vcpu` did not show.
    pub fn probe_contradicts(vcpu: u32) -> Self {
        Self::ProbeContradicts { vcpu: small(vcpu) }
    }

    /// Whether another instant may give another answer.
    #[must_use]
    pub const fn is_worth_another_try(self) -> bool {
        !matches!(self, Self::TwoLevelEvents | Self::VcpuCount)
    }
}

/// A vCPU's number, which is below VCPU_COUNT_MAX.
fn small(vcpu: u32) -> u8 {
    u8::try_from(vcpu).unwrap_or(u8::MAX)
}

/// More than can be told is told as that much.
fn few(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoLevelEvents => f.write_str(
                "the guest uses 2-level event channels: only FIFO guests can be protected \
                 (Linux: boot it without xen.fifo_events=0)",
            ),
            Self::EventArray { found } => {
                write!(f, "{found} pages of the guest look like its event array: need exactly one")
            }
            Self::ControlBlock { vcpu, found } => write!(
                f,
                "{found} pages of the guest look like the event control block of vCPU {vcpu}: \
                 need exactly one"
            ),
            Self::VcpuInfo { found } => write!(
                f,
                "{found} sets of places in the guest look like its vcpu_info: need exactly one"
            ),
            Self::GsBase { vcpu } => {
                write!(f, "the kernel's GS base of vCPU {vcpu} cannot be told from the user's")
            }
            Self::TooManyCandidates => f.write_str(
                "too many places of the guest look like structures shared with Xen: \
                 the guest cannot be protected",
            ),
            Self::VcpuCount => f.write_str("the guest has more vCPUs up than Xen says it has"),
            Self::ProbeContradicts { vcpu } => write!(
                f,
                "an event sent to vCPU {vcpu} did not show in the structures found for it"
            ),
            Self::NotConfirmed => f.write_str(
                "no event could be sent to the guest to confirm its structures: \
                 it had events pending at every attempt; try again when it is less busy",
            ),
        }
    }
}

impl core::error::Error for DiscoveryError {}
