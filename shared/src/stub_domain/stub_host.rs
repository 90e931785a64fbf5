//! The link half's surroundings in a stub domain.

use super::machine::Machine;
use super::ports::Ports;
use crate::link::{Host, LinkEvent};
use crate::ring::ProcessFigures;
use crate::ring::hand_over::HandOverPage;

/// The surroundings, for one life of the link half.
#[derive(Debug)]
pub struct StubHost<'a, M> {
    /// The domain's ports.
    pub ports: &'a Ports<M>,
    /// What dom0 looks at.
    pub page: &'a HandOverPage,
}

impl<M: Machine> Host for StubHost<'_, M> {
    fn now_us(&mut self) -> u64 {
        self.ports.machine().now_us()
    }

    /// Xen would tell more exactly, but asking costs more than a look does.
    fn processor_us(&mut self) -> u64 {
        self.ports.worked_us()
    }

    fn yield_core(&mut self) {
        self.ports.machine().yield_core();
    }

    /// Asked at each look around: so long the heart beats.
    fn is_other_half_alive(&mut self) -> bool {
        self.page.beat_for_link();
        self.ports.is_dom0_there()
    }

    fn usage(&mut self) -> ProcessFigures {
        ProcessFigures { processor_us: self.ports.worked_us(), fault_count: 0 }
    }

    fn report(&mut self, event: LinkEvent) {
        crate::log!("vif 0: {event}");
    }
}
