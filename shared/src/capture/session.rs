//! A domain under capture: everything that is set up once, and how it is left.
//!
//! [`Capture::prepare`] checks the domain, maps its memory once, finds its structures and learns
//! its watch. Then [`Capture::start_full_copy`] and [`Capture::copy_more`], and a
//! [`Capture::checkpoint`] per epoch. Whatever happens, a dropped capture leaves the guest
//! running and its memory unlogged.

use heapless::{String, Vec};

use super::Store;
use super::discovery::Structures;
use super::discovery::evidence::PortTable;
use super::domain_log::DomainLog;
use super::drain::{Drain, DrainOptions};
use super::error::{CaptureError, ShutdownReason};
use super::full_copy::FullCopy;
use super::inquiry::{ContextBuffer, GrantFrames, HvmParams, ask_grant_frames, ask_hvm_params};
use super::locate::{Target, UpcallVectors, find_thread, learn_watch_token, locate};
use super::logging;
use super::memory::pages_of;
use super::page::GuestPages as _;
use super::pause::Pause;
use super::preconditions::{self, gfn_count};
use super::scan;
use super::shared_pages::SharedPages;
use super::surroundings::Surroundings;
use super::xenstore_traffic::{Traffic, XenstoreTraffic};
use crate::codec::DomainDescription;
use crate::limits::{CHECKPOINT_STATE_SIZE_MAX, DOMAIN_NAME_SIZE_MAX, WATCH_TOKEN_SIZE_MAX};
use crate::xen::hvm::params;
use crate::xen::{DomainInfo, Domid, Errno, GuestMemory, HypercallBuffer, Xen, XenError};

/// Pages that one remapping renews together with the one asked for.
const REMAP_PAGE_COUNT: u64 = 4096;

/// A domain under capture. About 400 KiB: keep it in one place.
#[derive(Debug)]
pub struct Capture<'x> {
    pub(super) xen: &'x Xen,
    pub(super) domid: Domid,
    pub(super) vcpu_count: u32,
    pub(super) khz: u64,
    pub(super) shared_info_gfn: u64,
    pub(super) xenstore_ring_gfn: u64,
    pub(super) page_count: u64,
    pub(super) memory: GuestMemory,
    /// Dirty gfns: Xen's answer, and in the full copy the pages still to be sent.
    pub(super) bitmap: HypercallBuffer,
    pub(super) is_logging: bool,
    /// The memory was mapped anew after the last pause, which copied what was mapped before.
    pub(super) was_memory_renewed: bool,
    pub(super) full_copy: FullCopy,
    pub(super) drain: Drain,
    pub(super) ports: PortTable,
    /// Where a new answer about ports goes, to be compared.
    pub(super) ports_now: PortTable,
    pub(super) grant_frames: GrantFrames,
    pub(super) hvm_params: HvmParams,
    pub(super) structures: Structures,
    pub(super) upcall_vectors: UpcallVectors,
    pub(super) shutdown_watch_token: String<WATCH_TOKEN_SIZE_MAX>,
    pub(super) traffic: XenstoreTraffic,
    pub(super) shared_pages: SharedPages,
    pub(super) context: ContextBuffer,
    pub(super) state_bytes: [u8; CHECKPOINT_STATE_SIZE_MAX],
    /// The newest epoch for which the gate was told of the pause.
    pub(super) gate_epoch: u64,
}

impl<'x> Capture<'x> {
    /// Checks, maps and explores the domain. It runs throughout, but for a few looks of
    /// milliseconds.
    ///
    /// # Errors
    /// [`CaptureError::Refused`] and [`CaptureError::Discovery`] when it cannot be protected;
    /// errors of Xen and xenstored.
    pub fn prepare(
        xen: &'x Xen,
        store: &mut Store,
        domid: Domid,
        drain_options: DrainOptions,
        surroundings: &mut impl Surroundings,
    ) -> Result<Self, CaptureError> {
        let info = preconditions::check(xen, store, domid)?;
        let gfn_count = gfn_count(xen, domid)?;
        let khz = u64::from(xen.gettscinfo(domid)?.frequency_khz);
        let memory = GuestMemory::map(xen, domid, gfn_count)?;
        let mut context = ContextBuffer::new(xen, domid)?;
        let mut ports = PortTable::default();
        let target = Target {
            xen,
            domid,
            memory: &memory,
            khz,
            shared_info_gfn: info.shared_info_gfn,
            vcpu_count: info.vcpu_count(),
        };
        let located = locate(&target, &mut context, &mut ports, surroundings)?;
        let xenstore_ring_gfn = xen.hvm_get_param(domid, params::STORE_PFN)?;
        let mut traffic = XenstoreTraffic::default();
        let shutdown_watch_token =
            learn_watch_token(&target, xenstore_ring_gfn, store, &mut traffic, surroundings)?;
        let mut capture = Self {
            xen,
            domid,
            vcpu_count: info.vcpu_count(),
            khz,
            shared_info_gfn: info.shared_info_gfn,
            xenstore_ring_gfn,
            page_count: info.page_count,
            bitmap: xen.buffer(bitmap_byte_count(gfn_count))?,
            memory,
            is_logging: false,
            was_memory_renewed: false,
            full_copy: FullCopy::default(),
            drain: Drain::new(drain_options, 0),
            ports,
            ports_now: PortTable::default(),
            grant_frames: ask_grant_frames(xen, domid)?,
            hvm_params: ask_hvm_params(xen, domid),
            structures: located.structures,
            upcall_vectors: located.upcall_vectors,
            shutdown_watch_token,
            traffic,
            shared_pages: SharedPages::default(),
            context,
            state_bytes: [0; CHECKPOINT_STATE_SIZE_MAX],
            gate_epoch: 0,
        };
        capture.map_xen_frames()?;
        Ok(capture)
    }

