/*
 * The ELF parser and planner on good files, on every kind of damaged header, and on random damage;
 * and the parser of `#!` lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/elf-library.h"
#include "linux/elf-plan.h"
#include "linux/elf.h"
#include "linux/script.h"
#include "skip.h"

extern char **environ;

/* ---- a small valid program, to be damaged ---- */

#define FILE_SIZE 0x1200u
#define TEXT      0x400000u
#define DATA      0x402000u
#define NAME_AT   0x300u

enum { PH_INTERP, PH_TEXT, PH_DATA, PH_STACK, PH_COUNT };

struct image_file {
    union {
        unsigned char bytes[FILE_SIZE];
        struct {
            Elf64_Ehdr header;
            Elf64_Phdr programs[PH_COUNT];
        };
    };
};

static const char loader_name[] = "/lib64/ld-linux-x86-64.so.2";

static void make_good(struct image_file *file)
{
    memset(file, 0, sizeof(*file));
    memcpy(file->header.e_ident, ELFMAG, SELFMAG);
    file->header.e_ident[EI_CLASS] = ELFCLASS64;
    file->header.e_ident[EI_DATA] = ELFDATA2LSB;
    file->header.e_ident[EI_VERSION] = EV_CURRENT;
    file->header.e_type = ET_EXEC;
    file->header.e_machine = EM_X86_64;
    file->header.e_version = EV_CURRENT;
    file->header.e_entry = TEXT + 0x500;
    file->header.e_phoff = sizeof(Elf64_Ehdr);
    file->header.e_ehsize = sizeof(Elf64_Ehdr);
    file->header.e_phentsize = sizeof(Elf64_Phdr);
    file->header.e_phnum = PH_COUNT;
    file->programs[PH_INTERP] =
        (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = NAME_AT, .p_filesz = sizeof(loader_name)};
    file->programs[PH_TEXT] = (Elf64_Phdr){.p_type = PT_LOAD,
                                           .p_flags = PF_R | PF_X,
                                           .p_vaddr = TEXT,
                                           .p_filesz = 0x1000,
                                           .p_memsz = 0x1000,
                                           .p_align = 0x1000};
    file->programs[PH_DATA] = (Elf64_Phdr){.p_type = PT_LOAD,
                                           .p_flags = PF_R | PF_W,
                                           .p_offset = 0x1000,
                                           .p_vaddr = DATA,
                                           .p_filesz = 0x200,
                                           .p_memsz = 0x3000,
                                           .p_align = 0x1000};
    file->programs[PH_STACK] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
    memcpy(file->bytes + NAME_AT, loader_name, sizeof(loader_name));
}

static int parse(const void *bytes, size_t length, enum elf_role role, struct elf_image *image,
                 const char **reason)
{
    struct elf_bytes from = {.bytes = bytes, .length = length};
    struct elf_source source = elf_source_bytes(&from);

    return elf_parse(&source, role, image, reason);
}

static void test_good(void **state)
{
    struct image_file file;
    struct elf_image image;

    (void)state;
    make_good(&file);
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), 0);
    assert_true(image.fixed);
    assert_false(image.executable_stack);
    assert_string_equal(image.interpreter, loader_name);
    assert_int_equal(image.entry, TEXT + 0x500);
    assert_int_equal(image.headers, TEXT + sizeof(Elf64_Ehdr));
    assert_int_equal(image.header_count, PH_COUNT);
    assert_int_equal(image.segment_count, 2);
    assert_int_equal(image.low, TEXT);
    assert_int_equal(image.high, DATA + 0x3000);
    assert_int_equal(image.segments[1].protection, PROT_READ | PROT_WRITE);
    elf_image_release(&image);
}

