/*
 * inotify on objects that are not the host's, without a guest: what is queued, in which order, and
 * that nothing is left over. What Linux does in each case is in tests/guest/watch.c.
 */
#include "vfs_fixture.h"

#include <sys/ioctl.h>

#include "vfs/watch-internal.h"

struct watching {
    struct fixture *f;
    struct vfs_place *top; /* of a memory file system */
    struct vfs_watcher *watcher;
    int guest; /* what a guest would hold */
};

static int start(void **state)
{
    struct watching *w = calloc(1, sizeof(*w));
    struct vfs_fs *fs;

    setup((void **)&w->f);
    assert_int_equal(vfs_memory_new(w->f->vfs, 0, 0, 0777, &fs), 0);
    assert_int_equal(vfs_mount(w->f->vfs, "/mem", fs, 0, "none", "tmpfs"), 0);
    w->top = place_at(w->f, "/mem");
    assert_int_equal(vfs_watcher_new(w->f->vfs, true, &w->watcher, &w->guest), 0);
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct watching *w = *state;

    vfs_place_unref(w->top);
    base_close(w->guest);
    teardown((void **)&w->f);
    free(w);
    return 0;
}

/* Events as "NUMBER:MASK:NAME " of all that is there. */
static const char *take(struct watching *w)
{
    static char text[4096];
    _Alignas(struct inotify_event) char bytes[4096];
    ssize_t length = vfs_watcher_read(w->watcher, bytes, sizeof(bytes));

    text[0] = '\0';
    for (ssize_t at = 0; at < length;) {
        const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "%d:%x:%s ", event->wd, event->mask,
                 event->len ? event->name : "");
        at += (ssize_t)(sizeof(*event) + event->len);
    }
    return text;
}

static bool is_readable(const struct watching *w)
{
    int there = 0;

    assert_int_equal(ioctl(w->guest, FIONREAD, &there), 0);
    return there != 0;
}

static void test_names(void **state)
{
    struct watching *w = *state;

    assert_int_equal(vfs_watch_add(w->watcher, w->top, IN_CREATE | IN_DELETE | IN_MOVE), 1);
    assert_int_equal(vfs_mkdir(w->top, "a", 0777, &w->f->actor), 0);
    assert_true(is_readable(w));
    assert_int_equal(vfs_symlink(w->top, "b", "x", &w->f->actor), 0);
    assert_int_equal(vfs_rename(w->top, "a", w->top, "c", 0, &w->f->actor), 0);
    assert_int_equal(vfs_unlink(w->top, "b", false, &w->f->actor), 0);
    assert_int_equal(vfs_unlink(w->top, "b", false, &w->f->actor), -ENOENT);
    assert_int_equal(vfs_watcher_pending(w->watcher), 5 * 32);
    assert_string_equal(take(w), "1:40000100:a 1:100:b 1:40000040:a 1:40000080:c 1:200:b ");
    assert_false(is_readable(w));
    assert_string_equal(take(w), "");
}

static void test_data_of_a_file(void **state)
{
    struct watching *w = *state;
    struct vfs_walk walk = {
        .actor = &w->f->actor, .root = w->f->top, .base = w->top, .path = "file"};
    struct vfs_opened opened;

    assert_int_equal(vfs_watch_add(w->watcher, w->top, IN_ALL_EVENTS), 1);
    assert_int_equal(vfs_open(w->f->vfs, &walk, O_CREAT | O_WRONLY, 0666, &opened), 0);
    assert_int_equal(write(opened.fd, "x", 1), 1);
    assert_int_equal(vfs_rename(w->top, "file", w->top, "new", 0, &w->f->actor), 0);
    assert_int_equal(write(opened.fd, "x", 1), 1);
    assert_int_equal(close(opened.fd), 0);
    assert_int_equal(vfs_unlink(w->top, "new", false, &w->f->actor), 0);
    assert_string_equal(take(w), "1:100:file 1:20:file 1:2:file 1:40:file 1:80:new 1:2:new "
                                 "1:8:new 1:200:new ");
    assert_false(is_readable(w)); /* the hidden mark has gone without a trace */
}

