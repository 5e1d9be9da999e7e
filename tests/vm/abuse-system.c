/* What the tests need of the system: files, modules, identities, the kernel log. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abuse.h"

int device_open(void)
{
    int fd = open(KAPI_DEVICE_PATH, O_RDWR | O_CLOEXEC);

    check(fd >= 0, "open: %s", strerror(errno));
    return fd;
}

bool try_read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = -1;

    if (fd < 0)
        return false;
    while (used + 1 < size && (n = read(fd, buffer + used, size - 1 - used)) > 0)
        used += (size_t)n;
    int error = errno;
    close(fd);
    errno = error;
    buffer[used] = '\0';
    return n >= 0;
}

size_t read_file(const char *path, char *buffer, size_t size)
{
    check(try_read_file(path, buffer, size), "%s: %s", path, strerror(errno));
    return strlen(buffer);
}

void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    check(fd >= 0, "%s: %s", path, strerror(errno));
    check(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path, strerror(errno));
    close(fd);
}

/* The line that begins with the key and then a colon, a blank or a tab. */
static const char *find_line(const char *text, const char *key)
{
    size_t length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && strchr(": \t", line[length]) && line[length])
            return line + length;
    }
    return NULL;
}

unsigned long number_after(const char *text, const char *key)
{
    const char *found = find_line(text, key);

    check(found, "no line %s", key);
    return strtoul(found + strspn(found, ": \t"), NULL, 10);
}

void text_after(const char *text, const char *key, char *buffer, size_t size)
{
    const char *found = find_line(text, key);

    check(found, "no line %s", key);
    found += strspn(found, ": \t");
    snprintf(buffer, size, "%.*s", (int)strcspn(found, "\n"), found);
}

int module_load(const char *path, const char *parameters)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 || syscall(SYS_finit_module, fd, parameters, 0) != 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    return r;
}

int module_unload(const char *name)
{
    return syscall(SYS_delete_module, name, O_NONBLOCK) != 0 ? -errno : 0;
}

int run_program(const char *path, ...)
{
    const char *argv[16] = {path};
    va_list arguments;
    int status;

    va_start(arguments, path);
    for (size_t i = 1; i + 1 < ARRAY_LENGTH(argv) && (argv[i] = va_arg(arguments, const char *));
         i++)
        ;
    va_end(arguments);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 1);
        dup2(null, 2);
        execv(path, (char **)argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

pid_t sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

char state_of(pid_t pid)
{
    char path[64], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (!try_read_file(path, text, sizeof(text)))
        return '-';
    const char *end = strrchr(text, ')');
    return end && end[1] ? end[2] : '-';
}

bool is_alive(pid_t pid)
{
    return strchr("-ZX", state_of(pid)) == NULL;
}

bool interface_is_up(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    check(fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0, "flags of %s: %s", name,
          strerror(errno));
    close(fd);
    return request.ifr_flags & IFF_UP;
}

/* ---- identities ---- */

static void become_nobody(void)
{
    gid_t groups[] = {KAPI_GROUP};

    check(setgroups(1, groups) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
              setresuid(NOBODY, NOBODY, NOBODY) == 0,
          "become nobody: %s", strerror(errno));
    prctl(PR_SET_DUMPABLE, 1); /* else /proc/self belongs to root */
}

static void become_root_of_namespace(void)
{
    check(unshare(CLONE_NEWUSER) == 0, "new user namespace: %s", strerror(errno));
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", "0 65534 1");
    write_file("/proc/self/gid_map", "0 65534 1");
    check(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) == 0, "namespaces: %s",
          strerror(errno));
}

void become(enum way way)
{
    if (way & WAYS_PLAIN)
        become_nobody();
    if (way & (WAY_USERNS | WAY_ALLOWED_USERNS))
        become_root_of_namespace();
}

bool is_privileged(enum way way)
{
    return !(way & WAYS_PLAIN);
}

/* ---- kernel log ---- */

int log_open(void)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    check(fd >= 0, "/dev/kmsg: %s", strerror(errno));
    lseek(fd, 0, SEEK_END);
    return fd;
}

bool log_next(int fd, char *buffer, size_t size, int *ret_level)
{
    char record[8192];
    ssize_t length;

    do
        length = read(fd, record, sizeof(record) - 1);
    while (length < 0 && errno == EPIPE); /* the log has overtaken us */
    if (length <= 0)
        return false;
    record[length] = '\0';
    const char *text = strchr(record, ';');
    snprintf(buffer, size, "%s", text ? text + 1 : record);
    buffer[strcspn(buffer, "\n")] = '\0'; /* what follows are properties */
    *ret_level = (int)(strtoul(record, NULL, 10) & 7);
    return true;
}

bool log_contains(int fd, const char *text)
{
    char line[8192];
    int level;

    while (log_next(fd, line, sizeof(line), &level))
        if (strstr(line, text))
            return true;
    return false;
}

/* ---- chance ---- */

uint64_t random_number(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}