static void test_variants(void **state)
{
    struct image_file file;
    struct elf_image image;

    (void)state;
    make_good(&file);
    file.header.e_type = ET_DYN;
    file.programs[PH_STACK].p_flags |= PF_X;
    file.programs[PH_INTERP].p_type = PT_NOTE;
    file.programs[PH_TEXT].p_align = 0x200000;
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), 0);
    assert_false(image.fixed);
    assert_true(image.executable_stack);
    assert_null(image.interpreter);
    assert_int_equal(image.alignment, 0x200000);
    /* an alignment that is no power of two is ignored, as Linux does */
    file.programs[PH_TEXT].p_align = 0x3000;
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), 0);
    assert_int_equal(image.alignment, 0x1000);
    /* the class byte is not looked at for a 64-bit machine, other headers are skipped */
    file.header.e_ident[EI_CLASS] = ELFCLASSNONE;
    file.programs[PH_STACK].p_type = PT_GNU_PROPERTY;
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), 0);
    file.programs[PH_STACK].p_type = PT_TLS;
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), 0);
    /* an interpreter's own interpreter does not matter */
    make_good(&file);
    memset(file.bytes + NAME_AT, 'x', 64);
    assert_int_equal(parse(&file, sizeof(file), ELF_INTERPRETER, &image, NULL), 0);
    assert_null(image.interpreter);
}

/* ---- damage ---- */

#define HEADER(field) offsetof(Elf64_Ehdr, field), sizeof(((Elf64_Ehdr *)0)->field)
#define PROGRAM(index, field)                                                        \
    sizeof(Elf64_Ehdr) + (index) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field), \
        sizeof(((Elf64_Phdr *)0)->field)
#define SAME 1 /* no errno: the interpreter fails as a program does */

