//! Log-dirty: which pages of a domain were written (XEN_DOMCTL_shadow_op, domctl.h).
//!
//! Xen's own writes to vcpu_info and event pages, and writes of backends through grant mappings,
//! are not in the bitmap.

use super::{Domid, Errno, HypercallBuffer, Operation, Plain, Xen, XenError};

const SHADOW_OP: u32 = 10;
const SHADOW_OP_OFF: u32 = 0;
const SHADOW_OP_ENABLE_LOGDIRTY: u32 = 2;
const SHADOW_OP_CLEAN: u32 = 11;
const SHADOW_OP_PEEK: u32 = 12;

/// struct xen_domctl_shadow_op.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ShadowOp {
    command: u32,
    mode: u32,
    pool_mib: u32,
    padding: u32,
    dirty_bitmap: u64,
    page_count: u64,
    fault_count: u32,
    dirty_count: u32,
}

const _: () = assert!(size_of::<ShadowOp>() == 40);
const _: () = assert!(core::mem::offset_of!(ShadowOp, dirty_bitmap) == 16);
const _: () = assert!(core::mem::offset_of!(ShadowOp, fault_count) == 32);

// SAFETY: integers only.
unsafe impl Plain for ShadowOp {}

/// What one reading of the bitmap says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDirtyStats {
    /// Gfns that the bitmap covers: what was asked for, or fewer.
    pub gfn_count: u64,
    /// Faults that log-dirty took since the last CLEAN.
    pub fault_count: u32,
    /// Pages that became dirty since the last CLEAN, holes not included.
    pub dirty_count: u32,
}

impl Xen {
    /// Starts logging: every page counts as clean, and a write makes it dirty. Costs one fault
    /// at the first write to each page.
    ///
    /// # Errors
    /// EBUSY when it is on already: another tool uses it, or one that ended left it on. EINVAL
    /// when it is not available: PV on a Xen without shadow paging.
    pub fn log_dirty_enable(&self, domid: Domid) -> Result<(), XenError> {
        let mut argument = ShadowOp { command: SHADOW_OP_ENABLE_LOGDIRTY, ..ShadowOp::default() };
        let result = self.shadow_op(domid, &mut argument);
        // Xen has one errno for both; with hardware-assisted paging it is always available.
        match result {
            Err(XenError { errno: Errno::EINVAL, .. })
                if self.getdomaininfo(domid).is_ok_and(|info| info.is_hap()) =>
            {
                Err(XenError::of_domain(Operation::ShadowOp, domid, Errno::EBUSY))
            }
            result => result,
        }
    }

    /// Ends logging.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn log_dirty_off(&self, domid: Domid) -> Result<(), XenError> {
        self.shadow_op(domid, &mut ShadowOp { command: SHADOW_OP_OFF, ..ShadowOp::default() })
    }

    /// Reads the bitmap (bit `gfn % 64` of word `gfn / 64`) and makes every page clean, at once
    /// when the domain is paused.
    ///
    /// `bitmap` must have room for `gfn_count` bits; what it held before is overwritten.
    ///
    /// # Errors
    /// EINVAL when logging is off.
    pub fn log_dirty_clean(
        &self,
        domid: Domid,
        bitmap: &mut HypercallBuffer,
        gfn_count: u64,
    ) -> Result<LogDirtyStats, XenError> {
        self.read_bitmap(domid, SHADOW_OP_CLEAN, bitmap, gfn_count)
    }

    /// Reads the bitmap and leaves it as it is.
    ///
    /// # Errors
    /// EINVAL when logging is off.
    pub fn log_dirty_peek(
        &self,
        domid: Domid,
        bitmap: &mut HypercallBuffer,
        gfn_count: u64,
    ) -> Result<LogDirtyStats, XenError> {
        self.read_bitmap(domid, SHADOW_OP_PEEK, bitmap, gfn_count)
    }

    /// Pages that became dirty since the last CLEAN, holes not included. Costs the domain a pause of
    /// microseconds.
    ///
    /// # Errors
    /// EINVAL when logging is off.
    pub fn log_dirty_count(&self, domid: Domid) -> Result<u32, XenError> {
        // Of no page the bitmap is read; the counts are those of the whole domain.
        let mut argument = ShadowOp { command: SHADOW_OP_PEEK, ..ShadowOp::default() };
        self.shadow_op(domid, &mut argument)?;
        Ok(argument.dirty_count)
    }

    /// Makes the pages below `gfn_count` clean without reading which were dirty.
    ///
    /// # Errors
    /// EINVAL when logging is off.
    pub fn log_dirty_clear(&self, domid: Domid, gfn_count: u64) -> Result<(), XenError> {
        let no_bitmap = 0;
        self.shadow_op(
            domid,
            &mut ShadowOp {
                command: SHADOW_OP_CLEAN,
                dirty_bitmap: no_bitmap,
                page_count: gfn_count,
                ..ShadowOp::default()
            },
        )
    }

    fn read_bitmap(
        &self,
        domid: Domid,
        command: u32,
        bitmap: &mut HypercallBuffer,
        gfn_count: u64,
    ) -> Result<LogDirtyStats, XenError> {
        assert!(gfn_count.div_ceil(8) <= bitmap.bytes().len() as u64, "the bitmap is too small");
        let mut argument = ShadowOp {
            command,
            dirty_bitmap: bitmap.address(),
            page_count: gfn_count,
            ..ShadowOp::default()
        };
        self.shadow_op(domid, &mut argument)?;
        Ok(LogDirtyStats {
            gfn_count: argument.page_count,
            fault_count: argument.fault_count,
            dirty_count: argument.dirty_count,
        })
    }

    fn shadow_op(&self, domid: Domid, argument: &mut ShadowOp) -> Result<(), XenError> {
        self.domctl(Operation::ShadowOp, SHADOW_OP, domid, argument)
    }
}
