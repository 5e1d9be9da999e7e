/*
 * proc and sys against the host's own: every line of the table gives a text with the keys and
 * fields that the host's has, what is virtual is shown virtually, and nothing of the host shows
 * that the guest must not see.
 */
#include "vfs_guest.h"

#include "skip.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include "vfs/proc-internal.h"

static struct guest guest;

static int setup(void **state)
{
    struct pk_config config = {.net = PK_NET_NONE};

    (void)state;
    guest_start(&guest, &config);
    return 0;
}

static int setup_limited(void **state)
{
    struct pk_config config = {.net = PK_NET_HOST, .limits = {.memory = 256 << 20, .pids = 33}};

    (void)state;
    guest_start(&guest, &config);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_stop(&guest);
    return 0;
}

/* "<pid>/fd/<fd>" of the table as a path. */
static void make_path(const char *entry, char path[256])
{
    char *out = path + snprintf(path, 16, "/proc%s", *entry ? "/" : "");
    char *end = path + 256;

    while (*entry) {
        if (strncmp(entry, "<pid>", 5) == 0) {
            out += snprintf(out, (size_t)(end - out), "%d", guest.pid);
            entry += 5;
        } else if (strncmp(entry, "<init>", 6) == 0) {
            *out++ = '1';
            entry += 6;
        } else if (strncmp(entry, "<fd>", 4) == 0) {
            *out++ = '0';
            entry += 4;
        } else {
            *out++ = *entry++;
        }
    }
    *out = '\0';
}

static void pid_path(const char *name, char path[256])
{
    snprintf(path, 256, "/proc/%d/%s", guest.pid, name);
}

static void task_text(const char *name, struct strbuf *ret_text)
{
    char path[256];

    pid_path(name, path);
    guest_text(&guest, path, ret_text);
}

static void host_text(const char *name, struct strbuf *ret_text)
{
    char path[256];

    pid_path(name, path);
    assert_true(io_read_file(AT_FDCWD, path, 1 << 24, ret_text) >= 0);
}

/* ---- every line ---- */

static void check_line(const struct pseudo_entry *entry, const char *path)
{
    struct statx stat;
    char text[4096];
    int r = guest_stat(&guest, path, &stat);

    if (entry->flags & (PSEUDO_IF_HOST | PROC_THREAD_ONLY) && r == -ENOENT)
        return;
    if (r < 0)
        fail_msg("stat %s: %s", path, strerror(-r));
    assert_int_equal(stat.stx_mode & S_IFMT, entry->mode & S_IFMT);
    if (entry->flags & PROC_CLOSED) {
        r = S_ISLNK(entry->mode) ? (int)guest_readlink(&guest, path, text, sizeof(text))
                                 : guest_open(&guest, path, O_RDONLY);
        assert_int_equal(r, -EACCES);
        return;
    }
    if (S_ISLNK(entry->mode)) {
        if (guest_readlink(&guest, path, text, sizeof(text)) <= 0)
            fail_msg("readlink %s", path);
        return;
    }
    r = guest_open(&guest, path, O_RDONLY);
    if (entry->generate == proc_task_refuse)
        assert_int_equal(r, -EACCES);
    else if (entry->open && geteuid() == 0 && r == -EACCES)
        return; /* a guest of root's has no capability, but this one has them all */
    else if (r < 0)
        fail_msg("open %s: %s", path, strerror(-r));
    base_close(r);
}

static void test_every_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < proc_table_length; i++) {
        char path[256];

        make_path(proc_table[i].path, path);
        check_line(&proc_table[i], path);
    }
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void test_inodes(void **state)
{
    uint64_t *inodes = calloc(proc_table_length * 2, sizeof(*inodes));
    size_t count = 0;
    struct statx stat, again;

    (void)state;
    for (size_t i = 0; i < proc_table_length; i++) {
        char path[256];

        make_path(proc_table[i].path, path);
        if (guest_stat(&guest, path, &stat) < 0)
            continue;
        assert_int_equal(guest_stat(&guest, path, &again), 0);
        assert_int_equal(stat.stx_ino, again.stx_ino);
        inodes[count++] = stat.stx_ino;
    }
    assert_true(count > 100);
    qsort(inodes, count, sizeof(*inodes), compare_numbers);
    for (size_t i = 1; i < count; i++)
        assert_true(inodes[i] != inodes[i - 1]);
    free(inodes);
}