static const struct damage {
    const char *what;
    size_t offset;
    size_t width;
    uint64_t value;
    int program;     /* expected, negative */
    int interpreter; /* expected; SAME; 0: accepted */
} damages[] = {
    {"magic 0", 0, 1, 0, -ENOEXEC, -ELIBBAD},
    {"magic 1", 1, 1, 'e', -ENOEXEC, -ELIBBAD},
    {"magic 2", 2, 1, 'l', -ENOEXEC, -ELIBBAD},
    {"magic 3", 3, 1, 'f', -ENOEXEC, -ELIBBAD},
    {"type none", HEADER(e_type), ET_NONE, -ENOEXEC, -ELIBBAD},
    {"type relocatable", HEADER(e_type), ET_REL, -ENOEXEC, -ELIBBAD},
    {"type core", HEADER(e_type), ET_CORE, -ENOEXEC, -ELIBBAD},
    {"type unknown", HEADER(e_type), 0xffff, -ENOEXEC, -ELIBBAD},
    {"machine i386", HEADER(e_machine), EM_386, -ENOEXEC, -ELIBBAD},
    {"machine arm", HEADER(e_machine), EM_AARCH64, -ENOEXEC, -ELIBBAD},
    {"machine none", HEADER(e_machine), EM_NONE, -ENOEXEC, -ELIBBAD},
    {"machine big-endian", HEADER(e_machine), 0x3e00, -ENOEXEC, -ELIBBAD},
    {"class x32", EI_CLASS, 1, ELFCLASS32, -ENOEXEC, -ELIBBAD},
    {"phentsize 0", HEADER(e_phentsize), 0, -ENOEXEC, -ELIBBAD},
    {"phentsize 32", HEADER(e_phentsize), 32, -ENOEXEC, -ELIBBAD},
    {"phentsize 57", HEADER(e_phentsize), 57, -ENOEXEC, -ELIBBAD},
    {"phentsize huge", HEADER(e_phentsize), 0xffff, -ENOEXEC, -ELIBBAD},
    {"phnum 0", HEADER(e_phnum), 0, -ENOEXEC, -ELIBBAD},
    {"phnum over a page", HEADER(e_phnum), 74, -ENOEXEC, -ELIBBAD},
    {"phnum huge", HEADER(e_phnum), 0xffff, -ENOEXEC, -ELIBBAD},
    {"phoff at the end", HEADER(e_phoff), FILE_SIZE - 8, -ENOEXEC, -ELIBBAD},
    {"phoff behind the end", HEADER(e_phoff), 0x100000, -ENOEXEC, -ELIBBAD},
    {"phoff negative", HEADER(e_phoff), UINT64_MAX, -ENOEXEC, -ELIBBAD},
    {"phoff overflow", HEADER(e_phoff), INT64_MAX, -ENOEXEC, -ELIBBAD},
    {"entry outside", HEADER(e_entry), ELF_TASK_SIZE, -EINVAL, -ENOMEM},
    {"entry kernel", HEADER(e_entry), 0xffffffff81000000, -EINVAL, -ENOMEM},
    {"interp empty", PROGRAM(PH_INTERP, p_filesz), 0, -ENOEXEC, 0},
    {"interp one byte", PROGRAM(PH_INTERP, p_filesz), 1, -ENOEXEC, 0},
    {"interp too long", PROGRAM(PH_INTERP, p_filesz), 4097, -ENOEXEC, 0},
    {"interp size negative", PROGRAM(PH_INTERP, p_filesz), UINT64_MAX, -ENOEXEC, 0},
    {"interp not terminated", PROGRAM(PH_INTERP, p_filesz), sizeof(loader_name) - 1, -ENOEXEC, 0},
    {"interp behind the end", PROGRAM(PH_INTERP, p_offset), FILE_SIZE, -EIO, 0},
    {"interp across the end", PROGRAM(PH_INTERP, p_offset), FILE_SIZE - 4, -EIO, 0},
    {"interp negative", PROGRAM(PH_INTERP, p_offset), UINT64_MAX, -EIO, 0},
    {"interp overflow", PROGRAM(PH_INTERP, p_offset), INT64_MAX, -EIO, 0},
    {"text filesz > memsz", PROGRAM(PH_TEXT, p_filesz), 0x1001, -EINVAL, -ENOMEM},
    {"data memsz 0", PROGRAM(PH_DATA, p_memsz), 0, -EINVAL, -ENOMEM},
    {"data filesz huge", PROGRAM(PH_DATA, p_filesz), UINT64_MAX, -EINVAL, -ENOMEM},
    {"data memsz huge", PROGRAM(PH_DATA, p_memsz), UINT64_MAX, -EINVAL, -ENOMEM},
    {"data memsz too large", PROGRAM(PH_DATA, p_memsz), ELF_TASK_SIZE, -EINVAL, -ENOMEM},
    {"vaddr outside", PROGRAM(PH_DATA, p_vaddr), ELF_TASK_SIZE, -EINVAL, -ENOMEM},
    {"vaddr at the edge", PROGRAM(PH_DATA, p_vaddr), ELF_TASK_SIZE - 0x1000, -EINVAL, -ENOMEM},
    {"vaddr kernel", PROGRAM(PH_DATA, p_vaddr), 0xffff800000000000, -EINVAL, -ENOMEM},
    {"vaddr wraps", PROGRAM(PH_DATA, p_vaddr), UINT64_MAX - 0xfff, -EINVAL, -ENOMEM},
    {"vaddr not aligned", PROGRAM(PH_DATA, p_vaddr), DATA + 8, -EINVAL, -ENOMEM},
    {"offset not aligned", PROGRAM(PH_DATA, p_offset), 0x1008, -EINVAL, -ENOMEM},
    {"offset below the page", PROGRAM(PH_TEXT, p_vaddr), TEXT + 0x10, -EINVAL, -ENOMEM},
    {"offset negative", PROGRAM(PH_DATA, p_offset), UINT64_MAX - 0xfff, -EINVAL, -ENOMEM},
    {"offset overflow", PROGRAM(PH_DATA, p_offset), INT64_MAX - 0xfff, -EINVAL, -ENOMEM},
    {"bss page behind the end", PROGRAM(PH_DATA, p_offset), 0x10000, -EFAULT, SAME},
    {"huge alignment", PROGRAM(PH_TEXT, p_align), 1ULL << 62, -EINVAL, -ENOMEM},
};

static void apply(struct image_file *file, const struct damage *damage)
{
    memcpy(file->bytes + damage->offset, &damage->value, damage->width);
}

static void expect(const struct damage *damage, const void *bytes, enum elf_role role, int wanted)
{
    struct elf_image image = {0};
    const char *reason = NULL;
    int r = parse(bytes, FILE_SIZE, role, &image, &reason);

    if (r != wanted)
        print_error("%s as %s\n", damage->what, role == ELF_PROGRAM ? "program" : "interpreter");
    assert_int_equal(r, wanted);
    if (r < 0)
        assert_non_null(reason);
    elf_image_release(&image);
}

