//! What a session's epochs are written to, and the ring that they wait in: taken once its opening is whole.

use super::{Commit, Image};
use crate::commit::fault::CommitFault;
use crate::commit::intake::IntakeFault;
use crate::commit::replica::Replica;
use crate::commit::session_event::CommitEvent;
use crate::commit::staging::Staging;
use crate::commit::twin::Twin;
use crate::commit::twin_config::TwinConfig;
use crate::limits::{PAGE_SIZE, RING_ENTRY_COUNT_SLACK, epoch_entry_count_max};
use crate::platform::linux::available::check_available;
use crate::rehearsal::places;

impl Commit<'_> {
    pub(super) fn build(&mut self) -> Result<CommitEvent, CommitFault> {
        if self.is_rehearsal() { self.build_replica() } else { self.build_twin() }
    }

    fn build_twin(&mut self) -> Result<CommitEvent, CommitFault> {
        let description = self.intake.description().expect("a whole opening has a description");
        let host = self.twins.as_mut().ok_or(CommitFault::RehearsalsOnly)?;
        if self.options.has_arbiter != (description.term > 0) {
            return Err(CommitFault::Arbiter { is_here: self.options.has_arbiter });
        }
        let config = match self.options.twin_config {
            Some(path) => TwinConfig::File(path),
            None if self.intake.config().is_empty() => {
                return Err(CommitFault::Intake(IntakeFault::NoConfig));
            }
            None => TwinConfig::Sent(self.intake.config(), self.options.state_directory),
        };
        let pages = description.page_count;
        if pages + RING_ENTRY_COUNT_SLACK > self.ring.entry_count_max() {
            return Err(CommitFault::RingLimit { pages });
        }
        self.ring.populate(pages).map_err(CommitFault::Ring)?;
        let twin = Twin::create(host.xen, &mut host.store, description, config)
            .map_err(CommitFault::Twin)?;
        self.ring.control().set_populated_count(pages);
        let entry_count = epoch_entry_count_max(pages).min(self.ring.entry_count_max());
        self.ring.raise_capacity(entry_count.max(self.ring.capacity()));
        let (domid, gfn_count) = (twin.domid, twin.memory.gfn_count());
        self.staging = Some(Staging::new(twin.places, gfn_count, self.intake.entry_count()));
        self.image = Some(Image::Twin(twin));
        Ok(CommitEvent::TwinCreated { domid })
    }

    /// Everything that a rehearsal may touch is taken at once: what it measures is not what memory
    /// costs at first.
    fn build_replica(&mut self) -> Result<CommitEvent, CommitFault> {
        let description = self.intake.description().expect("a whole opening has a description");
        let (pages, gfn_count) = (description.page_count, description.gfn_count);
        let entry_count = epoch_entry_count_max(pages);
        if pages != gfn_count || pages + RING_ENTRY_COUNT_SLACK > self.ring.entry_count_max() {
            return Err(CommitFault::RingLimit { pages });
        }
        let entry_count = entry_count.min(self.ring.entry_count_max()).max(self.ring.capacity());
        // Each is refused by itself when it cannot be had, but only this is told in time.
        check_available((gfn_count + entry_count) * PAGE_SIZE as u64)
            .map_err(CommitFault::Replica)?;
        let replica = Replica::create(gfn_count).map_err(CommitFault::Replica)?;
        self.ring.populate(entry_count).map_err(CommitFault::Ring)?;
        self.ring.control().set_populated_count(entry_count);
        self.ring.raise_capacity(entry_count);
        let opening = self.intake.entry_count();
        self.staging = Some(Staging::new(places(gfn_count), gfn_count, opening).of_rehearsal());
        self.image = Some(Image::Replica(replica));
        Ok(CommitEvent::ReplicaCreated { page_count: pages })
    }
}