static void test_listings(void **state)
{
    unsigned count = 0;

    (void)state;
    guest_check_tree(&guest, "/proc", 6, &count);
    assert_in_range(count, 200, 10000);
    count = 0;
    guest_check_tree(&guest, "/sys", 12, &count);
    assert_in_range(count, 50, 1000000);
}

/* ---- texts like the host's ---- */

/* The words before the colon of each line must be the same ones in the same order. */
static void compare_keys(const char *ours, const char *theirs)
{
    while (*ours && *theirs) {
        size_t our_length = strcspn(ours, ":\n"), their_length = strcspn(theirs, ":\n");

        assert_int_equal(our_length, their_length);
        assert_memory_equal(ours, theirs, our_length);
        ours += strcspn(ours, "\n") + 1;
        theirs += strcspn(theirs, "\n") + 1;
    }
    assert_int_equal(*ours, *theirs);
}

static unsigned count_words(const char *text)
{
    unsigned words = 0;

    while (*(text += strspn(text, " \t\n"))) {
        words++;
        text += strcspn(text, " \t\n");
    }
    return words;
}

static void expect_line(const char *text, const char *line)
{
    if (strstr(text, line) == NULL)
        fail_msg("no \"%s\" in:\n%s", line, text);
}

static void test_status(void **state)
{
    cleanup_strbuf struct strbuf ours = {0}, theirs = {0};
    char parent[32];

    (void)state;
    task_text("status", &ours);
    host_text("status", &theirs);
    compare_keys(strbuf_text(&ours), strbuf_text(&theirs));
    snprintf(parent, sizeof(parent), "PPid:\t%d\n", getpid());
    expect_line(strbuf_text(&ours), "Name:\tguest (1) x\n");
    expect_line(strbuf_text(&ours), parent);
    expect_line(strbuf_text(&ours), "\nState:\tR (running)\n");
    expect_line(strbuf_text(&ours), "\nUmask:\t0027\n");
    expect_line(strbuf_text(&ours), "\nUid:\t1000\t1000\t1000\t1000\n");
    expect_line(strbuf_text(&ours), "\nGid:\t1000\t1000\t1000\t1000\n");
    expect_line(strbuf_text(&ours), "\nGroups:\t1000 27 \n");
    expect_line(strbuf_text(&ours), "\nTracerPid:\t0\n");
    expect_line(strbuf_text(&ours), "\nSeccomp:\t0\n");
    expect_line(strbuf_text(&ours), "\nCapEff:\t0000000000000000\n");
}

static char *state_of(char *stat)
{
    return strrchr(stat, ')') + 2;
}

static void test_stat(void **state)
{
    cleanup_strbuf struct strbuf ours = {0}, theirs = {0};

    (void)state;
    task_text("stat", &ours);
    host_text("stat", &theirs);
    assert_int_equal(count_words(strbuf_text(&ours)), count_words(strbuf_text(&theirs)));
    state_of(theirs.data)[0] = 'R'; /* own process, reading: asleep to the host only */
    assert_string_equal(strbuf_text(&ours), strbuf_text(&theirs));
}

static void test_stat_hides_addresses(void **state)
{
    cleanup_strbuf struct strbuf ours = {0};
    const char *p;
    uint64_t fields[53] = {0};

    (void)state;
    guest.actor.identity = &guest.other;
    guest.actor.pid = guest.actor.tid = 1;
    task_text("stat", &ours);
    p = strrchr(strbuf_text(&ours), ')');
    for (int i = 3; i <= 52; i++) {
        p = strchr(p + 1, ' ');
        assert_non_null(p);
        fields[i] = strtoull(p, NULL, 10);
    }
    assert_int_equal(fields[4], getpid());
    assert_int_equal(fields[28], 0); /* start of the stack */
    assert_int_equal(fields[48], 0); /* start of the arguments */
}

static void test_limits(void **state)
{
    cleanup_strbuf struct strbuf ours = {0}, theirs = {0};
    struct rlimit limit;
    char line[128];

    (void)state;
    task_text("limits", &ours);
    host_text("limits", &theirs);
    assert_int_equal(count_words(strbuf_text(&ours)), count_words(strbuf_text(&theirs)));
    assert_int_equal(prlimit(guest.pid, RLIMIT_NOFILE, NULL, &limit), 0);
    snprintf(line, sizeof(line), "%-26s%-21d%-21" PRIu64 "%s", "Max open files", 77,
             (uint64_t)limit.rlim_max, "files");
    expect_line(strbuf_text(&ours), line);
    snprintf(line, sizeof(line), "%-26s%-21d%-21s%s", "Max file locks", 5, "unlimited", "locks");
    expect_line(strbuf_text(&ours), line);
}