static void test_damaged_headers(void **state)
{
    (void)state;
    assert_true(sizeof(damages) / sizeof(damages[0]) >= 40);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        const struct damage *damage = &damages[i];
        struct image_file file;

        make_good(&file);
        apply(&file, damage);
        expect(damage, &file, ELF_PROGRAM, damage->program);
        expect(damage, &file, ELF_INTERPRETER,
               damage->interpreter == SAME ? damage->program : damage->interpreter);
    }
}

static void test_nothing_to_load(void **state)
{
    struct image_file file;
    struct elf_image image;

    (void)state;
    make_good(&file);
    file.programs[PH_TEXT].p_type = PT_NOTE;
    file.programs[PH_DATA].p_type = PT_NOTE;
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), -ENOEXEC);
    assert_int_equal(parse(&file, sizeof(file), ELF_INTERPRETER, &image, NULL), -ELIBBAD);
}

static void test_too_many_segments(void **state)
{
    enum { COUNT = ELF_SEGMENTS_MAX + 1 };
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr programs[COUNT];
    } file;
    struct image_file good;
    struct elf_image image;

    (void)state;
    make_good(&good);
    file.header = good.header;
    file.header.e_phnum = COUNT;
    for (int i = 0; i < COUNT; i++)
        file.programs[i] = (Elf64_Phdr){.p_type = PT_LOAD,
                                        .p_flags = PF_R,
                                        .p_vaddr = TEXT + 0x1000u * (unsigned)i,
                                        .p_memsz = 0x1000};
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), -ENOEXEC);
    file.header.e_phnum = COUNT - 1;
    assert_int_equal(parse(&file, sizeof(file), ELF_PROGRAM, &image, NULL), 0);
}

/* Every prefix of a good file is refused or, once all that is mapped is there, accepted. */
static void test_truncated(void **state)
{
    struct image_file file;

    (void)state;
    make_good(&file);
    for (size_t length = 0; length < sizeof(file); length++) {
        struct elf_image image = {0};
        int r = parse(&file, length, ELF_PROGRAM, &image, NULL);

        if (length < NAME_AT + sizeof(loader_name))
            assert_true(r == -ENOEXEC || r == -EIO);
        elf_image_release(&image);
    }
}

static void test_foreign_formats(void **state)
{
    (void)state;
    assert_non_null(elf_foreign_format("MZ\x90\0", 4));
    assert_non_null(elf_foreign_format("!<arch>\ndebian", 14));
    assert_non_null(elf_foreign_format("PK\3\4....", 8));
    assert_null(elf_foreign_format("echo hi\n", 8));
    assert_null(elf_foreign_format("M", 1));
    assert_null(elf_foreign_format("", 0));
}

/* ---- plans ---- */

static void check_plan(const struct pk_exec_plan *plan)
{
    for (unsigned i = 0; i < plan->mapping_count; i++) {
        const struct pk_exec_mapping *a = &plan->mappings[i];

        assert_true(a->length > 0);
        assert_int_equal(a->address % 4096, 0);
        assert_int_equal(a->length % 4096, 0);
        assert_int_equal(a->offset % 4096, 0);
        assert_true(a->address >= PK_EXEC_LOWEST_ADDRESS);
        assert_true(a->address + a->length > a->address);
        assert_true(a->address + a->length <= ELF_TASK_SIZE);
        if (a->zero_to) {
            assert_true(a->protection & PROT_WRITE);
            assert_true(a->zero_from >= a->address && a->zero_from < a->zero_to);
            assert_true(a->zero_to <= a->address + a->length);
            assert_true(a->zero_to - a->zero_from < 4096);
        }
        for (unsigned j = 0; j < i; j++) {
            const struct pk_exec_mapping *b = &plan->mappings[j];

            assert_true(a->address >= b->address + b->length ||
                        b->address >= a->address + a->length);
        }
    }
}

