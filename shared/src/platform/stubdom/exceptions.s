# One entry of 16 bytes for each of the processor's 32 exceptions, each of which leaves the vector and an
# error code on the stack and goes on where all of them meet. None of them returns.

    .section .text.exceptions, "ax", @progbits
    .balign 16
    .globl pollux_exception_entries
pollux_exception_entries:
    .set pollux_vector, 0
    .rept 32
    .balign 16
    # The vectors for which the processor itself pushes an error code (AMD64 APM volume 2, 8.2).
    .if !((0x60227d00 >> pollux_vector) & 1)
    pushq $0
    .endif
    pushq $pollux_vector
    jmp pollux_exception
    .set pollux_vector, pollux_vector + 1
    .endr

    .balign 16
pollux_exception:
    cld
    movq %rsp, %rdi
    andq $-16, %rsp
    call pollux_exception_raised
    ud2
