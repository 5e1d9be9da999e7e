/*
 * The loader's first and last instructions.
 *
 * The room between the initial stack and ours is where the vectors move when new strings have to
 * be placed above them, so that they never reach the frames of the code that moves them.
 */
#include "trap/loader/protocol.h"

#define VECTOR_ROOM 16384

    .section .text.start, "ax", @progbits
    .globl loader_start
    .type loader_start, @function
loader_start:
    xorl %ebp, %ebp
    movq %rsp, %rdi
    subq $VECTOR_ROOM, %rsp
    andq $-16, %rsp
    call loader_main
    hlt
    .size loader_start, . - loader_start

/* loader_jump(stack, start): a program starts with empty registers, as from the kernel's exec. */
    .globl loader_jump
    .type loader_jump, @function
loader_jump:
    movq %rdi, %rsp
    movq %rsi, -8(%rsp)
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    jmpq *-8(%rsp)
    .size loader_jump, . - loader_jump

/* The path page: slashes, our own host path, and the room for the fast path behind it. */
    .section .path, "a", @progbits
    .globl loader_path
    .type loader_path, @object
loader_path:
    .fill LOADER_SLASHES, 1, '/'
    .asciz LOADER_OWN_PATH
    .if (. - loader_path) > LOADER_FAST_SLOT_PAGE
    .error "the path of the loader is too long"
    .endif
    .org loader_path + LOADER_PAGE_SIZE, 0
    .size loader_path, . - loader_path

/* An empty segment: the host places the heap behind the highest one. */
    .section .heap, "aw", @nobits
    .section .note.GNU-stack, "", @progbits
