//! A domain's HVM context: a checked walk over its save records, and small edits in place.
//!
//! The context is a series of records, each a descriptor (type, instance, length) and its data,
//! closed by an END record (xen/include/public/hvm/save.h, arch-x86/hvm/save.h, Xen 4.17). Records
//! grow at their end from version to version, so every record is read by its own length: what is
//! too short for a field has no such field. No bytes, however broken, make these functions panic.

use core::fmt;

pub use super::hvm_context_writer::HvmContextWriter;
pub use super::hvm_cpu::HvmCpuRecord;

/// Bytes of struct hvm_save_descriptor: type u16, instance u16, length u32.
pub(super) const DESCRIPTOR_SIZE: usize = 8;

/// Registers in the LAPIC_REGS record lie 16 bytes apart, as in the APIC's page.
const LAPIC_ID_OFFSET: usize = 0x20;
const LAPIC_ISR_OFFSET: usize = 0x100;
const LAPIC_IRR_OFFSET: usize = 0x200;
/// Words of 32 vectors in ISR and IRR.
const LAPIC_VECTOR_WORD_COUNT: usize = 8;

/// HVM_SAVE_CODE of a record (arch-x86/hvm/save.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum RecordType {
    /// Closes the context.
    End = 0,
    /// Magic, version, and the saving machine's CPUID and TSC frequency: first.
    Header = 1,
    /// Registers of a vCPU.
    Cpu = 2,
    /// 8259 interrupt controllers.
    Pic = 3,
    /// I/O APIC.
    Ioapic = 4,
    /// Local APIC: what its page does not show.
    Lapic = 5,
    /// Local APIC: its page's first KiB.
    LapicRegs = 6,
    /// PCI interrupt lines.
    PciIrq = 7,
    /// ISA interrupt lines.
    IsaIrq = 8,
    /// PCI interrupt routes.
    PciLink = 9,
    /// 8254 timer.
    Pit = 10,
    /// Real-time clock.
    Rtc = 11,
    /// High-precision timer.
    Hpet = 12,
    /// ACPI timer.
    PmTimer = 13,
    /// Memory types of a vCPU.
    Mtrr = 14,
    /// Viridian state of the domain.
    ViridianDomain = 15,
    /// Extended processor state of a vCPU.
    CpuXsave = 16,
    /// Viridian state of a vCPU.
    ViridianVcpu = 17,
    /// Machine-check state of a vCPU.
    VmceVcpu = 18,
    /// TSC_ADJUST of a vCPU.
    TscAdjust = 19,
    /// Further model-specific registers of a vCPU.
    CpuMsr = 20,
}

impl RecordType {
    /// The number in the descriptor.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// One record of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// [`RecordType::code`], or a number that this list does not know.
    pub type_code: u16,
    /// vCPU number for records of a vCPU, else 0 or a count.
    pub instance: u16,
    /// The record without its descriptor.
    pub data: &'a [u8],
}

/// Why bytes are not an HVM context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HvmContextError {
    /// The descriptor or the data at this offset reaches beyond the end.
    Truncated {
        /// Bytes before the descriptor.
        offset: usize,
    },
    /// There is no END record.
    NoEnd,
    /// The buffer for a new context is full.
    NoRoom,
}

impl fmt::Display for HvmContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HvmContextError::Truncated { offset } => {
                write!(f, "the HVM context is cut off in the record at byte {offset}")?;
            }
            HvmContextError::NoEnd => f.write_str("the HVM context has no END record")?,
            HvmContextError::NoRoom => {
                return f.write_str("the new HVM context does not fit its buffer");
            }
        }
        f.write_str(": take a new checkpoint, this one cannot be revived")
    }
}

impl core::error::Error for HvmContextError {}

/// The records of bytes that may or may not be a context; stops at END or the first error.
#[derive(Clone, Debug)]
struct Walk<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Walk<'a> {
    /// The record at the current offset, END included, and the offset of its data.
    fn step(&mut self) -> Result<Option<(usize, Record<'a>)>, HvmContextError> {
        let rest = &self.bytes[self.offset..];
        if rest.is_empty() {
            return Ok(None);
        }
        let truncated = HvmContextError::Truncated { offset: self.offset };
        let (descriptor, rest) = rest.split_first_chunk::<DESCRIPTOR_SIZE>().ok_or(truncated)?;
        let [type_low, type_high, instance_low, instance_high, length @ ..] = *descriptor;
        let length = u32::from_le_bytes(length) as usize;
        let data = rest.get(..length).ok_or(truncated)?;
        let data_offset = self.offset + DESCRIPTOR_SIZE;
        self.offset = data_offset + length;
        let record = Record {
            type_code: u16::from_le_bytes([type_low, type_high]),
            instance: u16::from_le_bytes([instance_low, instance_high]),
            data,
        };
        Ok(Some((data_offset, record)))
    }
}

/// A context whose records were walked once from end to end.
#[derive(Clone, Copy, Debug)]
pub struct HvmContext<'a> {
    /// Up to and with the END record.
    bytes: &'a [u8],
}

impl<'a> HvmContext<'a> {
    /// Checks that `bytes` are records up to an END record; what follows it is left out.
    ///
    /// # Errors
    /// [`HvmContextError`] when a record is cut off or there is no END.
    pub fn parse(bytes: &'a [u8]) -> Result<HvmContext<'a>, HvmContextError> {
        let mut walk = Walk { bytes, offset: 0 };
        while let Some((_, record)) = walk.step()? {
            if record.type_code == RecordType::End.code() {
                return Ok(HvmContext { bytes: &bytes[..walk.offset] });
            }
        }
        Err(HvmContextError::NoEnd)
    }

    /// The context's bytes, END record included.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All records in order, without END.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        self.located_records().map(|(_, record)| record)
    }

