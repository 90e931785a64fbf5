//! HVM and PVH domains: their params (hvm_op.h) and interrupts from outside (dm_op.h).

use xen_sys::__HYPERVISOR_dm_op;

pub use super::hvm_params::params;
use super::hvm_params::{HVMOP_GET_PARAM, HvmParam};
use super::hypercall::{ARGUMENT_OFFSET, DATA_OFFSET};
use super::{Domid, Operation, Plain, Xen, XenError};

const HVMOP_SET_PARAM: u32 = 0;
const XEN_DMOP_INJECT_MSI: u32 = 14;

/// struct xen_dm_op with the member that inject_msi uses. Xen copies as much as there is.
#[repr(C)]
#[derive(Clone, Copy)]
struct InjectMsi {
    operation: u32,
    padding_1: u32,
    data: u32,
    padding_2: u32,
    address: u64,
    padding_3: u64,
}

/// The whole of struct xen_dm_op.
const _: () = assert!(size_of::<InjectMsi>() == 32);

// SAFETY: integers only.
unsafe impl Plain for InjectMsi {}

/// struct xen_dm_op_buf.
#[repr(C)]
#[derive(Clone, Copy)]
struct DeviceModelBuffer {
    address: u64,
    size: u64,
}

// SAFETY: integers only.
unsafe impl Plain for DeviceModelBuffer {}

impl Xen {
    /// The value of HVM param `index` ([`params`]).
    ///
    /// # Errors
    /// EINVAL for an unknown param or a PV domain; EACCES or EPERM for one that dom0 may not read.
    pub fn hvm_get_param(&self, domid: Domid, index: u32) -> Result<u64, XenError> {
        let mut param = HvmParam { domid, padding: 0, index, value: 0 };
        self.hvm_op(HVMOP_GET_PARAM, &mut param)
            .map_err(|errno| XenError::of_domain(Operation::HvmGetParam, domid, errno))?;
        Ok(param.value)
    }

    /// Sets HVM param `index` ([`params`]).
    ///
    /// # Errors
    /// EINVAL for a value that does not fit; EEXIST for a param that can be set only once.
    pub fn hvm_set_param(&self, domid: Domid, index: u32, value: u64) -> Result<(), XenError> {
        let mut param = HvmParam { domid, padding: 0, index, value };
        self.hvm_op(HVMOP_SET_PARAM, &mut param)
            .map(|_| ())
            .map_err(|errno| XenError::of_domain(Operation::HvmSetParam, domid, errno))
    }

    /// Delivers a message-signalled interrupt to the domain: `address` 0xfeexxxxx and `data` as a
    /// device would write them.
    ///
    /// # Errors
    /// EINVAL when the domain has no local APICs; EPERM when dom0 may not.
    pub fn inject_msi(&self, domid: Domid, address: u64, data: u32) -> Result<(), XenError> {
        let message = InjectMsi {
            operation: XEN_DMOP_INJECT_MSI,
            padding_1: 0,
            data,
            padding_2: 0,
            address,
            padding_3: 0,
        };
        self.bounce().put(DATA_OFFSET, &message);
        let size = size_of::<InjectMsi>() as u64;
        let buffer = DeviceModelBuffer { address: self.data_address(), size };
        self.bounce().put(ARGUMENT_OFFSET, &buffer);
        let buffer_count = 1;
        let arguments =
            [u64::from(domid), buffer_count, self.bounce().address(ARGUMENT_OFFSET), 0, 0];
        // SAFETY: the address is that of the one buffer descriptor in the bounce pages, which
        // names the data part and its size.
        unsafe { self.privcmd().hypercall(__HYPERVISOR_dm_op, arguments) }
            .map(|_| ())
            .map_err(|errno| XenError::of_domain(Operation::InjectMsi, domid, errno))
    }

    /// Delivers interrupt `vector`, fixed and edge-triggered, to the vCPU whose local APIC has
    /// the ID `apic_id` (twice the vCPU's number on Xen).
    ///
    /// # Errors
    /// As for [`Xen::inject_msi`].
    pub fn inject_vector(&self, domid: Domid, apic_id: u8, vector: u8) -> Result<(), XenError> {
        let (address, data) = msi_message(apic_id, vector);
        self.inject_msi(domid, address, data)
    }
}

/// The message of a fixed, edge-triggered interrupt to one APIC in physical destination mode
/// (Intel SDM volume 3, 11.11).
const fn msi_message(apic_id: u8, vector: u8) -> (u64, u32) {
    (0xfee0_0000 | ((apic_id as u64) << 12), vector as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn msi_messages_name_apic_and_vector() {
        assert_eq!(msi_message(0, 0xf3), (0xfee0_0000, 0xf3));
        assert_eq!(msi_message(6, 0xf3), (0xfee0_6000, 0xf3));
    }

    #[test]
    fn layouts() {
        assert_eq!(core::mem::offset_of!(InjectMsi, data), 8);
        assert_eq!(core::mem::offset_of!(InjectMsi, address), 16);
    }
}
