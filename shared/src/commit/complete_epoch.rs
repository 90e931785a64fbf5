//! What an epoch has beside its pages: gathered in parts, complete with the epoch.

use crate::codec::CheckpointState;
use crate::limits::HVM_CONTEXT_SIZE_MAX;
use crate::xen::hvm_context::HvmContext;

/// Bytes that arrive in parts, in order.
#[derive(Clone, Debug)]
pub(super) struct Parts<const N: usize> {
    bytes: [u8; N],
    size: usize,
}

impl<const N: usize> Parts<N> {
    pub const EMPTY: Self = Self { bytes: [0; N], size: 0 };

    pub fn size(&self) -> usize {
        self.size
    }

    /// Forgets them: the first part is to come next.
    pub fn clear(&mut self) {
        self.size = 0;
    }

    pub fn used(&self) -> &[u8] {
        &self.bytes[..self.size]
    }

    /// Room for the part at `offset` of `length` bytes, if it is the next one and fits. A part at
    /// the start begins anew: the primary had to pause its guest again, and the last pause counts.
    pub fn next(&mut self, offset: u64, length: usize) -> Option<&mut [u8]> {
        if offset == 0 {
            self.size = 0;
        }
        let start = self.size;
        if offset != start as u64 || length > N - start {
            return None;
        }
        self.size += length;
        Some(&mut self.bytes[start..self.size])
    }
}

/// The newest complete epoch's state beside memory.
#[derive(Clone, Debug)]
pub struct CompleteEpoch {
    /// Its state, checked.
    pub state: CheckpointState,
    pub(super) context: Parts<HVM_CONTEXT_SIZE_MAX>,
}

impl CompleteEpoch {
    /// Its HVM context.
    #[must_use]
    pub fn hvm_context(&self) -> &[u8] {
        self.context.used()
    }

    /// Whether the HVM context can be read and holds every vCPU that was online.
    pub(super) fn has_every_vcpu(&self) -> bool {
        let Ok(context) = HvmContext::parse(self.hvm_context()) else { return false };
        let mut vcpus = (0u16..).zip(&self.state.vcpus);
        vcpus.all(|(number, vcpu)| !vcpu.online || context.cpu(number).is_some())
    }
}
