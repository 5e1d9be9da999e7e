/*
 * Descriptors and the places behind them: what a guest has open and what it is called, files from
 * outside, kernel-served directories, generated files, and the tables that hold them.
 */
#include "vfs_fixture.h"

#include <sys/mman.h>

/* ---- descriptors ---- */

static void expect_text(struct fixture *f, int fd, const char *expected)
{
    char text[4096];

    assert_true(vfs_describe_fd(f->vfs, fd, text, sizeof(text)) > 0);
    assert_string_equal(text, expected);
}

static void test_places_of_descriptors(void **state)
{
    struct fixture *f = *state;
    int fd = open_at(f, "/dir/sub", O_RDONLY, NULL);
    int file = open_at(f, "/dir/other", O_RDWR, NULL);
    int outside = open("/", O_RDONLY | O_CLOEXEC);
    struct vfs_place *place = NULL;
    char link[IO_FD_PATH_SIZE];
    ssize_t length;
    int pipes[2];
    char text[64];

    expect_text(f, fd, "/dir/sub");
    expect_text(f, file, "/dir/other");
    expect_text(f, outside, "/(outside)");
    assert_int_equal(vfs_rename(f->top, "dir", f->top, "moved", 0, &f->actor), 0);
    expect_text(f, fd, "/moved/sub");
    expect_text(f, file, "/moved/other");
    assert_int_equal(vfs_directory_of_fd(f->vfs, file, &place), -ENOTDIR);
    assert_int_equal(vfs_directory_of_fd(f->vfs, fd, &place), 0);
    assert_int_equal(vfs_mkdir(place, "below", 0755, &f->actor), 0);
    assert_int_equal(vfs_unlink(place, "below", true, &f->actor), 0);
    vfs_place_unref(place);
    place = place_at(f, "/moved");
    assert_int_equal(vfs_unlink(place, "sub", true, &f->actor), 0);
    assert_int_equal(vfs_unlink(place, "other", false, &f->actor), 0);
    vfs_place_unref(place);
    expect_text(f, fd, "/moved/sub (deleted)");
    expect_text(f, file, "/moved/other (deleted)");
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    length = readlink(io_fd_path(pipes[0], link), text, sizeof(text) - 1);
    assert_true(length > 0);
    text[length] = '\0';
    expect_text(f, pipes[0], strncmp(text, "pipe:[", 6) == 0 ? text : "?");
    close(pipes[0]);
    close(pipes[1]);
    close(outside);
    close(fd);
    close(file);
}

static void test_foreign_descriptor(void **state)
{
    struct fixture *f = *state;
    int pipes[2];
    struct vfs_place *place;
    struct statx stat;
    struct vfs_walk walk = walk_of(f, "x", 0);

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(vfs_place_of_fd(f->vfs, pipes[1], &place), 0);
    assert_int_equal(vfs_stat(place, &stat), 0);
    assert_int_equal(stat.stx_mode & S_IFMT, S_IFIFO);
    assert_int_equal(vfs_chmod(place, 0600, &f->actor), 0);
    walk.base = place;
    {
        struct vfs_place *none = NULL;

        assert_int_equal(vfs_resolve(f->vfs, &walk, &none), -ENOTDIR);
    }
    vfs_place_unref(place);
    close(pipes[0]);
    close(pipes[1]);
}

/* What was handed in for reading cannot be reopened for writing. */
static void test_foreign_reopen(void **state)
{
    struct fixture *f = *state;
    char outside[] = "/tmp/host-outside-XXXXXX";
    int original = mkstemp(outside);
    int fd = open(outside, O_RDONLY | O_CLOEXEC);
    struct vfs_open_request request = {.actor = &f->actor, .flags = O_RDWR};
    struct vfs_opened opened = {.fd = -1};
    struct vfs_place *place;

    assert_int_equal(vfs_place_of_fd(f->vfs, fd, &place), 0);
    assert_string_equal(vfs_place_path(place), "/(outside)");
    assert_int_equal(place->node->fs->ops->open(place->node, &request, &opened), -EACCES);
    request.flags = O_RDONLY | O_TRUNC;
    assert_int_equal(place->node->fs->ops->open(place->node, &request, &opened), -EACCES);
    request.flags = O_RDONLY;
    assert_int_equal(place->node->fs->ops->open(place->node, &request, &opened), 0);
    close(opened.fd);
    vfs_place_unref(place);
    unlink(outside);
    close(original);
    close(fd);
}

