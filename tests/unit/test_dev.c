/* dev: the host's harmless devices, terminals of the guest's own, and served devices. */
#include "vfs_guest.h"

#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "skip.h"
#include "vfs/dev-test.h"
#include "vfs/device.h"

#define TEST_NODE "/dev/cerebro-test"

static struct guest guest;

static int setup(void **state)
{
    struct pk_config config = {.test_device = true};

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

/* ---- the host's devices ---- */

static void test_nodes(void **state)
{
    static const struct {
        const char *path;
        unsigned major_number, minor_number;
    } nodes[] = {
        {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},     {"/dev/full", 1, 7},
        {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9},  {"/dev/tty", 5, 0},
        {"/dev/ptmx", 5, 2},   {"/dev/pts/ptmx", 5, 2}, {TEST_NODE, 240, 0},
    };

    (void)state;
    for (size_t i = 0; i < array_length(nodes); i++) {
        struct statx stat;

        if (guest_stat(&guest, nodes[i].path, &stat) < 0)
            fail_msg("no %s", nodes[i].path);
        assert_true(S_ISCHR(stat.stx_mode));
        assert_int_equal(stat.stx_mode & 0777, 0666);
        assert_int_equal(stat.stx_rdev_major, nodes[i].major_number);
        assert_int_equal(stat.stx_rdev_minor, nodes[i].minor_number);
    }
}

static void test_listing(void **state)
{
    unsigned count = 0;
    cleanup_close int master = guest_open(&guest, "/dev/ptmx", O_RDWR | O_NOCTTY);

    (void)state;
    guest_check_tree(&guest, "/dev", 3, &count);
    assert_in_range(count, 12, 100);
}

static void test_absent(void **state)
{
    static const char *const names[] = {"/dev/mem",     "/dev/kmsg", "/dev/console", "/dev/fuse",
                                        "/dev/net/tun", "/dev/vda",  "/dev/sda",     "/dev/port"};

    (void)state;
    for (size_t i = 0; i < array_length(names); i++)
        assert_int_equal(guest_open(&guest, names[i], O_RDONLY), -ENOENT);
}

static void test_native_devices(void **state)
{
    cleanup_close int null = guest_open(&guest, "/dev/null", O_RDWR);
    cleanup_close int zero = guest_open(&guest, "/dev/zero", O_RDONLY);
    cleanup_close int full = guest_open(&guest, "/dev/full", O_WRONLY);
    cleanup_close int random_fd = guest_open(&guest, "/dev/urandom", O_RDONLY);
    unsigned char bytes[64], sum = 0;

    (void)state;
    assert_int_equal(write(null, "x", 1), 1);
    assert_int_equal(read(null, bytes, 1), 0);
    memset(bytes, 1, sizeof(bytes));
    assert_int_equal(read(zero, bytes, sizeof(bytes)), sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(write(full, "x", 1), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(read(random_fd, bytes, sizeof(bytes)), sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        sum |= bytes[i];
    assert_true(sum != 0);
    assert_int_equal(fcntl(zero, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(write(zero, "x", 1), -1);
}

static void test_links(void **state)
{
    char text[64];

    (void)state;
    assert_true(guest_readlink(&guest, "/dev/fd", text, sizeof(text)) > 0);
    assert_string_equal(text, "/proc/self/fd");
    assert_true(guest_readlink(&guest, "/dev/stderr", text, sizeof(text)) > 0);
    assert_string_equal(text, "/proc/self/fd/2");
}

/* ---- terminals ---- */

static void slave_path(int master, char path[64])
{
    unsigned number;

    assert_int_equal(ioctl(master, TIOCGPTN, &number), 0);
    snprintf(path, 64, "/dev/pts/%u", number);
}

static void test_pty(void **state)
{
    cleanup_close int master = guest_open(&guest, "/dev/ptmx", O_RDWR | O_NOCTTY);
    cleanup_close int slave = -1;
    char path[64], bytes[16] = "";
    struct statx stat;
    int unlock = 0;

    (void)state;
    if (master < 0)
        SKIP("no pseudo-terminals here");
    slave_path(master, path);
    assert_int_equal(guest_stat(&guest, path, &stat), 0);
    assert_int_equal(ioctl(master, TIOCSPTLCK, &unlock), 0);
    guest.actor.pid = 0; /* whatever the owner */
    slave = guest_open(&guest, path, O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    assert_true(isatty(slave));
    assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK);
    assert_int_equal(write(master, "hello\n", 6), 6);
    assert_int_equal(read(slave, bytes, sizeof(bytes)), 6);
    assert_string_equal(bytes, "hello\n");
}

static void test_pty_is_forgotten(void **state)
{
    int master = guest_open(&guest, "/dev/ptmx", O_RDWR | O_NOCTTY);
    cleanup_close int other = -1;
    char path[64];
    struct statx stat;

    (void)state;
    if (master < 0)
        SKIP("no pseudo-terminals here");
    slave_path(master, path);
    assert_int_equal(guest_stat(&guest, path, &stat), 0);
    close(master);
    assert_int_equal(guest_stat(&guest, path, &stat), -ENOENT);
    /* the number goes to somebody else: still not the guest's */
    other = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (other >= 0)
        assert_int_equal(guest_stat(&guest, path, &stat), -ENOENT);
}

static void test_foreign_pty(void **state)
{
    cleanup_close int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    char path[64];

    (void)state;
    if (master < 0)
        SKIP("no pseudo-terminals here");
    slave_path(master, path);
    assert_int_equal(guest_open(&guest, path, O_RDWR | O_NOCTTY), -ENOENT);
}

/*
 * A session leader without terminal gets the one it opens. The port's injected calls run in this
 * process, so that it must be the leader; it is the guest too.
 */
static int take_control_in_child(void)
{
    cleanup_close int master = -1, slave = -1, tty = -1;
    struct pk_identity root = {.effective = ~0ULL};
    char path[64];
    int unlock = 0;

    signal(SIGHUP, SIG_IGN); /* comes when the master is closed */
    if (setsid() < 0)
        return 1;
    guest.actor.pid = getpid();
    guest.actor.identity = &root;
    master = guest_open(&guest, "/dev/ptmx", O_RDWR);
    if (master < 0)
        return 2;
    slave_path(master, path);
    ioctl(master, TIOCSPTLCK, &unlock);
    slave = guest_open(&guest, path, O_RDWR | O_NOCTTY);
    if (slave < 0 || guest_open(&guest, "/dev/tty", O_RDWR) != -ENXIO)
        return 3;
    base_close(slave);
    slave = guest_open(&guest, path, O_RDWR);
    if (slave < 0 || tcgetsid(slave) != getpid())
        return 4;
    tty = guest_open(&guest, "/dev/tty", O_RDWR);
    return tty >= 0 && tcgetsid(tty) == getpid() ? 0 : 5;
}

static void test_taking_control(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    if (access("/dev/pts/ptmx", F_OK) < 0)
        SKIP("no /dev/pts/ptmx here");
    pid = fork();
    if (pid == 0)
        _exit(take_control_in_child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* The guest of the test has no controlling terminal when the test has none. */
static void test_controlling_terminal(void **state)
{
    int host = open("/dev/tty", O_RDWR | O_NOCTTY);
    int ours = guest_open(&guest, "/dev/tty", O_RDWR);

    (void)state;
    if (host < 0)
        assert_int_equal(ours, -ENXIO);
    else
        assert_true(isatty(ours));
    base_close(host);
    base_close(ours);
}

/* ---- the test device ---- */

static uint64_t address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

static int open_test(int flags)
{
    int fd = guest_open(&guest, TEST_NODE, flags);

    assert_true(fd >= 0);
    return fd;
}

static int64_t put(int fd, const char *text)
{
    return guest_value(&guest, fd, SYS_write, address_of(text), strlen(text), 0);
}

static short ready(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN | POLLOUT};

    assert_true(poll(&pollfd, 1, 0) >= 0);
    return pollfd.revents;
}

static void test_transfer(void **state)
{
    cleanup_close int fd = open_test(O_RDWR | O_NONBLOCK);
    cleanup_close int second = open_test(O_RDONLY | O_NONBLOCK);
    char bytes[16] = "";
    struct iovec iov[2] = {{bytes, 2}, {bytes + 2, 8}};

    (void)state;
    assert_int_equal(guest_value(&guest, fd, SYS_read, address_of(bytes), 4, 0), -EAGAIN);
    assert_int_equal(ready(fd), POLLOUT);
    assert_int_equal(put(fd, "abcdef"), 6);
    assert_int_equal(ready(fd), POLLIN | POLLOUT);
    assert_int_equal(ready(second), POLLIN | POLLOUT); /* it is one device */
    assert_int_equal(guest_value(&guest, second, SYS_readv, address_of(iov), 2, 0), 6);
    assert_string_equal(bytes, "abcdef");
    assert_int_equal(ready(fd), POLLOUT);
    assert_int_equal(put(second, "x"), -EBADF); /* opened for reading */
    assert_int_equal(guest_value(&guest, fd, SYS_lseek, 0, 0, 0), -ESPIPE);
    assert_int_equal(guest_value(&guest, fd, SYS_pread64, address_of(bytes), 1, 0), -ESPIPE);
    assert_int_equal(guest_value(&guest, fd, SYS_read, 0, 0, 0), 0);
}

static void test_full(void **state)
{
    cleanup_close int fd = open_test(O_RDWR | O_NONBLOCK);
    static char bytes[DEV_TEST_SIZE + 100];
    int64_t n;

    (void)state;
    n = guest_value(&guest, fd, SYS_write, address_of(bytes), sizeof(bytes), 0);
    assert_int_equal(n, DEV_TEST_SIZE);
    assert_int_equal(put(fd, "x"), -EAGAIN);
    assert_int_equal(ready(fd), POLLIN);
    assert_int_equal(guest_value(&guest, fd, SYS_read, address_of(bytes), 1, 0), 1);
    assert_int_equal(ready(fd), POLLIN | POLLOUT);
    assert_int_equal(put(fd, "xyz"), 1);
    assert_int_equal(ready(fd), POLLIN);
}

static void *run_job(void *job)
{
    return (void *)(intptr_t)((struct pk_job *)job)->run(job);
}

/* A reader sleeps on a worker until another open of the device writes. */
static void test_waiting(void **state)
{
    cleanup_close int reader = open_test(O_RDONLY);
    cleanup_close int writer = open_test(O_WRONLY | O_NONBLOCK);
    char bytes[8] = "";
    struct pk_answer answer =
        guest_call(&guest, reader, SYS_read, address_of(bytes), sizeof(bytes), 0);
    struct pk_answer final;
    pthread_t worker;
    void *result = NULL;

    (void)state;
    assert_int_equal(answer.kind, PK_ANSWER_DEFERRED);
    assert_int_equal(pthread_create(&worker, NULL, run_job, answer.job), 0);
    usleep(20000);
    assert_int_equal(pthread_tryjoin_np(worker, &result), EBUSY);
    assert_int_equal(put(writer, "data"), 4);
    assert_int_equal(pthread_join(worker, &result), 0);
    guest.request.nr = SYS_read;
    guest.request.args[0] = (uint64_t)reader;
    guest.request.args[1] = address_of(bytes);
    guest.request.args[2] = sizeof(bytes);
    final = answer.job->finish(answer.job, &guest.request, (intptr_t)result);
    assert_int_equal(final.kind, PK_ANSWER_VALUE);
    assert_int_equal(final.value, 4);
    assert_string_equal(bytes, "data");
    /* somebody else was faster: to sleep again; then it is interrupted */
    final = answer.job->finish(answer.job, &guest.request, 0);
    assert_int_equal(final.kind, PK_ANSWER_DEFERRED);
    pk_answer_discard(&final);
    final = answer.job->finish(answer.job, &guest.request, -EINTR);
    assert_int_equal(final.value, -EINTR);
    answer.job->release(answer.job);
}

static void test_ioctl(void **state)
{
    cleanup_close int fd = open_test(O_RDWR | O_NONBLOCK);
    struct dev_test_sum sum = {.a = 0xffffffffu, .b = 2, .text = "some text"};
    uint32_t used = 99;

    (void)state;
    assert_int_equal(put(fd, "12345"), 5);
    assert_int_equal(guest_value(&guest, fd, SYS_ioctl, DEV_TEST_USED, address_of(&used), 0), 0);
    assert_int_equal(used, 5);
    assert_int_equal(guest_value(&guest, fd, SYS_ioctl, DEV_TEST_RESET, 0, 0), 0);
    assert_int_equal(ready(fd), POLLOUT);
    assert_int_equal(guest_value(&guest, fd, SYS_ioctl, DEV_TEST_SUM, address_of(&sum), 0), 0);
    assert_true(sum.sum == 0x100000001ULL);
    assert_string_equal(sum.text, "SOME TEXT");
    assert_int_equal(guest_value(&guest, fd, SYS_ioctl, 0x1234, 0, 0), -ENOTTY);
    assert_int_equal(guest_call(&guest, fd, SYS_ioctl, FIONBIO, 0, 0).kind, PK_ANSWER_NATIVE);
}

static struct pk_answer map_test(int fd, size_t length, int protection, uint64_t offset)
{
    struct vfs_handle *handle = vfs_handle_of_fd(guest.vfs, fd);

    guest.request.nr = SYS_mmap;
    guest.request.args[0] = 0;
    guest.request.args[1] = length;
    guest.request.args[2] = (uint64_t)protection;
    guest.request.args[3] = MAP_SHARED;
    guest.request.args[4] = (uint64_t)fd;
    guest.request.args[5] = offset;
    return vfs_handle_call(handle, &guest.request, fd);
}

static void test_mmap(void **state)
{
    cleanup_close int fd = open_test(O_RDWR | O_NONBLOCK);
    cleanup_close int reader = open_test(O_RDONLY);
    struct pk_answer answer = map_test(fd, DEV_TEST_SIZE, PROT_READ | PROT_WRITE, 0);
    char *bytes, byte;

    (void)state;
    assert_int_equal(answer.kind, PK_ANSWER_VALUE);
    assert_true(answer.value > 0);
    bytes = (char *)(uintptr_t)answer.value;
    assert_int_equal(put(fd, "mapped"), 6);
    assert_memory_equal(bytes, "mapped", 6);
    bytes[0] = 'M';
    assert_int_equal(guest_value(&guest, fd, SYS_read, address_of(&byte), 1, 0), 1);
    assert_int_equal(byte, 'M');
    munmap(bytes, DEV_TEST_SIZE);
    assert_int_equal(map_test(fd, DEV_TEST_SIZE * 2, PROT_READ, 0).value, -EINVAL);
    assert_int_equal(map_test(fd, 4096, PROT_READ, 4096).value, -EINVAL);
    assert_int_equal(map_test(reader, 4096, PROT_READ | PROT_WRITE, 0).value, -EACCES);
    answer = map_test(reader, 4096, PROT_READ, 0);
    assert_true(answer.value > 0);
    /* and no way to write later */
    assert_int_equal(mprotect((void *)(uintptr_t)answer.value, 4096, PROT_READ | PROT_WRITE), -1);
    munmap((void *)(uintptr_t)answer.value, 4096);
}

/* ---- a driver of the test's own ---- */

struct counters {
    int opened, released;
    bool refuse;
};

static int count_open(struct vfs_device_file *file, const struct vfs_actor *actor)
{
    struct counters *counters = vfs_device_of(file)->user;

    assert_int_equal(actor->pid, guest.pid);
    if (counters->refuse)
        return -EBUSY;
    counters->opened++;
    vfs_device_set_state(file, counters);
    return 0;
}

static void count_release(struct vfs_device_file *file)
{
    struct counters *counters = vfs_device_state(file);

    counters->released++;
}

static void test_driver(void **state)
{
    static const struct vfs_device_ops ops = {.open = count_open, .release = count_release};
    static struct counters counters;
    static const struct vfs_device device = {
        .ops = &ops, .user = &counters, .mode = 0600, .number = 0};
    struct pk_config config = {.test_device = false};
    struct vfs_walk walk;
    cleanup_place struct vfs_place *place = NULL;
    struct pk_identity root = {.effective = ~0ULL};
    struct statx stat;
    struct vfs_fs *dev;
    int fd;

    (void)state;
    guest_start(&guest, &config);
    assert_int_equal(guest_stat(&guest, TEST_NODE, &stat), -ENOENT); /* only when asked for */
    fd = guest_open(&guest, "/dev", O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    dev = vfs_handle_of_fd(guest.vfs, fd)->node->fs;
    close(fd);
    assert_int_equal(vfs_dev_add(dev, "box/first", &device), 0);
    assert_int_equal(vfs_dev_add(dev, "box/first", &device), -EEXIST);
    assert_int_equal(vfs_dev_add(dev, "../x", &device), -EINVAL);
    assert_int_equal(vfs_dev_add(dev, "null", &device), -EEXIST);
    assert_int_equal(guest_open(&guest, "/dev/box/first", O_RDWR), -EACCES); /* 0600, root's */
    guest.actor.identity = &root;
    fd = guest_open(&guest, "/dev/box/first", O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(guest_value(&guest, fd, SYS_read, 0, 1, 0), -EINVAL);
    assert_int_equal(guest_value(&guest, fd, SYS_ioctl, 1, 0, 0), -ENOTTY);
    assert_int_equal(map_test(fd, 4096, PROT_READ, 0).value, -ENODEV);
    close(fd);
    counters.refuse = true;
    assert_int_equal(guest_open(&guest, "/dev/box/first", O_RDWR), -EBUSY);
    walk = guest_walk(&guest, "/dev/box");
    assert_int_equal(vfs_resolve(guest.vfs, &walk, &place), 0);
    vfs_place_unref(place);
    place = NULL;
    guest_stop(&guest);
    assert_int_equal(counters.opened, 1);
    assert_int_equal(counters.released, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nodes),
        TEST(test_listing),
        TEST(test_absent),
        TEST(test_native_devices),
        TEST(test_links),
        TEST(test_pty),
        TEST(test_pty_is_forgotten),
        TEST(test_foreign_pty),
        TEST(test_controlling_terminal),
        TEST(test_taking_control),
        TEST(test_transfer),
        TEST(test_full),
        TEST(test_waiting),
        TEST(test_ioctl),
        TEST(test_mmap),
        cmocka_unit_test(test_driver),
    };

    return cmocka_run_group_tests_name("dev", tests, NULL, NULL);
}
