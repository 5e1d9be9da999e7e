/* inotify: watching directories and files. */
#include "guest.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- events as text: "d:CREATE a d:OPEN a" ---- */

static int notify = -1;
static int numbers[8];
static const char *labels[8];
static int label_count;
static uint32_t last_cookie;

static void open_instance(void)
{
    notify = (int)OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

static int watch(const char *label, const char *path, uint32_t mask)
{
    int number = (int)OK(inotify_add_watch(notify, path, mask));

    for (int i = 0; i < label_count; i++)
        if (numbers[i] == number) {
            labels[i] = label;
            return number;
        }
    CHECK(label_count < 8);
    numbers[label_count] = number;
    labels[label_count++] = label;
    return number;
}

static const char *label_of(int number)
{
    for (int i = 0; i < label_count; i++)
        if (numbers[i] == number)
            return labels[i];
    return "?";
}

static void add_words(char *text, size_t size, const struct inotify_event *event)
{
    static const char *const words[] = {"ACCESS",     "MODIFY",  "ATTRIB",      "CLOSE_WRITE",
                                        "CLOSE_READ", "OPEN",    "MOVED_FROM",  "MOVED_TO",
                                        "CREATE",     "DELETE",  "DELETE_SELF", "MOVE_SELF",
                                        "?",          "UNMOUNT", "Q_OVERFLOW",  "IGNORED"};
    size_t used = strlen(text);

    used +=
        (size_t)snprintf(text + used, size - used, "%s%s:", used ? " " : "", label_of(event->wd));
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (event->mask & 1U << i)
            used += (size_t)snprintf(text + used, size - used, "%s", words[i]);
    if (event->mask & IN_ISDIR)
        used += (size_t)snprintf(text + used, size - used, "+DIR");
    if (event->len)
        snprintf(text + used, size - used, " %s", event->name);
    if (event->mask & IN_MOVED_FROM)
        last_cookie = event->cookie;
    if (event->mask & IN_MOVED_TO && last_cookie)
        CHECK_EQ(event->cookie, last_cookie);
    if (!(event->mask & IN_MOVE))
        CHECK_EQ(event->cookie, 0);
    if (event->mask & IN_MOVE)
        CHECK(event->cookie != 0);
}

static const char *events(void)
{
    static char text[8192];
    _Alignas(struct inotify_event) char bytes[4096];
    ssize_t length;

    text[0] = '\0';
    while ((length = read(notify, bytes, sizeof(bytes))) > 0)
        for (ssize_t at = 0; at < length;) {
            const struct inotify_event *event = (const struct inotify_event *)(bytes + at);

            add_words(text, sizeof(text), event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    CHECK_EQ(errno, EAGAIN);
    return text;
}

#define EXPECT(text) CHECK_TEXT(events(), text)

/* ---- names ---- */

static void names(void)
{
    open_instance();
    OK(mkdir("d", 0777));
    watch("d", "d", IN_ALL_EVENTS);
    OK(close((int)OK(open("d/file", O_CREAT | O_WRONLY | O_EXCL, 0666))));
    EXPECT("d:CREATE file d:OPEN file d:CLOSE_WRITE file");
    OK(mkdir("d/folder", 0777));
    EXPECT("d:CREATE+DIR folder");
    OK(mkfifo("d/fifo", 0666));
    OK(mknod("d/node", S_IFREG | 0666, 0));
    OK(symlink("anywhere", "d/link"));
    OK(link("d/file", "d/second"));
    EXPECT("d:CREATE fifo d:CREATE node d:CREATE link d:CREATE second");
    OK(unlink("d/fifo"));
    OK(unlink("d/link"));
    OK(unlink("d/second"));
    OK(rmdir("d/folder"));
    EXPECT("d:DELETE fifo d:DELETE link d:DELETE second d:DELETE+DIR folder");
    FAILS(mkdir("d/file", 0777), EEXIST);
    FAILS(unlink("d/missing"), ENOENT);
    FAILS(rmdir("d/file"), ENOTDIR);
    FAILS(rename("d/missing", "d/x"), ENOENT);
    EXPECT("");
    OK(mkdir("d/deep", 0777));
    OK(mkdir("d/deep/er", 0777));
    EXPECT("d:CREATE+DIR deep");
}

static void moves(void)
{
    open_instance();
    OK(mkdir("a", 0777));
    OK(mkdir("b", 0777));
    OK(mkdir("c", 0777));
    guest_write("a/file", "1");
    OK(mkdir("a/folder", 0777));
    watch("a", "a", IN_MOVE | IN_CREATE | IN_DELETE);
    watch("b", "b", IN_MOVE | IN_CREATE | IN_DELETE);
    OK(rename("a/file", "a/other"));
    EXPECT("a:MOVED_FROM file a:MOVED_TO other");
    OK(rename("a/other", "b/file"));
    EXPECT("a:MOVED_FROM other b:MOVED_TO file");
    OK(rename("a/folder", "b/folder"));
    EXPECT("a:MOVED_FROM+DIR folder b:MOVED_TO+DIR folder");
    OK(rename("b/file", "c/file"));
    EXPECT("b:MOVED_FROM file");
    last_cookie = 0;
    OK(rename("c/file", "a/file"));
    EXPECT("a:MOVED_TO file");
    OK(rename("a/file", "a/file"));
    OK(link("a/file", "a/same"));
    OK(rename("a/file", "a/same"));
    EXPECT("a:CREATE same");
}

static void moved_themselves(void)
{
    open_instance();
    guest_write("one", "1");
    guest_write("two", "2");
    OK(mkdir("folder", 0777));
    watch("one", "one", IN_MOVE_SELF | IN_ATTRIB | IN_DELETE_SELF);
    watch("two", "two", IN_MOVE_SELF | IN_ATTRIB | IN_DELETE_SELF);
    watch("folder", "folder", IN_MOVE_SELF | IN_CREATE);
    OK(rename("one", "uno"));
    EXPECT("one:MOVE_SELF");
    OK(rename("folder", "dossier"));
    OK(mkdir("dossier/x", 0777));
    EXPECT("folder:MOVE_SELF folder:CREATE+DIR x");
    OK(rename("uno", "two"));
    EXPECT("two:ATTRIB one:MOVE_SELF two:DELETE_SELF two:IGNORED");
    OK(chmod("two", 0600));
    EXPECT("one:ATTRIB");
}

static void exchanged(void)
{
    open_instance();
    OK(mkdir("d", 0777));
    guest_write("d/file", "1");
    OK(mkdir("d/folder", 0777));
    watch("d", "d", IN_MOVE);
    watch("file", "d/file", IN_MOVE_SELF);
    OK(renameat2(AT_FDCWD, "d/file", AT_FDCWD, "d/folder", RENAME_EXCHANGE));
    CHECK_TEXT(events(), "d:MOVED_FROM file d:MOVED_TO folder file:MOVE_SELF "
                         "d:MOVED_FROM+DIR folder d:MOVED_TO+DIR file");
}

/* ---- attributes ---- */

static void attributes(void)
{
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_nsec = UTIME_OMIT}};
    int fd;

    open_instance();
    OK(mkdir("d", 0777));
    guest_write("d/file", "1");
    watch("d", "d", IN_ALL_EVENTS & ~(unsigned)(IN_OPEN | IN_CLOSE));
    watch("file", "d/file", IN_ATTRIB | IN_MODIFY | IN_ACCESS);
    OK(chmod("d/file", 0600));
    EXPECT("d:ATTRIB file file:ATTRIB");
    OK(chmod("d", 0700));
    EXPECT("d:ATTRIB+DIR");
    OK(chown("d/file", getuid(), getgid()));
    EXPECT("d:ATTRIB file file:ATTRIB");
    OK(utimensat(AT_FDCWD, "d/file", times, 0));
    EXPECT("d:ACCESS file file:ACCESS");
    times[1] = times[0];
    times[0].tv_nsec = UTIME_OMIT;
    OK(utimensat(AT_FDCWD, "d/file", times, 0));
    EXPECT("d:MODIFY file file:MODIFY");
    OK(utimensat(AT_FDCWD, "d/file", NULL, 0));
    EXPECT("d:ATTRIB file file:ATTRIB");
    OK(truncate("d/file", 5));
    EXPECT("d:MODIFY file file:MODIFY");
    fd = (int)OK(open("d/file", O_RDWR));
    OK(fchmod(fd, 0640));
    EXPECT("d:ATTRIB file file:ATTRIB");
    OK(ftruncate(fd, 2));
    EXPECT("d:MODIFY file file:MODIFY");
    OK(link("d/file", "d/second"));
    EXPECT("file:ATTRIB d:CREATE second");
    OK(unlink("d/second"));
    EXPECT("file:ATTRIB d:DELETE second");
    OK(chmod("d/file", 0600));
    OK(chmod("d/file", 0640));
    OK(chmod("d/file", 0600));
    CHECK_EQ(strncmp(events(), "d:ATTRIB file file:ATTRIB", 25), 0);
}

static void merged(void)
{
    open_instance();
    OK(mkdir("d", 0777));
    watch("d", "d", IN_ATTRIB);
    guest_write("d/file", "1");
    for (int i = 0; i < 10; i++)
        OK(chmod("d/file", 0600));
    EXPECT("d:ATTRIB file");
}

/* ---- data ---- */

static void data(void)
{
    char text[8];
    int fd;

    open_instance();
    OK(mkdir("d", 0777));
    watch("d", "d", IN_ALL_EVENTS);
    fd = (int)OK(open("d/file", O_CREAT | O_RDWR, 0666));
    CHECK_EQ(write(fd, "12345", 5), 5);
    EXPECT("d:CREATE file d:OPEN file d:MODIFY file");
    CHECK_EQ(pread(fd, text, 5, 0), 5);
    OK(close(fd));
    EXPECT("d:ACCESS file d:CLOSE_WRITE file");
    watch("file", "d/file", IN_ALL_EVENTS);
    fd = (int)OK(open("d/file", O_RDONLY));
    CHECK_EQ(read(fd, text, 5), 5);
    OK(close(fd));
    CHECK_TEXT(events(), "d:OPEN file file:OPEN d:ACCESS file file:ACCESS "
                         "d:CLOSE_READ file file:CLOSE_READ");
    fd = (int)OK(open("d/file", O_WRONLY | O_APPEND));
    CHECK_EQ(write(fd, "6", 1), 1);
    OK(close(fd));
    CHECK_TEXT(events(), "d:OPEN file file:OPEN d:MODIFY file file:MODIFY "
                         "d:CLOSE_WRITE file file:CLOSE_WRITE");
}

static void truncation(void)
{
    const char *got;

    open_instance();
    OK(mkdir("d", 0777));
    guest_write("d/file", "12345");
    watch("d", "d", IN_ALL_EVENTS);
    OK(close((int)OK(open("d/file", O_WRONLY | O_TRUNC))));
    got = events(); /* the order of the first two depends on the kernel */
    CHECK(strcmp(got, "d:OPEN file d:MODIFY file d:CLOSE_WRITE file") == 0 ||
          strcmp(got, "d:MODIFY file d:OPEN file d:CLOSE_WRITE file") == 0);
}

static void opened_before(void)
{
    int fd;

    open_instance();
    OK(mkdir("d", 0777));
    OK(mkdir("e", 0777));
    fd = (int)OK(open("d/file", O_CREAT | O_WRONLY, 0666));
    watch("d", "d", IN_MODIFY | IN_CLOSE_WRITE);
    watch("e", "e", IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE);
    CHECK_EQ(write(fd, "1", 1), 1);
    EXPECT("d:MODIFY file");
    OK(rename("d/file", "d/new"));
    CHECK_EQ(write(fd, "1", 1), 1);
    EXPECT("d:MODIFY new");
    CHECK_EQ(write(fd, "1", 1), 1);
    OK(rename("d/new", "e/moved"));
    CHECK_EQ(write(fd, "1", 1), 1);
    OK(close(fd));
    EXPECT("d:MODIFY new e:MODIFY moved e:CLOSE_WRITE moved");
}

static void existing_file(void)
{
    int fd;

    guest_write("file", "some text");
    open_instance();
    watch("file", "file", IN_MODIFY | IN_CLOSE_WRITE | IN_OPEN);
    fd = (int)OK(open("file", O_RDWR));
    CHECK_EQ(write(fd, "1", 1), 1);
    OK(close(fd));
    EXPECT("file:OPEN file:MODIFY file:CLOSE_WRITE");
}

static void directories_opened(void)
{
    char bytes[1024];
    int fd;

    open_instance();
    OK(mkdir("d", 0777));
    OK(mkdir("d/sub", 0777));
    watch("d", "d", IN_ALL_EVENTS);
    fd = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
    CHECK(getdents64(fd, bytes, sizeof(bytes)) > 0);
    OK(close(fd));
    EXPECT("d:OPEN+DIR d:ACCESS+DIR d:CLOSE_READ+DIR");
    OK(close((int)OK(open("d/sub", O_RDONLY | O_DIRECTORY))));
    EXPECT("d:OPEN+DIR sub d:CLOSE_READ+DIR sub");
}

/* ---- the end of what is watched ---- */

static void removed(void)
{
    int number;

    open_instance();
    OK(mkdir("d", 0777));
    OK(mkdir("d/sub", 0777));
    guest_write("d/file", "1");
    watch("d", "d", IN_DELETE | IN_DELETE_SELF);
    number = watch("sub", "d/sub", IN_ALL_EVENTS);
    watch("file", "d/file", IN_DELETE_SELF | IN_ATTRIB);
    OK(rmdir("d/sub"));
    EXPECT("sub:DELETE_SELF sub:IGNORED d:DELETE+DIR sub");
    FAILS(inotify_rm_watch(notify, number), EINVAL);
    OK(unlink("d/file"));
    EXPECT("file:ATTRIB file:DELETE_SELF file:IGNORED d:DELETE file");
    OK(rmdir("d"));
    EXPECT("d:DELETE_SELF d:IGNORED");
    OK(mkdir("d", 0777));
    OK(mkdir("d/x", 0777));
    EXPECT("");
}

static void removed_while_open(void)
{
    struct pollfd pollfd;
    int fd;

    open_instance();
    OK(mkdir("d", 0777));
    watch("d", "d", IN_DELETE | IN_MODIFY);
    fd = (int)OK(open("d/file", O_CREAT | O_WRONLY, 0666));
    watch("file", "d/file", IN_ATTRIB | IN_DELETE_SELF | IN_MODIFY);
    OK(unlink("d/file"));
    EXPECT("file:ATTRIB d:DELETE file");
    CHECK_EQ(write(fd, "1", 1), 1);
    EXPECT("d:MODIFY file file:MODIFY");
    OK(close(fd));
    pollfd = (struct pollfd){.fd = notify, .events = POLLIN};
    CHECK_EQ(poll(&pollfd, 1, 5000), 1);
    EXPECT("file:DELETE_SELF file:IGNORED");
}

static void excluded(void)
{
    int fd;

    open_instance();
    OK(mkdir("d", 0777));
    watch("d", "d", IN_DELETE | IN_MODIFY | IN_EXCL_UNLINK);
    fd = (int)OK(open("d/file", O_CREAT | O_WRONLY, 0666));
    CHECK_EQ(write(fd, "1", 1), 1);
    OK(unlink("d/file"));
    CHECK_EQ(write(fd, "1", 1), 1);
    EXPECT("d:MODIFY file d:DELETE file");
}

static void watch_removed(void)
{
    int number;

    open_instance();
    number = watch("here", ".", IN_CREATE);
    OK(mkdir("a", 0777));
    OK(inotify_rm_watch(notify, number));
    OK(mkdir("b", 0777));
    EXPECT("here:CREATE+DIR a here:IGNORED");
    FAILS(inotify_rm_watch(notify, number), EINVAL);
    FAILS(inotify_rm_watch(notify, -1), EINVAL);
    FAILS(inotify_rm_watch(notify, 123456), EINVAL);
    FAILS(inotify_rm_watch(1000, 1), EBADF);
}

/* ---- masks ---- */

static void masks(void)
{
    int first;

    open_instance();
    OK(mkdir("d", 0777));
    first = watch("d", "d", IN_CREATE);
    CHECK_EQ(OK(inotify_add_watch(notify, "d", IN_DELETE | IN_MASK_ADD)), first);
    OK(mkdir("d/x", 0777));
    OK(rmdir("d/x"));
    EXPECT("d:CREATE+DIR x d:DELETE+DIR x");
    CHECK_EQ(OK(inotify_add_watch(notify, "d", IN_DELETE)), first);
    OK(mkdir("d/x", 0777));
    OK(rmdir("d/x"));
    EXPECT("d:DELETE+DIR x");
    FAILS(inotify_add_watch(notify, "d", IN_CREATE | IN_MASK_CREATE), EEXIST);
    FAILS(inotify_add_watch(notify, "d", IN_CREATE | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
    FAILS(inotify_add_watch(notify, "d", 0), EINVAL);
    FAILS(inotify_add_watch(notify, "missing", IN_CREATE), ENOENT);
    FAILS(inotify_add_watch(1000, "d", IN_CREATE), EBADF);
    FAILS(inotify_add_watch(0, "d", IN_CREATE), EINVAL);
    FAILS(inotify_init1(0x40), EINVAL);
}

static void types(void)
{
    open_instance();
    guest_write("file", "1");
    OK(mkdir("d", 0777));
    OK(symlink("d", "link"));
    FAILS(inotify_add_watch(notify, "file", IN_CREATE | IN_ONLYDIR), ENOTDIR);
    watch("d", "link", IN_CREATE | IN_ONLYDIR);
    watch("link", "link", IN_DELETE_SELF | IN_DONT_FOLLOW);
    OK(mkdir("d/x", 0777));
    OK(unlink("link"));
    EXPECT("d:CREATE+DIR x link:DELETE_SELF link:IGNORED");
    OK(inotify_add_watch(notify, "/proc", IN_CREATE));
    OK(inotify_add_watch(notify, "/proc/self", IN_CREATE));
    OK(inotify_add_watch(notify, "/dev", IN_CREATE));
    OK(inotify_add_watch(notify, "/sys", IN_CREATE));
    EXPECT("");
}

static void once(void)
{
    open_instance();
    watch("here", ".", IN_CREATE | IN_ONESHOT);
    OK(mkdir("a", 0777));
    OK(mkdir("b", 0777));
    EXPECT("here:CREATE+DIR a here:IGNORED");
}

/* ---- reading ---- */

static void buffers(void)
{
    _Alignas(struct inotify_event) char bytes[256];
    struct iovec parts[2] = {{bytes, 128}, {bytes + 128, 128}};
    struct inotify_event *event = (struct inotify_event *)bytes;
    int there = -1;

    open_instance();
    watch("here", ".", IN_CREATE);
    OK(ioctl(notify, FIONREAD, &there));
    CHECK_EQ(there, 0);
    FAILS(read(notify, bytes, sizeof(bytes)), EAGAIN);
    OK(mkdir("name", 0777));
    OK(mkdir("a-name-of-nineteen-", 0777));
    OK(mkdir("third", 0777));
    OK(ioctl(notify, FIONREAD, &there));
    CHECK_EQ(there, 32 + 48 + 32);
    FAILS(read(notify, bytes, 31), EINVAL);
    FAILS(read(notify, bytes, 0), EINVAL);
    CHECK_EQ(read(notify, bytes, 79), 32);
    CHECK_EQ(event->len, 16);
    CHECK_TEXT(event->name, "name");
    OK(ioctl(notify, FIONREAD, &there));
    CHECK_EQ(there, 48 + 32);
    CHECK_EQ(readv(notify, parts, 2), 48 + 32);
    CHECK_EQ(event->len, 32);
    FAILS(read(notify, bytes, sizeof(bytes)), EAGAIN);
    CHECK(write(notify, "x", 1) < 0);
    CHECK_EQ(lseek(notify, 0, SEEK_END), 0);
}

static void readiness(void)
{
    struct pollfd pollfd;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int edge = (int)OK(epoll_create1(0));

    open_instance();
    pollfd = (struct pollfd){.fd = notify, .events = POLLIN};
    watch("here", ".", IN_CREATE);
    OK(epoll_ctl(edge, EPOLL_CTL_ADD, notify, &event));
    CHECK_EQ(poll(&pollfd, 1, 0), 0);
    CHECK_EQ(epoll_wait(edge, &event, 1, 0), 0);
    for (int i = 0; i < 3; i++) {
        OK(mkdir(guest_format("d%d", i), 0777));
        CHECK_EQ(poll(&pollfd, 1, 0), 1);
        CHECK_EQ(epoll_wait(edge, &event, 1, 0), 1);
        CHECK_EQ(epoll_wait(edge, &event, 1, 0), 0);
    }
    EXPECT("here:CREATE+DIR d0 here:CREATE+DIR d1 here:CREATE+DIR d2");
    CHECK_EQ(poll(&pollfd, 1, 0), 0);
}

static void make_later(void *name)
{
    guest_sleep_ms(100);
    OK(mkdir(name, 0777));
}

static void on_alarm(int number)
{
    (void)number;
}

static void waiting(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    _Alignas(struct inotify_event) char bytes[256];
    pid_t child;
    int flags;

    open_instance();
    watch("here", ".", IN_CREATE);
    flags = (int)OK(fcntl(notify, F_GETFL));
    OK(fcntl(notify, F_SETFL, flags & ~O_NONBLOCK));
    child = guest_fork(make_later, "one");
    CHECK_EQ(read(notify, bytes, sizeof(bytes)), 32);
    guest_join(child);
    OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    FAILS(read(notify, bytes, sizeof(bytes)), EINTR);
    action.sa_flags = SA_RESTART;
    OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    child = guest_fork(make_later, "two");
    CHECK_EQ(read(notify, bytes, sizeof(bytes)), 32);
    guest_join(child);
}

static void read_in_child(void *unused)
{
    (void)unused;
    EXPECT("here:CREATE+DIR one");
    OK(mkdir("two", 0777));
}

static void shared(void)
{
    int other;

    open_instance();
    watch("here", ".", IN_CREATE);
    OK(mkdir("one", 0777));
    guest_join(guest_fork(read_in_child, NULL));
    EXPECT("here:CREATE+DIR two");
    other = (int)OK(fcntl(notify, F_DUPFD_CLOEXEC, 0));
    OK(mkdir("three", 0777));
    OK(close(notify));
    notify = other;
    EXPECT("here:CREATE+DIR three");
}

static void two_instances(void)
{
    int first;

    open_instance();
    first = notify;
    watch("1", ".", IN_CREATE);
    open_instance();
    label_count = 0;
    watch("2", ".", IN_CREATE | IN_DELETE);
    OK(mkdir("a", 0777));
    OK(rmdir("a"));
    EXPECT("2:CREATE+DIR a 2:DELETE+DIR a");
    label_count = 0;
    notify = first;
    watch("1", ".", IN_CREATE);
    EXPECT("1:CREATE+DIR a");
}

static void instances_come_and_go(void)
{
    for (int i = 0; i < 400; i++) {
        int fd = (int)OK(inotify_init1(0));

        OK(inotify_add_watch(fd, ".", IN_CREATE));
        OK(close(fd));
    }
    OK(mkdir("x", 0777));
}

static void overflow(void)
{
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    size_t max = 0, count = 0;
    ssize_t length;
    _Alignas(struct inotify_event) char bytes[4096];
    const struct inotify_event *event = NULL;

    CHECK(file != NULL && fscanf(file, "%zu", &max) == 1);
    if (max > 20000)
        guest_skip("the queue of events is too long to be filled");
    open_instance();
    watch("here", ".", IN_MOVE);
    OK(mkdir("a", 0777));
    for (size_t i = 0; i < max / 4 + 10; i++) {
        OK(rename("a", "b"));
        OK(rename("b", "a"));
    }
    while ((length = read(notify, bytes, sizeof(bytes))) > 0)
        for (ssize_t at = 0; at < length; count++) {
            event = (const struct inotify_event *)(bytes + at);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    CHECK_EQ(event->mask, IN_Q_OVERFLOW);
    CHECK_EQ(event->wd, -1);
    CHECK_EQ(count, max + 1);
    last_cookie = 0;
    OK(rename("a", "b"));
    EXPECT("here:MOVED_FROM+DIR a here:MOVED_TO+DIR b");
}

static void shown_in_proc(void)
{
    char *text, *line;
    int number, found = 0;

    open_instance();
    guest_write("file", "1");
    number = watch("here", ".", IN_CREATE | IN_MODIFY);
    guest_write("file", "2");
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", notify)), "anon_inode:inotify");
    text = guest_read(guest_format("/proc/self/fdinfo/%d", notify));
    for (line = text; (line = strstr(line, "inotify wd:")); line++)
        found++;
    CHECK_EQ(found, 1);
    CHECK(strstr(text, guest_format("inotify wd:%x ", number)) != NULL);
    watch("here", ".", IN_MODIFY | IN_ONESHOT);
    text = guest_read(guest_format("/proc/self/fdinfo/%d", notify));
    CHECK(strstr(text, guest_format(" mask:%x ", IN_MODIFY | IN_ONESHOT)) != NULL);
}

static const struct guest_case cases[] = {
    {"names", names},
    {"moves", moves},
    {"moved-themselves", moved_themselves},
    {"exchanged", exchanged},
    {"attributes", attributes},
    {"merged", merged},
    {"data", data},
    {"truncation", truncation},
    {"opened-before", opened_before},
    {"existing-file", existing_file},
    {"directories-opened", directories_opened},
    {"removed", removed},
    {"removed-while-open", removed_while_open},
    {"excluded", excluded},
    {"watch-removed", watch_removed},
    {"masks", masks},
    {"types", types},
    {"once", once},
    {"buffers", buffers},
    {"readiness", readiness},
    {"waiting", waiting},
    {"shared", shared},
    {"two-instances", two_instances},
    {"instances-come-and-go", instances_come_and_go},
    {"overflow", overflow},
    {"shown-in-proc", shown_in_proc},
};

GUEST_MAIN(cases)
