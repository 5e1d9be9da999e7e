#include "linux/elf-library.h"

#include <errno.h>
#include <string.h>

/* Generous limits for what the file may make us do. */
#define DYNAMIC_MAX 1024  /* entries of the dynamic section */
#define CHAIN_MAX   65536 /* symbols with one hash */
#define SYMBOL_MAX  256   /* of a symbol that we look for */
#define HEADERS_MAX 64

static int fail(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return -ENOEXEC;
}

static bool read_exactly(const struct elf_source *source, void *bytes, size_t length,
                         uint64_t offset)
{
    size_t have = 0;

    if (offset > INT64_MAX - length)
        return false;
    while (have < length) {
        ssize_t n = source->read(source->user, (char *)bytes + have, length - have, offset + have);

        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

/* Reads what will lie at an address: from one segment's part of the file. */
static bool read_at(const struct elf_library *library, void *bytes, size_t length, uint64_t address)
{
    for (unsigned i = 0; i < library->load_count; i++) {
        const struct elf_library_load *load = &library->loads[i];
        uint64_t in_load = address - load->address;

        if (address < load->address || in_load >= load->size || length > load->size - in_load)
            continue;
        if (load->offset > INT64_MAX - in_load)
            return false;
        return read_exactly(&library->source, bytes, length, load->offset + in_load);
    }
    return false;
}

/* The index-th element of a table at an address. */
static bool read_element(const struct elf_library *library, void *element, size_t size,
                         uint64_t table, uint64_t index)
{
    uint64_t offset;
    uint64_t address;

    return !__builtin_mul_overflow(index, size, &offset) &&
           !__builtin_add_overflow(table, offset, &address) &&
           read_at(library, element, size, address);
}

static int check_header(const struct elf_source *source, Elf64_Ehdr *header,
                        const char **ret_reason)
{
    if (!read_exactly(source, header, sizeof(*header), 0) ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return fail(ret_reason, "is not a library (not an ELF file)");
    if (header->e_machine != EM_X86_64 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_ident[EI_DATA] != ELFDATA2LSB)
        return fail(ret_reason, "is not for this machine (x86-64)");
    if (header->e_type != ET_DYN)
        return fail(ret_reason, "is not a shared library, but a program or an object file");
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
        header->e_phnum > HEADERS_MAX)
        return fail(ret_reason, "is damaged (its program headers)");
    return 0;
}

static int add_load(struct elf_library *library, const Elf64_Phdr *program, const char **ret_reason)
{
    if (library->load_count == ELF_LIBRARY_LOADS_MAX)
        return fail(ret_reason, "is damaged (too many segments)");
    library->loads[library->load_count++] = (struct elf_library_load){
        .address = program->p_vaddr, .offset = program->p_offset, .size = program->p_filesz};
    return 0;
}

static int read_segments(struct elf_library *library, const Elf64_Ehdr *header,
                         Elf64_Phdr *ret_dynamic, const char **ret_reason)
{
    bool has_dynamic = false;

    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr program;
        int r = 0;

        if (header->e_phoff > INT64_MAX / 2 ||
            !read_exactly(&library->source, &program, sizeof(program),
                          header->e_phoff + i * sizeof(program)))
            return fail(ret_reason, "is damaged (it ends too early)");
        if (program.p_type == PT_LOAD)
            r = add_load(library, &program, ret_reason);
        if (program.p_type == PT_DYNAMIC) {
            *ret_dynamic = program;
            has_dynamic = true;
        }
        if (r < 0)
            return r;
    }
    return has_dynamic ? 0 : fail(ret_reason, "is not a shared library (nothing dynamic in it)");
}

static void take_entry(struct elf_library *library, const Elf64_Dyn *entry, uint64_t *flags)
{
    switch (entry->d_tag) {
    case DT_SYMTAB:
        library->symbols = entry->d_un.d_ptr;
        break;
    case DT_STRTAB:
        library->strings = entry->d_un.d_ptr;
        break;
    case DT_STRSZ:
        library->strings_size = entry->d_un.d_val;
        break;
    case DT_HASH:
        library->hash = entry->d_un.d_ptr;
        break;
    case DT_GNU_HASH:
        library->gnu_hash = entry->d_un.d_ptr;
        break;
    case DT_FLAGS_1:
        *flags = entry->d_un.d_val;
        break;
    default:
        break;
    }
}

static int read_dynamic(struct elf_library *library, const Elf64_Phdr *dynamic,
                        const char **ret_reason)
{
    uint64_t count = dynamic->p_filesz / sizeof(Elf64_Dyn);
    uint64_t flags = 0;

    for (uint64_t i = 0; i < count && i < DYNAMIC_MAX; i++) {
        Elf64_Dyn entry;

        if (!read_element(library, &entry, sizeof(entry), dynamic->p_vaddr, i))
            return fail(ret_reason, "is damaged (its dynamic section)");
        if (entry.d_tag == DT_NULL)
            break;
        take_entry(library, &entry, &flags);
    }
    if (flags & DF_1_PIE)
        return fail(ret_reason, "is not a library, but a program");
    return 0;
}

int elf_library_open(const struct elf_source *source, struct elf_library *ret_library,
                     const char **ret_reason)
{
    struct elf_library library = {.source = *source};
    Elf64_Phdr dynamic = {0};
    Elf64_Ehdr header;
    int r = check_header(source, &header, ret_reason);

    if (r == 0)
        r = read_segments(&library, &header, &dynamic, ret_reason);
    if (r == 0)
        r = read_dynamic(&library, &dynamic, ret_reason);
    if (r == 0)
        *ret_library = library;
    return r;
}

static bool has_name(const struct elf_library *library, const Elf64_Sym *symbol, const char *name)
{
    size_t size = strlen(name) + 1;
    char text[SYMBOL_MAX];

    return size <= sizeof(text) && symbol->st_name < library->strings_size &&
           size <= library->strings_size - symbol->st_name &&
           library->strings <= UINT64_MAX - symbol->st_name &&
           read_at(library, text, size, library->strings + symbol->st_name) &&
           memcmp(text, name, size) == 0;
}

/* Defined, and seen from outside. */
static bool is_definition(const struct elf_library *library, uint64_t index, const char *name)
{
    Elf64_Sym symbol;
    unsigned binding;
    unsigned visibility;

    if (!read_element(library, &symbol, sizeof(symbol), library->symbols, index))
        return false;
    binding = ELF64_ST_BIND(symbol.st_info);
    visibility = ELF64_ST_VISIBILITY(symbol.st_other);
    return symbol.st_shndx != SHN_UNDEF &&
           (binding == STB_GLOBAL || binding == STB_WEAK || binding == STB_GNU_UNIQUE) &&
           (visibility == STV_DEFAULT || visibility == STV_PROTECTED) &&
           has_name(library, &symbol, name);
}

static uint32_t gnu_hash_of(const char *name)
{
    uint32_t hash = 5381;

    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* Header of DT_GNU_HASH; a bloom filter, the buckets, and the hashes of the symbols follow. */
struct gnu_table {
    uint32_t buckets, first_symbol, bloom_words, bloom_shift;
};

static bool find_by_gnu_hash(const struct elf_library *library, const char *name)
{
    uint32_t hash = gnu_hash_of(name);
    struct gnu_table table;
    uint64_t buckets;
    uint32_t index;

    if (!read_at(library, &table, sizeof(table), library->gnu_hash) || table.buckets == 0)
        return false;
    buckets = library->gnu_hash + sizeof(table) + table.bloom_words * sizeof(uint64_t);
    if (!read_element(library, &index, sizeof(index), buckets, hash % table.buckets) ||
        index < table.first_symbol)
        return false;
    for (uint64_t i = index; i - index < CHAIN_MAX; i++) {
        uint32_t other;

        if (!read_element(library, &other, sizeof(other),
                          buckets + table.buckets * sizeof(uint32_t), i - table.first_symbol))
            return false;
        /* The lowest bit marks the end. */
        if ((other | 1) == (hash | 1) && is_definition(library, i, name))
            return true;
        if (other & 1)
            return false;
    }
    return false;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 0;

    for (; *name; name++) {
        uint32_t high;

        hash = (hash << 4) + (unsigned char)*name;
        high = hash & 0xf0000000;
        hash = (hash ^ high >> 24) & ~high;
    }
    return hash;
}

/* DT_HASH: number of buckets, number of symbols, the buckets, and for each symbol the next one. */
static bool find_by_hash(const struct elf_library *library, const char *name)
{
    uint32_t counts[2];
    uint32_t index;

    if (!read_at(library, counts, sizeof(counts), library->hash) || counts[0] == 0 ||
        !read_element(library, &index, sizeof(index), library->hash + sizeof(counts),
                      hash_of(name) % counts[0]))
        return false;
    for (unsigned steps = 0; index != STN_UNDEF && steps < CHAIN_MAX; steps++) {
        if (is_definition(library, index, name))
            return true;
        if (!read_element(library, &index, sizeof(index), library->hash + sizeof(counts),
                          (uint64_t)counts[0] + index))
            return false;
    }
    return false;
}

bool elf_library_defines(const struct elf_library *library, const char *name)
{
    if (library->gnu_hash)
        return find_by_gnu_hash(library, name);
    return library->hash && find_by_hash(library, name);
}
