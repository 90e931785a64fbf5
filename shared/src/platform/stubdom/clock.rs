//! The monotonic clock, and waiting without a core.

use core::arch::x86_64::{_mm_lfence, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use super::{shared_info, vcpu_time};
use crate::xen::{Hypervisor, XenError};

static HYPERVISOR: Once<Hypervisor> = Once::new();
static LAST_NS: AtomicU64 = AtomicU64::new(0);

/// Has the clock follow Xen's, whose shared_info is mapped.
pub fn follow(hypervisor: Hypervisor) {
    HYPERVISOR.call_once(|| hypervisor);
}

/// Nanoseconds of Xen's system time, which never go back. Without Xen there is nobody who knows how long a
/// cycle is: each counts as one nanosecond then.
pub fn monotonic_ns() -> u64 {
    let now_ns = match HYPERVISOR.get() {
        Some(_) => vcpu_time::now_ns(shared_info::page(), cycles),
        None => cycles(),
    };
    LAST_NS.fetch_max(now_ns, Ordering::Relaxed).max(now_ns)
}

/// Microseconds of the same clock: the time that the core takes as an argument.
pub fn monotonic_us() -> u64 {
    monotonic_ns() / 1000
}

/// Waits until one of the event channel ports is pending, about `duration_us` at most. Without Xen it
/// returns at once.
///
/// # Errors
/// [`XenError`] when Xen refuses a port.
pub fn wait(ports: &[u32], duration_us: u64) -> Result<(), XenError> {
    let Some(hypervisor) = HYPERVISOR.get() else { return Ok(()) };
    hypervisor.poll(ports, monotonic_ns() + duration_us.saturating_mul(1000))
}

fn cycles() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it keeps the next one from going first.
    unsafe { _mm_lfence() };
    // SAFETY: every x86-64 processor has the counter.
    unsafe { _rdtsc() }
}
