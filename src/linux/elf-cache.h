/*
 * Remembers parsed ELF headers of files that have not changed, so that running the same program
 * again costs one fstat. Kernel thread only.
 */
#pragma once

#include <sys/stat.h>

#include "linux/elf.h"

struct linux_elf_cache;

/* NULL when memory is short; the cache then does nothing. */
struct linux_elf_cache *elf_cache_new(void);
void elf_cache_free(struct linux_elf_cache *cache);

/* True when the file with these attributes is remembered as a program. */
bool elf_cache_has(struct linux_elf_cache *cache, const struct stat *stat);

/*
 * As elf_parse() of the file behind `fd`, whose attributes `stat` are. A file that changed within
 * the last moment is parsed but not remembered: a further change might not move its time stamps.
 */
int elf_cache_parse(struct linux_elf_cache *cache, int fd, const struct stat *stat,
                    enum elf_role role, struct elf_image *ret_image, const char **ret_reason);