    /// Finds the structures anew, after [`CaptureError::StructuresMoved`].
    ///
    /// # Errors
    /// As [`Capture::prepare`].
    pub fn rediscover(
        &mut self,
        store: &mut Store,
        surroundings: &mut impl Surroundings,
    ) -> Result<(), CaptureError> {
        self.check_domain()?;
        self.shared_info_gfn = self.xen.getdomaininfo(self.domid)?.shared_info_gfn;
        let target = Target {
            xen: self.xen,
            domid: self.domid,
            memory: &self.memory,
            khz: self.khz,
            shared_info_gfn: self.shared_info_gfn,
            vcpu_count: self.vcpu_count,
        };
        let located = locate(&target, &mut self.context, &mut self.ports, surroundings)?;
        self.structures = located.structures;
        self.upcall_vectors = located.upcall_vectors;
        self.shutdown_watch_token = learn_watch_token(
            &target,
            self.xenstore_ring_gfn,
            store,
            &mut self.traffic,
            surroundings,
        )?;
        self.hvm_params = ask_hvm_params(self.xen, self.domid);
        self.grant_frames = ask_grant_frames(self.xen, self.domid)?;
        Ok(())
    }

    /// The domain as the backup must know it.
    ///
    /// # Errors
    /// Errors of Xen.
    pub fn describe(
        &self,
        name: &String<DOMAIN_NAME_SIZE_MAX>,
        interval_ms: u32,
        config_size: u32,
        term: u64,
    ) -> Result<DomainDescription, CaptureError> {
        Ok(DomainDescription {
            name: name.clone(),
            vcpu_count: self.vcpu_count,
            gfn_count: self.memory.gfn_count(),
            page_count: self.page_count,
            grant_version: self.xen.gnttab_get_version(self.domid)?.max(1),
            interval_ms,
            config_size,
            term,
            is_rehearsal: false,
        })
    }