/*
 * A file of an overlay's lower stays what it is on the host, whatever the guest does to it through
 * a descriptor that it still holds after it has removed the name.
 */
static void test_removed_lower_file(void **state)
{
    static const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct fixture *f = *state;
    struct vfs_fs *lower, *upper, *overlay;
    struct vfs_place *place, *top;
    struct stat before, after;
    char host[64];
    int fd;

    snprintf(host, sizeof(host), "%s/dir", f->root);
    assert_int_equal(vfs_host_new(f->vfs, host, &lower), 0);
    assert_int_equal(vfs_memory_new(f->vfs, 0, 0, 0755, &upper), 0);
    assert_int_equal(vfs_overlay_new(f->vfs, lower, upper, &overlay), 0);
    assert_int_equal(vfs_mount(f->vfs, "/mem", overlay, 0, "overlay", "overlay"), 0);
    fd = open_at(f, "/mem/other", O_RDONLY, NULL);
    assert_true(fd >= 0);
    expect_text(f, fd, "/mem/other");
    assert_int_equal(fstat(fd, &before), 0);
    top = place_at(f, "/mem");
    assert_int_equal(vfs_unlink(top, "other", false, &f->actor), 0);
    assert_int_equal(vfs_place_of_fd(f->vfs, fd, &place), 0);
    assert_int_equal(vfs_chmod(place, 0, &f->actor), -EPERM);
    assert_int_equal(vfs_utimens(place, times, &f->actor, true), -EPERM);
    assert_int_equal(vfs_setxattr(place, "user.x", "y", 1, 0, &f->actor), -EPERM);
    assert_true(vfs_chown(place, 1, 1, &f->actor) < 0);
    assert_true(vfs_truncate(place, 0, &f->actor) < 0);
    assert_int_equal(vfs_link(place, top, "back", &f->actor), -EXDEV);
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
    vfs_place_unref(place);
    vfs_place_unref(top);
    close(fd);
}

/* Devices are the host's own: their attributes would be changed for everybody. */
static void test_foreign_device(void **state)
{
    struct fixture *f = *state;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct vfs_place *place;

    assert_int_equal(vfs_place_of_fd(f->vfs, fd, &place), 0);
    assert_string_equal(vfs_place_path(place), "/dev/null");
    assert_int_equal(vfs_chmod(place, 0666, &f->actor), -EPERM);
    assert_int_equal(vfs_chown(place, 0, 0, &f->actor), -EPERM);
    vfs_place_unref(place);
    close(fd);
}

static void test_temporary_file_gets_a_name(void **state)
{
    struct fixture *f = *state;
    int fd = open_at(f, "/dir", O_RDWR | O_TMPFILE, NULL);
    struct vfs_place *place, *dir = place_at(f, "/dir");

    assert_true(fd >= 0);
    assert_int_equal(vfs_place_of_fd(f->vfs, fd, &place), 0);
    assert_int_equal(vfs_link(place, dir, "named", &f->actor), 0);
    expect_open(f, "/dir/named", O_RDONLY, 0);
    vfs_place_unref(place);
    vfs_place_unref(dir);
    close(fd);
}

static void test_getdents_of_host(void **state)
{
    struct fixture *f = *state;
    int fd = open_at(f, "/dir", O_RDONLY | O_DIRECTORY, NULL);
    int file = open_at(f, "/file", O_RDONLY, NULL);
    int copy = dup(fd);
    unsigned char buffer[1024];

    assert_true(vfs_getdents(f->vfs, copy, buffer, sizeof(buffer), &f->actor) > 0);
    /* The duplicate has moved the guest's own position. */
    assert_int_equal(vfs_getdents(f->vfs, fd, buffer, sizeof(buffer), &f->actor), 0);
    assert_int_equal(vfs_getdents(f->vfs, file, buffer, sizeof(buffer), &f->actor), -ENOTDIR);
    close(copy);
    close(fd);
    close(file);
}

/* ---- kernel-served directories ---- */

struct dirent_record {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
} __attribute__((packed));

