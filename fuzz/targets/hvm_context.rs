//! The HVM context: walked, read, edited in place.

#![no_main]

use fuzz::sample;
use fuzz::seeds::Seeds;
use pollux::xen::hvm_context::{HvmContext, HvmContextMut, HvmCpuRecord, RecordType};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let Ok(context) = HvmContext::parse(data) else {
        assert!(HvmContextMut::parse(&mut data.to_vec()).is_err());
        return;
    };
    assert!(data.starts_with(context.as_bytes()));
    let size: usize = context.records().map(|record| 8 + record.data.len()).sum();
    // END has no data in a context of Xen's, but may have some in another.
    assert!(size + 8 <= context.as_bytes().len());
    let count = context.vcpu_count();
    let found =
        (0..=u16::MAX).take(64).filter(|&vcpu| context.record(RecordType::Cpu, vcpu).is_some());
    assert!(found.count() <= count);
    for vcpu in 0..4 {
        let lapic = context.record(RecordType::LapicRegs, vcpu);
        assert!(lapic.is_some() || context.lapic_irr(vcpu).is_none());
        assert_eq!(context.lapic_irr(vcpu).is_some(), lapic.is_some_and(|it| it.len() >= 0x274));
        let _ = (context.lapic_isr(vcpu), context.lapic_id(vcpu), context.tsc_adjust(vcpu));
        if let Some(cpu) = context.cpu(vcpu) {
            let _ = (cpu.privilege_level(), cpu.kernel_gs_base());
        }
    }
    edit(data);
}

fn edit(data: &[u8]) {
    let mut bytes = data.to_vec();
    let mut context = HvmContextMut::parse(&mut bytes).expect("it was parsed before");
    let cpu = HvmCpuRecord::long_mode_entry(0x1000, 0x2000, 0x3000);
    let kinds: Vec<_> = context.view().records().map(|it| (it.type_code, it.instance)).collect();
    for vcpu in 0..4 {
        if context.set_cpu(vcpu, &cpu) {
            assert_eq!(context.view().cpu(vcpu), Some(cpu));
        }
        for vector in [0x10, 0xf3, 0xff] {
            if context.set_lapic_irr(vcpu, vector)
                && let Some(waiting) = context.view().lapic_irr(vcpu)
            {
                assert!(waiting[usize::from(vector / 32)] >> (vector % 32) & 1 == 1);
            }
        }
    }
    let after: Vec<_> = context.view().records().map(|it| (it.type_code, it.instance)).collect();
    assert_eq!(after, kinds, "records keep their places");
}

fn seeds() -> Seeds {
    let context = sample::hvm_context();
    Seeds::from([("one-vcpu", context.clone()), ("cut", context[..1100].to_vec())])
}
