/*
 * The one file that the host executes for the guest. It has just been exec'ed with the guest's own
 * argv and environment; it asks the process kernel what program this is to be, maps it, corrects
 * what the host kernel wrote about itself on the stack, and jumps.
 *
 * Freestanding: no C library, no data segment, general registers only, never returns. Everything
 * it believes comes from the process kernel; the guest has not run yet in this address space.
 */
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trap/loader/protocol.h"

#define NR_MMAP     9
#define NR_MPROTECT 10
#define NR_CLOSE    3
#define NR_MUNMAP   11
#define NR_PRCTL    157
#define NR_MSEAL    462

#define PROT_WRITE_BIT          2
#define MAP_PRIVATE_BIT         0x02
#define MAP_ANONYMOUS_BIT       0x20
#define MAP_FIXED_NOREPLACE_BIT 0x100000
#define PROT_ALL                7
#define PROT_GROWSDOWN_BIT      0x01000000
#define PR_SET_NAME_OP          15

_Noreturn void loader_jump(uint64_t *stack, uint64_t start);
_Noreturn void loader_main(uint64_t *stack);

/* The compiler may ask for these two whatever the flags say. */
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);

static long call6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long value;

    __asm__ volatile("syscall"
                     : "=a"(value)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return value;
}

/* As the kernel behind the point of no return: signals are at their defaults, so this ends us. */
static _Noreturn void die(void)
{
    for (;;)
        __asm__ volatile("hlt");
}

void *memcpy(void *to, const void *from, size_t length)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(length) : : "memory");
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(length) : "a"(byte) : "memory");
    return to;
}

/* The initial stack of a process: argc, argv, NULL, envp, NULL, auxv, all in words. */
struct vectors {
    uint64_t *argc;
    uint64_t *rest; /* argv behind argv[0] */
    uint64_t *auxv;
    uint64_t *end; /* behind AT_NULL */
    char *execfn;  /* the string that the host gave: our own path */
    uint64_t execfn_room;
};

static void find_vectors(uint64_t *stack, struct vectors *vectors)
{
    uint64_t *word = stack + 1;

    vectors->argc = stack;
    vectors->execfn = NULL;
    vectors->rest = *stack ? stack + 2 : stack + 1;
    for (word += *stack + 1; *word; word++)
        ;
    vectors->auxv = ++word;
    for (; *word != AT_NULL; word += 2)
        if (*word == AT_EXECFN)
            vectors->execfn = (char *)word[1];
    vectors->end = word + 2;
    if (vectors->execfn == NULL)
        die();
}

/* Counts the slashes in front of our path: the token is what LOADER_PATH_PAGE's text adds up to. */
static long find_token(struct vectors *vectors)
{
    const char *text = vectors->execfn;
    uint64_t slashes = 0;
    uint64_t length;

    while (text[slashes] == '/')
        slashes++;
    for (length = slashes; text[length]; length++)
        ;
    vectors->execfn_room = length + 1;
    /* The path itself begins with a slash, and token 0 sees one in front of it. */
    return (long)slashes - 2;
}

static void map_one(const struct loader_mapping *mapping, long program, long interpreter)
{
    long flags = MAP_PRIVATE_BIT | MAP_FIXED_NOREPLACE_BIT;
    long fd = mapping->file == LOADER_PROGRAM ? program : interpreter;

    if (mapping->file == LOADER_ANONYMOUS) {
        flags |= MAP_ANONYMOUS_BIT;
        fd = -1;
    }
    /* A kernel before 4.17 would ignore NOREPLACE and place it elsewhere: then give up. */
    if (call6(NR_MMAP, (long)mapping->address, (long)mapping->length, mapping->protection, flags,
              fd, (long)mapping->offset) != (long)mapping->address)
        die();
    if (mapping->zero_to > mapping->zero_from && (mapping->protection & PROT_WRITE_BIT))
        memset((void *)mapping->zero_from, 0, mapping->zero_to - mapping->zero_from);
}

static void map_program(const struct loader_plan *plan, long program)
{
    for (uint32_t i = 0; i < plan->mapping_count; i++)
        map_one(&plan->mappings[i], program, plan->interpreter_fd);
    if (plan->interpreter_fd >= 0)
        call6(NR_CLOSE, plan->interpreter_fd, 0, 0, 0, 0, 0);
    call6(NR_CLOSE, program, 0, 0, 0, 0, 0);
}

/*
 * Makes room above the vectors for the strings that do not fit elsewhere, and in argv for the
 * prefix. Everything moves towards lower addresses, so an ascending copy never overwrites what it
 * has still to read. Returns the new stack pointer, 16-byte aligned as the ABI wants it.
 */
static uint64_t *move_vectors(struct vectors *vectors, uint64_t strings, uint64_t prefix_count)
{
    uint64_t first = prefix_count ? (uint64_t)(vectors->rest - vectors->argc) : 1;
    uint64_t *from = vectors->argc + first;
    uint64_t words = 1 + prefix_count + (uint64_t)(vectors->end - from);
    uint64_t top = (uint64_t)vectors->end - ((strings + 15) & ~15UL);
    uint64_t *to = (uint64_t *)((top - words * 8) & ~15UL);
    uint64_t argc = *vectors->argc + prefix_count;

    if (prefix_count && first == 2)
        argc--;
    for (uint64_t i = 0; i < words - 1 - prefix_count; i++)
        to[1 + prefix_count + i] = from[i];
    to[0] = argc;
    vectors->auxv = to + 1 + prefix_count + (vectors->auxv - from);
    vectors->end = to + words;
    return to;
}

