//! What a revival did and how long it took, for people.

use core::fmt;

use crate::xen::Domid;

/// Durations and counts of one revival. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReviveReport {
    /// The epoch that lives on.
    pub epoch: u64,
    /// The domain that is alive now.
    pub domid: Domid,
    /// Mapping Xen's frames and putting memory in order.
    pub memory_us: u64,
    /// Running the stub.
    pub stub_us: u64,
    /// Re-creating the guest's watch through its own ring.
    pub watch_us: u64,
    /// Loading the processors and letting them run.
    pub load_us: u64,
    /// From there until the guest had suspended.
    pub suspend_us: u64,
    /// From there until it ran again with new rings.
    pub reconnect_us: u64,
    /// How often the guest had to be asked to suspend.
    pub suspend_request_count: u32,
    /// Ticks that were given in place of the guest's timer.
    pub tick_count: u64,
    /// Upcalls that Xen had reported to the decoy, passed on by hand.
    pub upcall_count: u64,
}

impl ReviveReport {
    /// From the decision to the guest's first instruction.
    #[must_use]
    pub const fn until_running_us(&self) -> u64 {
        self.memory_us + self.stub_us + self.watch_us + self.load_us
    }

    /// From the decision to the guest's return to normal.
    #[must_use]
    pub const fn total_us(&self) -> u64 {
        self.until_running_us() + self.suspend_us + self.reconnect_us
    }
}

/// Microseconds as milliseconds with one digit behind the point.
struct Milliseconds(u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.saturating_add(50) / 100;
        write!(f, "{}.{} ms", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for ReviveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "revived epoch {} as domain {} in {}: running after {} (memory {}, stub {}, watch {}, \
             load {}), suspended after another {} ({} ticks, {} upcalls",
            self.epoch,
            self.domid,
            Milliseconds(self.total_us()),
            Milliseconds(self.until_running_us()),
            Milliseconds(self.memory_us),
            Milliseconds(self.stub_us),
            Milliseconds(self.watch_us),
            Milliseconds(self.load_us),
            Milliseconds(self.suspend_us),
            self.tick_count,
            self.upcall_count,
        )?;
        if self.suspend_request_count > 1 {
            write!(f, ", asked {} times", self.suspend_request_count)?;
        }
        write!(f, "), reconnected in {}", Milliseconds(self.reconnect_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line() {
        let report = ReviveReport {
            epoch: 1234,
            domid: 5,
            memory_us: 1_000,
            stub_us: 4_049,
            watch_us: 951,
            load_us: 2_000,
            suspend_us: 55_060,
            reconnect_us: 36_000,
            suspend_request_count: 1,
            tick_count: 55,
            upcall_count: 70,
        };
        assert_eq!(
            report.to_string(),
            "revived epoch 1234 as domain 5 in 99.1 ms: running after 8.0 ms (memory 1.0 ms, \
             stub 4.0 ms, watch 1.0 ms, load 2.0 ms), suspended after another 55.1 ms (55 ticks, \
             70 upcalls), reconnected in 36.0 ms"
        );
        let again = ReviveReport { suspend_request_count: 2, ..report };
        assert!(again.to_string().contains("70 upcalls, asked 2 times)"));
    }
}
