//! Discovery on a live domain: survey, pause, identify, probe, again until it is certain.
//!
//! `discovery` decides; this drives it. Nothing is taken from a single look: the structures must
//! be told without doubt, and every vCPU that shares a port with dom0 must be seen to receive an
//! event where it was told. The guest is paused for each look, for a few milliseconds at most.

use heapless::{String, Vec};

use super::Store;
use super::discovery::evidence::{PortTable, Registers, online};
use super::discovery::probe::{Confirmation, Probe, read_priorities};
use super::discovery::{DiscoveryError, Evidence, Structures, Survey, identify};
use super::error::CaptureError;
use super::inquiry::{ContextBuffer, ask_ports, registers};
use super::memory::pages_of;
use super::page::GuestPages as _;
use super::pause::Pause;
use super::preconditions::path;
use super::surroundings::Surroundings;
use super::xenstore_traffic::{Indexes, XenstoreTraffic, watch_token};
use crate::limits::{
    DISCOVERY_ATTEMPT_COUNT_MAX, DISCOVERY_SURVEY_COUNT_MAX, VCPU_COUNT_MAX, WATCH_TOKEN_SIZE_MAX,
};
use crate::xen::xenstore::Transaction;
use crate::xen::{DOMID_DOM0, Domid, GuestMemory, Xen};

/// Microseconds from one look to the next, in turn. Unequal, since a guest's tick has a period
/// too, and in step with it every look would be the same instant.
const ATTEMPT_RESTS_US: [u64; 7] = [1_300, 5_900, 2_700, 9_100, 3_700, 500, 7_300];

/// Looks that must agree when not all that could be probed was free of events.
const AGREEING_LOOK_COUNT: u32 = 5;

/// Pages surveyed between two rests, so that other programs of this core get their turn.
const SURVEY_CHUNK_PAGE_COUNT: u64 = 8192;

/// Upcall vector of each vCPU; 0 when none is set or the vCPU is down.
pub type UpcallVectors = [u8; VCPU_COUNT_MAX];

/// The domain whose structures are sought.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The way to Xen.
    pub xen: &'a Xen,
    /// Its number.
    pub domid: Domid,
    /// Its memory.
    pub memory: &'a GuestMemory,
    /// Its TSC frequency in kHz.
    pub khz: u64,
    /// Where it mapped shared_info.
    pub shared_info_gfn: u64,
    /// vCPUs it has, up or down.
    pub vcpu_count: u32,
}

/// What discovery gives.
#[derive(Clone, Debug)]
pub struct Located {
    /// Where the structures are.
    pub structures: Structures,
    /// Upcall vectors.
    pub upcall_vectors: UpcallVectors,
}

/// Finds and confirms the domain's structures, and fills `ports`, priorities included.
///
/// # Errors
/// [`CaptureError::Discovery`] when no look gave certainty; errors of Xen.
pub fn locate(
    target: &Target<'_>,
    context: &mut ContextBuffer,
    ports: &mut PortTable,
    surroundings: &mut impl Surroundings,
) -> Result<Located, CaptureError> {
    let mut last_error = DiscoveryError::NotConfirmed;
    let mut attempt_count = 0;
    for _ in 0..DISCOVERY_SURVEY_COUNT_MAX {
        let mut survey = Survey::new(target.khz);
        while !survey.advance(&pages_of(target.memory), SURVEY_CHUNK_PAGE_COUNT) {
            surroundings.rest(1);
        }
        let mut confirmed = Confirmed::default();
        for _ in 0..DISCOVERY_ATTEMPT_COUNT_MAX {
            attempt_count += 1;
            match look(target, &survey, context, ports, &mut confirmed) {
                Ok(true) => return finish(target, ports, confirmed),
                Ok(false) => last_error = DiscoveryError::NotConfirmed,
                Err(CaptureError::Discovery(error)) if error.is_worth_another_try() => {
                    last_error = error;
                    confirmed = Confirmed::default();
                }
                Err(error) => return Err(error),
            }
            rest_between(attempt_count, surroundings);
        }
    }
    Err(last_error.into())
}

