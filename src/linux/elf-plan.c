#include "linux/elf-plan.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Position independent programs: 64 GiB of room for the heap, then 28 bits of pages (1 TiB). */
#define PROGRAM_BASE  (ELF_HEAP_BASE + (64UL << 30))
#define PROGRAM_PAGES (1UL << 28)

/*
 * Interpreters: in the host's mapping area, below everything the host may use for the stack (at
 * most 16 GiB of randomisation and the stack itself below the end of the address space).
 */
#define INTERPRETER_BASE  0x7f0000000000UL
#define INTERPRETER_PAGES ((0x7fe000000000UL - INTERPRETER_BASE) / ELF_PAGE_SIZE)

static uint64_t page_down(uint64_t address)
{
    return address & ~(ELF_PAGE_SIZE - 1);
}

static uint64_t page_up(uint64_t address)
{
    return page_down(address + ELF_PAGE_SIZE - 1);
}

static int fail(const char **ret_reason, int negative_errno, const char *reason)
{
    *ret_reason = reason;
    return negative_errno;
}

/* Clips the range to be cleared to what is left of the mapping. */
static void clip_zero(struct pk_exec_mapping *mapping)
{
    if (mapping->zero_from < mapping->address ||
        mapping->zero_to > mapping->address + mapping->length) {
        mapping->zero_from = 0;
        mapping->zero_to = 0;
    }
}

/* The part of a mapping in [from, to); the caller has made sure that there is one. */
static struct pk_exec_mapping slice(const struct pk_exec_mapping *mapping, uint64_t from,
                                    uint64_t to)
{
    struct pk_exec_mapping part = *mapping;

    part.address = from;
    part.length = to - from;
    if (part.file != PK_EXEC_ANONYMOUS)
        part.offset += from - mapping->address;
    clip_zero(&part);
    return part;
}

/*
 * Takes [from, to) out of all mappings made so far: a later segment replaces what it covers, as it
 * would with MAP_FIXED, but the loader maps with MAP_FIXED_NOREPLACE.
 */
static int punch(struct pk_exec_plan *plan, uint64_t from, uint64_t to)
{
    struct pk_exec_mapping old[PK_EXEC_MAPPINGS_MAX];
    unsigned count = plan->mapping_count;

    memcpy(old, plan->mappings, count * sizeof(old[0]));
    plan->mapping_count = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t start = old[i].address;
        uint64_t end = start + old[i].length;
        uint64_t left = from < end ? from : end;
        uint64_t right = to > start ? to : start;

        if (plan->mapping_count + 2 > PK_EXEC_MAPPINGS_MAX)
            return -ENOEXEC;
        if (left > start)
            plan->mappings[plan->mapping_count++] = slice(&old[i], start, left);
        if (right < end && left < end)
            plan->mappings[plan->mapping_count++] = slice(&old[i], right, end);
    }
    return 0;
}

static bool overlaps(const struct pk_exec_plan *plan, uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < plan->mapping_count; i++)
        if (plan->mappings[i].address < to &&
            from < plan->mappings[i].address + plan->mappings[i].length)
            return true;
    return false;
}

static int add_mapping(struct pk_exec_plan *plan, const struct pk_exec_mapping *mapping)
{
    uint64_t end = mapping->address + mapping->length;

    if (overlaps(plan, mapping->address, end) && punch(plan, mapping->address, end) < 0)
        return -ENOEXEC;
    if (plan->mapping_count == PK_EXEC_MAPPINGS_MAX)
        return -ENOEXEC;
    plan->mappings[plan->mapping_count++] = *mapping;
    return 0;
}

/* The pages of a segment that come from the file. */
static int add_file_part(struct pk_exec_plan *plan, enum pk_exec_file file, uint64_t bias,
                         const struct elf_segment *segment)
{
    uint64_t address = bias + segment->address;
    uint64_t file_end = address + segment->file_size;
    uint64_t in_page = segment->address % ELF_PAGE_SIZE;
    struct pk_exec_mapping mapping = {
        .file = file,
        .protection = segment->protection,
        .address = page_down(address),
        .length = page_up(file_end) - page_down(address),
        .offset = segment->offset - in_page,
    };

    if (segment->file_size == 0)
        return 0;
    /* Where the page cannot be written, Linux leaves the file's bytes in it. */
    if (segment->memory_size > segment->file_size && (segment->protection & PROT_WRITE) &&
        file_end != page_up(file_end)) {
        mapping.zero_from = file_end;
        mapping.zero_to = page_up(file_end);
    }
    return add_mapping(plan, &mapping);
}