static void test_system_files(void **state)
{
    static const char *const names[] = {"meminfo", "version", "cpuinfo", "vmstat"};

    (void)state;
    for (size_t i = 0; i < array_length(names); i++) {
        cleanup_strbuf struct strbuf ours = {0}, theirs = {0};
        char path[64];

        snprintf(path, sizeof(path), "/proc/%s", names[i]);
        guest_text(&guest, path, &ours);
        assert_true(io_read_file(AT_FDCWD, path, 1 << 24, &theirs) >= 0);
        if (i == 0)
            compare_keys(strbuf_text(&ours), strbuf_text(&theirs));
        else
            assert_int_equal(count_words(strbuf_text(&ours)), count_words(strbuf_text(&theirs)));
    }
}

/* How the host's kernel was built, where it tells: compressed, so any byte may be in it. */
static void test_kernel_config(void **state)
{
    cleanup_strbuf struct strbuf ours = {0}, theirs = {0};
    int r = io_read_file(AT_FDCWD, "/proc/config.gz", 1 << 24, &theirs);

    (void)state;
    if (r == -ENOENT)
        SKIP("this kernel does not tell its configuration");
    assert_true(r >= 0);
    guest_text(&guest, "/proc/config.gz", &ours);
    assert_int_equal(ours.length, theirs.length);
    assert_memory_equal(ours.data, theirs.data, theirs.length);
}

static uint64_t number_after(const char *text, const char *key)
{
    const char *p = strstr(text, key);

    assert_non_null(p);
    return strtoull(p + strlen(key), NULL, 10);
}

static void test_memory_limit(void **state)
{
    cleanup_strbuf struct strbuf ours = {0}, theirs = {0}, load = {0};
    unsigned running, threads;
    int last;

    (void)state;
    guest_text(&guest, "/proc/meminfo", &ours);
    assert_true(io_read_file(AT_FDCWD, "/proc/meminfo", 1 << 20, &theirs) >= 0);
    compare_keys(strbuf_text(&ours), strbuf_text(&theirs));
    assert_int_equal(number_after(strbuf_text(&ours), "MemTotal:"), 256 << 10);
    assert_in_range(number_after(strbuf_text(&ours), "MemAvailable:"), 1, (256 << 10) - 1);
    assert_int_equal(number_after(strbuf_text(&ours), "SwapTotal:"), 0);
    guest_text(&guest, "/proc/loadavg", &load);
    assert_int_equal(
        sscanf(strbuf_text(&load), "%*f %*f %*f %u/%u %d\n", &running, &threads, &last), 3);
    assert_int_equal(threads, 1);
    assert_int_equal(last, guest.pid);
}

/* ---- maps ---- */

static void test_maps(void **state)
{
    cleanup_strbuf struct strbuf ours = {0}, theirs = {0};
    char *rest, *line;
    unsigned covered = 0;

    (void)state;
    task_text("maps", &ours);
    host_text("maps", &theirs);
    rest = ours.data;
    while ((line = strsep(&rest, "\n")) && *line) {
        const char *path = strchr(line, '/');

        if (path == NULL)
            continue;
        covered += strncmp(path, "/usr/", 5) == 0;
        if (strncmp(path, "/usr/", 5) != 0 && strcmp(path, "/(outside)") != 0)
            fail_msg("leaks: %s", line);
    }
    assert_true(covered > 0);
    assert_int_equal(strstr(strbuf_text(&theirs), "[stack]") != NULL, 1);
}