static int list_all(struct fixture *f, int fd, size_t size, char names[200][32])
{
    unsigned char buffer[4096];
    ssize_t length;
    int count = 0;

    while ((length = vfs_getdents(f->vfs, fd, buffer, size, &f->actor)) > 0)
        for (ssize_t at = 0; at < length;) {
            struct dirent_record *record = (struct dirent_record *)(buffer + at);

            assert_true(count < 200);
            assert_int_equal(record->length % 8, 0);
            assert_true(record->inode != 0);
            snprintf(names[count++], 32, "%s", record->name);
            at += record->length;
        }
    assert_int_equal(length, 0);
    return count;
}

static void test_served_directory(void **state)
{
    struct fixture *f = *state;
    static char names[200][32];
    struct vfs_place *mem;
    struct vfs_opened opened;
    unsigned char small[16];
    char name[16];
    int fd;

    assert_int_equal(mount_memory(f), 0);
    mem = place_at(f, "/mem");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(vfs_mkdir(mem, name, 0755, &f->actor), 0);
    }
    fd = open_at(f, "/mem", O_RDONLY | O_DIRECTORY, &opened);
    assert_true(fd >= 0 && opened.window);
    assert_true(write(fd, "x", 1) < 0);
    assert_int_equal(vfs_getdents(f->vfs, fd, small, sizeof(small), &f->actor), -EINVAL);
    assert_int_equal(list_all(f, fd, 100, names), 102);
    assert_string_equal(names[0], ".");
    assert_string_equal(names[1], "..");
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(list_all(f, fd, 4096, names), 102);
    expect_text(f, fd, "/mem");
    vfs_place_unref(mem);
    assert_int_equal(vfs_directory_of_fd(f->vfs, fd, &mem), 0);
    assert_string_equal(vfs_place_path(mem), "/mem");
    vfs_place_unref(mem);
    close(fd);
}

static void test_memory_file_by_descriptor(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *mem, *place;
    struct statx stat;
    int fd;

    assert_int_equal(mount_memory(f), 0);
    mem = place_at(f, "/mem");
    fd = open_at(f, "/mem/file", O_RDWR | O_CREAT, NULL);
    assert_true(fd >= 0);
    expect_text(f, fd, "/mem/file");
    assert_int_equal(vfs_rename(mem, "file", mem, "renamed", 0, &f->actor), 0);
    expect_text(f, fd, "/mem/renamed");
    assert_int_equal(vfs_place_of_fd(f->vfs, fd, &place), 0);
    assert_int_equal(vfs_chmod(place, 0604, &f->actor), 0);
    assert_int_equal(vfs_stat(place, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG | 0604);
    vfs_place_unref(place);
    assert_int_equal(vfs_unlink(mem, "renamed", false, &f->actor), 0);
    expect_text(f, fd, "/mem/renamed (deleted)");
    vfs_place_unref(mem);
    close(fd);
}

static void test_o_path(void **state)
{
    struct fixture *f = *state;
    struct vfs_opened opened;
    struct vfs_place *place;
    int fd;

    assert_int_equal(mount_memory(f), 0);
    fd = open_at(f, "/mem", O_PATH, &opened);
    assert_true(fd >= 0);
    /* A real one could not be installed in a guest. */
    assert_false(fcntl(fd, F_GETFL) & O_PATH);
    assert_true(vfs_is_path_only(f->vfs, fd));
    expect_text(f, fd, "/mem");
    assert_int_equal(vfs_directory_of_fd(f->vfs, fd, &place), 0);
    vfs_place_unref(place);
    close(fd);
    fd = open_at(f, "/link", O_PATH | O_NOFOLLOW, &opened);
    assert_int_equal(vfs_place_of_fd(f->vfs, fd, &place), 0);
    assert_int_equal(vfs_place_type(place), S_IFLNK);
    assert_string_equal(vfs_place_path(place), "/link");
    vfs_place_unref(place);
    close(fd);
}

/* ---- generated files and calls on handles ---- */

static unsigned char guest_memory[8192]; /* guest address N is guest_memory[N] */

static ssize_t guest_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    (void)request;
    if (address + length > sizeof(guest_memory))
        return -EFAULT;
    memcpy(bytes, guest_memory + address, length);
    return (ssize_t)length;
}