fn finish(
    target: &Target<'_>,
    ports: &mut PortTable,
    confirmed: Confirmed,
) -> Result<Located, CaptureError> {
    let structures = confirmed.structures.ok_or(DiscoveryError::NotConfirmed)?;
    let common = confirmed.vector.ok_or(DiscoveryError::NotConfirmed)?;
    let mut upcall_vectors = UpcallVectors::default();
    for (places, vector) in structures.vcpus.iter().zip(&mut upcall_vectors) {
        *vector = if places.is_some() { common } else { 0 };
    }
    read_priorities(&pages_of(target.memory), &structures, ports);
    Ok(Located { structures, upcall_vectors })
}

/// What the looks so far agree on.
#[derive(Debug, Default)]
struct Confirmed {
    structures: Option<Structures>,
    /// The vector that probes raised; a guest uses one for all its vCPUs.
    vector: Option<u8>,
    /// A probe showed in every structure of its vCPU.
    is_complete: bool,
    /// By vCPU number: a probe showed in its queue.
    vcpus: Vec<bool, VCPU_COUNT_MAX>,
    /// Looks that agreed.
    look_count: u32,
}

impl Confirmed {
    /// Starts over when a look finds other structures than the looks before.
    fn agree(&mut self, structures: &Structures) {
        if self.structures.as_ref() != Some(structures) {
            *self = Self { structures: Some(structures.clone()), ..Default::default() };
            let filled = self.vcpus.resize(structures.vcpus.len(), false);
            assert!(filled.is_ok(), "both are bounded by the same limit");
        }
        self.look_count += 1;
    }

    /// Adds what a probe of `vcpu` showed.
    fn add(&mut self, vcpu: u32, confirmation: &Confirmation) -> Result<(), DiscoveryError> {
        if let Some(vector) = confirmation.upcall_vector {
            if self.vector.is_some_and(|other| other != vector) {
                return Err(DiscoveryError::probe_contradicts(vcpu));
            }
            self.vector = Some(vector);
        }
        self.is_complete |= confirmation.is_complete;
        if let Some(vcpu) = usize::try_from(vcpu).ok().and_then(|vcpu| self.vcpus.get_mut(vcpu)) {
            *vcpu = true;
        }
        Ok(())
    }

    fn has(&self, vcpu: u32) -> bool {
        usize::try_from(vcpu).is_ok_and(|vcpu| self.vcpus.get(vcpu) == Some(&true))
    }

    /// Whether nothing more is to be learnt: the vector is known and every vCPU that can be
    /// probed was, one of them with all structures. A guest so busy that upcalls are always
    /// pending, or that masks a port for long, never shows all that: then several looks that agree and
    /// one probe must do.
    fn suffices(&self, ports: &PortTable, registers: &Registers) -> bool {
        let is_each_probed = online(registers)
            .all(|(vcpu, _)| self.has(vcpu) || ports.peers_of(vcpu, DOMID_DOM0).next().is_none());
        let is_any_probed = self.vcpus.contains(&true);
        self.vector.is_some()
            && (is_each_probed && self.is_complete
                || is_any_probed && self.look_count >= AGREEING_LOOK_COUNT)
    }
}

/// One look at the paused guest. True when everything is confirmed.
fn look(
    target: &Target<'_>,
    survey: &Survey,
    context: &mut ContextBuffer,
    ports: &mut PortTable,
    confirmed: &mut Confirmed,
) -> Result<bool, CaptureError> {
    let pause = Pause::begin(target.xen, target.domid)?;
    ask_ports(target.xen, target.domid, ports)?;
    let before = registers(context.ask(target.xen, target.domid)?)?;
    let evidence = Evidence {
        ports,
        registers: &before,
        khz: target.khz,
        shared_info_gfn: target.shared_info_gfn,
        vcpu_count: target.vcpu_count,
    };
    let pages = pages_of(target.memory);
    let structures = identify(&pages, survey, &evidence)?;
    confirmed.agree(&structures);
    probe_all(target, &structures, context, ports, &before, confirmed)?;
    pause.end()?;
    Ok(confirmed.suffices(ports, &before))
}