    fn located_records(&self) -> impl Iterator<Item = (usize, Record<'a>)> + use<'a> {
        let mut walk = Walk { bytes: self.bytes, offset: 0 };
        // The walk cannot fail: `parse` has made it before.
        core::iter::from_fn(move || walk.step().ok().flatten())
            .take_while(|(_, record)| record.type_code != RecordType::End.code())
    }

    /// The data of one record.
    #[must_use]
    pub fn record(&self, record_type: RecordType, instance: u16) -> Option<&'a [u8]> {
        self.locate(record_type, instance).map(|(_, data)| data)
    }

    fn locate(&self, record_type: RecordType, instance: u16) -> Option<(usize, &'a [u8])> {
        self.located_records()
            .find(|(_, record)| {
                record.type_code == record_type.code() && record.instance == instance
            })
            .map(|(offset, record)| (offset, record.data))
    }

    /// vCPUs that have a CPU record: those that are up.
    #[must_use]
    pub fn vcpu_count(&self) -> usize {
        self.records().filter(|record| record.type_code == RecordType::Cpu.code()).count()
    }

    /// The registers of a vCPU; none when it has no record, or a shorter one than Xen 4.7's.
    #[must_use]
    pub fn cpu(&self, vcpu: u16) -> Option<HvmCpuRecord> {
        HvmCpuRecord::from_bytes(self.record(RecordType::Cpu, vcpu)?)
    }

    /// The vectors that wait in the vCPU's local APIC (IRR): bit `v % 32` of word `v / 32`.
    #[must_use]
    pub fn lapic_irr(&self, vcpu: u16) -> Option<[u32; LAPIC_VECTOR_WORD_COUNT]> {
        self.lapic_vectors(vcpu, LAPIC_IRR_OFFSET)
    }

    /// The vectors in service in the vCPU's local APIC (ISR), as [`HvmContext::lapic_irr`].
    #[must_use]
    pub fn lapic_isr(&self, vcpu: u16) -> Option<[u32; LAPIC_VECTOR_WORD_COUNT]> {
        self.lapic_vectors(vcpu, LAPIC_ISR_OFFSET)
    }

    fn lapic_vectors(&self, vcpu: u16, offset: usize) -> Option<[u32; LAPIC_VECTOR_WORD_COUNT]> {
        let registers = self.record(RecordType::LapicRegs, vcpu)?;
        let mut words = [0; LAPIC_VECTOR_WORD_COUNT];
        for (index, word) in words.iter_mut().enumerate() {
            *word = read_u32(registers, offset + index * 16)?;
        }
        Some(words)
    }

    /// The ID of the vCPU's local APIC, as an MSI addresses it. An xAPIC has it in the highest
    /// byte of the register, the other bytes zero; an x2APIC, which Linux prefers, is the register,
    /// and Xen gives out twice the vCPU's number, which fits the lowest byte.
    #[must_use]
    pub fn lapic_id(&self, vcpu: u16) -> Option<u8> {
        let [lowest, .., highest] =
            read_u32(self.record(RecordType::LapicRegs, vcpu)?, LAPIC_ID_OFFSET)?.to_le_bytes();
        Some(lowest | highest)
    }

    /// The vCPU's TSC_ADJUST register.
    #[must_use]
    pub fn tsc_adjust(&self, vcpu: u16) -> Option<u64> {
        let data = self.record(RecordType::TscAdjust, vcpu)?;
        data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

fn read_u32(data: &[u8], offset: usize) -> Option<u32> {
    data.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A context to change in place; records keep their places and lengths.
#[derive(Debug)]
pub struct HvmContextMut<'a> {
    bytes: &'a mut [u8],
}

impl<'a> HvmContextMut<'a> {
    /// Checks `bytes` as [`HvmContext::parse`] does.
    ///
    /// # Errors
    /// [`HvmContextError`] when a record is cut off or there is no END.
    pub fn parse(bytes: &'a mut [u8]) -> Result<HvmContextMut<'a>, HvmContextError> {
        let length = HvmContext::parse(bytes)?.bytes.len();
        Ok(HvmContextMut { bytes: &mut bytes[..length] })
    }

    /// The context, to read.
    #[must_use]
    pub fn view(&self) -> HvmContext<'_> {
        HvmContext { bytes: self.bytes }
    }

    /// The data of one record, to change.
    pub fn record_mut(&mut self, record_type: RecordType, instance: u16) -> Option<&mut [u8]> {
        let (offset, data) = self.view().locate(record_type, instance)?;
        let length = data.len();
        Some(&mut self.bytes[offset..offset + length])
    }

    /// Replaces a vCPU's registers; false when it has no CPU record of that size.
    #[must_use]
    pub fn set_cpu(&mut self, vcpu: u16, registers: &HvmCpuRecord) -> bool {
        let Some(data) = self.record_mut(RecordType::Cpu, vcpu) else { return false };
        let Some(data) = data.first_chunk_mut() else { return false };
        *data = registers.to_bytes();
        true
    }

    /// Makes `vector` wait in the vCPU's local APIC (IRR); false when it has no LAPIC_REGS.
    #[must_use]
    pub fn set_lapic_irr(&mut self, vcpu: u16, vector: u8) -> bool {
        let Some(registers) = self.record_mut(RecordType::LapicRegs, vcpu) else { return false };
        let (word, bit) = (usize::from(vector / 32), vector % 32);
        let offset = LAPIC_IRR_OFFSET + word * 16 + usize::from(bit / 8);
        let Some(byte) = registers.get_mut(offset) else { return false };
        *byte |= 1 << (bit % 8);
        true
    }
}
