//! Asking Xen what it does tell: ports, grant frames, HVM params, registers.

use heapless::Vec;

use super::discovery::evidence::{PortTable, Registers, VcpuRegisters};
use super::error::CaptureError;
use crate::codec::{EventChannel, EventChannelKind};
use crate::limits::{
    EVENT_CHANNEL_COUNT_MAX, GRANT_FRAME_COUNT_MAX, HVM_CONTEXT_SIZE_MAX, HVM_PARAM_COUNT_MAX,
};
use crate::xen::hvm::params;
use crate::xen::hvm_context::HvmContext;
use crate::xen::{Domid, Errno, EventChannelStatusKind, Xen};

/// Xen's default priority of a port (EVTCHN_FIFO_PRIORITY_DEFAULT, event_channel.h, Xen 4.17).
const PRIORITY_DEFAULT: u8 = 7;

/// gfns of grant-table frames, by frame number.
pub type GrantFrames = Vec<u64, GRANT_FRAME_COUNT_MAX>;
/// HVM params that are set.
pub type HvmParams = Vec<(u32, u64), HVM_PARAM_COUNT_MAX>;

/// Fills `ports` with every open port of the domain.
///
/// # Errors
/// [`CaptureError::TooManyPorts`] and [`CaptureError::PhysicalIrq`]: the domain cannot be
/// protected; and errors of Xen.
pub fn ask_ports(xen: &Xen, domid: Domid, ports: &mut PortTable) -> Result<(), CaptureError> {
    ports.clear();
    for port in 1.. {
        // Xen allocates ports in blocks and answers EINVAL behind the last one.
        let status = match xen.evtchn_status(domid, port) {
            Ok(status) => status,
            Err(error) if error.errno == Errno::EINVAL => break,
            Err(error) => return Err(error.into()),
        };
        let kind = match status.kind {
            EventChannelStatusKind::Closed => continue,
            EventChannelStatusKind::Unbound { remote_domid } => {
                EventChannelKind::Unbound { remote_domid }
            }
            EventChannelStatusKind::Interdomain { remote_domid, remote_port } => {
                EventChannelKind::Interdomain { remote_domid, remote_port }
            }
            EventChannelStatusKind::Virq { virq } => EventChannelKind::Virq { virq },
            EventChannelStatusKind::Ipi => EventChannelKind::Ipi,
            EventChannelStatusKind::Pirq { .. } => {
                return Err(CaptureError::PhysicalIrq { port });
            }
        };
        let channel = EventChannel { port, vcpu: status.vcpu, priority: PRIORITY_DEFAULT, kind };
        ports.push(channel).map_err(|_| CaptureError::TooManyPorts)?;
    }
    assert!(ports.channels().len() <= EVENT_CHANNEL_COUNT_MAX, "the table is bounded");
    Ok(())
}

/// Where the guest mapped its grant-table frames.
///
/// # Errors
/// [`CaptureError::TooManyGrantFrames`], and errors of Xen.
pub fn ask_grant_frames(xen: &Xen, domid: Domid) -> Result<GrantFrames, CaptureError> {
    let count = usize::try_from(xen.gnttab_query_size(domid)?.frame_count).unwrap_or(usize::MAX);
    let mut frames = GrantFrames::new();
    frames.resize(count, 0).map_err(|_| CaptureError::TooManyGrantFrames)?;
    xen.gnttab_setup_table(domid, &mut frames)?;
    Ok(frames)
}

/// Every HVM param that is set. Params that Xen does not let dom0 read are left out.
#[must_use]
pub fn ask_hvm_params(xen: &Xen, domid: Domid) -> HvmParams {
    (0..params::COUNT)
        .filter_map(|index| Some((index, xen.hvm_get_param(domid, index).ok()?)))
        .filter(|(_, value)| *value != 0)
        .take(HVM_PARAM_COUNT_MAX)
        .collect()
}

/// The domain's HVM context, as Xen wrote it last.
#[derive(Clone, Debug)]
pub struct ContextBuffer {
    bytes: [u8; HVM_CONTEXT_SIZE_MAX],
    size: usize,
}

impl ContextBuffer {
    /// A buffer for contexts of the size that the domain's has now; it changes with no guest.
    ///
    /// # Errors
    /// [`CaptureError::HvmContext`] when that is beyond the limit, and errors of Xen.
    pub fn new(xen: &Xen, domid: Domid) -> Result<Self, CaptureError> {
        let size = xen.hvmcontext_size(domid)?;
        if size > HVM_CONTEXT_SIZE_MAX {
            return Err(CaptureError::HvmContext);
        }
        Ok(Self { bytes: [0; HVM_CONTEXT_SIZE_MAX], size })
    }

    /// The first `size` bytes of what Xen answered last.
    #[must_use]
    pub fn last(&self, size: usize) -> &[u8] {
        &self.bytes[..size]
    }

    /// Asks Xen for the context and gives it.
    ///
    /// # Errors
    /// Errors of Xen.
    pub fn ask(&mut self, xen: &Xen, domid: Domid) -> Result<&[u8], CaptureError> {
        let length = xen.gethvmcontext(domid, &mut self.bytes[..self.size])?;
        Ok(&self.bytes[..length])
    }
}

/// What discovery uses of an HVM context.
///
/// # Errors
/// [`CaptureError::HvmContext`] when it is malformed.
pub fn registers(context: &[u8]) -> Result<Registers, CaptureError> {
    let context = HvmContext::parse(context).map_err(|_| CaptureError::HvmContext)?;
    let mut registers = Registers::default();
    for (vcpu, registers) in (0u16..).zip(&mut registers) {
        *registers = context.cpu(vcpu).map(|cpu| VcpuRegisters {
            cr3: cpu.cr3,
            gs_base: cpu.gs_base,
            shadow_gs: cpu.shadow_gs,
            tsc: cpu.tsc,
            interrupt_request: context.lapic_irr(vcpu).unwrap_or_default(),
        });
    }
    Ok(registers)
}