/// Probes every vCPU that is not confirmed yet, shares a port with dom0, and is free of events.
fn probe_all(
    target: &Target<'_>,
    structures: &Structures,
    context: &mut ContextBuffer,
    ports: &PortTable,
    before: &Registers,
    confirmed: &mut Confirmed,
) -> Result<(), CaptureError> {
    let pages = pages_of(target.memory);
    for (vcpu, own) in online(before) {
        if confirmed.has(vcpu) && confirmed.is_complete && confirmed.vector.is_some() {
            continue;
        }
        let prepared = ports.peers_of(vcpu, DOMID_DOM0).find_map(|(port, remote_port)| {
            Some((Probe::prepare(&pages, structures, own, vcpu, port)?, remote_port))
        });
        let Some((probe, remote_port)) = prepared else { continue };
        target.xen.evtchn_send(remote_port)?;
        let after = registers(context.ask(target.xen, target.domid)?)?;
        let after = online(&after).find(|(other, _)| *other == vcpu).map(|(_, after)| *after);
        let after = after.ok_or_else(|| DiscoveryError::probe_contradicts(vcpu))?;
        confirmed.add(vcpu, &probe.conclude(&pages, &after)?)?;
    }
    Ok(())
}

/// Learns the token of the guest's watch on `control/shutdown`, and takes up the thread of its
/// xenstore ring.
///
/// dom0 writes an empty `control/shutdown`, which the guest ignores, while the guest is paused;
/// the event that xenstored sends for the watch stays in the ring to be read. By answering two
/// requests of ours, xenstored has also finished all that the guest asked before.
///
/// # Errors
/// [`CaptureError::NoShutdownWatch`], [`CaptureError::XenstoreBusy`] when the guest's ring is
/// never idle, and errors of Xen and xenstored.
pub fn learn_watch_token(
    target: &Target<'_>,
    ring_gfn: u64,
    store: &mut Store,
    traffic: &mut XenstoreTraffic,
    surroundings: &mut impl Surroundings,
) -> Result<String<WATCH_TOKEN_SIZE_MAX>, CaptureError> {
    let pages = pages_of(target.memory);
    let node = path(format_args!("/local/domain/{}/control/shutdown", target.domid));
    let mut last_error = CaptureError::XenstoreBusy;
    for attempt in 0..DISCOVERY_ATTEMPT_COUNT_MAX {
        let page = pages.page(ring_gfn).ok_or(CaptureError::NoShutdownWatch)?;
        let pause = Pause::begin(target.xen, target.domid)?;
        let before = Indexes::read(page);
        if before.are_empty() {
            store.write(Transaction::NONE, &node, b"")?;
            let _ = store.read(Transaction::NONE, &node)?;
            let token = watch_token(page, before.response_producer, "control/shutdown");
            traffic.found_quiet(&before);
            pause.end()?;
            match token {
                Some(token) => return Ok(token),
                None => last_error = CaptureError::NoShutdownWatch,
            }
        } else {
            pause.end()?;
        }
        rest_between(attempt, surroundings);
    }
    Err(last_error)
}

fn rest_between(attempt: u32, surroundings: &mut impl Surroundings) {
    let turn = usize::try_from(attempt).unwrap_or(0) % ATTEMPT_RESTS_US.len();
    surroundings.rest(ATTEMPT_RESTS_US[turn]);
}

/// Takes up the thread of the guest's xenstore ring when it was lost; the guest runs. False when
/// the ring was in use meanwhile: try again later.
///
/// # Errors
/// Errors of xenstored.
pub fn find_thread(
    target: &Target<'_>,
    ring_gfn: u64,
    store: &mut Store,
    traffic: &mut XenstoreTraffic,
) -> Result<bool, CaptureError> {
    let pages = pages_of(target.memory);
    let Some(page) = pages.page(ring_gfn) else { return Ok(false) };
    let before = Indexes::read(page);
    if !before.are_empty() {
        return Ok(false);
    }
    let node = path(format_args!("/local/domain/{}/domid", target.domid));
    for _ in 0..2 {
        match store.read(Transaction::NONE, &node) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let unmoved = Indexes::read(page) == before;
    if unmoved {
        traffic.found_quiet(&before);
    }
    Ok(unmoved)
}
