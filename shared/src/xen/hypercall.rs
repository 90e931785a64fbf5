//! The handle to Xen: how each kind of hypercall takes its arguments, and which domctl version.
//!
//! Every call copies its argument structure into pages that are safe for hypercalls, makes the
//! call, and copies the structure back. Numbers of hypercalls are those of `xen-sys`.

use xen_sys::{
    __HYPERVISOR_domctl, __HYPERVISOR_event_channel_op, __HYPERVISOR_grant_table_op,
    __HYPERVISOR_hvm_op, __HYPERVISOR_memory_op, __HYPERVISOR_sched_op, __HYPERVISOR_xen_version,
};

use super::{
    DOMID_DOM0, Domid, Errno, HypercallBuffer, Operation, Plain, XENVER_VERSION, XenError,
    XenOpenError, XenVersion,
};
use crate::limits::{HVM_CONTEXT_SIZE_MAX, PAGE_SIZE};
use crate::platform::linux::privcmd::Privcmd;
use crate::platform::linux::privcmd_buffer::Bounce;

/// Where the argument structure lies in the bounce pages.
pub(super) const ARGUMENT_OFFSET: usize = 0;
/// Where arrays and records that an argument points to lie.
pub(super) const DATA_OFFSET: usize = PAGE_SIZE;
/// Bytes for them.
pub(super) const DATA_SIZE: usize = HVM_CONTEXT_SIZE_MAX;

/// XEN_DOMCTL_INTERFACE_VERSION by minor version of Xen 4 (domctl.h of each release).
const DOMCTL_INTERFACE_VERSIONS: [(u16, u32); 7] =
    [(16, 0x14), (17, 0x15), (18, 0x16), (19, 0x17), (20, 0x17), (21, 0x17), (22, 0x18)];
/// How far around the table's entry is tried when Xen refuses it (distributions backport).
const DOMCTL_INTERFACE_NEIGHBOURS: u32 = 2;

/// struct xen_domctl (domctl.h): the command, and 128 bytes of union.
#[repr(C)]
#[derive(Clone, Copy)]
struct Domctl<P: Copy> {
    command: u32,
    interface_version: u32,
    domid: Domid,
    padding: [u16; 3],
    payload: DomctlPayload<P>,
}

/// The union of all payloads, which is 128 bytes whichever is used.
#[repr(C)]
#[derive(Clone, Copy)]
union DomctlPayload<P: Copy> {
    value: P,
    padding: [u64; 16],
}

const _: () = assert!(size_of::<Domctl<u64>>() == 144);

// SAFETY: integers and a payload that is `Plain` itself.
unsafe impl<P: Plain> Plain for Domctl<P> {}

/// An open way to Xen. Not for sharing between threads: each call uses the same bounce pages.
#[derive(Debug)]
pub struct Xen {
    privcmd: Privcmd,
    bounce: Bounce,
    version: XenVersion,
    domctl_interface_version: u32,
}

impl Xen {
    /// Opens privcmd, asks Xen's version, and finds the domctl interface version that it takes.
    ///
    /// # Errors
    /// [`XenOpenError`] says whether the device, the privilege or the version is what lacks.
    pub fn open() -> Result<Xen, XenOpenError> {
        let privcmd = Privcmd::open()?;
        let bounce = Bounce::allocate(&privcmd, DATA_OFFSET + DATA_SIZE).map_err(|errno| {
            XenOpenError::Hypercall(XenError::of_host(Operation::AllocateBuffer, errno))
        })?;
        let version = XenVersion { major: 0, minor: 0 };
        let mut xen = Xen { privcmd, bounce, version, domctl_interface_version: 0 };
        xen.version = xen.query_version().map_err(XenOpenError::Hypercall)?;
        xen.negotiate_domctl_interface()?;
        Ok(xen)
    }

    /// The running Xen's version.
    #[must_use]
    pub const fn version(&self) -> XenVersion {
        self.version
    }

