//! HVM params: numbers that a domain's builder leaves for it, and Xen keeps (hvm_op.h).

use super::{Domid, Plain};

pub(super) const HVMOP_GET_PARAM: u32 = 1;

/// HVM_PARAM_* (xen/include/public/hvm/params.h, Xen 4.17).
pub mod params {
    /// How the guest is told of events, when not by a vector per vCPU.
    pub const CALLBACK_IRQ: u32 = 0;
    /// Gfn of the xenstore ring.
    pub const STORE_PFN: u32 = 1;
    /// The guest's port of the xenstore ring.
    pub const STORE_EVTCHN: u32 = 2;
    /// Whether PAE is offered; obsolete for PVH.
    pub const PAE_ENABLED: u32 = 4;
    /// Gfn of the synchronous ioreq page, HVM only.
    pub const IOREQ_PFN: u32 = 5;
    /// Gfn of the buffered ioreq page, HVM only.
    pub const BUFIOREQ_PFN: u32 = 6;
    /// Viridian enlightenments.
    pub const VIRIDIAN: u32 = 9;
    /// How missed timer ticks are delivered.
    pub const TIMER_MODE: u32 = 10;
    /// Whether there is an HPET.
    pub const HPET_ENABLED: u32 = 11;
    /// Address of the identity page table, Intel only.
    pub const IDENT_PT: u32 = 12;
    /// ACPI sleep state.
    pub const ACPI_S_STATE: u32 = 14;
    /// Address of the virtual-8086 TSS, Intel only.
    pub const VM86_TSS: u32 = 15;
    /// Whether virtual timers are aligned.
    pub const VPT_ALIGN: u32 = 16;
    /// Gfn of the console ring.
    pub const CONSOLE_PFN: u32 = 17;
    /// The guest's port of the console ring.
    pub const CONSOLE_EVTCHN: u32 = 18;
    /// Where ACPI's ports are.
    pub const ACPI_IOPORTS_LOCATION: u32 = 19;
    /// Gfn of the memory paging ring.
    pub const PAGING_RING_PFN: u32 = 27;
    /// Gfn of the monitor ring.
    pub const MONITOR_RING_PFN: u32 = 28;
    /// Gfn of the memory sharing ring.
    pub const SHARING_RING_PFN: u32 = 29;
    /// What a triple fault is reported as.
    pub const TRIPLE_FAULT_REASON: u32 = 31;
    /// Address of the generation ID.
    pub const VM_GENERATION_ID_ADDR: u32 = 34;
    /// FPU instruction-pointer width.
    pub const X87_FIP_WIDTH: u32 = 36;
    /// Address and size of the virtual-8086 TSS, Intel only.
    pub const VM86_TSS_SIZED: u32 = 37;
    /// Machine-check capabilities.
    pub const MCA_CAP: u32 = 38;
    /// One more than the highest param (HVM_NR_PARAMS).
    pub const COUNT: u32 = 39;
}

/// struct xen_hvm_param.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct HvmParam {
    pub domid: Domid,
    pub padding: u16,
    pub index: u32,
    pub value: u64,
}

const _: () = assert!(size_of::<HvmParam>() == 16);

// SAFETY: integers only.
unsafe impl Plain for HvmParam {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        assert_eq!(core::mem::offset_of!(HvmParam, value), 8);
    }
}
