//! Grant tables: how large a domain's is, and where it lies (grant_table.h).

use super::hypercall::DATA_OFFSET;
use super::{Domid, Errno, Operation, Plain, Xen, XenError};

const GNTTABOP_SETUP_TABLE: u32 = 2;
const GNTTABOP_QUERY_SIZE: u32 = 6;
const GNTTABOP_GET_STATUS_FRAMES: u32 = 9;
const GNTTABOP_GET_VERSION: u32 = 10;

/// How large a domain's grant table is, in frames (GNTTABOP_query_size).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantTableSize {
    /// Frames in use.
    pub frame_count: u32,
    /// Most frames that the domain may have.
    pub frame_count_max: u32,
}

/// struct gnttab_setup_table.
#[repr(C)]
#[derive(Clone, Copy)]
struct SetupTable {
    domid: Domid,
    padding_1: u16,
    frame_count: u32,
    status: i16,
    padding_2: [u16; 3],
    frame_list: u64,
}

/// struct gnttab_query_size.
#[repr(C)]
#[derive(Clone, Copy)]
struct QuerySize {
    domid: Domid,
    padding_1: u16,
    frame_count: u32,
    frame_count_max: u32,
    status: i16,
    padding_2: u16,
}

/// struct gnttab_get_status_frames.
#[repr(C)]
#[derive(Clone, Copy)]
struct GetStatusFrames {
    frame_count: u32,
    domid: Domid,
    status: i16,
    frame_list: u64,
}

/// struct gnttab_get_version.
#[repr(C)]
#[derive(Clone, Copy)]
struct GetVersion {
    domid: Domid,
    padding: u16,
    version: u32,
}

const _: () = assert!(size_of::<SetupTable>() == 24 && size_of::<QuerySize>() == 16);
const _: () = assert!(size_of::<GetStatusFrames>() == 16 && size_of::<GetVersion>() == 8);

// SAFETY: integers only.
unsafe impl Plain for SetupTable {}
// SAFETY: integers only.
unsafe impl Plain for QuerySize {}
// SAFETY: integers only.
unsafe impl Plain for GetStatusFrames {}
// SAFETY: integers only.
unsafe impl Plain for GetVersion {}

/// GNTST_* as the errno that says the same.
fn check_status(status: i16) -> Result<(), Errno> {
    match status {
        0 => Ok(()),
        -2 => Err(Errno::ESRCH),
        -8 => Err(Errno::EPERM),
        -13 => Err(Errno::ENOSPC),
        _ => Err(Errno::EINVAL),
    }
}

impl Xen {
    /// How many frames the domain's grant table has.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn gnttab_query_size(&self, domid: Domid) -> Result<GrantTableSize, XenError> {
        let mut size = QuerySize {
            domid,
            padding_1: 0,
            frame_count: 0,
            frame_count_max: 0,
            status: 0,
            padding_2: 0,
        };
        self.grant_table_op(GNTTABOP_QUERY_SIZE, &mut size)
            .and_then(|_| check_status(size.status))
            .map_err(|errno| XenError::of_domain(Operation::GrantQuerySize, domid, errno))?;
        let QuerySize { frame_count, frame_count_max, .. } = size;
        Ok(GrantTableSize { frame_count, frame_count_max })
    }

    /// The version of the domain's grant table, 1 or 2; 0 when the guest has not set one up.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn gnttab_get_version(&self, domid: Domid) -> Result<u32, XenError> {
        let mut version = GetVersion { domid, padding: 0, version: 0 };
        self.grant_table_op(GNTTABOP_GET_VERSION, &mut version)
            .map_err(|errno| XenError::of_domain(Operation::GrantGetVersion, domid, errno))?;
        Ok(version.version)
    }

    /// Writes where the guest mapped frames 0, 1, ... of its grant table into `gfns`; all ones
    /// for a frame that it did not map.
    ///
    /// Ask [`Xen::gnttab_query_size`] first: more frames than the table has make it grow.
    ///
    /// # Errors
    /// EINVAL beyond the domain's limit; ESRCH when there is no such domain.
    pub fn gnttab_setup_table(&self, domid: Domid, gfns: &mut [u64]) -> Result<(), XenError> {
        let fail = |errno| XenError::of_domain(Operation::GrantSetupTable, domid, errno);
        self.bounce().put_slice(DATA_OFFSET, gfns);
        let mut table = SetupTable {
            domid,
            padding_1: 0,
            frame_count: u32::try_from(gfns.len()).map_err(|_| fail(Errno::E2BIG))?,
            status: 0,
            padding_2: [0; 3],
            frame_list: self.data_address(),
        };
        self.grant_table_op(GNTTABOP_SETUP_TABLE, &mut table)
            .and_then(|_| check_status(table.status))
            .map_err(fail)?;
        self.bounce().take_slice(DATA_OFFSET, gfns);
        Ok(())
    }

    /// Writes where the guest mapped its status frames (version 2 only) into `gfns`.
    ///
    /// # Errors
    /// EINVAL when there are not as many.
    pub fn gnttab_get_status_frames(&self, domid: Domid, gfns: &mut [u64]) -> Result<(), XenError> {
        let fail = |errno| XenError::of_domain(Operation::GrantGetStatusFrames, domid, errno);
        self.bounce().put_slice(DATA_OFFSET, gfns);
        let mut frames = GetStatusFrames {
            frame_count: u32::try_from(gfns.len()).map_err(|_| fail(Errno::E2BIG))?,
            domid,
            status: 0,
            frame_list: self.data_address(),
        };
        self.grant_table_op(GNTTABOP_GET_STATUS_FRAMES, &mut frames)
            .and_then(|_| check_status(frames.status))
            .map_err(fail)?;
        self.bounce().take_slice(DATA_OFFSET, gfns);
        Ok(())
    }
}