static ssize_t guest_write(struct pk_request *request, uint64_t address, const void *bytes,
                           size_t length)
{
    (void)request;
    if (address + length > sizeof(guest_memory))
        return -EFAULT;
    memcpy(guest_memory + address, bytes, length);
    return (ssize_t)length;
}

static const struct pk_port_ops guest_port = {.read = guest_read, .write = guest_write};

static struct pk_answer call(struct fixture *f, int fd, int nr, uint64_t a1, uint64_t a2,
                             uint64_t a3)
{
    struct pk_context context = {.identity = f->identity};
    struct pk_request request = {.kernel = &f->kernel,
                                 .context = &context,
                                 .nr = nr,
                                 .args = {(uint64_t)fd, a1, a2, a3},
                                 .port = &guest_port};
    struct vfs_handle *handle = vfs_handle_of_fd(f->vfs, fd);

    assert_non_null(handle);
    return vfs_handle_call(handle, &request, fd);
}

struct counter {
    int made;
    char stored[64];
};

static int counter_make(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                        struct strbuf *ret_text)
{
    struct counter *counter = cookie;

    (void)node;
    (void)actor;
    counter->made++;
    strbuf_addf(ret_text, "%d%s\n", counter->made, counter->made == 1 ? " and more" : "");
    return 0;
}

static int counter_store(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                         const char *text, size_t length)
{
    struct counter *counter = cookie;

    (void)node;
    (void)actor;
    if (length >= sizeof(counter->stored))
        return -EINVAL;
    memcpy(counter->stored, text, length);
    counter->stored[length] = '\0';
    return 0;
}

static struct vfs_opened open_counter(struct fixture *f, struct counter *counter, int flags,
                                      bool live, bool writable)
{
    struct vfs_generated generated = {
        .regenerate = counter_make, .store = writable ? counter_store : NULL, .cookie = counter};
    struct vfs_open_request request = {.actor = &f->actor, .flags = flags};
    struct vfs_opened opened = {.fd = -1};

    assert_int_equal(vfs_open_generated(f->top->node, &request, &generated, live, &opened), 0);
    return opened;
}

static void test_generated_snapshot(void **state)
{
    struct fixture *f = *state;
    struct counter counter = {0};
    struct vfs_generated generated = {.regenerate = counter_make, .cookie = &counter};
    struct vfs_open_request request = {.actor = &f->actor, .flags = O_WRONLY};
    struct vfs_opened opened = open_counter(f, &counter, O_RDONLY, false, false);
    char text[32] = "";

    assert_false(opened.window);
    assert_int_equal(pread(opened.fd, text, sizeof(text), 0), 11);
    assert_string_equal(text, "1 and more\n");
    assert_true(write(opened.fd, "x", 1) < 0);
    close(opened.fd);
    assert_int_equal(vfs_open_generated(f->top->node, &request, &generated, false, &opened),
                     -EACCES);
}

/* What is in the memfd of a generated file or a directory, nobody changes. */
static void expect_sealed(int fd)
{
    const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    int flags = fcntl(fd, F_GETFL) & O_ACCMODE;

    assert_int_equal(fcntl(fd, F_GET_SEALS) & all, all);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, flags == O_RDONLY ? EBADF : EPERM);
    assert_int_equal(ftruncate(fd, 10000), -1);
    assert_int_equal(fallocate(fd, 0, 0, 4096), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
}

static void test_generated_files_are_sealed(void **state)
{
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR};
    struct fixture *f = *state;
    struct counter counter = {0};
    struct vfs_opened opened;

    for (int live = 0; live < 2; live++)
        for (size_t i = 0; i < array_length(flags); i++) {
            opened = open_counter(f, &counter, flags[i], live, true);
            assert_true(opened.window);
            expect_sealed(opened.fd);
            close(opened.fd);
        }
    for (int live = 0; live < 2; live++) {
        opened = open_counter(f, &counter, O_RDONLY, live, false);
        expect_sealed(opened.fd);
        close(opened.fd);
    }
    assert_int_equal(mount_memory(f), 0);
    assert_true(open_at(f, "/mem", O_RDONLY, &opened) >= 0);
    expect_sealed(opened.fd);
    close(opened.fd);
    assert_true(open_at(f, "/mem", O_PATH, &opened) >= 0);
    expect_sealed(opened.fd);
    close(opened.fd);
}