/* The pages behind the file's part; Linux makes them writable whatever the segment says. */
static int add_zero_part(struct pk_exec_plan *plan, uint64_t bias,
                         const struct elf_segment *segment)
{
    uint64_t address = bias + segment->address;
    uint64_t from = segment->file_size ? page_up(address + segment->file_size) : page_down(address);
    uint64_t to = page_up(address + segment->memory_size);
    struct pk_exec_mapping mapping = {
        .file = PK_EXEC_ANONYMOUS,
        .protection = PROT_READ | PROT_WRITE | (segment->protection & PROT_EXEC),
        .address = from,
        .length = to - from,
    };

    if (segment->memory_size <= segment->file_size || to <= from)
        return 0;
    return add_mapping(plan, &mapping);
}

static int add_image(struct pk_exec_plan *plan, enum pk_exec_file file, uint64_t bias,
                     const struct elf_image *image)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < image->segment_count; i++) {
        r = add_file_part(plan, file, bias, &image->segments[i]);
        r = r < 0 ? r : add_zero_part(plan, bias, &image->segments[i]);
    }
    return r;
}

/* What is added to the addresses of a position independent image placed in an area of pages. */
static uint64_t choose_bias(const struct elf_image *image, uint64_t area, uint64_t pages,
                            uint64_t random)
{
    uint64_t start = area + random % pages * ELF_PAGE_SIZE;

    /* Unsigned arithmetic: the bias of an image linked at a high address is "negative". */
    return (start & ~(image->alignment - 1)) - image->low;
}

static int check_place(const struct elf_image *image, uint64_t bias, const char **ret_reason)
{
    if (bias + image->low < PK_EXEC_LOWEST_ADDRESS)
        return fail(ret_reason, -ENOEXEC,
                    "the program is linked below address 0x180000, which Cerebro's loader uses");
    if (bias + image->high > ELF_TASK_SIZE - (32UL << 30))
        return fail(ret_reason, -ENOMEM, "the program does not fit below the stack");
    return 0;
}

static int place_image(struct pk_exec_plan *plan, enum pk_exec_file file, uint64_t bias,
                       const struct elf_image *image, const char **ret_reason)
{
    int r = check_place(image, bias, ret_reason);

    if (r < 0)
        return r;
    r = add_image(plan, file, bias, image);
    return r < 0 ? fail(ret_reason, r, "too many segments") : 0;
}

static int place_interpreter(struct pk_exec_plan *plan, const struct elf_image *image,
                             uint64_t random, const char **ret_reason)
{
    uint64_t bias =
        image->fixed ? 0 : choose_bias(image, INTERPRETER_BASE, INTERPRETER_PAGES, random);

    plan->base = bias;
    plan->start = bias + image->entry;
    if (overlaps(plan, bias + image->low, page_up(bias + image->high)))
        return fail(ret_reason, -ELIBBAD, "the interpreter lies over the program");
    return place_image(plan, PK_EXEC_INTERPRETER, bias, image, ret_reason);
}

int elf_plan(const struct elf_image *program, const struct elf_image *interpreter,
             const struct elf_random *random, struct pk_exec_plan *plan, const char **ret_reason)
{
    uint64_t bias =
        program->fixed ? 0 : choose_bias(program, PROGRAM_BASE, PROGRAM_PAGES, random->program);
    int r = place_image(plan, PK_EXEC_PROGRAM, bias, program, ret_reason);

    if (r < 0)
        return r;
    plan->program_entry = bias + program->entry;
    plan->start = plan->program_entry;
    plan->headers = bias + program->headers;
    plan->header_count = program->header_count;
    plan->header_size = program->header_size;
    plan->executable_stack = program->executable_stack;
    plan->brk_start = program->fixed ? page_up(program->high) : 0;
    if (interpreter)
        return place_interpreter(plan, interpreter, random->interpreter, ret_reason);
    return 0;
}
