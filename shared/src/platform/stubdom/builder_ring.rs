//! The rings that the domain's builder leaves in it: a page and a port each, named by HVM params.

use core::sync::atomic::AtomicU64;

use super::paging::MAPPED_END;
use crate::limits::PAGE_SIZE;
use crate::xen::{GuestPage, Hypervisor};

/// The ring whose gfn and port are the HVM params of these numbers (`CONSOLE_PFN` and `CONSOLE_EVTCHN`, or
/// `STORE_PFN` and `STORE_EVTCHN`, of [`params`](crate::xen::params)); none in a domain that was built without.
#[must_use]
pub fn find_ring(
    hypervisor: Hypervisor,
    gfn_param: u32,
    port_param: u32,
) -> Option<(GuestPage<'static>, u32)> {
    let param = |index| hypervisor.hvm_get_param(index).ok().filter(|value| *value != 0);
    let gfn = param(gfn_param).filter(|gfn| *gfn < MAPPED_END / PAGE_SIZE as u64)?;
    let port = u32::try_from(param(port_param)?).ok()?;
    let address = usize::try_from(gfn).ok()? * PAGE_SIZE;
    let page = core::ptr::with_exposed_provenance::<[AtomicU64; PAGE_SIZE / 8]>(address);
    // SAFETY: Xen's toolstack has put the ring there, outside the memory of the memory map, and it stays; it
    // is only ever reached as atomics.
    Some((GuestPage::from_words(unsafe { &*page }), port))
}
