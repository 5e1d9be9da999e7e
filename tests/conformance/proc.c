/* What /proc says of processes and of the system. */
#define FAMILY "proc"
#include "conform.h"

#include <sys/sysmacros.h>
#include <sys/utsname.h>

/* The value behind `name` in a file of "name: value" lines. */
static char *field(const char *path, const char *name)
{
    static char value[256];
    char *text = slurp(path);
    char key[64];
    char *at;

    snprintf(key, sizeof(key), "\n%s:", name);
    at = strncmp(text, key + 1, strlen(key + 1)) == 0 ? text - 1 : strstr(text, key);
    if (!at)
        fail("%s has no %s", path, name);
    at += strlen(key);
    at += strspn(at, " \t");
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\n"), at);
    free(text);
    return value;
}

static pid_t sleeper(void)
{
    pid_t pid = spawn();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static void end(pid_t pid)
{
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

static char *of(pid_t pid, const char *name)
{
    static char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return path;
}

static char *target_of(const char *path)
{
    static char text[PATH_MAX];
    ssize_t length = readlink(path, text, sizeof(text) - 1);

    if (length < 0)
        fail("readlink %s: %s", path, strerrorname_np(errno));
    text[length] = '\0';
    return text;
}

REFUSED(no_process, "proc(5) ENOENT", open("/proc/999999999/status", O_RDONLY), ENOENT)
REFUSED(no_file, "proc(5) ENOENT", open("/proc/self/no", O_RDONLY), ENOENT)
REFUSED(no_leading_zero, "proc(5) ENOENT", open("/proc/01", O_RDONLY), ENOENT)
REFUSED(nothing_can_be_made, "proc(5) ENOENT", open("/proc/x", O_RDWR | O_CREAT, 0644), ENOENT)
REFUSED(no_directories, "proc(5): mkdir", mkdir("/proc/x", 0755), ENOENT)
REFUSED(no_descriptor, "proc(5) ENOENT", readlink("/proc/self/fd/999", (char[8]){0}, 8), ENOENT)

CHECK(self, "proc(5) /proc/self, /proc/thread-self")
{
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "%d", getpid());
    same(target_of("/proc/self"), wanted);
    snprintf(wanted, sizeof(wanted), "%d/task/%d", getpid(), gettid());
    same(target_of("/proc/thread-self"), wanted);
    IN_CHILD
    {
        snprintf(wanted, sizeof(wanted), "%d", getpid());
        same(target_of("/proc/self"), wanted);
    }
}

CHECK(status_numbers, "proc(5) status: Pid, PPid, Tgid, Threads, NSpid")
{
    is(strtol(field("/proc/self/status", "Pid"), NULL, 10), getpid());
    is(strtol(field("/proc/self/status", "Tgid"), NULL, 10), getpid());
    is(strtol(field("/proc/self/status", "PPid"), NULL, 10), getppid());
    is(strtol(field("/proc/self/status", "Threads"), NULL, 10), 1);
    is(strtol(field("/proc/self/status", "TracerPid"), NULL, 10), 0);
    same(field("/proc/self/status", "Name"), "conformance");
}

CHECK(status_signals, "proc(5) status: SigBlk, SigIgn, SigCgt, SigPnd")
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    handle(SIGUSR2, count_signal, 0);
    handle(SIGHUP, SIG_IGN, 0);
    raise(SIGUSR1);
    is(strtoull(field("/proc/self/status", "SigBlk"), NULL, 16), 1ll << (SIGUSR1 - 1));
    must(strtoull(field("/proc/self/status", "SigCgt"), NULL, 16) & 1ull << (SIGUSR2 - 1));
    must(strtoull(field("/proc/self/status", "SigIgn"), NULL, 16) & 1ull << (SIGHUP - 1));
    must(strtoull(field("/proc/self/status", "SigPnd"), NULL, 16) & 1ull << (SIGUSR1 - 1));
}

CHECK(status_umask, "proc(5) status: Umask")
{
    umask(027);
    same(field("/proc/self/status", "Umask"), "0027");
}

