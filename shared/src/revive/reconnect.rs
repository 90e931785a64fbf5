//! Reconnecting: the suspended guest resumes in place, as if it had arrived from another host.
//!
//! A soft reset takes away what the interlude needed: every port, the place of vcpu_info, Xen's
//! page of shared_info. What the toolstack gives a domain before its first instruction is given
//! once more, and the guest's resume path does the rest: clock, console, xenstore, its devices.

use super::check::TwinPlaces;
use super::error::{ReviveError, While};
use super::shared_info::WallClock;
use super::stub::Stub;
use super::xenstore::{Store, introduce_again};
use crate::xen::hvm::params;
use crate::xen::xenstore::ring::XenstoreRing;
use crate::xen::{DOMID_DOM0, Domid, GuestPage, Xen};

/// What reconnecting needs to know of the suspended twin.
#[derive(Debug)]
pub struct Suspended<'a> {
    /// The hypervisor.
    pub xen: &'a Xen,
    /// The twin.
    pub domid: Domid,
    /// Its rings.
    pub places: TwinPlaces,
    /// The page of its xenstore ring.
    pub store_page: GuestPage<'a>,
    /// Xen's page of shared_info; it stays mapped here beyond the reset.
    pub shared_info: GuestPage<'a>,
    /// This host's wall clock, and what was put in its place for the interlude.
    pub clocks: (WallClock, WallClock),
}

impl Suspended<'_> {
    /// Resets the twin, gives it new rings, and lets it run.
    ///
    /// # Errors
    /// When Xen or xenstored refuse. The twin is paused then.
    pub fn reconnect(&self, stub: &Stub, store: &mut Store) -> Result<(), ReviveError> {
        let Self { xen, domid, places, .. } = *self;
        xen.pausedomain(domid).while_doing("pausing the suspended guest")?;
        self.set_wall_clock();
        xen.soft_reset(domid).while_doing("resetting the suspended guest")?;
        stub.take_decoy_away(xen, domid)?;
        let store_port =
            xen.evtchn_alloc_unbound(domid, DOMID_DOM0).while_doing("giving it a xenstore port")?;
        let console_port =
            xen.evtchn_alloc_unbound(domid, DOMID_DOM0).while_doing("giving it a console port")?;
        for (index, port) in
            [(params::STORE_EVTCHN, store_port), (params::CONSOLE_EVTCHN, console_port)]
        {
            xen.hvm_set_param(domid, index, u64::from(port)).while_doing("naming its ports")?;
        }
        XenstoreRing::new(self.store_page).reset();
        introduce_again(store, domid, places.store_gfn, store_port, console_port)?;
        xen.unpausedomain(domid).while_doing("letting the guest resume")
    }

    /// The guest reads the wall clock on resuming, with this host's time. Where Xen has written a
    /// newer one meanwhile, that is right already.
    fn set_wall_clock(&self) {
        let (host, guest) = self.clocks;
        if WallClock::read(self.shared_info) == guest {
            host.write(self.shared_info);
        }
    }
}
