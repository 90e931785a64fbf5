//! A vCPU's registers as Xen saves them (struct hvm_hw_cpu, arch-x86/hvm/save.h, since Xen 4.7).

use super::Plain;

/// CR0 of a vCPU in 64-bit mode: PE, ET, NE, PG.
const CR0_PROTECTED_PAGED: u64 = 0x8000_0031;
/// CR4: PAE.
const CR4_PAE: u64 = 0x20;
/// EFER: LME, LMA.
const EFER_LONG_MODE: u64 = 0x500;
/// RFLAGS: only the bit that is always one; interrupts are off.
const RFLAGS_RESERVED: u64 = 2;
/// DR6 and DR7 after reset.
const DR6_RESET: u64 = 0xffff_0ff0;
const DR7_RESET: u64 = 0x400;
/// Access rights in VMX's packing: present, code, accessed, 64-bit, 4-KiB granularity.
const CODE64_RIGHTS: u32 = 0xa9b;
/// Present, data, writable, accessed, 32-bit, 4-KiB granularity.
const DATA_RIGHTS: u32 = 0xc93;
/// Present, busy 64-bit TSS.
const TSS_RIGHTS: u32 = 0x8b;
/// Present, LDT.
const LDT_RIGHTS: u32 = 0x82;
/// DPL in the access rights.
const RIGHTS_PRIVILEGE_SHIFT: u32 = 5;

/// All of a vCPU's registers but the extended ones (XSAVE), its APIC and its MTRRs.
///
/// Field names, order and sizes are the header's; the record is 1032 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each field is the register of its name.
pub struct HvmCpuRecord {
    pub fpu_regs: [u8; 512],
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rbp: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub dr0: u64,
    pub dr1: u64,
    pub dr2: u64,
    pub dr3: u64,
    pub dr6: u64,
    pub dr7: u64,
    pub cs_sel: u32,
    pub ds_sel: u32,
    pub es_sel: u32,
    pub fs_sel: u32,
    pub gs_sel: u32,
    pub ss_sel: u32,
    pub tr_sel: u32,
    pub ldtr_sel: u32,
    pub cs_limit: u32,
    pub ds_limit: u32,
    pub es_limit: u32,
    pub fs_limit: u32,
    pub gs_limit: u32,
    pub ss_limit: u32,
    pub tr_limit: u32,
    pub ldtr_limit: u32,
    pub idtr_limit: u32,
    pub gdtr_limit: u32,
    pub cs_base: u64,
    pub ds_base: u64,
    pub es_base: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ss_base: u64,
    pub tr_base: u64,
    pub ldtr_base: u64,
    pub idtr_base: u64,
    pub gdtr_base: u64,
    pub cs_arbytes: u32,
    pub ds_arbytes: u32,
    pub es_arbytes: u32,
    pub fs_arbytes: u32,
    pub gs_arbytes: u32,
    pub ss_arbytes: u32,
    pub tr_arbytes: u32,
    pub ldtr_arbytes: u32,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    /// KERNEL_GS_BASE.
    pub shadow_gs: u64,
    /// Obsolete, ignored.
    pub msr_flags: u64,
    pub msr_lstar: u64,
    pub msr_star: u64,
    pub msr_cstar: u64,
    pub msr_syscall_mask: u64,
    pub msr_efer: u64,
    pub msr_tsc_aux: u64,
    /// What RDTSC would have returned.
    pub tsc: u64,
    /// An event that is being delivered: vector, type, validity.
    pub pending_event: u32,
    /// Its error code.
    pub error_code: u32,
    /// Bit 0: the FPU registers are initialised.
    pub flags: u32,
    pub pad0: u32,
}

/// Bytes of the record's data.
pub(super) const SIZE: usize = 1032;

const _: () = assert!(size_of::<HvmCpuRecord>() == SIZE);

// SAFETY: integers only, and no padding between them (the sizes above add up).
unsafe impl Plain for HvmCpuRecord {}