static void test_everything_ends(void **state)
{
    struct watching *w = *state;
    struct vfs_place *sub;
    int number;

    assert_int_equal(vfs_mkdir(w->top, "sub", 0777, &w->f->actor), 0);
    sub = place_at(w->f, "/mem/sub");
    number = vfs_watch_add(w->watcher, sub, IN_DELETE_SELF);
    assert_true(number > 0);
    assert_int_equal(vfs_watch_add(w->watcher, sub, IN_CREATE | IN_MASK_CREATE), -EEXIST);
    assert_int_equal(vfs_watch_add(w->watcher, sub, IN_MODIFY | IN_MASK_ADD), number);
    assert_int_equal(w->f->vfs->watched_count, 1);
    assert_int_equal(vfs_unlink(w->top, "sub", true, &w->f->actor), 0);
    assert_string_equal(take(w), "1:400: 1:8000: ");
    assert_int_equal(vfs_watch_remove(w->watcher, number), -EINVAL);
    assert_int_equal(vfs_watch_remove(w->watcher, -1), -EINVAL);
    assert_int_equal(w->f->vfs->watched_count, 0);
    assert_int_equal(w->watcher->marks.count, 0);
    vfs_place_unref(sub);
}

static void test_small_buffer(void **state)
{
    struct watching *w = *state;
    char bytes[64];

    assert_int_equal(vfs_watcher_read(w->watcher, bytes, sizeof(bytes)), -EAGAIN);
    assert_true(vfs_watch_add(w->watcher, w->top, IN_CREATE) > 0);
    assert_int_equal(vfs_mkdir(w->top, "a", 0777, &w->f->actor), 0);
    assert_int_equal(vfs_mkdir(w->top, "b", 0777, &w->f->actor), 0);
    assert_int_equal(vfs_watcher_read(w->watcher, bytes, 31), -EINVAL);
    assert_int_equal(vfs_watcher_read(w->watcher, bytes, 63), 32);
    assert_true(is_readable(w));
    assert_int_equal(vfs_watcher_read(w->watcher, bytes, 63), 32);
    assert_false(is_readable(w));
}

static void test_instances(void **state)
{
    struct watching *w = *state;
    int plain = inotify_init1(IN_CLOEXEC);
    struct vfs_watcher *other;
    int fd;

    assert_int_equal(vfs_watcher_new(w->f->vfs, false, &other, &fd), 0);
    assert_ptr_equal(vfs_watcher_of_fd(w->f->vfs, w->guest), w->watcher);
    assert_ptr_equal(vfs_watcher_of_fd(w->f->vfs, fd), other);
    assert_null(vfs_watcher_of_fd(w->f->vfs, plain));
    assert_null(vfs_watcher_of_fd(w->f->vfs, 0));
    assert_true(vfs_watch_add(other, w->top, IN_CREATE) > 0);
    vfs_watcher_ref(other); /* somebody sleeps in a read */
    vfs_watcher_discard(other);
    assert_int_equal(vfs_watcher_read(other, &plain, 0), -EINVAL);
    vfs_watcher_unref(other);
    assert_int_equal(w->f->vfs->watched_count, 0);
    assert_int_equal(vfs_mkdir(w->top, "x", 0777, &w->f->actor), 0);
    close(plain);
    close(fd);
}

static void test_overflow(void **state)
{
    struct watching *w = *state;

    w->f->vfs->watch_queue_max = 3;
    assert_true(vfs_watch_add(w->watcher, w->top, IN_CREATE | IN_DELETE) > 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(vfs_mkdir(w->top, "a", 0777, &w->f->actor), 0);
        assert_int_equal(vfs_unlink(w->top, "a", true, &w->f->actor), 0);
    }
    assert_string_equal(take(w), "1:40000100:a 1:40000200:a 1:40000100:a -1:4000: ");
    assert_int_equal(vfs_mkdir(w->top, "a", 0777, &w->f->actor), 0);
    assert_string_equal(take(w), "1:40000100:a ");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_names),        CASE(test_data_of_a_file), CASE(test_everything_ends),
        CASE(test_small_buffer), CASE(test_instances),      CASE(test_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