CHECK(stat_fields, "proc(5) stat: pid, comm, ppid, pgrp, session, threads")
{
    char *text = slurp("/proc/self/stat");
    char state;
    int ppid;
    int pgrp;
    int session;

    is(strtol(text, NULL, 10), getpid());
    must(strstr(text, "(conformance)"));
    is(sscanf(strrchr(text, ')') + 2, "%c %d %d %d", &state, &ppid, &pgrp, &session), 4);
    is(ppid, getppid());
    is(pgrp, getpgrp());
    is(session, getsid(0));
    is(state, 'R');
}

CHECK(odd_name, "proc(5) stat: a name with blanks and parentheses")
{
    int fd = (int)ok(open("/proc/self/comm", O_WRONLY));
    char *text;

    ok(write(fd, "a) R (b", 7));
    text = slurp("/proc/self/stat");
    must(strstr(text, "(a) R (b) R "));
}

CHECK(directory_links, "proc(5) cwd, root, exe")
{
    char *path;

    ok(mkdir("d", 0755));
    ok(chdir("d"));
    path = target_of("/proc/self/cwd");
    same(strrchr(path, '/'), "/d");
    same(target_of("/proc/self/root"), "/");
    same(target_of("/proc/self/exe"), self_path);
    file("f", "text");
    content("/proc/self/cwd/f", "text");
    ok(access("/proc/self/root/proc", F_OK));
}

CHECK(removed_directory, "proc(5) cwd: (deleted)")
{
    char *path;

    ok(mkdir("d", 0755));
    ok(chdir("d"));
    ok(rmdir("../d"));
    path = target_of("/proc/self/cwd");
    must(strstr(path, "/d (deleted)"));
}

CHECK(descriptors, "proc(5) fd: names and targets")
{
    char path[64];
    char wanted[PATH_MAX + 16];
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_RDONLY));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    snprintf(wanted, sizeof(wanted), "%s/f", here());
    same(target_of(path), wanted);
    ok(rename("f", "g"));
    snprintf(wanted, sizeof(wanted), "%s/g", here());
    same(target_of(path), wanted);
    ok(unlink("g"));
    snprintf(wanted, sizeof(wanted), "%s/g (deleted)", here());
    same(target_of(path), wanted);
    ok(close(fd));
    must(!exists(path));
}

CHECK(descriptor_of_directory, "proc(5) fd: a directory")
{
    char path[64];
    int fd;

    ok(mkdir("d", 0755));
    file("d/f", "text");
    fd = (int)ok(open("d", O_RDONLY));
    snprintf(path, sizeof(path), "/proc/self/fd/%d/f", fd);
    content(path, "text");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    is(count_names(path), 1);
}

CHECK(descriptor_list, "proc(5) fd: exactly the open ones")
{
    ok(dup2(0, 100));
    ok(has_name("/proc/self/fd", "100"));
    must(has_name("/proc/self/fd", "0"));
    must(!has_name("/proc/self/fd", "99"));
    is(count_names("/proc/self/fd"), 5);
    ok(close(100));
    is(count_names("/proc/self/fd"), 4);
}

CHECK(descriptor_permission, "proc(5) fd: the mode of the link is that of the access")
{
    char path[64];

    file("f", "");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)ok(open("f", O_RDONLY)));
    is(mode_of(path), 0500);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)ok(open("f", O_WRONLY)));
    is(mode_of(path), 0300);
}

CHECK(descriptor_information, "proc(5) fdinfo: pos and flags")
{
    char path[64];
    int fd;

    file("f", "abcdef");
    fd = (int)ok(open("f", O_RDWR | O_APPEND | O_CLOEXEC));
    ok(lseek(fd, 4, SEEK_SET));
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    is(strtol(field(path, "pos"), NULL, 10), 4);
    is(strtol(field(path, "flags"), NULL, 8) & (O_ACCMODE | O_APPEND | O_CLOEXEC),
       O_RDWR | O_APPEND | O_CLOEXEC);
}

CHECK(standard_links, "proc(5): /dev/fd, /dev/stdin")
{
    must(access("/dev/fd/0", F_OK) == 0);
    ok(access("/dev/stdin", F_OK));
    is(read((int)ok(open("/dev/stdin", O_RDONLY)), (char[1]){0}, 1), 0);
}

