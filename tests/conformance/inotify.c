/* inotify. */
#define FAMILY "inotify"
#include "conform.h"

#include <sys/inotify.h>
#include <sys/ioctl.h>

static int queue;

/* The next event has these bits and this name ("": none). */
static struct inotify_event *next(void)
{
    static char buffer[4096] __attribute__((aligned(8)));
    static ssize_t length;
    static ssize_t at;
    struct inotify_event *event;

    if (at >= length) {
        struct pollfd fd = {queue, POLLIN, 0};

        if (poll(&fd, 1, 1000) != 1)
            fail("no event");
        length = ok(read(queue, buffer, sizeof(buffer)));
        at = 0;
    }
    event = (struct inotify_event *)(buffer + at);
    at += (ssize_t)(sizeof(*event) + event->len);
    return event;
}

static uint32_t expects(uint32_t mask, const char *name)
{
    struct inotify_event *event = next();

    if (event->mask != mask || strcmp(event->len ? event->name : "", name) != 0)
        fail("event 0x%x \"%s\", not 0x%x \"%s\"", event->mask, event->len ? event->name : "", mask,
             name);
    return event->cookie;
}

static int watching(const char *path, uint32_t mask)
{
    queue = (int)ok(inotify_init1(IN_NONBLOCK));
    return (int)ok(inotify_add_watch(queue, path, mask));
}

REFUSED(init_flags, "inotify_init1(2) EINVAL", inotify_init1(1), EINVAL)
REFUSED(add_missing, "inotify_add_watch(2) ENOENT",
        inotify_add_watch(inotify_init(), "no", IN_MODIFY), ENOENT)
REFUSED(add_no_mask, "inotify_add_watch(2) EINVAL", inotify_add_watch(inotify_init(), ".", 0),
        EINVAL)
REFUSED(add_bad, "inotify_add_watch(2) EBADF", inotify_add_watch(99, ".", IN_MODIFY), EBADF)
REFUSED(add_not_one, "inotify_add_watch(2) EINVAL", inotify_add_watch(0, ".", IN_MODIFY), EINVAL)
REFUSED(add_pointer, "inotify_add_watch(2) EFAULT",
        inotify_add_watch(inotify_init(), (char *)8, IN_MODIFY), EFAULT)
REFUSED(remove_wrong, "inotify_rm_watch(2) EINVAL", inotify_rm_watch(inotify_init(), 77), EINVAL)
REFUSED(remove_bad, "inotify_rm_watch(2) EBADF", inotify_rm_watch(99, 1), EBADF)
REFUSED(nothing_yet, "inotify(7) EAGAIN", read(inotify_init1(IN_NONBLOCK), (char[512]){0}, 512),
        EAGAIN)

CHECK(create_write_close, "inotify(7) IN_CREATE, IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE")
{
    watching(".", IN_ALL_EVENTS & ~IN_ACCESS);
    file("f", "text");
    expects(IN_CREATE, "f");
    expects(IN_OPEN, "f");
    expects(IN_MODIFY, "f");
    expects(IN_CLOSE_WRITE, "f");
}

CHECK(names_and_directories, "inotify(7) IN_ISDIR, IN_DELETE")
{
    watching(".", IN_CREATE | IN_DELETE);
    ok(mkdir("d", 0755));
    ok(symlink("x", "l"));
    ok(mkfifo("p", 0644));
    ok(rmdir("d"));
    ok(unlink("l"));
    expects(IN_CREATE | IN_ISDIR, "d");
    expects(IN_CREATE, "l");
    expects(IN_CREATE, "p");
    expects(IN_DELETE | IN_ISDIR, "d");
    expects(IN_DELETE, "l");
}

CHECK(moves, "inotify(7) IN_MOVED_FROM, IN_MOVED_TO: one cookie")
{
    uint32_t cookie;

    file("a", "");
    watching(".", IN_MOVE);
    ok(rename("a", "b"));
    cookie = expects(IN_MOVED_FROM, "a");
    must(cookie != 0);
    is(expects(IN_MOVED_TO, "b"), cookie);
}

CHECK(attributes, "inotify(7) IN_ATTRIB")
{
    file("f", "");
    watching("f", IN_ATTRIB);
    ok(chmod("f", 0600));
    expects(IN_ATTRIB, "");
    ok(utimensat(AT_FDCWD, "f", NULL, 0));
    expects(IN_ATTRIB, "");
    ok(link("f", "g"));
    expects(IN_ATTRIB, "");
}