static void test_rewrite_maps(void **state)
{
    static const char host[] =
        "00100000-00102000 r-xp 00000000 fe:00 12                                  /home/x/loader\n"
        "00180000-00190000 r--p 00000000 fe:00 13                                  /usr/bin/a\\012b\n"
        "Size:                 64 kB\n"
        "00200000-00210000 rw-p 00000000 00:00 0 \n"
        "00300000-00310000 rw-s 00000000 00:01 7                                   /memfd:x (deleted)\n"
        "00400000-00410000 r--p 00001000 fe:00 14                                  "
        "/usr/lib/gone.so (deleted)\n"
        "00500000-00510000 r--p 00000000 fe:00 15                                  /root/secret\n"
        "7ffc00000000-7ffc00010000 rw-p 00000000 00:00 0                           [stack]\n";
    static const char expected[] =
        "00100000-00102000 r-xp 00000000 00:00 0                                  [cerebro]\n"
        "00180000-00190000 r--p 00000000 fe:00 13                                  /usr/bin/a\\012b\n"
        "Size:                 64 kB\n"
        "00200000-00210000 rw-p 00000000 00:00 0 \n"
        "00300000-00310000 rw-s 00000000 00:01 7                                   /memfd:x (deleted)\n"
        "00400000-00410000 r--p 00001000 fe:00 14                                  "
        "/usr/lib/gone.so (deleted)\n"
        "00500000-00510000 r--p 00000000 fe:00 15                                  /(outside)\n"
        "7ffc00000000-7ffc00010000 rw-p 00000000 00:00 0                           [stack]\n";
    cleanup_strbuf struct strbuf text = {0};

    (void)state;
    assert_int_equal(proc_rewrite_maps(guest.vfs, host, &text), 0);
    assert_string_equal(strbuf_text(&text), expected);
}

/* ---- who is seen, and by whom ---- */

struct names {
    char text[65536];
    size_t length;
    unsigned count;
};

static bool collect(void *user, const char *name, uint64_t inode, mode_t type)
{
    struct names *names = user;

    (void)type;
    assert_true(inode != 0);
    names->length += (size_t)snprintf(names->text + names->length,
                                      sizeof(names->text) - names->length, "%s ", name);
    names->count++;
    return true;
}

static void list(const char *path, struct names *ret_names)
{
    cleanup_close int fd = guest_open(&guest, path, O_RDONLY | O_DIRECTORY);
    struct vfs_handle *handle;

    if (fd < 0)
        fail_msg("open %s: %s", path, strerror(-fd));
    memset(ret_names, 0, sizeof(*ret_names));
    handle = vfs_handle_of_fd(guest.vfs, fd);
    assert_non_null(handle);
    assert_int_equal(
        handle->node->fs->ops->readdir(handle->node, 0, &guest.actor, collect, ret_names), 0);
}

static void test_strangers_are_hidden(void **state)
{
    static struct names names;
    struct rlimit before;
    char path[64], *rest, *name;
    unsigned processes = 0;

    (void)state;
    /* a stranger with the guest's own context number is still a stranger */
    assert_int_equal(getrlimit(RLIMIT_LOCKS, &before), 0);
    assert_int_equal(pk_context_tag(getpid(), guest.request.context->id), 0);
    assert_int_equal(guest_open(&guest, "/proc/1/environ", O_RDONLY), -EACCES);
    snprintf(path, sizeof(path), "/proc/%d/status", getpid());
    assert_int_equal(guest_open(&guest, path, O_RDONLY), -ENOENT);
    snprintf(path, sizeof(path), "/proc/0%d/status", guest.pid);
    assert_int_equal(guest_open(&guest, path, O_RDONLY), -ENOENT);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", guest.pid, getpid());
    assert_int_equal(guest_open(&guest, path, O_RDONLY), -ENOENT);
    assert_int_equal(guest_open(&guest, "/proc/<pid>/status", O_RDONLY), -ENOENT);
    assert_int_equal(setrlimit(RLIMIT_LOCKS, &before), 0);
    list("/proc", &names);
    assert_non_null(strstr(names.text, "meminfo "));
    assert_null(strstr(names.text, "<"));
    rest = names.text;
    while ((name = strsep(&rest, " ")))
        if (name[0] >= '0' && name[0] <= '9') {
            assert_true(strtol(name, NULL, 10) == guest.pid || strcmp(name, "1") == 0);
            processes++;
        }
    assert_int_equal(processes, 2); /* and the init that is always there */
}

static void test_dead_process(void **state)
{
    char path[256];
    cleanup_close int open_before = -1;

    (void)state;
    pid_path("status", path);
    open_before = guest_open(&guest, path, O_RDONLY);
    assert_true(open_before >= 0);
    guest_kill(&guest);
    assert_int_equal(guest_open(&guest, path, O_RDONLY), -ENOENT);
    assert_int_equal(guest_value(&guest, open_before, SYS_read, 0, 1, 0), -ESRCH);
}