/* A live file that is only read, and one that is only written. */
static void test_generated_directions(void **state)
{
    struct fixture *f = *state;
    struct counter counter = {0};
    struct vfs_opened opened = open_counter(f, &counter, O_RDONLY, true, true);

    assert_int_equal(call(f, opened.fd, SYS_write, 0, 1, 0).value, -EBADF);
    assert_int_equal(call(f, opened.fd, SYS_read, 0, 1, 0).value, 1);
    assert_int_equal(lseek(opened.fd, 0, SEEK_CUR), 1);
    assert_int_equal(call(f, opened.fd, SYS_read, 9000, 1, 0).value, -EFAULT);
    assert_int_equal(lseek(opened.fd, 0, SEEK_CUR), 1);
    close(opened.fd);
    opened = open_counter(f, &counter, O_WRONLY, true, true);
    assert_int_equal(call(f, opened.fd, SYS_read, 0, 1, 0).value, -EBADF);
    assert_int_equal(call(f, opened.fd, SYS_write, 0, 1, 0).value, 1);
    close(opened.fd);
}

static void test_generated_live(void **state)
{
    struct fixture *f = *state;
    struct counter counter = {0};
    struct vfs_opened opened = open_counter(f, &counter, O_RDWR, true, true);
    struct iovec *vector = (struct iovec *)(void *)(guest_memory + 256);

    assert_true(opened.window);
    assert_int_equal(call(f, opened.fd, SYS_read, 0, 100, 0).value, 2);
    assert_memory_equal(guest_memory, "2\n", 2);
    /* Not at the start: the rest of the same text. */
    assert_int_equal(call(f, opened.fd, SYS_read, 0, 100, 0).value, 0);
    assert_int_equal(counter.made, 2);
    assert_int_equal(call(f, opened.fd, SYS_pread64, 0, 100, 0).value, 2);
    assert_int_equal(counter.made, 3);
    assert_int_equal(call(f, opened.fd, SYS_pread64, 0, 100, 1).value, 1);
    assert_int_equal(guest_memory[0], '\n');
    assert_int_equal(counter.made, 3);
    assert_int_equal(lseek(opened.fd, 0, SEEK_SET), 0);
    vector[0] = (struct iovec){(void *)8, 1};
    vector[1] = (struct iovec){(void *)0, 7};
    assert_int_equal(call(f, opened.fd, SYS_readv, 256, 2, 0).value, 2);
    assert_int_equal(guest_memory[8], '4');
    assert_int_equal(guest_memory[0], '\n');
    memcpy(guest_memory, "one two", 7);
    assert_int_equal(call(f, opened.fd, SYS_write, 0, 7, 0).value, 7);
    assert_string_equal(counter.stored, "one two");
    vector[0] = (struct iovec){(void *)4, 3};
    vector[1] = (struct iovec){(void *)0, 3};
    assert_int_equal(call(f, opened.fd, SYS_writev, 256, 2, 0).value, 6);
    assert_string_equal(counter.stored, "twoone");
    assert_int_equal(call(f, opened.fd, SYS_write, 9000, 7, 0).value, -EFAULT);
    assert_int_equal(call(f, opened.fd, SYS_write, 0, 1 << 20, 0).value, -EINVAL);
    assert_int_equal(call(f, opened.fd, SYS_getdents64, 0, 100, 0).value, -ENOTDIR);
    assert_int_equal(call(f, opened.fd, SYS_mmap, 0, 100, 0).value, -ENODEV);
    close(opened.fd);
}

static void test_calls_on_directory(void **state)
{
    struct fixture *f = *state;
    struct vfs_opened opened;
    struct dirent_record *record = (struct dirent_record *)(void *)guest_memory;

    assert_int_equal(mount_memory(f), 0);
    assert_true(open_at(f, "/mem", O_RDONLY, &opened) >= 0);
    assert_int_equal(call(f, opened.fd, SYS_read, 0, 10, 0).value, -EISDIR);
    assert_int_equal(call(f, opened.fd, SYS_write, 0, 10, 0).value, -EBADF);
    assert_int_equal(call(f, opened.fd, SYS_lseek, 0, 0, 0).kind, PK_ANSWER_NATIVE);
    assert_int_equal(call(f, opened.fd, SYS_getdents64, 0, 4096, 0).value, 48);
    assert_string_equal(record->name, ".");
    assert_int_equal(record->type, DT_DIR);
    lseek(opened.fd, 0, SEEK_SET);
    assert_int_equal(call(f, opened.fd, SYS_getdents, 0, 4096, 0).value, 48);
    assert_string_equal((char *)guest_memory + 18, ".");
    assert_int_equal(guest_memory[23], DT_DIR);
    lseek(opened.fd, 0, SEEK_SET);
    assert_int_equal(call(f, opened.fd, SYS_getdents64, 8190, 4096, 0).value, -EFAULT);
    close(opened.fd);
}