CHECK(self, "inotify(7) IN_MOVE_SELF, IN_DELETE_SELF, IN_IGNORED")
{
    file("f", "");
    watching("f", IN_MOVE_SELF | IN_DELETE_SELF);
    ok(rename("f", "g"));
    expects(IN_MOVE_SELF, "");
    ok(unlink("g"));
    expects(IN_DELETE_SELF, "");
    expects(IN_IGNORED, "");
}

CHECK(removed_watch, "inotify_rm_watch(2): IN_IGNORED")
{
    int watch = watching(".", IN_CREATE);

    ok(inotify_rm_watch(queue, watch));
    expects(IN_IGNORED, "");
    file("f", "");
    fails(read(queue, (char[512]){0}, 512), EAGAIN);
    fails(inotify_rm_watch(queue, watch), EINVAL);
}

CHECK(same_watch, "inotify_add_watch(2): one inode, one watch; the mask is replaced or added to")
{
    int watch = watching(".", IN_CREATE);

    is(inotify_add_watch(queue, "././", IN_DELETE), watch);
    file("f", "");
    ok(unlink("f"));
    expects(IN_DELETE, "f");
    is(inotify_add_watch(queue, ".", IN_CREATE | IN_MASK_ADD), watch);
    file("f", "");
    ok(unlink("f"));
    expects(IN_CREATE, "f");
    expects(IN_DELETE, "f");
    fails(inotify_add_watch(queue, ".", IN_CREATE | IN_MASK_CREATE), EEXIST);
}

CHECK(one_shot, "inotify(7) IN_ONESHOT")
{
    watching(".", IN_CREATE | IN_ONESHOT);
    file("a", "");
    file("b", "");
    expects(IN_CREATE, "a");
    expects(IN_IGNORED, "");
    fails(read(queue, (char[512]){0}, 512), EAGAIN);
}

CHECK(only_directories, "inotify(7) IN_ONLYDIR, IN_DONT_FOLLOW")
{
    file("f", "");
    ok(symlink("f", "l"));
    queue = (int)ok(inotify_init1(IN_NONBLOCK));
    fails(inotify_add_watch(queue, "f", IN_MODIFY | IN_ONLYDIR), ENOTDIR);
    must(ok(inotify_add_watch(queue, "l", IN_ATTRIB | IN_DONT_FOLLOW)) !=
         ok(inotify_add_watch(queue, "l", IN_ATTRIB)));
}

CHECK(coalesced, "inotify(7): equal events that follow one another are one")
{
    int fd = (int)ok(open("f", O_WRONLY | O_CREAT, 0644));

    watching("f", IN_MODIFY);
    ok(write(fd, "a", 1));
    ok(write(fd, "b", 1));
    ok(write(fd, "c", 1));
    expects(IN_MODIFY, "");
    fails(read(queue, (char[512]){0}, 512), EAGAIN);
}

CHECK(truncation, "inotify(7) IN_MODIFY of truncate(2)")
{
    file("f", "text");
    watching("f", IN_MODIFY);
    ok(truncate("f", 1));
    expects(IN_MODIFY, "");
}

CHECK(small_buffer, "inotify(7) EINVAL: no room for the event")
{
    watching(".", IN_CREATE);
    file("f", "");
    fails(read(queue, (char[4]){0}, 4), EINVAL);
    expects(IN_CREATE, "f");
}

CHECK(bytes_waiting, "inotify(7) FIONREAD")
{
    int count = -1;

    watching(".", IN_CREATE);
    ok(ioctl(queue, FIONREAD, &count));
    is(count, 0);
    file("f", "");
    for (int i = 0; i < 100 && count == 0; i++) {
        ok(ioctl(queue, FIONREAD, &count));
        nap(1);
    }
    is(count, 32);
}

CHECK(heard_of_whatever_follows, "inotify(7): readable for as long as there are events")
{
    struct pollfd fd;

    file("old", "text");
    watching(".", IN_CREATE);
    fd = (struct pollfd){queue, POLLIN, 0};
    file("f", "");
    is(poll(&fd, 1, 1000), 1);
    file("old", "");
    ok(open("old", O_RDONLY));
    ok(count_names("."));
    fails(open("no", O_RDWR | O_TRUNC), ENOENT);
    ok(chmod("old", 0400));
    ok(rename("old", "new"));
    is(poll(&fd, 1, 1000), 1);
    ok(unlink("new"));
    is(poll(&fd, 1, 1000), 1);
    expects(IN_CREATE, "f");
    is(poll(&fd, 1, 0), 0);
}

CHECK(other_process, "inotify(7): what others do")
{
    watching(".", IN_CREATE);
    IN_CHILD file("f", "");
    expects(IN_CREATE, "f");
}
