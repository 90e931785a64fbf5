//! Building the gate up and taking it down, without losing a frame.

use super::{GateError, GateStep, GatedInterface};
use crate::gate::message::Request;
use crate::gate::names::{GuestInterface, InterfaceName};
use crate::gate::replies::Link;
use crate::gate::requests::FilterKind;
use crate::gate::{PlugAction, replies, requests};
use crate::limits::{GATE_HELD_SIZE_MAX, GATE_INTERFACE_COUNT_MAX, GATE_QUEUE_FRAMES};
use crate::platform::linux::clock;
use crate::platform::linux::netlink::{NetlinkError, NetlinkSocket};
use heapless::Vec;
use rustix::io::Errno;

/// How long released frames may take to leave before their device is deleted nevertheless.
const DRAIN_MS_MAX: u32 = 200;

/// An interface that belongs to the domain, the guest's own or our `ifb`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundInterface {
    pub(super) guest: GuestInterface,
    pub(super) link: Link,
}

/// The interfaces of one domain on this host.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) guest: Vec<FoundInterface, GATE_INTERFACE_COUNT_MAX>,
    pub(super) ifb: Vec<FoundInterface, GATE_INTERFACE_COUNT_MAX>,
}

pub(super) fn open_socket() -> Result<NetlinkSocket, GateError> {
    NetlinkSocket::open().map_err(|error| refused_for_all(GateStep::List, error))
}

/// Looks for the domain's interfaces and for ours.
pub(super) fn find(socket: &mut NetlinkSocket, domid: u16) -> Result<Found, GateError> {
    match find_first(socket, domid)? {
        (found, false) => Ok(found),
        (_, true) => Err(GateError::TooManyInterfaces { domid }),
    }
}

/// As many of them as the gate can hold, and whether there are more.
fn find_first(socket: &mut NetlinkSocket, domid: u16) -> Result<(Found, bool), GateError> {
    let mut found = Found::default();
    let mut is_too_many = false;
    let mut request = Request::new();
    requests::list_links(&mut request);
    socket
        .ask(&request, &mut |reply| {
            let Some(link) = replies::link(reply) else { return };
            let name = link.name;
            if let Some(guest) = GuestInterface::parse(name.as_str(), domid) {
                is_too_many |= found.guest.push(FoundInterface { guest, link }).is_err();
            } else if let Some(guest) = GuestInterface::parse_ifb(name.as_str(), domid) {
                is_too_many |= found.ifb.push(FoundInterface { guest, link }).is_err();
            }
        })
        .map_err(|error| refused_for_all(GateStep::List, error))?;
    Ok((found, is_too_many))
}

/// Puts a plug behind every interface of the domain; frames pass. Leaves nothing if it fails.
pub(super) fn install(
    socket: &mut NetlinkSocket,
    domid: u16,
) -> Result<Vec<GatedInterface, GATE_INTERFACE_COUNT_MAX>, GateError> {
    let found = find(socket, domid)?;
    if found.guest.is_empty() {
        return Err(GateError::NoInterface { domid });
    }
    let mut attached = Vec::new();
    let installed = install_all(socket, domid, &found, &mut attached);
    if installed.is_err() {
        // The first failure is the one to tell. Another's hook, which may be the reason, stays.
        let _ = find(socket, domid).and_then(|found| take_down(socket, &found.ifb, &attached));
    }
    installed
}

fn install_all(
    socket: &mut NetlinkSocket,
    domid: u16,
    found: &Found,
    attached: &mut Vec<Link, GATE_INTERFACE_COUNT_MAX>,
) -> Result<Vec<GatedInterface, GATE_INTERFACE_COUNT_MAX>, GateError> {
    let mut request = Request::new();
    for interface in &found.guest {
        let name = interface.guest.ifb_name(domid);
        requests::create_ifb(&mut request, name.as_str(), GATE_QUEUE_FRAMES);
    }
    socket.tell(&request).map_err(|error| refused_for_all(GateStep::CreateIfb, error))?;
    let created = find(socket, domid)?;
    let mut gated = Vec::new();
    for interface in &found.guest {
        let ifb = created.ifb.iter().find(|ifb| ifb.guest == interface.guest);
        let ifb_index = ifb.map(|ifb| ifb.link.index).ok_or(GateError::Refused {
            step: GateStep::CreateIfb,
            interface: interface.link.name,
            errno: Errno::NODEV,
        })?;
        create_plug(socket, &interface.link, ifb_index)?;
        attach(socket, &interface.link)?;
        let noted = attached.push(interface.link);
        assert!(noted.is_ok(), "both lists have the same bound");
        redirect(socket, &interface.link, ifb_index)?;
        let guest_name = interface.link.name;
        let guest_index = interface.link.index;
        let pushed = gated.push(GatedInterface { guest_name, guest_index, ifb_index });
        assert!(pushed.is_ok(), "both lists have the same bound");
    }
    Ok(gated)
}