static void test_other_users(void **state)
{
    static const char *const private_files[] = {"environ", "maps", "auxv", "io", "smaps", "fd/0"};
    char path[256], text[64];

    (void)state;
    guest.actor.identity = &guest.other;
    guest.actor.pid = guest.actor.tid = 1;
    for (size_t i = 0; i < array_length(private_files); i++) {
        pid_path(private_files[i], path);
        assert_int_equal(guest_open(&guest, path, O_RDONLY), -EACCES);
    }
    pid_path("exe", path);
    assert_int_equal(guest_readlink(&guest, path, text, sizeof(text)), -EACCES);
    pid_path("status", path);
    base_close(guest_open(&guest, path, O_RDONLY));
    guest.other.effective = 1ULL << 19; /* CAP_SYS_PTRACE */
    pid_path("exe", path);
    assert_true(guest_readlink(&guest, path, text, sizeof(text)) > 0);
}

static void test_links(void **state)
{
    char path[256], text[256], expected[64];
    struct statx exe, program;

    (void)state;
    assert_true(guest_readlink(&guest, "/proc/self", text, sizeof(text)) > 0);
    assert_int_equal(strtol(text, NULL, 10), guest.pid);
    snprintf(expected, sizeof(expected), "%d/task/%d", guest.pid, guest.pid);
    assert_true(guest_readlink(&guest, "/proc/thread-self", text, sizeof(text)) > 0);
    assert_string_equal(text, expected);
    assert_true(guest_readlink(&guest, "/proc/self/exe", text, sizeof(text)) > 0);
    assert_string_equal(text, "/usr/bin/env");
    assert_true(guest_readlink(&guest, "/proc/self/cwd", text, sizeof(text)) > 0);
    assert_string_equal(text, "/");
    /* following leads to the object itself, in the guest's tree */
    base_close(guest_open(&guest, "/proc/self/exe", O_RDONLY));
    assert_int_equal(guest_stat(&guest, "/proc/self/root/usr/bin/env", &exe), 0);
    assert_int_equal(guest_stat(&guest, "/usr/bin/env", &program), 0);
    assert_int_equal(exe.stx_ino, program.stx_ino);
    assert_int_equal(guest_open(&guest, "/proc/self/root/etc/passwd", O_RDONLY), -ENOENT);
    pid_path("ns/net", path);
    assert_true(guest_readlink(&guest, path, text, sizeof(text)) > 0);
    assert_memory_equal(text, "net:[", 5);
    assert_int_equal(guest_open(&guest, path, O_RDONLY), -EACCES);
    assert_int_equal(guest_open(&guest, "/proc/self/mem", O_RDWR), -EACCES);
}

/* ---- descriptors ---- */

static void become_root(void)
{
    static struct pk_identity root;

    root = (struct pk_identity){.effective = ~0ULL, .permitted = ~0ULL};
    guest.actor.identity = &root;
}

/* Who the caller is said to be where a call comes to a descriptor that is open already. */
static void become_root_in_calls(void)
{
    static struct pk_context root;

    root = *guest.request.context;
    root.identity = *guest.actor.identity;
    guest.request.context = &root;
}

static void give_fd(int fd, int number)
{
    /* Into the guest without its help: a second guest inherits it. */
    guest_kill(&guest);
    assert_true(dup2(fd, number) >= 0);
    guest.pid = guest_fork();
    close(number);
    guest.kernel->root_pid = guest.pid;
    assert_int_equal(pk_context_tag(guest.pid, guest.request.context->id), 0);
    guest.task = pk_task_find(guest.kernel, guest.pid);
    guest.request.task = guest.task;
    guest.actor.pid = guest.actor.tid = guest.pid;
}

