/*
 * The ELF parsers and the planner, and the `#!` parser, on arbitrary bytes. What the loader relies
 * on is checked: no crash is not enough.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "linux/elf-library.h"
#include "linux/elf-plan.h"
#include "linux/elf.h"
#include "linux/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_mapping(const struct pk_exec_plan *plan, unsigned index)
{
    const struct pk_exec_mapping *m = &plan->mappings[index];

    require(m->length > 0 && m->address >= PK_EXEC_LOWEST_ADDRESS);
    require(m->address % ELF_PAGE_SIZE == 0 && m->length % ELF_PAGE_SIZE == 0 &&
            m->offset % ELF_PAGE_SIZE == 0);
    require(m->address < ELF_TASK_SIZE && m->length <= ELF_TASK_SIZE - m->address);
    if (m->zero_to)
        require((m->protection & PROT_WRITE) && m->zero_from >= m->address &&
                m->zero_from < m->zero_to && m->zero_to <= m->address + m->length);
    for (unsigned i = 0; i < index; i++)
        require(plan->mappings[i].address + plan->mappings[i].length <= m->address ||
                m->address + m->length <= plan->mappings[i].address);
}

static void try_plan(const struct elf_image *program, const struct elf_image *interpreter,
                     uint64_t random)
{
    struct elf_random numbers = {random, random * 0x9e3779b97f4a7c15};
    struct pk_exec_plan plan = {.program_fd = -1, .interpreter_fd = -1};
    const char *reason = NULL;

    if (elf_plan(program, interpreter, &numbers, &plan, &reason) < 0) {
        require(reason != NULL);
        return;
    }
    require(plan.mapping_count <= PK_EXEC_MAPPINGS_MAX);
    for (unsigned i = 0; i < plan.mapping_count; i++)
        check_mapping(&plan, i);
}

static void try_script(const uint8_t *data, size_t size)
{
    char buffer[SCRIPT_BUFFER_SIZE] = {0};
    struct script_line line;

    if (size)
        memcpy(buffer, data, size < sizeof(buffer) ? size : sizeof(buffer));
    if (script_parse(buffer, &line) < 0)
        return;
    require(memchr(line.interpreter, '\0', sizeof(line.interpreter)) != NULL);
    require(!line.has_argument || memchr(line.argument, '\0', sizeof(line.argument)) != NULL);
}

static void try_library(const struct elf_source *source)
{
    struct elf_library library;
    const char *reason = NULL;

    if (elf_library_open(source, &library, &reason) < 0) {
        require(reason != NULL);
        return;
    }
    elf_library_defines(&library, "malloc");
    /* The other table, too. */
    library.gnu_hash = 0;
    elf_library_defines(&library, "free");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_bytes bytes = {.bytes = data, .length = size};
    struct elf_source source = elf_source_bytes(&bytes);
    struct elf_image program = {0}, interpreter = {0};
    uint64_t random = size;
    int have_program, have_interpreter;

    for (size_t i = 0; i < size && i < 64; i++)
        random = random * 31 + data[i];
    have_program = elf_parse(&source, ELF_PROGRAM, &program, NULL) == 0;
    have_interpreter = elf_parse(&source, ELF_INTERPRETER, &interpreter, NULL) == 0;
    if (have_program)
        try_plan(&program, NULL, random);
    if (have_program && have_interpreter)
        try_plan(&program, &interpreter, random);
    elf_image_release(&program);
    elf_image_release(&interpreter);
    elf_foreign_format(data, size);
    try_library(&source);
    try_script(data, size);
    return 0;
}