/// The plug is opened before anything is redirected to it.
fn create_plug(socket: &mut NetlinkSocket, guest: &Link, ifb_index: u32) -> Result<(), GateError> {
    let mut request = Request::new();
    requests::create_plug(&mut request, ifb_index, GATE_HELD_SIZE_MAX);
    requests::tell_plug(&mut request, ifb_index, PlugAction::ReleaseIndefinite);
    let told = socket.tell(&request);
    told.map_err(|error| GateError::refused(GateStep::CreatePlug, guest.name, error))
}

fn attach(socket: &mut NetlinkSocket, guest: &Link) -> Result<(), GateError> {
    let mut request = Request::new();
    requests::create_ingress(&mut request, guest.index);
    let told = socket.tell(&request);
    told.map_err(|error| GateError::refused(GateStep::AttachIngress, guest.name, error))
}

fn redirect(socket: &mut NetlinkSocket, guest: &Link, ifb_index: u32) -> Result<(), GateError> {
    let mut redirect = |kind| {
        let mut request = Request::new();
        requests::redirect_all(&mut request, guest.index, ifb_index, kind);
        let told = socket.tell(&request);
        told.map_err(|error| GateError::refused(GateStep::Redirect, guest.name, error))
    };
    match redirect(FilterKind::Matchall) {
        Err(GateError::Missing { .. }) => redirect(FilterKind::U32),
        answer => answer,
    }
}

/// Takes down what is there of a domain's gate. Only an interface that has our `ifb` has our hook,
/// so no other's is taken away. What is beyond the gate's limit was never held.
pub(super) fn remove(socket: &mut NetlinkSocket, domid: u16) -> Result<(), GateError> {
    let (found, _) = find_first(socket, domid)?;
    let has_ifb = |guest: &&FoundInterface| found.ifb.iter().any(|ifb| ifb.guest == guest.guest);
    let attached: Vec<Link, GATE_INTERFACE_COUNT_MAX> =
        found.guest.iter().filter(has_ifb).map(|guest| guest.link).collect();
    take_down(socket, &found.ifb, &attached)
}

/// Releases, lets frames pass beside the plugs, waits until the plugs are empty, and deletes them.
fn take_down(
    socket: &mut NetlinkSocket,
    ifbs: &[FoundInterface],
    attached: &[Link],
) -> Result<(), GateError> {
    for ifb in ifbs {
        release(socket, ifb.link.index);
    }
    wait_until_empty(socket, ifbs);
    for guest in attached {
        detach(socket, guest)?;
    }
    wait_until_empty(socket, ifbs);
    for ifb in ifbs {
        let mut request = Request::new();
        requests::delete_link(&mut request, ifb.link.index);
        let told = socket.tell(&request);
        told.map_err(|error| GateError::refused(GateStep::Remove, ifb.link.name, error))?;
    }
    Ok(())
}

fn release(socket: &mut NetlinkSocket, ifb_index: u32) {
    let mut request = Request::new();
    requests::tell_plug(&mut request, ifb_index, PlugAction::ReleaseIndefinite);
    // Refused only where the plug itself is missing: then nothing is held.
    let _ = socket.tell(&request);
}

fn detach(socket: &mut NetlinkSocket, guest: &Link) -> Result<(), GateError> {
    let mut request = Request::new();
    requests::delete_ingress(&mut request, guest.index);
    match socket.tell(&request) {
        // Gone already: by an installation that failed half-way, or with its interface.
        Err(NetlinkError { errno: Errno::NOENT | Errno::INVAL | Errno::NODEV, .. }) | Ok(()) => {
            Ok(())
        }
        Err(error) => Err(GateError::refused(GateStep::Remove, guest.name, error)),
    }
}

fn wait_until_empty(socket: &mut NetlinkSocket, ifbs: &[FoundInterface]) {
    for _ in 0..DRAIN_MS_MAX {
        let held: u32 = ifbs.iter().map(|ifb| frames_held(socket, ifb.link.index)).sum();
        // Frames that left a plug are for a moment in the ifb's own hands.
        clock::sleep_us(1000);
        if held == 0 {
            return;
        }
    }
}

/// What a plug holds; where there is no plug, nothing is held.
fn frames_held(socket: &mut NetlinkSocket, ifb_index: u32) -> u32 {
    let mut request = Request::new();
    requests::query_plug(&mut request, ifb_index);
    let mut frames_held = 0;
    let _ = socket.ask(&request, &mut |reply| {
        frames_held = replies::queue_counters(reply).map_or(frames_held, |it| it.frames_held);
    });
    frames_held
}

fn refused_for_all(step: GateStep, error: NetlinkError) -> GateError {
    GateError::refused(step, InterfaceName::new("the guest"), error)
}