CHECK(maps_of_files, "proc(5) maps: address, protection, offset, path")
{
    char wanted[PATH_MAX + 64];
    char line[64];
    char *at;
    char *text;
    int fd;

    file("f", "text");
    fd = (int)ok(open("f", O_RDONLY));
    at = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 4096);
    must(at != MAP_FAILED);
    text = slurp("/proc/self/maps");
    snprintf(line, sizeof(line), "%lx-%lx r--s 00001000", (unsigned long)at,
             (unsigned long)at + 8192);
    text = strstr(text, line);
    must(text);
    snprintf(wanted, sizeof(wanted), "%s/f\n", here());
    must(strstr(text, wanted) && strstr(text, wanted) < strchr(text, '\n'));
}

CHECK(memory_of_self, "proc(5) mem: refused, or the memory")
{
    static char value[8] = "inside";
    char text[8] = "";
    int fd = open("/proc/self/mem", O_RDONLY);

    if (fd < 0) {
        must(errno == ENOENT || errno == EACCES || errno == EPERM);
        skip("not given here");
    }
    is(pread(fd, text, 6, (off_t)(uintptr_t)value), 6);
    same(text, "inside");
}

CHECK(other_process, "proc(5): a child's files")
{
    pid_t pid = sleeper();
    char name[16];

    is(strtol(field(of(pid, "status"), "PPid"), NULL, 10), getpid());
    must(exists(of(pid, "stat")));
    snprintf(name, sizeof(name), "%d", pid);
    must(has_name("/proc", name));
    until_sleeping(pid);
    end(pid);
    must(!exists(of(pid, "stat")));
    must(!has_name("/proc", name));
}

CHECK(open_file_of_dead, "proc(5) ESRCH: the process is gone")
{
    pid_t pid = sleeper();
    int fd = (int)ok(open(of(pid, "status"), O_RDONLY));
    char text[64];

    end(pid);
    fails(read(fd, text, sizeof(text)), ESRCH);
}

CHECK(foreign_process, "proc(5) EACCES: fd, cwd, exe of another user")
{
    pid_t pid;

    as_root();
    pid = sleeper();
    IN_CHILD
    {
        as_user();
        must(open(of(pid, "fd"), O_RDONLY) < 0 && errno == EACCES);
        must(readlink(of(pid, "cwd"), (char[8]){0}, 8) < 0 && errno == EACCES);
        must(open(of(pid, "environ"), O_RDONLY) < 0 && errno == EACCES);
        ok(open(of(pid, "status"), O_RDONLY));
        ok(open(of(pid, "cmdline"), O_RDONLY));
    }
    end(pid);
}

CHECK(environment, "proc(5) environ")
{
    pid_t pid = spawn();
    char *text = NULL;

    if (pid == 0)
        execve(self_path, (char *[]){"x", "--helper", "sleep", NULL}, (char *[]){"A=1", NULL});
    for (int i = 0; i < 500; i++) {
        text = slurp(of(pid, "environ"));
        if (strcmp(text, "A=1") == 0)
            break;
        nap(1);
    }
    same(text, "A=1");
    end(pid);
}

CHECK(small_reads, "proc(5): read in pieces gives the same")
{
    char *whole = slurp("/proc/version");
    char text[4096] = "";
    int fd = (int)ok(open("/proc/version", O_RDONLY));
    size_t length = 0;

    while (length < sizeof(text) - 8) {
        ssize_t got = ok(read(fd, text + length, 7));

        if (got == 0)
            break;
        length += (size_t)got;
    }
    same(text, whole);
    is(lseek(fd, 0, SEEK_SET), 0);
    is(read(fd, text, 5), 5);
    is(memcmp(text, whole, 5), 0);
    is(pread(fd, text, 5, 2), 5);
    is(memcmp(text, whole + 2, 5), 0);
}

CHECK(version, "proc(5) version")
{
    struct utsname names;
    char *text = slurp("/proc/version");

    ok(uname(&names));
    must(strstr(text, names.release));
    must(strncmp(text, "Linux version ", 14) == 0);
}

