/*
 * The memory of a tree without a cgroup: /proc of its processes, added up. In the reaper, which is
 * a fork of a process with threads: nothing here allocates.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "launch/launch-internal.h"

#define TEXT_SIZE 4096

struct entry { /* getdents64(2) */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* Appends without snprintf, which need not be safe here. */
static char *append(char *at, const char *text)
{
    while (*text)
        *at++ = *text++;
    *at = '\0';
    return at;
}

static char *append_number(char *at, unsigned long number)
{
    char digits[24];
    char *first = digits + sizeof(digits) - 1;

    *first = '\0';
    do
        *--first = (char)('0' + number % 10);
    while (number /= 10);
    return append(at, first);
}

static const char *read_text(const char *path, char text[TEXT_SIZE])
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_SIZE - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static const char *read_of(pid_t pid, const char *name, char text[TEXT_SIZE])
{
    char path[64];

    append(append(append_number(append(path, "/proc/"), (unsigned long)pid), "/"), name);
    return read_text(path, text);
}

static void add_children(struct account *account, pid_t pid, const char *thread)
{
    char path[96];
    char text[TEXT_SIZE];
    char *at = append(append_number(append(path, "/proc/"), (unsigned long)pid), "/task/");
    const char *list;
    char *end;

    append(append(at, thread), "/children");
    list = read_text(path, text);
    for (;;) {
        unsigned long child = strtoul(list, &end, 10);

        /* A number at the end of a full buffer may be cut. */
        if (end == list || *end == '\0' || account->count == ACCOUNT_PROCESSES)
            return;
        account->pids[account->count++] = (pid_t)child;
        list = end;
    }
}

/* A process' children are those of each of its threads. */
static void add_children_of(struct account *account, pid_t pid)
{
    char path[64];
    char bytes[TEXT_SIZE] __attribute__((aligned(8)));
    cleanup_close int fd = -1;
    long n;

    append(append_number(append(path, "/proc/"), (unsigned long)pid), "/task");
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && (n = syscall(SYS_getdents64, fd, bytes, sizeof(bytes))) > 0)
        for (long i = 0; i < n;) {
            const struct entry *entry = (const struct entry *)(bytes + i);

            if (entry->name[0] != '.')
                add_children(account, pid, entry->name);
            i += entry->length;
        }
}

static uint64_t resident(pid_t pid, uint64_t page_size)
{
    char text[TEXT_SIZE];
    const char *second = strchr(read_of(pid, "statm", text), ' ');

    return second ? strtoull(second, NULL, 10) * page_size : 0;
}

/* With its share of what others have, too; all of it where the host does not tell. */
static uint64_t own_share(pid_t pid, uint64_t page_size)
{
    char text[TEXT_SIZE];
    const char *line = strstr(read_of(pid, "smaps_rollup", text), "\nPss:");

    return line ? strtoull(line + 5, NULL, 10) * 1024 : resident(pid, page_size);
}

static uint64_t add_up(const struct account *account, uint64_t (*of)(pid_t pid, uint64_t page_size))
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t total = 0;

    for (unsigned i = 0; i < account->count; i++)
        total += of(account->pids[i], page_size);
    return total;
}

uint64_t account_memory(struct account *account, uint64_t limit)
{
    uint64_t total;

    account->count = 0;
    add_children_of(account, getpid());
    for (unsigned i = 0; i < account->count; i++)
        add_children_of(account, account->pids[i]);
    total = add_up(account, resident);
    return total > limit ? add_up(account, own_share) : total;
}

static uint64_t number_behind(const char *text, const char *key)
{
    const char *line = strstr(text, key);

    return line ? strtoull(line + strlen(key), NULL, 10) : 0;
}

void account_usage(struct account *account, struct launch_usage *usage)
{
    uint64_t memory = account_memory(account, usage->memory_peak);
    struct rusage children;
    char text[TEXT_SIZE];

    if (memory > usage->memory_peak)
        usage->memory_peak = memory;
    if (account->count > usage->processes_peak)
        usage->processes_peak = account->count;
    if (getrusage(RUSAGE_CHILDREN, &children) == 0) {
        usage->largest = (uint64_t)children.ru_maxrss * 1024;
        usage->user_us =
            (uint64_t)children.ru_utime.tv_sec * 1000000 + (uint64_t)children.ru_utime.tv_usec;
        usage->system_us =
            (uint64_t)children.ru_stime.tv_sec * 1000000 + (uint64_t)children.ru_stime.tv_usec;
    }
    /* Our own, which is next to nothing, and what those had whom we waited for. */
    read_text("/proc/self/io", text);
    usage->read_bytes = number_behind(text, "rchar: ");
    usage->written_bytes = number_behind(text, "wchar: ");
}