    /// The domctl interface version that Xen took.
    #[must_use]
    pub const fn domctl_interface_version(&self) -> u32 {
        self.domctl_interface_version
    }

    /// Allocates memory that hypercalls can fill, of `byte_count` bytes rounded up to pages.
    ///
    /// # Errors
    /// [`Operation::AllocateBuffer`] when dom0 has no memory for it.
    pub fn buffer(&self, byte_count: usize) -> Result<HypercallBuffer, XenError> {
        HypercallBuffer::allocate(&self.privcmd, byte_count)
            .map_err(|errno| XenError::of_host(Operation::AllocateBuffer, errno))
    }

    fn query_version(&self) -> Result<XenVersion, XenError> {
        // SAFETY: this call takes no address.
        let result = unsafe {
            self.privcmd.hypercall(__HYPERVISOR_xen_version, [XENVER_VERSION, 0, 0, 0, 0])
        };
        result
            .map(XenVersion::of_word)
            .map_err(|errno| XenError::of_host(Operation::XenVersion, errno))
    }

    fn negotiate_domctl_interface(&mut self) -> Result<(), XenOpenError> {
        let expected = expected_interface_version(self.version);
        for candidate in interface_version_candidates(expected) {
            self.domctl_interface_version = candidate;
            match self.getdomaininfo(DOMID_DOM0) {
                Ok(_) => return Ok(()),
                Err(XenError { errno: Errno::EACCES, .. }) => {}
                Err(XenError { errno: Errno::EPERM, .. }) => return Err(XenOpenError::NotDom0),
                Err(error) => return Err(XenOpenError::Hypercall(error)),
            }
        }
        Err(XenOpenError::InterfaceVersion {
            version: self.version,
            expected,
            lowest: expected - DOMCTL_INTERFACE_NEIGHBOURS,
            highest: expected + DOMCTL_INTERFACE_NEIGHBOURS,
        })
    }

    pub(crate) const fn privcmd(&self) -> &Privcmd {
        &self.privcmd
    }

    pub(super) const fn bounce(&self) -> &Bounce {
        &self.bounce
    }

    /// Address of the bounce pages' data part.
    pub(super) fn data_address(&self) -> u64 {
        self.bounce.address(DATA_OFFSET)
    }

    /// Makes a domctl with `payload` as its member of the union, and copies it back.
    pub(super) fn domctl<P: Plain>(
        &self,
        operation: Operation,
        command: u32,
        domid: Domid,
        payload: &mut P,
    ) -> Result<(), XenError> {
        const { assert!(size_of::<P>() <= 128 && align_of::<P>() <= 8) };
        let mut zeroed = DomctlPayload { padding: [0; 16] };
        zeroed.value = *payload;
        self.bounce.put(
            ARGUMENT_OFFSET,
            &Domctl {
                command,
                interface_version: self.domctl_interface_version,
                domid,
                padding: [0; 3],
                payload: zeroed,
            },
        );
        let arguments = [self.bounce.address(ARGUMENT_OFFSET), 0, 0, 0, 0];
        // SAFETY: the address is that of the structure in the bounce pages; addresses in the
        // payload are those of the data part or of a buffer that the caller borrows.
        let result = unsafe { self.privcmd.hypercall(__HYPERVISOR_domctl, arguments) };
        result.map_err(|errno| XenError::of_domain(operation, domid, errno))?;
        let answer = self.bounce.take::<Domctl<P>>(ARGUMENT_OFFSET);
        // SAFETY: any bytes are a `P` by `Plain`.
        *payload = unsafe { answer.payload.value };
        Ok(())
    }

