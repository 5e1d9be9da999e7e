/* Command 33: all processes in one call. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

#define MANY 1000

static struct kapi_process_record records[MANY];

static uint32_t take_list(int fd, void *buffer, size_t length, uint32_t record_size)
{
    struct kapi_process_list list = {.size = sizeof(list),
                                     .buffer = (uintptr_t)buffer,
                                     .length = length,
                                     .record_size = record_size};

    int r = kapi_call(fd, KAPI_GET_PROCESS_LIST, &list);
    check(r == 0, "%s", strerror(-r));
    check(!(list.flags & KAPI_LIST_TRUNCATED), "truncated at %u", list.count);
    return list.count;
}

static const struct kapi_process_record *find_record(uint32_t count, int pid)
{
    for (uint32_t i = 0; i < count; i++)
        if (records[i].pid == pid)
            return &records[i];
    return NULL;
}

static void compare_record(const struct kapi_process_record *record, bool quiet)
{
    char path[64], text[4096], *at;
    long fields[53];

    snprintf(path, sizeof(path), "/proc/%d/stat", record->pid);
    if (!try_read_file(path, text, sizeof(text)))
        return; /* it has ended */
    char *end = strrchr(text, ')');
    at = end + 3;
    for (int i = 4; i < 53; i++)
        fields[i] = i == 25 ? (long)strtoul(at, &at, 10) : strtol(at, &at, 10);
    bool same = record->ppid == fields[4] && record->pgrp == fields[5] &&
                record->session == fields[6] && record->tty_nr == fields[7] &&
                record->priority == fields[18] && record->nice == fields[19] &&
                record->num_threads == fields[20] &&
                record->start_time / 10000000 == (uint64_t)fields[22] &&
                record->rt_priority == fields[40] && record->policy == fields[41];
    check(same, "pid %d (%s): parent %d, group %d, %s", record->pid, record->comm, record->ppid,
          record->pgrp, text);
    if (!quiet)
        return;
    check(record->vsize == (uint64_t)fields[23] && record->rss == (uint64_t)fields[24] * 4096,
          "pid %d: %llu %llu, %s", record->pid, (unsigned long long)record->vsize,
          (unsigned long long)record->rss, text);
    check(record->min_faults == (uint64_t)fields[10] && record->maj_faults == (uint64_t)fields[12],
          "faults of pid %d", record->pid);
    check(record->state == end[2], "state of pid %d: %c, %s", record->pid, record->state, text);
}

static void list_equals_proc(enum way way)
{
    int fd = device_open(), listed = 0;
    pid_t sleeping = sleeper(), zombie = fork();

    if (zombie == 0)
        _exit(0);
    usleep(30000);
    uint32_t count = take_list(fd, records, sizeof(records), sizeof(*records));
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        int pid = (int)strtol(entry->d_name, NULL, 10);
        if (pid <= 0)
            continue;
        const struct kapi_process_record *record = find_record(count, pid);
        check(record || !is_alive(pid) || state_of(pid) == 'I', "pid %d is missing", pid);
        listed++;
        if (record)
            compare_record(record, pid == sleeping || pid == zombie || pid == 2);
    }
    closedir(proc);
    row("process-list", "processes\t%u\t%d\t", count, listed);
    check(abs((int)count - listed) <= 3 && count > 20, "%u records, %d in /proc", count, listed);
    for (uint32_t i = 1; i < count; i++)
        check(records[i - 1].pid < records[i].pid, "order at %u", i);
    const struct kapi_process_record *own = find_record(count, getpid());
    check(own && own->uid == getuid() && own->euid == geteuid() && own->gid == getgid(),
          "own ids %u %u", own ? own->uid : 0, own ? own->gid : 0);
    check(find_record(count, zombie)->state == 'Z', "zombie is %c",
          find_record(count, zombie)->state);
}

static void list_shows_io_to_its_owner_only(enum way way)
{
    int fd = device_open();
    uint32_t count = take_list(fd, records, sizeof(records), sizeof(*records));
    const struct kapi_process_record *init = find_record(count, 1),
                                     *own = find_record(count, getpid());
    char text[1024];

    check(own, "not in the list");
    if (init)
        check(is_privileged(way) ? init->valid & KAPI_PROCESS_HAS_IO
                                 : !(init->valid & KAPI_PROCESS_HAS_IO) && init->read_chars == 0,
              "I/O of pid 1: valid %x, %llu", init->valid, (unsigned long long)init->read_chars);
    if (try_read_file("/proc/self/io", text, sizeof(text)) && own->valid & KAPI_PROCESS_HAS_IO) {
        unsigned long now = number_after(text, "rchar");
        check(own->read_chars <= now && now < own->read_chars + 100000,
              "%llu characters read, now %lu", (unsigned long long)own->read_chars, now);
    } else if (is_privileged(way)) {
        check(own->valid & KAPI_PROCESS_HAS_IO, "own I/O is missing");
    }
}

static void list_continues(enum way way)
{
    static struct kapi_process_record part[3];
    static int pids[MANY];
    int fd = device_open(), count = 0, calls = 0;
    struct kapi_process_list list = {
        .size = sizeof(list), .buffer = (uintptr_t)part, .record_size = sizeof(*part)};

    for (int i = 0; i < 20; i++)
        sleeper();
    do {
        list.length = sizeof(part);
        list.flags = KAPI_LIST_COUNT;
        check(kapi_call(fd, KAPI_GET_PROCESS_LIST, &list) == 0, "%s", strerror(errno));
        check(list.count <= 3 && list.length == list.count * sizeof(*part), "%u records",
              list.count);
        for (uint32_t i = 0; i < list.count && count < MANY; i++)
            pids[count++] = part[i].pid;
        check(!(list.flags & KAPI_LIST_TRUNCATED) || list.remaining > 0,
              "truncated, but nothing remains");
    } while (list.flags & KAPI_LIST_TRUNCATED && ++calls < MANY);
    uint32_t whole = take_list(fd, records, sizeof(records), sizeof(*records));
    for (int i = 1; i < count; i++)
        check(pids[i - 1] < pids[i], "pid %d twice, or out of order", pids[i]);
    check(abs((int)whole - count) <= 3, "%d in parts, %u at once", count, whole);
}

