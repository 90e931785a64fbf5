//! Tests of `hvm_context`: real shapes, and arbitrary bytes.

use proptest::prelude::*;

use super::hvm_context::{
    HvmContext, HvmContextError, HvmContextMut, HvmContextWriter, HvmCpuRecord, RecordType,
};

/// A context of two vCPUs, one with a LAPIC_REGS record as long as Xen's.
fn sample(buffer: &mut [u8]) -> usize {
    let mut cpu = HvmCpuRecord::long_mode_entry(0x1000, 0x2000, 0x3000);
    let mut writer = HvmContextWriter::new(buffer);
    writer.push(RecordType::Header, 0, &[7; 24]).unwrap();
    writer.push(RecordType::Cpu, 0, &cpu.to_bytes()).unwrap();
    cpu.rip = 0x5000;
    writer.push(RecordType::Cpu, 1, &cpu.to_bytes()).unwrap();
    let mut registers = [0; 1024];
    registers[0x23] = 2;
    writer.push(RecordType::LapicRegs, 1, &registers).unwrap();
    writer.push(RecordType::TscAdjust, 1, &77u64.to_le_bytes()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn ids_are_those_of_either_apic_mode() {
    let id_of = |register: u32| {
        let mut buffer = [0; 2048];
        let mut registers = [0; 1024];
        registers[0x20..0x24].copy_from_slice(&register.to_le_bytes());
        let mut writer = HvmContextWriter::new(&mut buffer);
        writer.push(RecordType::Header, 0, &[7; 24]).unwrap();
        writer.push(RecordType::LapicRegs, 3, &registers).unwrap();
        let length = writer.finish().unwrap();
        HvmContext::parse(&buffer[..length]).unwrap().lapic_id(3)
    };
    assert_eq!(id_of(6 << 24), Some(6), "xAPIC");
    assert_eq!(id_of(6), Some(6), "x2APIC");
    assert_eq!(id_of(0), Some(0));
}

#[test]
fn records_are_found_by_type_and_instance() {
    let mut buffer = [0; 8192];
    let length = sample(&mut buffer);
    let context = HvmContext::parse(&buffer).unwrap();
    assert_eq!(context.as_bytes().len(), length);
    assert_eq!(context.records().count(), 5);
    assert_eq!(context.vcpu_count(), 2);
    assert_eq!(context.cpu(1).unwrap().rip, 0x5000);
    assert_eq!(context.cpu(2), None);
    assert_eq!(context.lapic_id(1), Some(2));
    assert_eq!(context.tsc_adjust(1), Some(77));
    assert_eq!(context.record(RecordType::Header, 0), Some(&[7; 24][..]));
    assert_eq!(context.record(RecordType::Hpet, 0), None);
}

#[test]
fn edits_stay_in_their_record() {
    let mut buffer = [0; 8192];
    let length = sample(&mut buffer);
    let before = buffer;
    let mut context = HvmContextMut::parse(&mut buffer).unwrap();
    assert!(context.set_lapic_irr(1, 0xf3));
    assert!(!context.set_lapic_irr(0, 0xf3));
    assert_eq!(context.view().lapic_irr(1), Some([0, 0, 0, 0, 0, 0, 0, 1 << 19]));
    assert_eq!(context.view().lapic_isr(1), Some([0; 8]));
    let mut cpu = context.view().cpu(0).unwrap();
    cpu.tsc = u64::MAX;
    assert!(context.set_cpu(0, &cpu));
    assert!(!context.set_cpu(9, &cpu));
    assert_eq!(context.view().cpu(0), Some(cpu));
    let changed = before.iter().zip(&buffer).filter(|(old, new)| old != new).count();
    assert_eq!(changed, 8 + 1);
    assert_eq!(HvmContext::parse(&buffer).unwrap().as_bytes().len(), length);
}

#[test]
fn broken_contexts_are_refused() {
    let mut buffer = [0; 8192];
    let length = sample(&mut buffer);
    let no_end = &buffer[..length - 8];
    assert_eq!(HvmContext::parse(no_end).unwrap_err(), HvmContextError::NoEnd);
    let cut = &buffer[..100];
    assert_eq!(HvmContext::parse(cut).unwrap_err(), HvmContextError::Truncated { offset: 32 });
    assert_eq!(HvmContext::parse(&[]).unwrap_err(), HvmContextError::NoEnd);
    let mut writer = HvmContextWriter::new(&mut buffer[..16]);
    assert_eq!(writer.push(RecordType::Cpu, 0, &[0; 9]), Err(HvmContextError::NoRoom));
    assert_eq!(writer.push(RecordType::Cpu, 0, &[0; 8]), Ok(()));
    assert_eq!(writer.finish(), Err(HvmContextError::NoRoom));
}

/// Calls everything that reads, whatever the bytes are.
fn read_all(bytes: &[u8]) {
    if let Ok(context) = HvmContext::parse(bytes) {
        let mut total = 0;
        for record in context.records() {
            total += 8 + record.data.len();
            let _ = context.cpu(record.instance);
            let _ = context.lapic_irr(record.instance);
            let _ = context.lapic_isr(record.instance);
            let _ = context.lapic_id(record.instance);
            let _ = context.tsc_adjust(record.instance);
        }
        assert!(total <= bytes.len());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
        if let Ok(mut context) = HvmContextMut::parse(&mut bytes) {
            let _ = context.set_lapic_irr(0, 0xf3);
            let _ = context.set_cpu(0, &HvmCpuRecord::long_mode_entry(0, 0, 0));
        }
    }

    #[test]
    fn a_damaged_context_never_panics(
        damage in proptest::collection::vec((0usize..4000, any::<u8>()), 0..20),
        vector: u8,
    ) {
        let mut buffer = [0; 8192];
        sample(&mut buffer);
        for (offset, value) in damage {
            buffer[offset] = value;
        }
        read_all(&buffer);
        if let Ok(mut context) = HvmContextMut::parse(&mut buffer) {
            let _ = context.set_lapic_irr(1, vector);
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        records in proptest::collection::vec(
            (any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..10),
    ) {
        let mut buffer = [0; 1024];
        let mut writer = HvmContextWriter::new(&mut buffer);
        for (instance, data) in &records {
            writer.push(RecordType::Mtrr, *instance, data).unwrap();
        }
        let length = writer.finish().unwrap();
        let context = HvmContext::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(context.records().count(), records.len());
        for (record, (instance, data)) in context.records().zip(&records) {
            prop_assert_eq!(record.instance, *instance);
            prop_assert_eq!(record.data, &data[..]);
        }
    }
}