    /// Makes one of the hypercalls whose arguments are (command, pointer to a structure), and
    /// copies the structure back. Addresses in `argument` must be those of the data part.
    fn structure_call<T: Plain>(
        &self,
        hypercall: u32,
        command: u32,
        argument: &mut T,
        third: u64,
    ) -> Result<u32, Errno> {
        const { assert!(size_of::<T>() <= PAGE_SIZE) };
        self.bounce.put(ARGUMENT_OFFSET, argument);
        let address = self.bounce.address(ARGUMENT_OFFSET);
        // SAFETY: the address is that of the structure in the bounce pages, and what it points
        // to is the data part.
        let result = unsafe {
            self.privcmd.hypercall(hypercall, [u64::from(command), address, third, 0, 0])
        }?;
        *argument = self.bounce.take(ARGUMENT_OFFSET);
        Ok(result)
    }

    pub(super) fn memory_op<T: Plain>(&self, command: u32, argument: &mut T) -> Result<u32, Errno> {
        self.structure_call(__HYPERVISOR_memory_op, command, argument, 0)
    }

    pub(super) fn event_channel_op<T: Plain>(
        &self,
        command: u32,
        argument: &mut T,
    ) -> Result<u32, Errno> {
        self.structure_call(__HYPERVISOR_event_channel_op, command, argument, 0)
    }

    pub(super) fn grant_table_op<T: Plain>(
        &self,
        command: u32,
        argument: &mut T,
    ) -> Result<u32, Errno> {
        let operation_count = 1;
        self.structure_call(__HYPERVISOR_grant_table_op, command, argument, operation_count)
    }

    pub(super) fn hvm_op<T: Plain>(&self, command: u32, argument: &mut T) -> Result<u32, Errno> {
        self.structure_call(__HYPERVISOR_hvm_op, command, argument, 0)
    }

    /// Xen changes nothing in this one's argument.
    pub(super) fn sched_op<T: Plain>(&self, command: u32, argument: &T) -> Result<u32, Errno> {
        self.bounce.put(ARGUMENT_OFFSET, argument);
        let arguments = [u64::from(command), self.bounce.address(ARGUMENT_OFFSET), 0, 0, 0];
        // SAFETY: the address is that of the structure in the bounce pages.
        unsafe { self.privcmd.hypercall(__HYPERVISOR_sched_op, arguments) }
    }
}

/// The table's entry; a Xen older or newer than the table gets the nearest one.
fn expected_interface_version(version: XenVersion) -> u32 {
    let known = DOMCTL_INTERFACE_VERSIONS;
    let (oldest, newest) = (known[0], known[known.len() - 1]);
    match known.iter().find(|(minor, _)| version == XenVersion { major: 4, minor: *minor }) {
        Some((_, interface_version)) => *interface_version,
        None if version < (XenVersion { major: 4, minor: oldest.0 }) => oldest.1,
        None => newest.1,
    }
}

/// The expected version first, then its neighbours, nearest first.
fn interface_version_candidates(expected: u32) -> impl Iterator<Item = u32> {
    let neighbours =
        (1..=DOMCTL_INTERFACE_NEIGHBOURS).flat_map(move |far| [expected + far, expected - far]);
    core::iter::once(expected).chain(neighbours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_versions_follow_the_table() {
        let of = |minor| expected_interface_version(XenVersion { major: 4, minor });
        assert_eq!(of(17), 0x15);
        assert_eq!(of(20), 0x17);
        assert_eq!(of(11), 0x14);
        assert_eq!(of(30), 0x18);
        assert_eq!(expected_interface_version(XenVersion { major: 5, minor: 0 }), 0x18);
    }

    #[test]
    fn candidates_begin_with_the_expected_one() {
        let candidates: std::vec::Vec<u32> = interface_version_candidates(0x15).collect();
        assert_eq!(candidates, [0x15, 0x16, 0x14, 0x17, 0x13]);
    }

    #[test]
    fn domctl_layout() {
        assert_eq!(core::mem::offset_of!(Domctl<u64>, domid), 8);
        assert_eq!(core::mem::offset_of!(Domctl<u64>, payload), 16);
    }
}
