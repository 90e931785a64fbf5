//! Discovery: a guest that is an enemy writes what resembles its structures, or page tables that lead
//! anywhere.
//!
//! The guest's few pages are those of a plausible guest; the input changes words of them.

#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};

use fuzz::input::Input;
use fuzz::seeds::Seeds;
use pollux::capture::discovery::evidence::{PortTable, Registers, VcpuRegisters};
use pollux::capture::discovery::probe::{Probe, read_priorities};
use pollux::capture::discovery::{Evidence, Survey, identify};
use pollux::capture::page::{GuestPages, PageWords};
use pollux::capture::page_table::translate;
use pollux::codec::{EventChannel, EventChannelKind};

fuzz::target!(seeds, try_bytes);

const KHZ: u64 = 2_100_000;
/// Nanoseconds per tick of such a TSC, as Xen scales it (2^32 per tick and shift 0).
const SCALE: u64 = (1_000_000 << 32) / KHZ;
const TSC: u64 = 21_000_000_000;
const SHARED_INFO_GFN: u64 = 0x10;
const EVENT_ARRAY_GFN: u64 = 0x20;
const CONTROL_BLOCK_GFN: u64 = 0x30;
const AREA: u64 = 0x10_0000;
const VCPU_INFO: u64 = AREA + 0x1040;
const LINEAR: u64 = 0xffff_8880_0000_0000;
/// Pages that the input can change: page tables, structures, the first ones of the per-CPU area.
const GFNS: [u64; 8] =
    [1, 2, SHARED_INFO_GFN, EVENT_ARRAY_GFN, CONTROL_BLOCK_GFN, 0x100, 0x101, 0x13f];

#[derive(Default)]
struct Guest(Vec<Option<Box<PageWords>>>);

impl GuestPages for Guest {
    fn gfn_count(&self) -> u64 {
        self.0.len() as u64
    }

    fn page(&self, gfn: u64) -> Option<&PageWords> {
        self.0.get(usize::try_from(gfn).ok()?)?.as_deref()
    }
}

impl Guest {
    fn set(&mut self, address: u64, value: u64) {
        let gfn = usize::try_from(address / 4096).expect("a small guest");
        self.0.resize_with(self.0.len().max(gfn + 1), || None);
        let page = self.0[gfn].get_or_insert_with(|| Box::new([const { AtomicU64::new(0) }; 512]));
        let word = usize::try_from(address % 4096 / 8).expect("inside a page");
        page[word].store(value, Ordering::Relaxed);
    }

    /// One vCPU, its structures, and page tables that map all memory at [`LINEAR`].
    fn plausible() -> Self {
        let mut guest = Self::default();
        guest.set(0x1000 + (LINEAR >> 39 & 0x1ff) * 8, 0x2001);
        guest.set(0x2000, 0x81);
        guest.set(SHARED_INFO_GFN * 4096, 0);
        for index in 0..512 {
            guest.set(EVENT_ARRAY_GFN * 4096 + index * 8, 0x4000_0000_4000_0000);
        }
        // Port 1 is open.
        guest.set(EVENT_ARRAY_GFN * 4096, 0x4000_0000);
        guest.set(CONTROL_BLOCK_GFN * 4096 + 8, 1);
        (0..0x40).for_each(|page| guest.set(AREA + page * 4096, 0));
        guest.set(VCPU_INFO + 32, 8);
        guest.set(VCPU_INFO + 40, TSC - 1000);
        guest.set(VCPU_INFO + 48, 10_000_000_000 - ((1000 * SCALE) >> 32));
        guest.set(VCPU_INFO + 56, SCALE);
        guest.set(AREA + 0x100, LINEAR + VCPU_INFO);
        guest.set(AREA + 0x200, LINEAR + CONTROL_BLOCK_GFN * 4096);
        guest
    }
}

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let mut guest = Guest::plausible();
    let mut own = VcpuRegisters {
        cr3: 0x1000,
        gs_base: LINEAR + AREA,
        shadow_gs: 0,
        tsc: TSC,
        interrupt_request: [0; 8],
    };
    let mut registers = Registers::default();
    let kind = EventChannelKind::Ipi;
    let mut ports = PortTable::default();
    let _ = ports.push(EventChannel { port: 1, vcpu: 0, priority: 7, kind });
    while !input.is_empty() {
        match input.below(16) {
            0 => own.cr3 = input.u64(),
            1 => own.gs_base = input.near(LINEAR + AREA),
            2 => own.shadow_gs = input.u64(),
            3 => own.tsc = input.near(TSC),
            4 => {
                let vcpu = input.below(3);
                registers[usize::from(vcpu)] = Some(own);
            }
            5 => {
                let port = u32::from(input.u8()) + 2 + ports.channels().len() as u32;
                let channel = EventChannel { port, vcpu: input.below(3).into(), priority: 7, kind };
                if ports.channels().last().is_none_or(|last| last.port < port) {
                    let _ = ports.push(channel);
                }
            }
            _ => {
                let gfn = GFNS[usize::from(input.below(8))];
                let word = u64::from(input.u16() % 512);
                guest.set(gfn * 4096 + word * 8, input.near(LINEAR + AREA));
            }
        }
    }
    registers[0] = Some(own);
    look(&guest, &registers, &mut ports);
}

fn look(guest: &Guest, registers: &Registers, ports: &mut PortTable) {
    let mut survey = Survey::new(KHZ);
    assert!(survey.advance(guest, u64::MAX));
    let own = registers[0].expect("vCPU 0 is up");
    for address in [own.gs_base, own.shadow_gs, LINEAR, 0, u64::MAX] {
        if let Some(place) = translate(guest, own.cr3, address) {
            assert_eq!(place % 4096, address % 4096);
        }
    }
    let evidence =
        Evidence { ports, registers, khz: KHZ, shared_info_gfn: SHARED_INFO_GFN, vcpu_count: 3 };
    let Ok(structures) = identify(guest, &survey, &evidence) else { return };
    assert_eq!(structures.vcpus.len(), 3);
    for places in structures.vcpus.iter().flatten() {
        assert!(places.vcpu_info.is_multiple_of(64));
        assert!(guest.page(places.control_block_gfn).is_some());
    }
    for (vcpu, port) in [(0, 1), (1, 7)] {
        if let Some(probe) = Probe::prepare(guest, &structures, &own, vcpu, port) {
            let _ = probe.conclude(guest, &own);
        }
    }
    read_priorities(guest, &structures, ports);
}

fn seeds() -> Seeds {
    let word = |gfn: u8, word: u16, near: u8| {
        let [low, high] = word.to_le_bytes();
        [6, gfn, low, high, near]
    };
    let edits = [word(5, 32, 64), word(4, 1, 0), word(3, 3, 9), word(0, 273, 1)].concat();
    let two = [4, 1, 5, 4, 1, 1, 0, 3, 1];
    Seeds::from([("plausible", vec![3, 0]), ("edits", edits), ("two-vcpus", two.to_vec())])
}