static void point_to_strings(uint64_t *slots, char *text, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        slots[i] = (uint64_t)text;
        while (*text++)
            ;
    }
}

/* Places AT_EXECFN's string and the prefix of argv; wipes our own host path. */
static uint64_t *place_strings(struct vectors *vectors, const struct loader_plan *plan)
{
    const char *bytes = (const char *)plan;
    char *old_end = (char *)vectors->end;
    uint64_t strings = plan->prefix_size;
    uint64_t *stack = vectors->argc;
    bool fits = plan->execfn_size <= vectors->execfn_room;
    char *text;

    memset(vectors->execfn, 0, vectors->execfn_room);
    if (!fits)
        strings += plan->execfn_size;
    if (strings)
        stack = move_vectors(vectors, strings, plan->prefix_count);
    text = old_end - strings;
    memcpy(text, bytes + plan->prefix_offset, plan->prefix_size);
    point_to_strings(stack + 1, text, plan->prefix_count);
    if (!fits)
        vectors->execfn = text + plan->prefix_size;
    memcpy(vectors->execfn, bytes + plan->execfn_offset, plan->execfn_size);
    return stack;
}

static void correct_auxv(const struct vectors *vectors, const struct loader_plan *plan)
{
    for (uint64_t *entry = vectors->auxv; *entry != AT_NULL; entry += 2) {
        switch (*entry) {
        case AT_PHDR:
            entry[1] = plan->headers;
            break;
        case AT_PHENT:
            entry[1] = plan->header_size;
            break;
        case AT_PHNUM:
            entry[1] = plan->header_count;
            break;
        case AT_BASE:
            entry[1] = plan->base;
            break;
        case AT_ENTRY:
            entry[1] = plan->entry;
            break;
        case AT_UID:
            entry[1] = plan->uid;
            break;
        case AT_EUID:
            entry[1] = plan->euid;
            break;
        case AT_GID:
            entry[1] = plan->gid;
            break;
        case AT_EGID:
            entry[1] = plan->egid;
            break;
        case AT_SECURE:
            entry[1] = plan->secure;
            break;
        case AT_EXECFN:
            entry[1] = (uint64_t)vectors->execfn;
            break;
        default:
            break;
        }
    }
}

/* How far the vDSO's one file reaches in memory; its first page has the headers. */
static uint64_t vdso_length(const Elf64_Ehdr *header)
{
    const Elf64_Phdr *programs = (const Elf64_Phdr *)((const char *)header + header->e_phoff);
    uint64_t end = 0;

    for (unsigned i = 0; i < header->e_phnum; i++)
        if (programs[i].p_type == PT_LOAD && programs[i].p_vaddr + programs[i].p_memsz > end)
            end = programs[i].p_vaddr + programs[i].p_memsz;
    return (end + LOADER_PAGE_SIZE - 1) & -(uint64_t)LOADER_PAGE_SIZE;
}

/*
 * Not announced, it is not used; unmapped, it is not found in /proc/self/maps either. A host that
 * seals it (6.16, a build option) lets it stay mapped.
 */
static void hide_vdso(const struct vectors *vectors)
{
    for (uint64_t *entry = vectors->auxv; *entry != AT_NULL; entry += 2) {
        if (*entry != AT_SYSINFO_EHDR)
            continue;
        call6(NR_MUNMAP, (long)entry[1], (long)vdso_length((const Elf64_Ehdr *)entry[1]), 0, 0, 0,
              0);
        entry[0] = AT_IGNORE;
        entry[1] = 0;
    }
}

/* `top` is an address in the stack's highest page: the host's strings end there. */
static void make_stack_executable(uint64_t stack, uint64_t top)
{
    uint64_t from = stack & -(uint64_t)LOADER_PAGE_SIZE;
    uint64_t to = (top + LOADER_PAGE_SIZE) & -(uint64_t)LOADER_PAGE_SIZE;

    if (call6(NR_MPROTECT, (long)from, (long)(to - from), PROT_ALL | PROT_GROWSDOWN_BIT, 0, 0, 0))
        die();
}

void loader_main(uint64_t *stack)
{
    char buffer[LOADER_PLAN_SIZE] __attribute__((aligned(16)));
    const struct loader_plan *plan = (const struct loader_plan *)buffer;
    struct vectors vectors;
    uint64_t top;
    long program;
    long token;

    find_vectors(stack, &vectors);
    top = (uint64_t)vectors.execfn;
    token = find_token(&vectors);
    program =
        call6(NR_PRCTL, LOADER_OPTION, (long)buffer, sizeof(buffer), token, LOADER_PLAN_MAGIC, 0);
    if (program < 0)
        die();
    for (uint32_t i = 0; i < plan->stale_count; i++)
        call6(NR_CLOSE, plan->stale[i], 0, 0, 0, 0, 0);
    map_program(plan, program);
    if (plan->flags & LOADER_SEAL)
        call6(NR_MSEAL, LOADER_TEXT, LOADER_END - LOADER_TEXT, 0, 0, 0, 0);
    call6(NR_PRCTL, PR_SET_NAME_OP, (long)plan->comm, 0, 0, 0, 0);
    stack = place_strings(&vectors, plan);
    correct_auxv(&vectors, plan);
    if (plan->flags & LOADER_NO_VDSO)
        hide_vdso(&vectors);
    if (plan->flags & LOADER_EXECUTABLE_STACK)
        make_stack_executable((uint64_t)stack, top);
    loader_jump(stack, plan->start);
}