/* A child holds one of many handles; the sweep leaves that one and lets the others go. */
static void test_sweep(void **state)
{
    struct fixture *f = *state;
    struct vfs_opened held, opened;
    struct map_slot *slot;
    size_t cursor = 0;
    pid_t pid;

    assert_int_equal(mount_memory(f), 0);
    assert_true(open_at(f, "/mem", O_RDONLY, &held) >= 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    for (int i = 0; i < VFS_HANDLES_SWEEP - 1; i++) {
        assert_true(open_at(f, "/mem", O_RDONLY, &opened) >= 0);
        close(opened.fd);
    }
    assert_int_equal(f->vfs->handles.count, VFS_HANDLES_SWEEP);
    while ((slot = map_next(&f->vfs->handles, &cursor)))
        ((struct vfs_handle *)slot->value)->registered_ns = 0; /* all old */
    assert_true(open_at(f, "/mem", O_RDONLY, &opened) >= 0);
    assert_int_equal(f->vfs->handles.count, 2);
    assert_non_null(vfs_handle_of_fd(f->vfs, held.fd));
    assert_non_null(vfs_handle_of_fd(f->vfs, opened.fd));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(held.fd);
    close(opened.fd);
}

static void test_remembered_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *place;
    int first = -1;

    for (int i = 0; i < VFS_REMEMBERED_MAX + 20; i++) {
        char name[32];
        int fd;

        snprintf(name, sizeof(name), "d%d", i);
        assert_int_equal(vfs_mkdir(f->top, name, 0755, &f->actor), 0);
        fd = open_at(f, name, O_RDONLY, NULL);
        assert_true(fd >= 0);
        if (i == 0)
            first = fd;
        else
            close(fd);
    }
    assert_int_equal(f->vfs->remembered_count, VFS_REMEMBERED_MAX);
    /* The first was dropped; the host still knows its name. */
    assert_int_equal(vfs_directory_of_fd(f->vfs, first, &place), 0);
    assert_string_equal(vfs_place_path(place), "/d0");
    vfs_place_unref(place);
    close(first);
}

static void test_guest_paths(void **state)
{
    struct fixture *f = *state;
    char host[128], path[128];

    snprintf(host, sizeof(host), "%s/dir/other", f->root);
    assert_true(vfs_guest_path(f->vfs, host, path, sizeof(path)));
    assert_string_equal(path, "/dir/other");
    assert_true(vfs_guest_path(f->vfs, f->root, path, sizeof(path)));
    assert_string_equal(path, "/");
    assert_false(vfs_guest_path(f->vfs, "/etc/passwd", path, sizeof(path)));
    snprintf(host, sizeof(host), "%sx/file", f->root);
    assert_false(vfs_guest_path(f->vfs, host, path, sizeof(path)));
    /* A mount covers it: the host's file is not what the guest sees there. */
    assert_int_equal(mount_memory(f), 0);
    snprintf(host, sizeof(host), "%s/mem/x", f->root);
    assert_false(vfs_guest_path(f->vfs, host, path, sizeof(path)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_places_of_descriptors),
        TEST(test_foreign_descriptor),
        TEST(test_foreign_reopen),
        TEST(test_removed_lower_file),
        TEST(test_foreign_device),
        TEST(test_temporary_file_gets_a_name),
        TEST(test_getdents_of_host),
        TEST(test_served_directory),
        TEST(test_memory_file_by_descriptor),
        TEST(test_o_path),
        TEST(test_generated_snapshot),
        TEST(test_generated_live),
        TEST(test_generated_files_are_sealed),
        TEST(test_generated_directions),
        TEST(test_calls_on_directory),
        TEST(test_sweep),
        TEST(test_remembered_are_bounded),
        TEST(test_guest_paths),
    };

    umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