static int plan_bytes(struct image_file *file, const struct elf_random *random,
                      struct pk_exec_plan *plan)
{
    struct elf_image image = {0};
    const char *reason;
    int r;

    memset(plan, 0, sizeof(*plan));
    r = parse(file, sizeof(*file), ELF_PROGRAM, &image, &reason);
    if (r == 0)
        r = elf_plan(&image, NULL, random, plan, &reason);
    elf_image_release(&image);
    if (r == 0)
        check_plan(plan);
    return r;
}

static void test_plan_fixed(void **state)
{
    const struct elf_random random = {12345, 67890};
    struct pk_exec_plan plan;
    struct image_file file;

    (void)state;
    make_good(&file);
    assert_int_equal(plan_bytes(&file, &random, &plan), 0);
    assert_int_equal(plan.mapping_count, 3);
    assert_int_equal(plan.mappings[0].address, TEXT);
    assert_int_equal(plan.mappings[0].zero_to, 0);
    assert_int_equal(plan.mappings[1].address, DATA);
    assert_int_equal(plan.mappings[1].offset, 0x1000);
    assert_int_equal(plan.mappings[1].zero_from, DATA + 0x200);
    assert_int_equal(plan.mappings[1].zero_to, DATA + 0x1000);
    assert_int_equal(plan.mappings[2].file, PK_EXEC_ANONYMOUS);
    assert_int_equal(plan.mappings[2].address, DATA + 0x1000);
    assert_int_equal(plan.mappings[2].length, 0x2000);
    assert_int_equal(plan.start, TEXT + 0x500);
    assert_int_equal(plan.headers, TEXT + sizeof(Elf64_Ehdr));
    assert_int_equal(plan.brk_start, DATA + 0x3000);
}

static void test_plan_without_write(void **state)
{
    const struct elf_random random = {0, 0};
    struct pk_exec_plan plan;
    struct image_file file;

    (void)state;
    make_good(&file);
    file.programs[PH_DATA].p_flags = PF_R; /* the tail of the page keeps the file's bytes */
    assert_int_equal(plan_bytes(&file, &random, &plan), 0);
    assert_int_equal(plan.mappings[1].zero_to, 0);
    assert_int_equal(plan.mappings[2].protection, PROT_READ | PROT_WRITE);
}

static void test_plan_overlap(void **state)
{
    const struct elf_random random = {0, 0};
    struct pk_exec_plan plan;
    struct image_file file;

    (void)state;
    /* Data over the text: it replaces it, bss included. */
    make_good(&file);
    file.programs[PH_DATA].p_vaddr = TEXT;
    assert_int_equal(plan_bytes(&file, &random, &plan), 0);
    assert_int_equal(plan.mapping_count, 2);
    assert_int_equal(plan.mappings[0].offset, 0x1000);
    /* Text in the middle of the bss: it is split. */
    make_good(&file);
    file.programs[PH_STACK] = file.programs[PH_TEXT];
    file.programs[PH_STACK].p_vaddr = DATA + 0x1000;
    assert_int_equal(plan_bytes(&file, &random, &plan), 0);
    assert_int_equal(plan.mapping_count, 4);
}

static void test_plan_too_low(void **state)
{
    const struct elf_random random = {0, 0};
    struct pk_exec_plan plan;
    struct image_file file;

    (void)state;
    make_good(&file);
    file.programs[PH_TEXT].p_vaddr = 0x10000;
    assert_int_equal(plan_bytes(&file, &random, &plan), -ENOEXEC);
    file.programs[PH_TEXT].p_vaddr = 0x180000;
    assert_int_equal(plan_bytes(&file, &random, &plan), 0);
    file.programs[PH_TEXT].p_vaddr = 0;
    assert_int_equal(plan_bytes(&file, &random, &plan), -ENOEXEC);
    make_good(&file);
    file.programs[PH_DATA].p_vaddr = ELF_TASK_SIZE - 0x4000; /* over the stack */
    assert_int_equal(plan_bytes(&file, &random, &plan), -ENOMEM);
}