static void test_descriptors(void **state)
{
    cleanup_close int file = open("/usr/bin/env", O_RDONLY);
    cleanup_close int again = -1;
    char text[256], byte, theirs;
    static struct names names;

    (void)state;
    assert_true(file >= 0);
    assert_true(lseek(file, 100, SEEK_SET) == 100);
    give_fd(file, 77);
    list("/proc/self/fd", &names);
    assert_non_null(strstr(names.text, "77 "));
    assert_true(guest_readlink(&guest, "/proc/self/fd/77", text, sizeof(text)) > 0);
    assert_string_equal(text, "/usr/bin/env");
    assert_int_equal(guest_readlink(&guest, "/proc/self/fd/78", text, sizeof(text)), -ENOENT);
    assert_int_equal(guest_readlink(&guest, "/proc/self/fd/077", text, sizeof(text)), -ENOENT);
    again = guest_open(&guest, "/proc/self/fd/77", O_RDONLY);
    assert_true(again >= 0);
    assert_int_equal(read(again, &byte, 1), 1); /* a description of its own, at the start */
    assert_int_equal(pread(file, &theirs, 1, 0), 1);
    assert_int_equal(byte, theirs);
    assert_int_equal(lseek(file, 0, SEEK_CUR), 100);
    cleanup_strbuf struct strbuf info = {0};
    guest_text(&guest, "/proc/self/fdinfo/77", &info);
    expect_line(strbuf_text(&info), "pos:\t100\n");
    expect_line(strbuf_text(&info), "flags:\t0100000\n");
}

/* A file of the memory file system is a memfd on the host; maps shows what the guest calls it. */
static void test_maps_of_memory_file(void **state)
{
    cleanup_strbuf struct strbuf maps = {0};
    cleanup_close int fd = -1;
    const struct pk_identity *own = guest.actor.identity;
    void *mapping;

    (void)state;
    become_root();
    fd = guest_open(&guest, "/library.so", O_CREAT | O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 8192), 0);
    mapping = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(mapping != MAP_FAILED);
    give_fd(fd, 77); /* the new guest inherits the mapping too */
    munmap(mapping, 4096);
    guest.actor.identity = own;
    task_text("maps", &maps);
    expect_line(strbuf_text(&maps), " /library.so\n");
    assert_null(strstr(strbuf_text(&maps), "/memfd:library"));
}

static void test_pipe_and_socket(void **state)
{
    int ends[2], pair[2];
    char text[64];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    give_fd(ends[0], 77);
    assert_true(guest_readlink(&guest, "/proc/self/fd/77", text, sizeof(text)) > 0);
    assert_memory_equal(text, "pipe:[", 6);
    give_fd(pair[0], 77);
    assert_true(guest_readlink(&guest, "/proc/self/fd/77", text, sizeof(text)) > 0);
    assert_memory_equal(text, "socket:[", 8);
    assert_int_equal(guest_open(&guest, "/proc/self/fd/77", O_RDWR), -ENXIO);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(pair[i]);
    }
}

/* ---- writing ---- */

static int64_t write_text(const char *path, const char *text)
{
    cleanup_close int fd = guest_open(&guest, path, O_WRONLY);

    if (fd < 0)
        return fd;
    return guest_value(&guest, fd, SYS_write, (uint64_t)(uintptr_t)text, strlen(text), 0);
}

static void expect_text(const char *path, const char *expected)
{
    cleanup_strbuf struct strbuf text = {0};

    guest_text(&guest, path, &text);
    assert_string_equal(strbuf_text(&text), expected);
}

static void test_controls(void **state)
{
    cleanup_strbuf struct strbuf before = {0}, after = {0};
    const char *somaxconn = "/proc/sys/net/core/somaxconn";

    (void)state;
    assert_true(io_read_file(AT_FDCWD, somaxconn, 64, &before) >= 0);
    assert_int_equal(write_text(somaxconn, "9999\n"), -EACCES);
    become_root();
    assert_int_equal(write_text(somaxconn, "9999\n"), 5);
    expect_text(somaxconn, "9999\n");
    assert_int_equal(write_text(somaxconn, "1 2\n"), -EINVAL);
    assert_int_equal(write_text(somaxconn, "12x\n"), -EINVAL);
    assert_int_equal(write_text(somaxconn, "\n"), -EINVAL);
    expect_text(somaxconn, "9999\n");
    assert_true(io_read_file(AT_FDCWD, somaxconn, 64, &after) >= 0);
    assert_string_equal(strbuf_text(&before), strbuf_text(&after)); /* the host's is as it was */
    assert_int_equal(write_text("/proc/sys/kernel/osrelease", "x"), -EACCES);
    assert_int_equal(write_text("/proc/meminfo", "x"), -EACCES);
    assert_int_equal(write_text("/proc/sys/kernel/hostname", "box\nmore"), 8);
    expect_text("/proc/sys/kernel/hostname", "box\n");
}

