/* What the commands cost beside reading the same from /proc and /sys. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abuse.h"

#define ROUNDS     12 /* the best of so many */
#define CALLS      25 /* of so many in a row */
#define RATIO      4  /* an ioctl costs at most a quarter */
#define PROCESSES  200
#define LIST_RATIO 10

static int device;
static char buffer[256 * 1024];

static void read_whole(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && read(fd, buffer, sizeof(buffer)) > 0)
        ;
    if (fd >= 0)
        close(fd);
}

/* Nanoseconds of the fastest round, for each call. */
static double best(void (*work)(const void *), const void *what, int calls)
{
    uint64_t least = ~(uint64_t)0;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = now_ns();
        for (int j = 0; j < calls; j++)
            work(what);
        uint64_t took = now_ns() - start;
        least = took < least ? took : least;
    }
    return (double)least / calls;
}

struct subject {
    const char *name;
    unsigned long command;
    const char *paths[6];
    const char *folder; /* files of each entry of a folder, instead: `paths` are names in it */
};

static const struct subject subjects[] = {
    {"1 memory", KAPI_GET_MEMORY_INFO, {"/proc/meminfo"}, NULL},
    {"2 processors", KAPI_GET_CPU_INFO, {"/proc/stat", "/proc/cpuinfo", "/proc/uptime"}, NULL},
    {"3 process", KAPI_GET_PROCESS_INFO, {"/proc/1/stat", "/proc/1/status"}, NULL},
    {"5 network", KAPI_GET_NETWORK_STATS, {"/proc/net/dev"}, NULL},
    {"6 file system", KAPI_GET_FILE_SYSTEM_INFO, {"/proc/self/mountinfo"}, NULL},
    {"9 load", KAPI_GET_LOADAVG, {"/proc/loadavg"}, NULL},
    {"10 configuration",
     KAPI_GET_KERNEL_CONFIG,
     {"/proc/version", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/version",
      "/proc/sys/kernel/arch"},
     NULL},
};

static const struct subject lists[] = {
    {"7 modules",
     KAPI_GET_KERNEL_MODULE_AT,
     {"/proc/modules", "/sys/module/kernel_driver/version"},
     NULL},
    {"8 interrupts", KAPI_GET_INTERRUPT_AT, {"/proc/interrupts"}, NULL},
    {"11 PCI devices",
     KAPI_GET_PCI_DEVICE_AT,
     {"vendor", "device", "class", "revision", "resource", "irq"},
     "/sys/bus/pci/devices"},
    {"12 block devices",
     KAPI_GET_BLOCK_DEVICE_AT,
     {"size", "stat", "queue/nr_requests"},
     "/sys/block"},
};

static void call_single(const void *what)
{
    const struct subject *subject = what;
    static struct kapi_process_info process;

    process.pid = 1;
    ioctl(device, subject->command,
          subject->command == KAPI_GET_PROCESS_INFO ? (void *)&process : buffer);
}

/* The first record, by its number. */
static void call_first(const void *what)
{
    const struct subject *subject = what;

    memset(buffer, 0, 8);
    ioctl(device, subject->command, buffer);
}

/* All records in one call. */
static void call_batch(const void *what)
{
    const struct subject *subject = what;
    struct kapi_batch_entry entry = {.command = _IOC_NR(subject->command),
                                     .buffer = (uintptr_t)buffer,
                                     .length = sizeof(buffer)};
    struct kapi_batch batch = {.size = sizeof(batch),
                               .count = 1,
                               .entry_size = sizeof(entry),
                               .entries = (uintptr_t)&entry};

    ioctl(device, KAPI_BATCH, &batch);
}

static void read_folder(const struct subject *subject)
{
    DIR *folder = opendir(subject->folder);
    char path[512];

    for (struct dirent *entry; folder && (entry = readdir(folder));)
        for (size_t i = 0;
             i < ARRAY_LENGTH(subject->paths) && subject->paths[i] && entry->d_name[0] != '.';
             i++) {
            snprintf(path, sizeof(path), "%s/%s/%s", subject->folder, entry->d_name,
                     subject->paths[i]);
            read_whole(path);
        }
    closedir(folder);
}

static void read_files(const void *what)
{
    const struct subject *subject = what;

    if (subject->folder)
        read_folder(subject);
    else
        for (size_t i = 0; i < ARRAY_LENGTH(subject->paths) && subject->paths[i]; i++)
            read_whole(subject->paths[i]);
}

/* Whether it costs more than a part of reading the files. */
static int measure(const struct subject *subject, const char *what, void (*call)(const void *),
                   int part)
{
    double ours = 0, proc = 0;

    for (int i = 0; i < 3 && (i == 0 || ours * part > proc); i++) { /* the host may be busy */
        ours = best(call, subject, CALLS);
        proc = best(read_files, subject, CALLS);
    }
    row("latency", "%s%s\t%.1f us\t%.1f us\t%.1f times faster%s", subject->name, what, ours / 1000,
        proc / 1000, proc / ours, ours * part > proc ? ", TOO SLOW" : "");
    return ours * part > proc;
}

/* A call answers for one record; a batch answers for all, and must not be dearer than the file at
 * least. */
static void each_command_costs_a_quarter(enum way way)
{
    int slow = 0;

    if (options.slow > 1)
        skip("times mean nothing with sanitizers");
    device = device_open();
    for (size_t i = 0; i < ARRAY_LENGTH(subjects); i++)
        slow += measure(&subjects[i], "", call_single, RATIO);
    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++) {
        slow += measure(&lists[i], ", one", call_first, RATIO);
        slow += measure(&lists[i], ", all in a batch", call_batch, 1);
    }
    check(slow == 0, "%d commands are too slow, see the table latency", slow);
}

/* ---- many processes ---- */

static void list_all(const void *unused)
{
    struct kapi_process_list list = {.size = sizeof(list),
                                     .buffer = (uintptr_t)buffer,
                                     .length = sizeof(buffer),
                                     .record_size = sizeof(struct kapi_process_record)};

    ioctl(device, KAPI_GET_PROCESS_LIST, &list);
    check(list.count >= PROCESSES, "%u processes", list.count);
}

/* The files that psutil.process_iter() reads for the same attributes, without Python's share of the
 * time. */
static void read_all(const void *unused)
{
    static const char *const names[] = {"stat", "status", "statm"};
    DIR *proc = opendir("/proc");
    char path[300];

    for (struct dirent *entry; (entry = readdir(proc));)
        for (size_t i = 0;
             i < ARRAY_LENGTH(names) && entry->d_name[0] >= '0' && entry->d_name[0] <= '9'; i++) {
            snprintf(path, sizeof(path), "/proc/%s/%s", entry->d_name, names[i]);
            read_whole(path);
        }
    closedir(proc);
}

static void process_list_costs_a_tenth(enum way way)
{
    if (options.slow > 1)
        skip("times mean nothing with sanitizers");
    for (int i = 0; i < PROCESSES; i++)
        sleeper();
    usleep(200000);
    device = device_open();
    double ours = best(list_all, NULL, 1), proc = best(read_all, NULL, 1);
    row("latency", "33 list of %d processes\t%.0f us\t%.0f us\t%.1f times faster", PROCESSES,
        ours / 1000, proc / 1000, proc / ours);
    check(ours * LIST_RATIO <= proc, "%.0f us, reading /proc costs %.0f us", ours / 1000,
          proc / 1000);
}

const struct test latency_tests[] = {
    {"each-command-costs-a-quarter", each_command_costs_a_quarter, WAY_ROOT, 60},
    {"process-list-costs-a-tenth", process_list_costs_a_tenth, WAY_ROOT, 60},
    {0},
};
