//! A synthetic Linux guest for the tests: page tables, per-CPU areas, and all structures.

use crate::capture::discovery::evidence::testing::ports;
use crate::capture::discovery::evidence::{PortTable, Registers, VcpuRegisters};
use crate::capture::discovery::vcpu_info::testing::{KHZ, place};
use crate::capture::discovery::{Evidence, Survey};
use crate::capture::page::image::Image;

pub const TSC: u64 = 21_000_000_000;
pub const SHARED_INFO_GFN: u64 = 0x10;
pub const EVENT_ARRAY_GFN: u64 = 0x20;
pub const LINEAR: u64 = 0xffff_8880_0000_0000;
pub const VCPU_INFO_OFFSET: u64 = 0x1_3040;
const AREA_BASE: u64 = 0x100_0000;
const AREA_STRIDE: u64 = 0x4_0000;

pub struct Guest {
    pub image: Image,
    pub ports: PortTable,
    pub registers: Registers,
    pub vcpu_count: u32,
}

/// vCPU v's control block.
pub fn control_block_gfn(vcpu: u32) -> u64 {
    0x30 + u64::from(vcpu)
}

/// vCPU v's per-CPU area.
pub fn area(vcpu: u32) -> u64 {
    AREA_BASE + u64::from(vcpu) * AREA_STRIDE
}

/// Port `6 * vcpu + 1` is each vCPU's timer-like port, 100 is xenstore's on vCPU 0.
pub fn guest(vcpu_count: u32) -> Guest {
    let mut image = Image::default();
    image.set(0x1000 + (LINEAR >> 39 & 0x1ff) * 8, 0x2001);
    image.set(0x2000, 0x81);
    image.page_mut(SHARED_INFO_GFN);
    let mut list = std::vec::Vec::new();
    for index in 0..512 {
        image.set(EVENT_ARRAY_GFN * 4096 + index * 8, 0x4000_0000_4000_0000);
    }
    let mut registers = Registers::default();
    for (vcpu, place_of) in (0..vcpu_count).zip(&mut registers) {
        let port = 6 * vcpu + 1;
        list.push((port, vcpu));
        image.set_half(EVENT_ARRAY_GFN * 4096 + u64::from(port) * 4, 0);
        image.set_half(control_block_gfn(vcpu) * 4096 + 8, port);
        place(&mut image, area(vcpu) + VCPU_INFO_OFFSET, TSC, 1000 + u64::from(vcpu));
        image.set(area(vcpu) + 0x100, LINEAR + area(vcpu) + VCPU_INFO_OFFSET);
        image.set(area(vcpu) + 0x200, LINEAR + control_block_gfn(vcpu) * 4096);
        map_rest_of_area(&mut image, vcpu);
        *place_of = Some(VcpuRegisters {
            cr3: 0x1000,
            gs_base: if vcpu % 2 == 0 { LINEAR + area(vcpu) } else { 0x7fff_1234 },
            shadow_gs: if vcpu % 2 == 0 { 0 } else { LINEAR + area(vcpu) },
            tsc: TSC,
            interrupt_request: [0; 8],
        });
    }
    list.push((100, 0));
    image.set_half(EVENT_ARRAY_GFN * 4096 + 400, 0);
    Guest { image, ports: ports(&list), registers, vcpu_count }
}

fn map_rest_of_area(image: &mut Image, vcpu: u32) {
    for page in 0..AREA_STRIDE / 4096 {
        image.page_mut(area(vcpu) / 4096 + page);
    }
}

impl Guest {
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            ports: &self.ports,
            registers: &self.registers,
            khz: KHZ,
            shared_info_gfn: SHARED_INFO_GFN,
            vcpu_count: self.vcpu_count,
        }
    }

    pub fn survey(&self) -> Survey {
        let mut survey = Survey::new(KHZ);
        assert!(survey.advance(&self.image, u64::MAX));
        survey
    }
}