impl HvmCpuRecord {
    /// The record in its bytes; none when they are too few. What follows is left out.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<HvmCpuRecord> {
        let bytes = bytes.first_chunk::<SIZE>()?;
        // SAFETY: the bytes are as many as the record, and any bytes are one by `Plain`.
        Some(unsafe { bytes.as_ptr().cast::<HvmCpuRecord>().read_unaligned() })
    }

    /// The record as it stands in a context.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; SIZE] {
        // SAFETY: the record has no padding, so all its bytes are initialised.
        unsafe { core::mem::transmute_copy(self) }
    }

    /// Privilege level at which the vCPU runs: 0 in the kernel, 3 in a process.
    #[must_use]
    pub const fn privilege_level(&self) -> u8 {
        let [rights, ..] = self.ss_arbytes.to_le_bytes();
        (rights >> RIGHTS_PRIVILEGE_SHIFT) & 3
    }

    /// The kernel's GS base: GS itself at level 0, the shadow one otherwise.
    ///
    /// In the few instructions around SWAPGS the two are exchanged; a caller that looks for
    /// Linux's per-CPU area must accept only a kernel address (bit 63 set).
    #[must_use]
    pub const fn kernel_gs_base(&self) -> u64 {
        if self.privilege_level() == 0 { self.gs_base } else { self.shadow_gs }
    }

    /// A vCPU about to execute at `rip` in flat 64-bit mode at level 0, interrupts off, with the
    /// page tables at `cr3`. There is no IDT or GDT: a fault ends the domain.
    #[must_use]
    pub const fn long_mode_entry(rip: u64, rsp: u64, cr3: u64) -> HvmCpuRecord {
        // SAFETY: the record consists of integers; all zeros are a value of it.
        let mut record: HvmCpuRecord = unsafe { core::mem::zeroed() };
        record.rip = rip;
        record.rsp = rsp;
        record.rflags = RFLAGS_RESERVED;
        record.cr0 = CR0_PROTECTED_PAGED;
        record.cr3 = cr3;
        record.cr4 = CR4_PAE;
        record.msr_efer = EFER_LONG_MODE;
        record.dr6 = DR6_RESET;
        record.dr7 = DR7_RESET;
        record.cs_limit = u32::MAX;
        record.cs_arbytes = CODE64_RIGHTS;
        record.ds_limit = u32::MAX;
        record.ds_arbytes = DATA_RIGHTS;
        record.es_limit = u32::MAX;
        record.es_arbytes = DATA_RIGHTS;
        record.fs_limit = u32::MAX;
        record.fs_arbytes = DATA_RIGHTS;
        record.gs_limit = u32::MAX;
        record.gs_arbytes = DATA_RIGHTS;
        record.ss_limit = u32::MAX;
        record.ss_arbytes = DATA_RIGHTS;
        record.tr_limit = 0x67;
        record.tr_arbytes = TSS_RIGHTS;
        record.ldtr_arbytes = LDT_RIGHTS;
        record
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn layout_is_that_of_the_header() {
        assert_eq!(offset_of!(HvmCpuRecord, rax), 512);
        assert_eq!(offset_of!(HvmCpuRecord, rip), 640);
        assert_eq!(offset_of!(HvmCpuRecord, cr3), 672);
        assert_eq!(offset_of!(HvmCpuRecord, dr7), 728);
        assert_eq!(offset_of!(HvmCpuRecord, cs_sel), 736);
        assert_eq!(offset_of!(HvmCpuRecord, gdtr_limit), 804);
        assert_eq!(offset_of!(HvmCpuRecord, gs_base), 840);
        assert_eq!(offset_of!(HvmCpuRecord, cs_arbytes), 888);
        assert_eq!(offset_of!(HvmCpuRecord, ss_arbytes), 908);
        assert_eq!(offset_of!(HvmCpuRecord, shadow_gs), 944);
        assert_eq!(offset_of!(HvmCpuRecord, msr_efer), 992);
        assert_eq!(offset_of!(HvmCpuRecord, tsc), 1008);
        assert_eq!(offset_of!(HvmCpuRecord, pending_event), 1016);
        assert_eq!(offset_of!(HvmCpuRecord, flags), 1024);
    }

    #[test]
    fn the_entry_record_is_flat_64_bit_mode_at_level_0() {
        let record = HvmCpuRecord::long_mode_entry(0xfe00_0000, 0xfe00_1000, 0xfe00_2000);
        assert_eq!(HvmCpuRecord::from_bytes(&record.to_bytes()), Some(record));
        assert_eq!(record.privilege_level(), 0);
        assert_eq!((record.cr0, record.cr4, record.msr_efer), (0x8000_0031, 0x20, 0x500));
        assert_eq!(record.to_bytes()[640..648], 0xfe00_0000u64.to_le_bytes());
    }

    #[test]
    fn gs_follows_the_privilege_level() {
        let mut record = HvmCpuRecord::long_mode_entry(0, 0, 0);
        record.gs_base = 1;
        record.shadow_gs = 2;
        assert_eq!(record.kernel_gs_base(), 1);
        record.ss_arbytes = 0xcf3;
        assert_eq!(record.kernel_gs_base(), 2);
    }

    #[test]
    fn short_records_are_refused() {
        assert_eq!(HvmCpuRecord::from_bytes(&[0; SIZE - 1]), None);
        assert!(HvmCpuRecord::from_bytes(&[0; SIZE + 8]).is_some());
    }
}