static void test_plan_random(void **state)
{
    struct pk_exec_plan plan, again;
    struct image_file file;
    uint64_t alignment = 0x200000;

    (void)state;
    make_good(&file);
    file.header.e_type = ET_DYN;
    file.programs[PH_TEXT].p_align = alignment;
    for (uint64_t i = 0; i < 10000; i++) {
        const struct elf_random random = {i * 0x9e3779b97f4a7c15, i * 0xc2b2ae3d27d4eb4f};

        assert_int_equal(plan_bytes(&file, &random, &plan), 0);
        assert_true(plan.mappings[0].address >= ELF_HEAP_BASE + (32UL << 30));
        assert_int_equal(plan.mappings[0].address % alignment, 0);
        assert_int_equal(plan.start, plan.mappings[0].address + 0x500);
        assert_int_equal(plan.headers, plan.mappings[0].address + sizeof(Elf64_Ehdr));
    }
    assert_int_equal(plan_bytes(&file, &(struct elf_random){0, 0}, &again), 0);
    assert_int_not_equal(again.start, plan.start);
}

/* ---- real files ---- */

static int parse_path(const char *path, enum elf_role role, struct elf_image *image)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct elf_source source;
    struct stat stat;
    int r;

    if (fd < 0)
        return -errno;
    assert_int_equal(fstat(fd, &stat), 0);
    source = elf_source_fd(&fd, (uint64_t)stat.st_size);
    r = elf_parse(&source, role, image, NULL);
    close(fd);
    return r;
}

static void plan_path(const char *path, struct elf_image *program)
{
    struct elf_image loader = {0};
    struct pk_exec_plan plan = {0};
    const char *reason;

    assert_int_equal(parse_path(path, ELF_PROGRAM, program), 0);
    if (program->interpreter)
        assert_int_equal(parse_path(program->interpreter, ELF_INTERPRETER, &loader), 0);
    assert_int_equal(elf_plan(program, program->interpreter ? &loader : NULL,
                              &(struct elf_random){77, 99}, &plan, &reason),
                     0);
    check_plan(&plan);
    if (program->interpreter) {
        assert_true(plan.base >= 0x7f0000000000);
        assert_int_equal(plan.start, plan.base + loader.entry);
    } else {
        assert_int_equal(plan.base, 0);
        assert_int_equal(plan.start, plan.program_entry);
    }
    elf_image_release(&loader);
}

static void test_true(void **state)
{
    struct elf_image image;

    (void)state;
    plan_path("/bin/true", &image);
    assert_true(image.segment_count >= 2);
    elf_image_release(&image);
}

/* Compiles a program in one of the forms; false when there is no compiler or no such form. */
static bool compile(char *directory, const char *const options[3])
{
    char source[256], program[256];
    const char *argv[] = {"cc", "-o", program, source, options[0], options[1], options[2], NULL};
    pid_t pid;
    int status;
    FILE *file;

    snprintf(source, sizeof(source), "%s/p.c", directory);
    snprintf(program, sizeof(program), "%s/p", directory);
    file = fopen(source, "w");
    assert_non_null(file);
    fputs("int zero[100000]; int one = 1; int main(void) { return zero[one]; }\n", file);
    fclose(file);
    if (posix_spawnp(&pid, "cc", NULL, NULL, (char *const *)argv, environ) != 0)
        return false;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

static void test_compiled_forms(void **state)
{
    static const struct {
        const char *options[3];
        bool fixed, interpreter, executable_stack;
    } forms[] = {
        {{"-static", "-no-pie", NULL}, true, false, false},
        {{"-no-pie", NULL, NULL}, true, true, false},
        {{"-pie", "-fPIE", NULL}, false, true, false},
        {{"-static-pie", "-fPIE", NULL}, false, false, false},
        {{"-pie", "-fPIE", "-Wl,-z,execstack"}, false, true, true},
    };
    char directory[] = "/tmp/cerebro-elf-XXXXXX";
    char path[256];
    unsigned compiled = 0;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/p", directory);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct elf_image image;

        if (!compile(directory, forms[i].options))
            continue;
        compiled++;
        plan_path(path, &image);
        assert_int_equal(image.fixed, forms[i].fixed);
        assert_int_equal(image.interpreter != NULL, forms[i].interpreter);
        assert_int_equal(image.executable_stack, forms[i].executable_stack);
        elf_image_release(&image);
    }
    unlink(path);
    snprintf(path, sizeof(path), "%s/p.c", directory);
    unlink(path);
    rmdir(directory);
    if (compiled == 0)
        SKIP("no compiler here");
}