    /// Has the domain stand still outside of a checkpoint.
    ///
    /// # Errors
    /// Errors of Xen; ESRCH when the domain is gone.
    pub fn pause(&self) -> Result<Pause<'_>, XenError> {
        Pause::begin(self.xen, self.domid)
    }

    /// Lets a domain run that was left paused.
    ///
    /// # Errors
    /// Errors of Xen.
    pub fn resume(&self) -> Result<(), XenError> {
        self.xen.unpausedomain(self.domid)
    }

    /// Whether the domain still runs.
    ///
    /// # Errors
    /// [`CaptureError::DomainGone`] and [`CaptureError::DomainShutDown`].
    pub fn check_domain(&self) -> Result<DomainInfo, CaptureError> {
        match self.xen.getdomaininfo(self.domid) {
            Err(error) if error.errno == Errno::ESRCH => Err(CaptureError::DomainGone),
            Err(error) => Err(error.into()),
            Ok(info) => match info.shutdown_reason() {
                Some(reason) => {
                    Err(CaptureError::DomainShutDown(ShutdownReason::from_number(reason)))
                }
                None if info.is_dying() => Err(CaptureError::DomainGone),
                None => Ok(info),
            },
        }
    }

    /// Whether the guest has no xenstore request open, so that a checkpoint may be taken.
    ///
    /// Costs microseconds, and two requests to xenstored when the thread of the guest's ring was
    /// lost. A guest that is never quiet stalls its checkpoints; decide there how long to wait.
    ///
    /// # Errors
    /// Errors of xenstored.
    pub fn is_xenstore_quiet(&mut self, store: &mut Store) -> Result<bool, CaptureError> {
        let Some(traffic) = self.observe_xenstore() else { return Ok(true) };
        match traffic {
            Traffic::Quiet => Ok(true),
            Traffic::Busy => Ok(false),
            Traffic::Lost => {
                let target = Target {
                    xen: self.xen,
                    domid: self.domid,
                    memory: &self.memory,
                    khz: self.khz,
                    shared_info_gfn: self.shared_info_gfn,
                    vcpu_count: self.vcpu_count,
                };
                find_thread(&target, self.xenstore_ring_gfn, store, &mut self.traffic)
            }
        }
    }

    pub(super) fn observe_xenstore(&mut self) -> Option<Traffic> {
        let pages = pages_of(&self.memory);
        Some(self.traffic.observe(pages.page(self.xenstore_ring_gfn)?))
    }

    /// The log, and what copies the pages that it names.
    pub(super) fn log(&mut self) -> (DomainLog<'_>, &mut Drain, &mut FullCopy) {
        let log = DomainLog {
            xen: self.xen,
            domid: self.domid,
            memory: &mut self.memory,
            bitmap: &mut self.bitmap,
            remapped_page_count: 0,
        };
        (log, &mut self.drain, &mut self.full_copy)
    }

    /// Maps the guest's memory anew, after it may have changed.
    ///
    /// Where the guest has memory at all is asked for anew, page by page; the wide holes are
    /// mapped again only when the guest has pages that were not found otherwise.
    pub(super) fn renew_memory(&mut self) -> Result<(), CaptureError> {
        let surplus_before = self.memory.present_count().wrapping_sub(self.page_count);
        let gfn_count = gfn_count(self.xen, self.domid)?;
        let mut gfn = 0;
        while let Some(present) = self.next_present(gfn) {
            self.memory.remap(self.xen, &[present])?;
            gfn = (present / REMAP_PAGE_COUNT + 1) * REMAP_PAGE_COUNT;
        }
        self.page_count = self.check_domain()?.page_count;
        let surplus = self.memory.present_count().wrapping_sub(self.page_count);
        if surplus != surplus_before || gfn_count > self.memory.gfn_count() {
            let gfn_count = gfn_count.max(self.memory.gfn_count());
            self.memory = GuestMemory::map(self.xen, self.domid, gfn_count)?;
            let byte_count = bitmap_byte_count(gfn_count);
            if byte_count > self.bitmap.bytes().len() {
                let mut larger = self.xen.buffer(byte_count)?;
                let known = self.bitmap.words();
                larger.words_mut()[..known.len()].copy_from_slice(known);
                self.bitmap = larger;
            }
        }
        self.map_xen_frames()
    }

    /// Maps Xen's frames that the guest placed where it has no memory.
    pub(super) fn map_xen_frames(&mut self) -> Result<(), CaptureError> {
        for gfn in self.grant_frames.iter().chain([&self.shared_info_gfn]) {
            if *gfn < self.memory.gfn_count() && !self.memory.is_present(*gfn) {
                self.memory.remap(self.xen, &[*gfn])?;
            }
        }
        Ok(())
    }

    /// The first gfn from `gfn` on that has memory.
    fn next_present(&self, gfn: u64) -> Option<u64> {
        let first_word = usize::try_from(gfn / 64).ok()?;
        let words = self.memory.presence_words().get(first_word..)?;
        scan::set_gfns(words).next().map(|offset| gfn / 64 * 64 + offset)
    }

    /// Ends the capture: the guest runs on, unlogged.
    ///
    /// # Errors
    /// Errors of Xen; ESRCH when the domain is gone, which needs no action.
    pub fn finish(mut self) -> Result<(), CaptureError> {
        self.stop_logging()
    }

    /// Stops log-dirty; the next full copy starts it again.
    ///
    /// # Errors
    /// Errors of Xen.
    pub fn stop_logging(&mut self) -> Result<(), CaptureError> {
        if core::mem::take(&mut self.is_logging) {
            logging::end(self.xen, self.domid)?;
        }
        Ok(())
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        // Fails only when the domain is gone, and its log with it.
        let _ = self.stop_logging();
    }
}

fn bitmap_byte_count(gfn_count: u64) -> usize {
    usize::try_from(scan::bitmap_word_count(gfn_count) * 8).unwrap_or(usize::MAX)
}

/// vCPU numbers, for the state's vectors.
pub(super) type PerVcpu<T> = Vec<T, { crate::limits::VCPU_COUNT_MAX }>;