static void test_uuid(void **state)
{
    cleanup_strbuf struct strbuf one = {0}, two = {0};

    (void)state;
    guest_text(&guest, "/proc/sys/kernel/random/uuid", &one);
    guest_text(&guest, "/proc/sys/kernel/random/uuid", &two);
    assert_int_equal(one.length, 37);
    assert_string_not_equal(strbuf_text(&one), strbuf_text(&two));
    assert_int_equal(strbuf_text(&one)[14], '4');
}

static void test_oom_score(void **state)
{
    cleanup_strbuf struct strbuf host = {0};

    (void)state;
    assert_int_equal(write_text("/proc/self/oom_score_adj", "500"), 3);
    expect_text("/proc/self/oom_score_adj", "500\n");
    host_text("oom_score_adj", &host);
    assert_string_equal(strbuf_text(&host), "500\n");
    assert_int_equal(write_text("/proc/self/oom_score_adj", "499"), -EACCES);
    assert_int_equal(write_text("/proc/self/oom_score_adj", "1001"), -EINVAL);
    assert_int_equal(write_text("/proc/self/oom_score_adj", "x"), -EINVAL);
    become_root(); /* a made-up root must not go before the host's own processes */
    become_root_in_calls();
    assert_int_equal(write_text("/proc/self/oom_score_adj", "-1000"), 5);
    expect_text("/proc/self/oom_score_adj", "-1000\n");
    strbuf_free(&host);
    host_text("oom_score_adj", &host);
    assert_string_equal(strbuf_text(&host), "500\n");
    assert_int_equal(write_text("/proc/self/oom_score_adj", "600"), 3);
    expect_text("/proc/self/oom_score_adj", "600\n");
}

static void test_comm_of_self(void **state)
{
    char own[16];

    (void)state;
    expect_text("/proc/self/comm", "guest (1) x\n");
    prctl(PR_GET_NAME, own);
    /* the port's injected calls run in this thread */
    assert_int_equal(write_text("/proc/self/comm", "renamed-thread-of-test\n"), 23);
    char now[16];
    prctl(PR_GET_NAME, now);
    assert_string_equal(now, "renamed-thread-");
    prctl(PR_SET_NAME, own);
}

static void test_comm_of_sibling(void **state)
{
    (void)state;
    guest.actor.tid = guest.pid + 1; /* another thread of the same process writes */
    cleanup_strbuf struct strbuf status = {0}, stat = {0};
    struct pseudo_node node = {.pid = guest.pid};
    struct vfs_walk walk = guest_walk(&guest, "/proc/self/comm");
    cleanup_place struct vfs_place *place = NULL;
    struct pseudo_access access = {0};
    cleanup_close int fd = -1;
    struct vfs_handle *handle;

    assert_int_equal(vfs_resolve(guest.vfs, &walk, &place), 0);
    fd = guest_open(&guest, "/proc/self/comm", O_RDONLY);
    handle = vfs_handle_of_fd(guest.vfs, fd);
    assert_non_null(handle);
    access.fs = pseudo_fs_of(handle->node->fs);
    access.node = &node;
    access.actor = &guest.actor;
    assert_int_equal(proc_comm_store(&access, "a\\b\n", 4), 0);
    expect_text("/proc/self/comm", "a\\b\n\n"); /* as the kernel: the line feed is part of it */
    task_text("status", &status);
    expect_line(strbuf_text(&status), "Name:\ta\\\\b\\n\n");
    task_text("stat", &stat);
    expect_line(strbuf_text(&stat), "(a\\b\n) "); /* only status escapes */
}

/* ---- mounts and network ---- */

static void test_mounts(void **state)
{
    cleanup_strbuf struct strbuf mounts = {0}, info = {0};
    int id, parent;

    (void)state;
    guest_text(&guest, "/proc/mounts", &mounts);
    expect_line(strbuf_text(&mounts), "tmpfs / tmpfs rw,relatime 0 0\n");
    expect_line(strbuf_text(&mounts), "proc /proc proc rw,relatime 0 0\n");
    expect_line(strbuf_text(&mounts), "cgroup2 /sys/fs/cgroup cgroup2 ro,relatime 0 0\n");
    guest_text(&guest, "/proc/self/mountinfo", &info);
    assert_int_equal(sscanf(strbuf_text(&info), "%d %d %*u:%*u / / rw", &id, &parent), 2);
    expect_line(strbuf_text(&info), " / /usr rw,relatime - ext4 ext4 rw\n");
}

