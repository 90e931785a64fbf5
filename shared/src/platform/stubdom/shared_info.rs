//! The page that Xen shares with this domain (struct shared_info, xen.h): time, and event channels by the older
//! ABI of two levels. Events are looked for and waited for, never delivered: all ports stay masked.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::limits::PAGE_SIZE;
use crate::xen::{GuestPage, Hypervisor, XenError};

/// A page of the image, in whose place Xen puts its own.
#[repr(align(4096))]
struct Page([AtomicU64; PAGE_SIZE / 8]);

static PAGE: Page = Page([const { AtomicU64::new(0) }; PAGE_SIZE / 8]);

/// evtchn_pending and evtchn_mask: a bit for each port.
const PENDING: usize = core::mem::offset_of!(xen_sys::shared_info, evtchn_pending);
const MASK: usize = core::mem::offset_of!(xen_sys::shared_info, evtchn_mask);
/// Ports of that ABI.
const PORT_COUNT: u32 = 64 * 64;

const _: () = assert!(PENDING == 2048 && MASK == 2560);

/// Has Xen put its page here.
///
/// # Errors
/// [`XenError`] when it does not.
pub fn map(hypervisor: Hypervisor) -> Result<(), XenError> {
    hypervisor.map_shared_info((PAGE.0.as_ptr().addr() / PAGE_SIZE) as u64)?;
    for word in (MASK..MASK + PORT_COUNT as usize / 8).step_by(8) {
        page().word64(word).store(u64::MAX, Ordering::Relaxed);
    }
    Ok(())
}

/// The page; zeroes without Xen.
#[must_use]
pub fn page() -> GuestPage<'static> {
    GuestPage::from_words(&PAGE.0)
}

/// Takes the event that is pending at a port, and says whether there was one. Look at what it is about
/// afterwards.
pub fn take_event(port: u32) -> bool {
    if port >= PORT_COUNT {
        return false;
    }
    let bit = 1_u64 << (port % 64);
    let word = page().word64(PENDING + port as usize / 64 * 8);
    word.fetch_and(!bit, Ordering::SeqCst) & bit != 0
}