CHECK(live_files, "proc(5): read again from 0 gives the present")
{
    char before[4096] = "";
    char after[4096] = "";
    int fd = (int)ok(open("/proc/self/status", O_RDONLY));

    ok(read(fd, before, sizeof(before) - 1));
    umask(0123);
    is(lseek(fd, 0, SEEK_SET), 0);
    ok(read(fd, after, sizeof(after) - 1));
    must(strstr(before, "Umask:\t0022"));
    must(strstr(after, "Umask:\t0123"));
}

CHECK(system_files, "proc(5): meminfo, stat, loadavg, uptime, filesystems, mounts")
{
    must(strstr(slurp("/proc/meminfo"), "MemAvailable:"));
    must(strncmp(slurp("/proc/stat"), "cpu ", 4) == 0);
    must(strstr(slurp("/proc/stat"), "\nbtime "));
    must(strchr(slurp("/proc/loadavg"), '/'));
    must(strtod(slurp("/proc/uptime"), NULL) > 0);
    must(strstr(slurp("/proc/filesystems"), "nodev\tproc"));
    must(strstr(slurp("/proc/mounts"), " /proc proc "));
    must(strstr(slurp("/proc/self/mountinfo"), " - proc "));
}

CHECK(pid_limit, "proc(5) sys/kernel/pid_max, random/uuid, boot_id")
{
    char one[64];

    must(strtol(slurp("/proc/sys/kernel/pid_max"), NULL, 10) >= getpid());
    snprintf(one, sizeof(one), "%s", slurp("/proc/sys/kernel/random/uuid"));
    is(strlen(one), 37);
    must(strcmp(one, slurp("/proc/sys/kernel/random/uuid")) != 0);
    same(slurp("/proc/sys/kernel/random/boot_id"), slurp("/proc/sys/kernel/random/boot_id"));
}

CHECK(io_and_schedule, "proc(5) io, sched, schedstat, wchan, oom_score")
{
    must(strstr(slurp("/proc/self/oom_score_adj"), "\n"));
    must(strtol(slurp("/proc/self/oom_score"), NULL, 10) >= 0);
    must(strstr(slurp("/proc/self/io"), "rchar:"));
    must(exists("/proc/self/wchan"));
}

CHECK(statm, "proc(5) statm: pages")
{
    char *text = slurp("/proc/self/statm");
    char *resident;
    long size = strtol(text, &resident, 10);

    must(size > 0 && strtol(resident, NULL, 10) > 0 && strtol(resident, NULL, 10) <= size);
}

CHECK(children, "proc(5) task/TID/children")
{
    char wanted[32];
    char path[64];
    pid_t pid;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", gettid());
    if (!exists(path))
        skip("not in this kernel");
    pid = sleeper();
    snprintf(wanted, sizeof(wanted), "%d ", pid);
    same(slurp(path), wanted);
    end(pid);
    same(slurp(path), "");
}

CHECK(namespaces, "namespaces(7): /proc/self/ns")
{
    char one[64];
    pid_t pid = sleeper();

    snprintf(one, sizeof(one), "%s", target_of("/proc/self/ns/pid"));
    must(strncmp(one, "pid:[", 5) == 0);
    same(target_of(of(pid, "ns/pid")), one);
    end(pid);
}

CHECK(inode_is_stable, "proc(5): an open directory of a process")
{
    int fd = (int)ok(open("/proc/self", O_RDONLY | O_DIRECTORY));
    char text[64] = "";
    int status = (int)ok(openat(fd, "comm", O_RDONLY));

    ok(read(status, text, sizeof(text) - 1));
    same(text, "conformance\n");
    IN_CHILD
    {
        char line[64] = "";
        int stat_ = (int)ok(openat(fd, "stat", O_RDONLY));

        ok(read(stat_, line, sizeof(line) - 1));
        is(strtol(line, NULL, 10), getppid());
    }
}
CHECK(sizes_are_zero, "proc(5): files have size 0 and regular type")
{
    struct stat status;

    ok(stat("/proc/self/status", &status));
    must(S_ISREG(status.st_mode));
    is(status.st_size, 0);
    is(status.st_mode & 0777, 0444);
    is(status.st_uid, geteuid());
}