static void test_no_network(void **state)
{
    cleanup_strbuf struct strbuf tcp = {0}, dev = {0}, sockets = {0};
    cleanup_close int listener = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(listen(listener, 1), 0); /* the host's table is not empty now */
    guest_text(&guest, "/proc/net/tcp", &tcp);
    assert_int_equal(strcspn(strbuf_text(&tcp), "\n") + 1, tcp.length);
    guest_text(&guest, "/proc/net/dev", &dev);
    assert_int_equal(count_words(strstr(strbuf_text(&dev), "lo:")), 17);
    assert_null(strstr(strbuf_text(&dev), "eth"));
    guest_text(&guest, "/proc/net/unix", &sockets);
    assert_int_equal(strcspn(strbuf_text(&sockets), "\n") + 1, sockets.length);
}

/* ---- sys ---- */

static void test_sys(void **state)
{
    cleanup_strbuf struct strbuf ours = {0}, theirs = {0};
    static struct names names;
    struct statx stat;

    (void)state;
    guest_text(&guest, "/sys/devices/system/cpu/online", &ours);
    assert_true(io_read_file(AT_FDCWD, "/sys/devices/system/cpu/online", 4096, &theirs) >= 0);
    assert_string_equal(strbuf_text(&ours), strbuf_text(&theirs));
    assert_int_equal(guest_stat(&guest, "/sys/devices/system/cpu/cpu0", &stat), 0);
    assert_true(S_ISDIR(stat.stx_mode));
    list("/sys/devices/system/cpu", &names);
    assert_non_null(strstr(names.text, "cpu0 "));
    list("/sys/class/net", &names);
    assert_string_equal(names.text, "lo ");
    assert_int_equal(guest_open(&guest, "/sys/devices/system/cpu/online", O_RDWR), -EACCES);
    assert_int_equal(guest_open(&guest, "/sys/kernel/debug", O_RDONLY), -EACCES);
    assert_int_equal(guest_open(&guest, "/sys/kernel/debug/cerebro", O_RDONLY), -EACCES);
    expect_text("/sys/fs/cgroup/memory.max", "max\n");
}

static void test_control_group(void **state)
{
    struct vfs_walk walk = guest_walk(&guest, "/sys/fs/cgroup");
    cleanup_place struct vfs_place *place = NULL;
    cleanup_strbuf struct strbuf current = {0};
    struct statfs statfs;
    char pid[32];

    (void)state;
    expect_text("/sys/fs/cgroup/memory.max", "268435456\n");
    expect_text("/sys/fs/cgroup/pids.max", "33\n");
    expect_text("/sys/fs/cgroup/pids.current", "1\n");
    expect_text("/proc/sys/kernel/threads-max", "33\n");
    snprintf(pid, sizeof(pid), "%d\n", guest.pid);
    expect_text("/sys/fs/cgroup/cgroup.procs", pid);
    guest_text(&guest, "/sys/fs/cgroup/memory.current", &current);
    assert_in_range(strtoull(strbuf_text(&current), NULL, 10), 4096, 1ULL << 40);
    assert_int_equal(vfs_resolve(guest.vfs, &walk, &place), 0);
    assert_int_equal(vfs_statfs(place, &statfs), 0);
    assert_int_equal(statfs.f_type, 0x63677270);
}

#define TEST(function)         cmocka_unit_test_setup_teardown(function, setup, teardown)
#define TEST_LIMITED(function) cmocka_unit_test_setup_teardown(function, setup_limited, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_line),
        TEST(test_inodes),
        TEST(test_listings),
        TEST(test_status),
        TEST(test_stat),
        TEST(test_stat_hides_addresses),
        TEST(test_limits),
        TEST(test_system_files),
        TEST(test_kernel_config),
        TEST(test_maps),
        TEST(test_rewrite_maps),
        TEST(test_strangers_are_hidden),
        TEST(test_dead_process),
        TEST(test_other_users),
        TEST(test_links),
        TEST(test_descriptors),
        TEST(test_maps_of_memory_file),
        TEST(test_pipe_and_socket),
        TEST(test_controls),
        TEST(test_uuid),
        TEST(test_oom_score),
        TEST(test_comm_of_self),
        TEST(test_comm_of_sibling),
        TEST(test_mounts),
        TEST(test_no_network),
        TEST(test_sys),
        TEST_LIMITED(test_memory_limit),
        TEST_LIMITED(test_control_group),
    };

    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