/* ---- random damage: never a crash, never a plan that breaks a rule ---- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_random_damage(void **state)
{
    uint64_t seed = 0x1234567;
    unsigned accepted = 0;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        struct pk_exec_plan plan;
        struct image_file file;
        unsigned changes = 1 + (unsigned)(next_random(&seed) % 4);

        make_good(&file);
        if (round & 1)
            file.header.e_type = ET_DYN;
        for (unsigned i = 0; i < changes; i++) {
            size_t at = next_random(&seed) % (sizeof(Elf64_Ehdr) + sizeof(file.programs));

            file.bytes[at] = (unsigned char)next_random(&seed);
        }
        if (plan_bytes(&file, &(struct elf_random){next_random(&seed), 1}, &plan) == 0)
            accepted++;
    }
    assert_true(accepted > 1000);
}

/* ---- `#!` ---- */

struct line_case {
    const char *text;
    int result;
    const char *interpreter;
    const char *argument;
};

static void check_line(const struct line_case *wanted)
{
    char buffer[SCRIPT_BUFFER_SIZE] = {0};
    struct script_line line;
    size_t length = strlen(wanted->text);
    int r;

    memcpy(buffer, wanted->text, length < sizeof(buffer) ? length : sizeof(buffer));
    r = script_parse(buffer, &line);
    if (r != wanted->result)
        print_error("line: %s\n", wanted->text);
    assert_int_equal(r, wanted->result);
    if (r < 0)
        return;
    assert_string_equal(line.interpreter, wanted->interpreter);
    assert_int_equal(line.has_argument, wanted->argument != NULL);
    if (wanted->argument)
        assert_string_equal(line.argument, wanted->argument);
}

static void test_script_lines(void **state)
{
    static const struct line_case cases[] = {
        {"#!/bin/sh\n", 0, "/bin/sh", NULL},
        {"#!/bin/sh", 0, "/bin/sh", NULL},
        {"#! /bin/sh\n", 0, "/bin/sh", NULL},
        {"#!\t /bin/sh \t\n", 0, "/bin/sh", NULL},
        {"#!/bin/sh -e\n", 0, "/bin/sh", "-e"},
        {"#!/bin/sh \t -e\n", 0, "/bin/sh", "-e"},
        {"#!/usr/bin/env python3 -u  \n", 0, "/usr/bin/env", "python3 -u"},
        {"#!/bin/sh\r\n", 0, "/bin/sh\r", NULL},
        {"#!sh\nrest", 0, "sh", NULL},
        {"#!/bin/sh -x", 0, "/bin/sh", "-x"},
        {"#!\n", -ENOEXEC, NULL, NULL},
        {"#! \t \n", -ENOEXEC, NULL, NULL},
        {"#", -ENOEXEC, NULL, NULL},
        {"", -ENOEXEC, NULL, NULL},
        {"echo\n", -ENOEXEC, NULL, NULL},
        {" #!/bin/sh\n", -ENOEXEC, NULL, NULL},
        {"#!", 0, "", NULL}, /* an empty name: ENOENT when it is opened */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_line(&cases[i]);
}

static void test_long_script_lines(void **state)
{
    char text[SCRIPT_BUFFER_SIZE + 1];
    char buffer[SCRIPT_BUFFER_SIZE];
    struct script_line line;

    (void)state;
    /* A name that fills the buffer may have been cut off. */
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "#!/", 3);
    check_line(&(struct line_case){text, -ENOEXEC, NULL, NULL});
    /* With a newline as the last byte it has not. */
    text[SCRIPT_BUFFER_SIZE - 1] = '\n';
    memcpy(buffer, text, sizeof(buffer));
    assert_int_equal(script_parse(buffer, &line), 0);
    assert_int_equal(strlen(line.interpreter), SCRIPT_BUFFER_SIZE - 3);
    /* A long argument is cut off silently. */
    memcpy(buffer, text, sizeof(buffer));
    memset(buffer + 4, 'y', sizeof(buffer) - 4);
    buffer[4] = ' ';
    assert_int_equal(script_parse(buffer, &line), 0);
    assert_string_equal(line.interpreter, "/x");
    assert_int_equal(strlen(line.argument), SCRIPT_BUFFER_SIZE - 6);
    /* Only blanks. */
    memset(buffer + 2, ' ', sizeof(buffer) - 2);
    assert_int_equal(script_parse(buffer, &line), -ENOEXEC);
}

