# The image's first instructions, from Xen's PVH entry (docs/misc/pvh.pandoc, Xen 4.17) to the first of Rust.
#
# At entry: 32-bit protected mode without paging, flat segments, interrupts off, no stack, ebx the physical
# address of struct hvm_start_info. Xen's domain builder and QEMU find the entry by the note below. Both
# have zeroed .bss, and every processor that they run on has long mode and no-execute pages.

    .section .note.Xen, "a", @note
    .balign 4
    .long 4                             # size of the name
    .long 8                             # size of the value
    .long 18                            # XEN_ELFNOTE_PHYS32_ENTRY (elfnote.h)
    .asciz "Xen"
    .quad pollux_pvh_entry

    .section .text.boot, "ax", @progbits
    .code32
    .globl pollux_pvh_entry
pollux_pvh_entry:
    cld
    cli
    movl %ebx, %edi

    # Four page directories map 4 GiB where they are, 2 MiB a page: present, writable, large. Everything can
    # be executed until paging.rs has taken the image's rights apart, which is the first thing it does.
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $21, %eax
    orl $0x83, %eax
    movl %eax, pollux_page_directories(, %ecx, 8)
    incl %ecx
    cmpl $2048, %ecx
    jne 1b

    xorl %ecx, %ecx
    movl $pollux_page_directories + 3, %eax
2:  movl %eax, pollux_directory_pointers(, %ecx, 8)
    addl $4096, %eax
    incl %ecx
    cmpl $4, %ecx
    jne 2b

    movl $pollux_directory_pointers + 3, pollux_page_map
    movl $pollux_page_map, %eax
    movl %eax, %cr3

    # Compiled code uses SSE from the first function on.
    movl %cr4, %eax
    orl $0x620, %eax                    # PAE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4

    movl $0xc0000080, %ecx              # EFER
    rdmsr
    orl $0x900, %eax                    # LME, NXE
    wrmsr

    movl %cr0, %eax
    andl $0xfffffff3, %eax              # without EM, TS
    orl $0x80010022, %eax               # PG, WP, NE, MP
    movl %eax, %cr0

    lgdt pollux_boot_descriptors_pointer
    ljmpl $0x08, $pollux_long_mode

    .code64
pollux_long_mode:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $pollux_stack_end, %esp
    xorl %ebp, %ebp
    fninit
    ldmxcsr pollux_mxcsr
    movl %edi, %edi                     # the upper half is undefined until now
    call pollux_start
    ud2

    .section .rodata.boot, "a", @progbits
    .balign 8
pollux_boot_descriptors:
    .quad 0
    .quad 0x00af9b000000ffff            # 0x08: code, 64 bits
    .quad 0x00cf93000000ffff            # 0x10: data
pollux_boot_descriptors_pointer:
    .word pollux_boot_descriptors_pointer - pollux_boot_descriptors - 1
    .long pollux_boot_descriptors
pollux_mxcsr:
    .long 0x1f80                        # no exception, rounding to nearest

    .section .bss.boot, "aw", @nobits
    .balign 4096
pollux_page_map:
    .skip 4096
pollux_directory_pointers:
    .skip 4096
    .globl pollux_page_directories
pollux_page_directories:
    .skip 4 * 4096
    .globl pollux_page_tables
pollux_page_tables:
    .skip 4 * 4096

    # What overflows the stack meets the guard, which is not mapped.
    .globl pollux_stack_guard
pollux_stack_guard:
    .skip 4096
    .skip {stack_size}
pollux_stack_end:
