/*
 * /dev/kernel_api_exporter through the C library: what the device says is what /proc says. In a
 * guest the process kernel serves it; natively the cases run where the kernel module is loaded, and
 * are skipped elsewhere.
 */
#include "guest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cerebro/kapi-client.h"

#define CHILDREN 20

static struct kapi_client *open_client(void)
{
    struct kapi_client *client = NULL;
    int r = kapi_open(&client);

    if (r == -ENOENT || r == -EACCES)
        guest_skip("there is no kernel API exporter, or it is not for this user");
    CHECK_EQ(r, 0);
    return client;
}

static unsigned long long meminfo(const char *key)
{
    char *text = guest_read("/proc/meminfo"), *line = strstr(text, key);
    unsigned long long kilobytes;

    CHECK(line != NULL);
    kilobytes = strtoull(line + strlen(key) + 1, NULL, 10);
    free(text);
    return kilobytes * 1024;
}

static void information(void)
{
    struct kapi_client *client = open_client();
    struct kapi_memory_info memory;
    struct kapi_cpu_info cpu;
    struct kapi_kernel_config config;
    struct kapi_filesystem_info filesystem;
    struct kapi_loadavg_info load;
    struct utsname name;
    struct statvfs root;
    char result[1024];

    CHECK_EQ(kapi_get_memory_info(client, &memory), 0);
    CHECK_EQ(memory.total_ram, meminfo("MemTotal"));
    CHECK_EQ(memory.swap_total, meminfo("SwapTotal"));
    CHECK_EQ(kapi_get_cpu_info(client, &cpu), 0);
    CHECK_EQ(cpu.num_online_cpus, sysconf(_SC_NPROCESSORS_ONLN));
    CHECK_EQ(uname(&name), 0);
    CHECK_EQ(kapi_get_kernel_config(client, &config), 0);
    CHECK_TEXT(config.version, name.release);
    CHECK_EQ(kapi_execute_command(client, "get_hostname", result, sizeof(result)), 0);
    CHECK_TEXT(result, name.nodename);
    CHECK_EQ(kapi_execute_command(client, "no_such", result, sizeof(result)), -EINVAL);
    OK(statvfs("/", &root));
    CHECK_EQ(kapi_get_filesystem_info(client, &filesystem), 0);
    CHECK_EQ(filesystem.block_size, root.f_frsize);
    CHECK_EQ(filesystem.max_filename_len, root.f_namemax);
    CHECK_EQ(kapi_get_loadavg(client, &load), 0);
    CHECK(load.total_tasks >= 1);
    kapi_close(client);
}

static void own_process(void)
{
    struct kapi_client *client = open_client();
    struct kapi_process_info info;

    CHECK_EQ(kapi_get_process_info(client, getpid(), &info), 0);
    CHECK_EQ(info.pid, getpid());
    CHECK_EQ(info.ppid, getppid());
    CHECK_EQ(info.pgrp, getpgrp());
    CHECK_EQ(info.session, getsid(0));
    CHECK_EQ(info.memory_usage, (unsigned long long)info.rss * (unsigned)getpagesize());
    CHECK(info.vsize >= info.memory_usage);
    CHECK_EQ(kapi_get_process_info(client, 1 << 30, &info), -ESRCH);
    kapi_close(client);
}

static pid_t sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    OK(pid);
    return pid;
}

static void process_list(void)
{
    struct kapi_client *client = open_client();
    struct kapi_processes *processes;
    struct kapi_process_record record;
    pid_t children[CHILDREN];
    int found = 0, last = 0, r;

    for (int i = 0; i < CHILDREN; i++)
        children[i] = sleeper();
    /* little room, so that the list comes in several pieces */
    CHECK_EQ(kapi_processes_begin(client, 3 * sizeof(record), &processes), 0);
    while ((r = kapi_processes_next(processes, &record)) == 1) {
        CHECK(record.pid > last);
        last = record.pid;
        for (int i = 0; i < CHILDREN; i++)
            if (children[i] == record.pid && record.ppid == getpid())
                found++;
    }
    kapi_processes_end(processes);
    for (int i = 0; i < CHILDREN; i++) {
        kill(children[i], SIGKILL);
        guest_wait(children[i]);
    }
    CHECK_EQ(r, 0);
    CHECK_EQ(found, CHILDREN);
    kapi_close(client);
}

static void batch(void)
{
    struct kapi_client *client = open_client();
    struct kapi_memory_info memory = {0};
    struct kapi_process_info process = {0};
    static struct kapi_interrupt_info lines[512];
    struct kapi_interrupt_info line;
    struct kapi_batch_entry entries[] = {
        kapi_batch_ask(1, 0, &memory, sizeof(memory)),
        kapi_batch_ask(3, (uint32_t)getpid(), &process, sizeof(process)),
        kapi_batch_ask(8, 0, lines, sizeof(lines)),
        kapi_batch_ask(26, 0, lines, sizeof(lines)),
    };
    uint64_t start = 0, end = 0;

    CHECK_EQ(kapi_run_batch(client, entries, 4, &start, &end), 0);
    CHECK(start > 0 && end >= start);
    CHECK_EQ(memory.total_ram, meminfo("MemTotal"));
    CHECK_EQ(process.pid, getpid());
    CHECK_EQ(entries[3].status, -EINVAL);
    for (uint32_t i = 0; i < entries[2].count; i++) {
        CHECK_EQ(kapi_get_interrupt(client, i, &line), 0);
        CHECK_EQ(line.irq, lines[i].irq);
    }
    CHECK_EQ(kapi_get_interrupt(client, 100000, &line), -ENODATA);
    kapi_close(client);
}

static void control(void)
{
    struct kapi_client *client = open_client();
    char message[KAPI_MESSAGE_SIZE];
    pid_t child = sleeper();
    int status;

    CHECK_EQ(kapi_suspend_process(client, child, message), 0);
    OK(waitpid(child, &status, WUNTRACED));
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(kapi_resume_process(client, child, NULL), 0);
    OK(waitpid(child, &status, WCONTINUED));
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(kapi_kill_process(client, child, SIGTERM, message), 0);
    OK(waitpid(child, &status, 0));
    CHECK_EQ(WTERMSIG(status), SIGTERM);
    CHECK_EQ(kapi_kill_process(client, child, SIGTERM, message), -ESRCH);
    CHECK(message[0] != '\0');
    kapi_close(client);
}

static void buffer(void)
{
    struct kapi_client *client = open_client();
    int fd = kapi_descriptor(client);
    char bytes[8] = "";
    void *map;

    CHECK_EQ(kapi_map_buffer(client, &map), 0);
    memcpy((char *)map + 4096, "a\0mapped", 8);
    OK(msync(map, KAPI_BUFFER_SIZE, MS_SYNC));
    CHECK_EQ(lseek(fd, 4096, SEEK_SET), 4096);
    CHECK_EQ(read(fd, bytes, sizeof(bytes)), 8);
    CHECK(memcmp(bytes, "a\0mapped", 8) == 0);
    CHECK_EQ(write(fd, "written", 7), 7);
    CHECK(memcmp((char *)map + 4104, "written", 7) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), KAPI_BUFFER_SIZE);
    CHECK_EQ(read(fd, bytes, 1), 0);
    FAILS(write(fd, "x", 1), ENOSPC);
    FAILS(lseek(fd, 1, SEEK_END), EINVAL);
    OK(fsync(fd));
    CHECK(mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 12288) == MAP_FAILED);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) == MAP_FAILED);
    kapi_close(client);
}

static void bad_addresses(void)
{
    struct kapi_client *client = open_client();
    int fd = kapi_descriptor(client);
    static const uint32_t commands[] = {KAPI_GET_MEMORY_INFO,    KAPI_GET_PROCESS_INFO,
                                        KAPI_EXECUTE_KERNEL_CMD, KAPI_KILL_PROCESS,
                                        KAPI_GET_VERSION,        KAPI_BATCH,
                                        KAPI_GET_PROCESS_LIST,   KAPI_GET_INTERRUPT_AT};
    struct kapi_batch_entry entry = kapi_batch_ask(1, 0, (void *)8, 1 << 20);

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        FAILS(syscall(SYS_ioctl, fd, commands[i], 8), EFAULT);
    CHECK_EQ(kapi_run_batch(client, &entry, 1, NULL, NULL), 0);
    CHECK_EQ(entry.status, -EFAULT);
    FAILS(syscall(SYS_ioctl, fd, _IO(KAPI_IOC_MAGIC, 99), 0), ENOTTY);
    kapi_close(client);
}

static const struct guest_case cases[] = {
    {"information", information},
    {"own-process", own_process},
    {"process-list", process_list},
    {"batch", batch},
    {"control", control},
    {"buffer", buffer},
    {"bad-addresses", bad_addresses},
};

GUEST_MAIN(cases)