/* ---- shared libraries ---- */

static int open_library(const unsigned char *bytes, size_t length, struct elf_library *library,
                        struct elf_bytes *from)
{
    const char *reason = NULL;
    struct elf_source source;
    int r;

    *from = (struct elf_bytes){.bytes = bytes, .length = length};
    source = elf_source_bytes(from);
    r = elf_library_open(&source, library, &reason);
    if (r < 0)
        assert_non_null(reason);
    return r;
}

static size_t read_own_library(unsigned char **ret_bytes)
{
    int fd = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
    struct stat attributes;

    if (fd < 0)
        return 0;
    assert_int_equal(fstat(fd, &attributes), 0);
    *ret_bytes = malloc((size_t)attributes.st_size);
    assert_int_equal(read(fd, *ret_bytes, (size_t)attributes.st_size), attributes.st_size);
    close(fd);
    return (size_t)attributes.st_size;
}

static void test_library(void **state)
{
    unsigned char *bytes = NULL;
    size_t length = read_own_library(&bytes);
    struct elf_library library;
    struct elf_bytes from;

    (void)state;
    if (length == 0)
        SKIP("there is no libc.so.6 where Debian has it");
    assert_int_equal(open_library(bytes, length, &library, &from), 0);
    assert_true(elf_library_defines(&library, "malloc"));
    assert_true(elf_library_defines(&library, "free"));
    assert_false(elf_library_defines(&library, "mallocx"));
    assert_false(elf_library_defines(&library, ""));
    assert_false(elf_library_defines(&library, "__tls_get_addr")); /* it is ld.so's */
    for (size_t cut = 0; cut < 4096; cut += 7)
        if (open_library(bytes, cut, &library, &from) == 0)
            assert_false(elf_library_defines(&library, "malloc"));
    bytes[18] = EM_AARCH64;
    assert_int_equal(open_library(bytes, length, &library, &from), -ENOEXEC);
    free(bytes);
}

static void test_library_with_random_damage(void **state)
{
    unsigned char *bytes = NULL;
    size_t length = read_own_library(&bytes);
    uint64_t random = 88172645463325252ULL;

    (void)state;
    if (length == 0)
        SKIP("there is no libc.so.6 where Debian has it");
    for (int i = 0; i < 2000; i++) {
        struct elf_library library;
        struct elf_bytes from;
        unsigned char *at;
        unsigned char was;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at = bytes + random % 2048; /* the headers */
        was = *at;
        *at = (unsigned char)(random >> 32);
        if (open_library(bytes, length, &library, &from) == 0) {
            elf_library_defines(&library, "malloc");
            library.gnu_hash ^= random >> 40;
            elf_library_defines(&library, "free");
            library.hash = library.gnu_hash;
            library.gnu_hash = 0;
            elf_library_defines(&library, "free");
        }
        *at = was;
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library),
        cmocka_unit_test(test_library_with_random_damage),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_damaged_headers),
        cmocka_unit_test(test_nothing_to_load),
        cmocka_unit_test(test_too_many_segments),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_foreign_formats),
        cmocka_unit_test(test_plan_fixed),
        cmocka_unit_test(test_plan_without_write),
        cmocka_unit_test(test_plan_overlap),
        cmocka_unit_test(test_plan_too_low),
        cmocka_unit_test(test_plan_random),
        cmocka_unit_test(test_true),
        cmocka_unit_test(test_compiled_forms),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_script_lines),
        cmocka_unit_test(test_long_script_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
