#include "linux/elf.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* binfmt_elf reads the program headers only when they fit in a page. */
#define HEADERS_MAX (ELF_PAGE_SIZE / sizeof(Elf64_Phdr))

/* A parse in progress. */
struct parser {
    const struct elf_source *source;
    enum elf_role role;
    struct elf_image *image;
    const char *reason;
    Elf64_Ehdr header;
    Elf64_Phdr programs[HEADERS_MAX];
};

static ssize_t read_bytes(void *user, void *bytes, size_t length, uint64_t offset)
{
    const struct elf_bytes *from = user;

    if (offset >= from->length)
        return 0;
    if (length > from->length - offset)
        length = from->length - offset;
    memcpy(bytes, (const char *)from->bytes + offset, length);
    return (ssize_t)length;
}

struct elf_source elf_source_bytes(struct elf_bytes *bytes)
{
    return (struct elf_source){.read = read_bytes, .user = bytes, .size = bytes->length};
}

static ssize_t read_fd(void *user, void *bytes, size_t length, uint64_t offset)
{
    ssize_t n;

    if (offset > INT64_MAX)
        return -EINVAL;
    do
        n = pread(*(int *)user, bytes, length, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

struct elf_source elf_source_fd(int *fd, uint64_t size)
{
    return (struct elf_source){.read = read_fd, .user = fd, .size = size};
}

static int fail(struct parser *parser, int negative_errno, const char *reason)
{
    parser->reason = reason;
    return negative_errno;
}

/* A damaged file: the error depends on what the file was to be. */
static int damaged(struct parser *parser, const char *reason)
{
    return fail(parser, parser->role == ELF_INTERPRETER ? -ELIBBAD : -ENOEXEC, reason);
}

/* A segment that cannot be mapped. */
static int unmappable(struct parser *parser, const char *reason)
{
    return fail(parser, parser->role == ELF_INTERPRETER ? -ENOMEM : -EINVAL, reason);
}

/* Reads up to `length` bytes, fewer only at the end of the file. */
static ssize_t read_up_to(struct parser *parser, void *bytes, size_t length, uint64_t offset)
{
    const struct elf_source *source = parser->source;
    size_t have = 0;

    while (have < length) {
        ssize_t n = source->read(source->user, (char *)bytes + have, length - have, offset + have);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static int check_machine(struct parser *parser)
{
    const Elf64_Ehdr *header = &parser->header;

    if (header->e_machine == EM_386)
        return damaged(parser, "32-bit programs are not supported");
    if (header->e_machine != EM_X86_64)
        return damaged(parser, "the program is for another processor");
    if (header->e_ident[EI_CLASS] == ELFCLASS32)
        return damaged(parser, "x32 programs are not supported");
    return 0;
}

/* The file is as if followed by zeroes, as in the kernel's buffer of its first bytes. */
static int read_header(struct parser *parser)
{
    Elf64_Ehdr *header = &parser->header;
    ssize_t n = read_up_to(parser, header, sizeof(*header), 0);

    if (n < 0)
        return fail(parser, (int)n, "the file cannot be read");
    if (parser->role == ELF_INTERPRETER && n < (ssize_t)sizeof(*header))
        return fail(parser, -EIO, "the interpreter is shorter than an ELF header");
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return damaged(parser, "not an ELF file");
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return damaged(parser, "an ELF file, but not a program");
    return check_machine(parser);
}

static int read_programs(struct parser *parser)
{
    const Elf64_Ehdr *header = &parser->header;
    size_t size = (size_t)header->e_phnum * sizeof(Elf64_Phdr);
    ssize_t n;

    if (header->e_phentsize != sizeof(Elf64_Phdr))
        return damaged(parser, "program headers of a wrong size");
    if (size == 0)
        return damaged(parser, "no program headers");
    if (size > sizeof(parser->programs))
        return damaged(parser, "too many program headers");
    if (header->e_phoff > INT64_MAX - size)
        return damaged(parser, "program headers outside of the file");
    n = read_up_to(parser, parser->programs, size, header->e_phoff);
    if (n < (ssize_t)size)
        return damaged(parser, "program headers outside of the file");
    return 0;
}

static int read_interpreter(struct parser *parser, const Elf64_Phdr *program)
{
    size_t size = program->p_filesz;
    char *text;
    ssize_t n;

    if (size > PATH_MAX || size < 2)
        return fail(parser, -ENOEXEC, "the interpreter's name has a wrong length");
    if (program->p_offset > INT64_MAX - size)
        return fail(parser, -EIO, "the interpreter's name lies outside of the file");
    text = malloc(size);
    if (text == NULL)
        return fail(parser, -ENOMEM, "out of memory");
    n = read_up_to(parser, text, size, program->p_offset);
    if (n < (ssize_t)size || text[size - 1] != '\0') {
        free(text);
        return n < (ssize_t)size
                   ? fail(parser, n < 0 ? (int)n : -EIO, "the interpreter's name cannot be read")
                   : fail(parser, -ENOEXEC, "the interpreter's name does not end");
    }
    parser->image->interpreter = text;
    return 0;
}

static uint32_t protection_of(const Elf64_Phdr *program)
{
    return (program->p_flags & PF_R ? PROT_READ : 0) | (program->p_flags & PF_W ? PROT_WRITE : 0) |
           (program->p_flags & PF_X ? PROT_EXEC : 0);
}

/* What has to hold for the mapping of a segment; the order of the checks is the kernel's. */
static int check_segment(struct parser *parser, const Elf64_Phdr *program)
{
    uint64_t in_page = program->p_vaddr % ELF_PAGE_SIZE;

    if (program->p_vaddr >= ELF_TASK_SIZE || program->p_memsz > ELF_TASK_SIZE ||
        ELF_TASK_SIZE - program->p_memsz < program->p_vaddr)
        return unmappable(parser, "a segment outside of the address space");
    if (program->p_filesz > program->p_memsz)
        return unmappable(parser, "a segment larger in the file than in memory");
    if (program->p_filesz == 0)
        return 0;
    if (program->p_offset < in_page || (program->p_offset - in_page) % ELF_PAGE_SIZE != 0)
        return unmappable(parser, "a segment that is not aligned");
    if (program->p_offset > INT64_MAX - ELF_PAGE_SIZE - program->p_filesz)
        return unmappable(parser, "a segment outside of the file");
    return 0;
}

/*
 * The rest of a segment's last file page is cleared by the loader. When that page lies behind the
 * end of the file it cannot be touched: Linux has the same fault and kills the program.
 */
static int check_tail(struct parser *parser, const Elf64_Phdr *program)
{
    uint64_t end = program->p_offset + program->p_filesz;

    if (program->p_filesz == 0 || program->p_memsz == program->p_filesz ||
        !(program->p_flags & PF_W) || end % ELF_PAGE_SIZE == 0)
        return 0;
    if (end - end % ELF_PAGE_SIZE >= parser->source->size)
        return fail(parser, -EFAULT, "a segment behind the end of the file");
    return 0;
}

static int add_segment(struct parser *parser, const Elf64_Phdr *program)
{
    struct elf_image *image = parser->image;
    uint64_t phoff = parser->header.e_phoff;
    uint64_t page = program->p_vaddr - program->p_vaddr % ELF_PAGE_SIZE;
    int r = check_segment(parser, program);

    r = r < 0 ? r : check_tail(parser, program);
    if (r < 0)
        return r;
    if (image->segment_count == ELF_SEGMENTS_MAX)
        return damaged(parser, "too many segments");
    image->segments[image->segment_count++] = (struct elf_segment){
        .address = program->p_vaddr,
        .offset = program->p_offset,
        .file_size = program->p_filesz,
        .memory_size = program->p_memsz,
        .protection = protection_of(program),
    };
    if (image->segment_count == 1 || page < image->low)
        image->low = page;
    if (program->p_vaddr + program->p_memsz > image->high)
        image->high = program->p_vaddr + program->p_memsz;
    if ((program->p_align & (program->p_align - 1)) == 0 && program->p_align > image->alignment)
        image->alignment = program->p_align;
    if (program->p_offset <= phoff && phoff - program->p_offset < program->p_filesz)
        image->headers = phoff - program->p_offset + program->p_vaddr;
    return 0;
}

static int take_program(struct parser *parser, const Elf64_Phdr *program)
{
    switch (program->p_type) {
    case PT_LOAD:
        return add_segment(parser, program);
    case PT_INTERP:
        if (parser->role == ELF_PROGRAM && parser->image->interpreter == NULL)
            return read_interpreter(parser, program);
        return 0;
    case PT_GNU_STACK:
        parser->image->executable_stack = program->p_flags & PF_X;
        return 0;
    default:
        return 0; /* PT_GNU_PROPERTY, PT_TLS, PT_NOTE ... are not for the kernel to act on */
    }
}

/* The sums that only make sense once all segments are known. */
static int check_image(struct parser *parser)
{
    struct elf_image *image = parser->image;

    if (image->segment_count == 0 || image->high == image->low)
        return damaged(parser, "nothing to load");
    if (image->alignment > ELF_TASK_SIZE / 4)
        return unmappable(parser, "an alignment larger than the address space");
    if (image->entry >= ELF_TASK_SIZE)
        return unmappable(parser, "the entry lies outside of the address space");
    return 0;
}

static int parse(struct parser *parser)
{
    struct elf_image *image = parser->image;
    int r = read_header(parser);

    r = r < 0 ? r : read_programs(parser);
    if (r < 0)
        return r;
    image->fixed = parser->header.e_type == ET_EXEC;
    image->entry = parser->header.e_entry;
    image->header_count = parser->header.e_phnum;
    image->header_size = parser->header.e_phentsize;
    image->alignment = ELF_PAGE_SIZE;
    for (unsigned i = 0; r == 0 && i < parser->header.e_phnum; i++)
        r = take_program(parser, &parser->programs[i]);
    return r < 0 ? r : check_image(parser);
}

int elf_parse(const struct elf_source *source, enum elf_role role, struct elf_image *ret_image,
              const char **ret_reason)
{
    struct elf_image image = {0};
    struct parser parser = {.source = source, .role = role, .image = &image};
    int r = parse(&parser);

    if (r < 0) {
        elf_image_release(&image);
        if (ret_reason)
            *ret_reason = parser.reason;
        return r;
    }
    *ret_image = image;
    return 0;
}

void elf_image_release(struct elf_image *image)
{
    free(image->interpreter);
    image->interpreter = NULL;
}

int elf_image_copy(const struct elf_image *image, struct elf_image *ret_copy)
{
    char *interpreter = NULL;

    if (image->interpreter) {
        interpreter = strdup(image->interpreter);
        if (interpreter == NULL)
            return -ENOMEM;
    }
    *ret_copy = *image;
    ret_copy->interpreter = interpreter;
    return 0;
}

const char *elf_foreign_format(const void *bytes, size_t length)
{
    static const struct {
        const char *magic;
        size_t length;
        const char *sentence;
    } formats[] = {
        {"MZ", 2, "a Windows program: start it with `cerebro run FILE`"},
        {"!<arch>\n", 8, "a package or library archive, not a program"},
        {"PK\3\4", 4, "a zip or Android package, not a program"},
    };

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (length >= formats[i].length && memcmp(bytes, formats[i].magic, formats[i].length) == 0)
            return formats[i].sentence;
    return NULL;
}