static void list_record_sizes(enum way way)
{
    static char buffer[400 * 1024];
    static const uint32_t good[] = {32, 40, 64, sizeof(struct kapi_process_record), 1000, 4096},
                          bad[] = {0, 1, 31, 4097, 0xffffffff};
    int fd = device_open();
    struct kapi_process_list list;

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        memset(buffer, 0x5a, sizeof(buffer));
        list = (struct kapi_process_list){.size = sizeof(list),
                                          .buffer = (uintptr_t)buffer,
                                          .length = 2 * good[i] + 5,
                                          .record_size = good[i]};
        check(kapi_call(fd, KAPI_GET_PROCESS_LIST, &list) == 0 && list.count <= 2 && list.count > 0,
              "size %u: %s", good[i], strerror(errno));
        for (size_t at = 2 * good[i]; at < sizeof(buffer); at++)
            check(buffer[at] == 0x5a, "size %u wrote at %zu", good[i], at);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        list = (struct kapi_process_list){.size = sizeof(list),
                                          .buffer = (uintptr_t)buffer,
                                          .length = sizeof(buffer),
                                          .record_size = bad[i]};
        check(kapi_call(fd, KAPI_GET_PROCESS_LIST, &list) == -EINVAL, "size %u is accepted",
              bad[i]);
    }
    list = (struct kapi_process_list){
        .size = sizeof(list), .buffer = (uintptr_t)buffer, .length = 31, .record_size = 32};
    int r = kapi_call(fd, KAPI_GET_PROCESS_LIST, &list);
    check(r == -ENOSPC || r == -EINVAL || (r == 0 && list.count == 0), "no room: %s", strerror(-r));
    list = (struct kapi_process_list){
        .size = sizeof(list), .buffer = 0xffff888000000000, .length = 1 << 20, .record_size = 64};
    check(kapi_call(fd, KAPI_GET_PROCESS_LIST, &list) == -EFAULT, "kernel address: %s",
          strerror(errno));
    list = (struct kapi_process_list){.size = sizeof(list),
                                      .buffer = (uintptr_t)buffer,
                                      .length = ~(uint64_t)0,
                                      .record_size = 64};
    r = kapi_call(fd, KAPI_GET_PROCESS_LIST, &list);
    check(r == 0 || r == -EINVAL || r == -EFAULT, "length of 2^64: %s", strerror(-r));
    list = (struct kapi_process_list){.size = sizeof(list),
                                      .flags = 0x80000000,
                                      .buffer = (uintptr_t)buffer,
                                      .length = 4096,
                                      .record_size = 64};
    check(kapi_call(fd, KAPI_GET_PROCESS_LIST, &list) == -EINVAL, "unknown flags");
    list = (struct kapi_process_list){.size = sizeof(list),
                                      .buffer = (uintptr_t)buffer,
                                      .length = 4096,
                                      .record_size = 64,
                                      .cursor = 0xffffffff};
    r = kapi_call(fd, KAPI_GET_PROCESS_LIST, &list);
    check(r == -EINVAL || (r == 0 && list.count == 0), "cursor at the end: %s, %u", strerror(-r),
          list.count);
}

/* In a pid namespace of one's own there is only what is in it. */
static void list_is_that_of_the_namespace(enum way way)
{
    int fd = device_open(), status;

    check(unshare(CLONE_NEWPID) == 0, "%s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        uint32_t count = take_list(fd, records, sizeof(records), sizeof(*records));
        check(count == 1 && records[0].pid == 1 && records[0].ppid == 0,
              "%u processes, the first is %d", count, records[0].pid);
        _exit(0);
    }
    waitpid(pid, &status, 0);
}

/* Where /proc is mounted with hidepid=2, what is hidden there is hidden here. */
static void list_respects_hidepid(enum way way)
{
    int status;

    check(mount(NULL, "/proc", NULL, MS_REMOUNT, "hidepid=2") == 0, "%s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        become(WAY_NOBODY);
        int fd = device_open();
        uint32_t count = take_list(fd, records, sizeof(records), sizeof(*records));
        for (uint32_t i = 0; i < count; i++)
            if (records[i].uid != NOBODY)
                _exit(3);
        _exit(count ? 0 : 4);
    }
    waitpid(pid, &status, 0);
    mount(NULL, "/proc", NULL, MS_REMOUNT, "hidepid=0");
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

const struct test list_tests[] = {
    {"process-list-equals-proc", list_equals_proc, WAY_ROOT | WAY_NOBODY, 0},
    {"process-list-shows-io-to-its-owner-only", list_shows_io_to_its_owner_only, WAYS_DEFAULT, 0},
    {"process-list-continues", list_continues, WAYS_DEFAULT, 0},
    {"process-list-record-sizes", list_record_sizes, WAYS_DEFAULT, 0},
    {"process-list-is-that-of-the-namespace", list_is_that_of_the_namespace, WAY_ROOT | WAY_USERNS,
     0},
    {"process-list-respects-hidepid", list_respects_hidepid, WAY_ALLOWED, 0},
    {0},
};
